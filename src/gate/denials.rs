//! Denials: how many calls were denied, and why. They are counted in memory and
//! written every second; a crash loses that second.

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;

use super::{Call, Decision, Gate};
use crate::domain::clock::Timestamp;
use crate::domain::decision::DenyReason;
use crate::domain::identity::Identity;
use crate::domain::rollup::bucket_of;
use crate::store::{DeniedCalls, StoreError};

/// How many places are told apart before they are written. Calls beyond count
/// by their reason alone.
const PLACES_MAX: usize = 10_000;

/// What was counted and is not written yet.
#[derive(Default)]
pub(super) struct Denials(Mutex<HashMap<DeniedCalls, i64>>);

impl Denials {
    fn count(&self, place: DeniedCalls, calls: i64) {
        let mut places = self.0.lock();
        let place = if places.len() < PLACES_MAX || places.contains_key(&place) { place } else { place.by_reason() };
        *places.entry(place).or_default() += calls;
    }
}

impl Gate {
    /// Counts a call that was denied.
    pub fn count_denial(&self, call: &Call<'_>, decision: &Decision, now: Timestamp) {
        let Some(denial) = &decision.denial else { return };
        // What nobody knows may be called anything.
        let is_alias = decision.resolved_model != call.model;
        let is_known = is_alias || self.prices.load().offers(call.model, call.model, now).is_known();
        let model_group = if is_known { call.model } else { "" };
        self.denials.count(place(denial.reason, decision.identity.as_ref(), model_group, now), 1);
    }

    /// Counts a call without any key.
    pub fn count_stranger(&self, now: Timestamp) {
        self.denials.count(place(DenyReason::KeyUnknown, None, "", now), 1);
    }

    /// Writes what was counted.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails; then it is still counted, and may
    /// count twice if the connection broke while it was committed.
    pub async fn write_denials(&self) -> Result<(), StoreError> {
        let counted = std::mem::replace(&mut *self.denials.0.lock(), HashMap::new());
        if counted.is_empty() {
            return Ok(());
        }
        let written = self.store.record_denials(&counted).await;
        if written.is_err() {
            for (place, calls) in counted {
                self.denials.count(place, calls);
            }
        }
        written
    }
}

fn place(reason: DenyReason, identity: Option<&Identity>, model_group: &str, now: Timestamp) -> DeniedCalls {
    let text = |id: Option<&dyn ToString>| id.map(ToString::to_string).unwrap_or_default();
    let key = identity.map(|identity| &identity.key);
    DeniedCalls {
        bucket: bucket_of(now),
        reason,
        key_id: text(key.and_then(|key| key.id()).as_ref().map(|id| id as &dyn ToString)),
        user_id: text(key.and_then(|key| key.user_id.as_ref()).map(|id| id as &dyn ToString)),
        team_id: text(key.and_then(|key| key.team_id.as_ref()).map(|id| id as &dyn ToString)),
        organization_id: text(identity.and_then(Identity::organization_id).map(|id| id as &dyn ToString)),
        model_group: model_group.to_owned(),
    }
}
