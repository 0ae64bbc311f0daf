//! Changes of a key: the one way to make them, behind every RPC that does.

mod patch;
mod places;
mod rights;

use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::key::Key;
use crate::domain::key_rules::Adjusted;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::policy::Action;
use crate::domain::secret::KeyHash;
use crate::domain::throughput::Share;
use crate::domain::tier::{Tier, anchor_after, in_force};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{KeyStanding, standing_to_key};
use crate::services::wire::correction::{Owner, check_lower, keep_window, set_spend};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_teams;
use crate::services::wire::{consent, etag, key, taken};
use crate::store::{Constraint, StoreError, Tx};

use self::patch::KeyPatch;
use super::rules;

/// What a valid request changes.
#[derive(Clone)]
pub(super) struct KeyChange {
    /// What the request's fields begin with.
    prefix: &'static str,
    /// The request, and what it is for, as policies see them.
    asked: Box<pb::UpdateKeyRequest>,
    action: Action,
    etag: String,
    patch: KeyPatch,
}

impl KeyChange {
    /// Takes it from a request whose fields have this prefix.
    pub(super) fn take(
        action: Action,
        request: &pb::UpdateKeyRequest,
        prefix: &'static str,
        faults: &mut Faults,
    ) -> Self {
        let sent = request.key.as_ref();
        let mut asked = Box::new(request.clone());
        if let Some(named) = asked.key.as_mut().map(|key| &mut key.key_hash)
            && let Ok(hash) = KeyHash::of_key_field(named)
        {
            // It may be named by its secret, which nobody else is told.
            *named = hash.to_string();
        }
        Self {
            prefix,
            asked,
            action,
            etag: sent.map(|key| key.etag.clone()).unwrap_or_default(),
            patch: KeyPatch::take(request, prefix, faults),
        }
    }

    /// Finds the key and locks its team and the one that it moves to: until the
    /// change is made nobody joins or leaves them, or gains or loses rights over
    /// them.
    ///
    /// # Errors
    /// `NOT_FOUND` for a key that the caller may not see.
    pub(super) async fn hold(&self, ctx: &Ctx, tx: &mut Tx, hash: &KeyHash) -> Result<(Key, KeyStanding), Error> {
        let key = tx.view().find_key(hash).await?.ok_or_else(|| rules::not_found(hash))?;
        let mut teams: Vec<TeamId> = key.team_id.iter().cloned().collect();
        if let Patch::Set(to) = &self.patch.team_id {
            teams.push(to.clone());
        }
        if key.limits.throughput.guarantees_any() || self.patch.touches_throughput() {
            hold_teams(tx, &teams, None).await?;
        } else {
            tx.lock_teams(&teams).await?;
        }
        let standing = standing_to_key(ctx, tx.view(), &key).await?;
        if standing.sees() { Ok((key, standing)) } else { Err(rules::not_found(hash).into()) }
    }

    /// The key after the change, if the caller may make it.
    ///
    /// # Errors
    /// What is wrong with it, in the order of the rules.
    pub(super) async fn apply(
        self,
        ctx: &Ctx,
        tx: &mut Tx,
        standing: &KeyStanding,
        before: &Key,
    ) -> Result<Changed, Error> {
        let prefix = self.prefix;
        self.changed(ctx, tx, standing, before).await.map_err(|error| match error {
            Error::Invalid(faults) => Error::Invalid(faults.into_iter().map(|fault| fault.under(prefix)).collect()),
            error => error,
        })
    }

    async fn changed(mut self, ctx: &Ctx, tx: &mut Tx, standing: &KeyStanding, before: &Key) -> Result<Changed, Error> {
        let spend = std::mem::take(&mut self.patch.spend);
        rights::check_tier(standing, before, &self.patch.budget_id)?;
        let former = rules::tier(tx, before.budget_id.as_ref()).await?;
        let tier = match &self.patch.budget_id {
            Patch::Keep => former.clone(),
            Patch::Clear => None,
            Patch::Set(id) => rules::tier(tx, Some(id)).await?,
        };
        let (mut after, adjusted) = self.patch.apply(ctx, before, tier.as_ref())?;
        let was = in_force(&before.budget, former.as_ref());
        let is = in_force(&after.budget, tier.as_ref());
        after.budget.anchor = anchor_after(&was, &is, &ctx.app.rules.calendar, ctx.now);
        let is = Budget { anchor: after.budget.anchor, ..is };
        let budgets = rights::InForce { was: &was, is: &is };
        let team = match &before.team_id {
            Some(id) => tx.view().find_team(id).await?,
            None => None,
        };
        rights::check(ctx, standing, (before, &after), budgets, (&spend, team.as_ref()))?;
        etag::check(&self.etag, before.version, "key", &before.key_hash)?;
        let team = places::check(ctx, tx.view(), standing, (before, team), &after).await?;
        let share = |key: &Key, tier: Option<&Tier>| (key.team_id.clone(), Share::of_key(key, tier));
        if share(before, former.as_ref()) != share(&after, tier.as_ref()) {
            rules::check_throughput(tx.view(), team.as_ref(), &after, tier.as_ref()).await?;
        }
        after.budget.check_updated()?;
        let drafts = || (Some(key::draft(ctx, before, former.as_ref())), key::draft(ctx, &after, tier.as_ref()));
        consent::check(ctx, self.action, &*self.asked, drafts)?;
        let raises_spend = *standing == KeyStanding::ProxyAdmin;
        Ok(Changed { after, adjusted, spend, raises_spend, was, is })
    }
}

/// A key that was changed, and is to be saved.
pub(super) struct Changed {
    /// The key.
    pub(super) after: Key,
    /// What bounds changed of the request.
    pub(super) adjusted: Vec<Adjusted>,
    spend: Patch<Usd>,
    /// Whether the caller may set it to more than it is.
    raises_spend: bool,
    /// The budget in force, before and after.
    was: Budget,
    is: Budget,
}

impl Changed {
    /// Saves it.
    ///
    /// # Errors
    /// `ABORTED` if somebody else changed it, `ALREADY_EXISTS` if its alias or
    /// secret is taken, `PERMISSION_DENIED` if it sets spend to more than the
    /// caller may.
    pub(super) async fn save(&mut self, ctx: &Ctx, tx: &mut Tx, before: &Key) -> Result<(), Error> {
        let alias = self.after.key_alias.clone();
        tx.update_key(before, &mut self.after).await.map_err(|error| match error {
            StoreError::Stale => Error::from(Refusal::stale("key", before.key_hash)),
            error => taken::explain(error, |constraint| alias.clone().filter(|_| constraint == Constraint::KeyAlias)),
        })?;
        let owner = Owner::Key(before.key_id);
        keep_window(ctx, tx, &owner, &self.was, &self.is).await?;
        if let Patch::Set(spend) = self.spend {
            if !self.raises_spend {
                check_lower(ctx, tx, &owner, &self.is, spend).await?;
            }
            set_spend(ctx, tx, &owner, &self.is, spend).await?;
        }
        Ok(())
    }
}
