//! Usage: what a model call used, what it costs, and which accounts it moves.

use serde::Serialize;
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::account::AccountId;
use super::audit::Fields;
use super::clock::Timestamp;
use super::fault::Violation;
use super::ids::{KeyId, OrganizationId, TeamId, UserId};
use super::money::Usd;
use super::pricing::{self, Counts, Price, PriceError, Terms};
use super::reason::Reason;

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum UsageStatus {
    /// The provider answered.
    #[default]
    Success,
    /// It failed, or the client went away.
    Failure,
}

/// Where a cost comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "usage.proto documents each under the same name")]
pub enum CostSource {
    Computed,
    Reported,
    CacheHit,
    ZeroPriced,
    Unpriced,
    Adjustment,
}

/// What a reporter says about one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The idempotency key.
    pub request_id: String,
    /// The provider's model.
    pub model: String,
    /// The public name that was asked for.
    pub model_group: String,
    /// The provider, if told.
    pub provider: String,
    /// The gateway's deployment.
    pub deployment: String,
    /// The end user.
    pub customer_id: String,
    /// Labels.
    pub tags: Vec<String>,
    /// When the call began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When the first token came.
    pub first_token_at: Option<Timestamp>,
    /// What it used, the cache in the prompt.
    pub counts: Counts,
    /// The provider's service tier.
    pub service_tier: String,
    /// A job of the batch interface.
    pub batch: bool,
    /// What it cost, if told.
    pub cost: Option<Usd>,
    /// How it ended.
    pub status: UsageStatus,
    /// The provider's status code.
    pub error_code: String,
    /// The provider's words.
    pub error_message: String,
    /// Answered from the gateway's cache.
    pub cache_hit: bool,
    /// Such as `chat`.
    pub call_type: String,
    /// The conversation.
    pub session_id: String,
    /// Free data.
    pub metadata: Fields,
}

/// How much older than now an event may be that is not an import, and how much
/// younger any event.
#[derive(Clone, Copy, Debug)]
pub struct AgeRule {
    /// The time now.
    pub now: Timestamp,
    /// Setting `max_event_age`, in seconds; `None` for importers.
    pub max_age_seconds: Option<i64>,
}

/// How far an event's start may lie in the future, in seconds.
pub const MAX_FUTURE_SECONDS: i64 = 86_400;

impl AgeRule {
    /// Checks when an event began.
    ///
    /// # Errors
    /// The rule that it breaks, as a fault of `field`.
    pub fn check(&self, started_at: Timestamp, field: &str) -> Result<(), Violation> {
        if started_at > self.now.plus_seconds(MAX_FUTURE_SECONDS) {
            let rule = format!("{started_at} is more than 24 h in the future; check the reporter's clock");
            return Err(Violation::named(field, Reason::ClockSkew, rule));
        }
        match self.max_age_seconds {
            Some(age) if started_at < self.now.plus_seconds(-age) => {
                let rule = format!("{started_at} is older than max_event_age; only a proxy admin may record it");
                Err(Violation::named(field, Reason::TooOld, rule))
            }
            _ => Ok(()),
        }
    }
}

impl Usage {
    /// A hash of everything that the reporter said: tells a repeat from a
    /// different event under the same id. A cost that is not believed does not
    /// count.
    #[must_use]
    pub fn fingerprint(&self, key_id: KeyId, believes_cost: bool) -> String {
        #[derive(Serialize)]
        struct Said<'a> {
            key_id: KeyId,
            names: [&'a str; 10],
            tags: &'a [String],
            instants: [Option<i64>; 3],
            counts: [(&'static str, i64); 16],
            flags: [bool; 3],
            cost: Option<i64>,
            metadata: &'a Fields,
        }
        let said = Said {
            key_id,
            names: [
                &self.model,
                &self.model_group,
                &self.provider,
                &self.deployment,
                &self.customer_id,
                &self.service_tier,
                &self.error_code,
                &self.error_message,
                &self.call_type,
                &self.session_id,
            ],
            tags: &self.tags,
            instants: [self.started_at, self.ended_at, self.first_token_at].map(|at| at.map(Timestamp::micros)),
            counts: self.counts.named(),
            flags: [self.batch, self.cache_hit, self.status == UsageStatus::Success],
            cost: self.cost.filter(|_| believes_cost).map(Usd::nanos),
            metadata: &self.metadata,
        };
        // Plain values: serializing cannot fail.
        let digest = Sha256::digest(serde_json::to_vec(&said).unwrap_or_default());
        hex::encode(&digest[..16])
    }
}

/// The field of a correction's metadata that says why it was made.
pub const REASON: &str = "reason";

/// What an event is booked as.
#[derive(Clone, Debug, PartialEq)]
pub struct Costing {
    /// The rounded cost.
    pub cost: Usd,
    /// Where it comes from.
    pub source: CostSource,
    /// The price record that was used.
    pub price_id: String,
    /// The provider, from the report or the record.
    pub provider: String,
    /// Counts without a price.
    pub unpriced_parts: Vec<&'static str>,
    /// Parts were larger than their whole.
    pub inconsistent: bool,
}

/// Why an event can't be booked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostingError {
    /// Bursar can't price such a call yet.
    #[error(transparent)]
    NotPriced(#[from] PriceError),
    /// The model has no price, and the setting demands one.
    #[error("model {0:?} has no price; import one or send the cost")]
    Unpriced(String),
    /// More than any call costs.
    #[error("the cost is larger than max_event_cost, {0} USD")]
    OutOfRange(Usd),
}

/// How events are costed.
#[derive(Clone, Copy, Debug)]
pub struct CostRules {
    /// Setting `max_event_cost`.
    pub max_event_cost: Usd,
    /// Setting `require_price`.
    pub require_price: bool,
}

/// Works out what an event is booked as: nothing for a hit of the gateway's
/// cache, else the cost that a believed reporter told, else the computed one,
/// else nothing, marked as unpriced.
///
/// # Errors
/// [`CostingError`]; then nothing may be booked.
pub fn cost(
    usage: &Usage,
    record: Option<&Price>,
    believes_cost: bool,
    at: Timestamp,
    rules: CostRules,
) -> Result<Costing, CostingError> {
    let parts = usage.counts.parts();
    let known = record.and_then(|record| record.provider.clone());
    let provider =
        if usage.provider.is_empty() { known.unwrap_or_else(|| "unknown".to_owned()) } else { usage.provider.clone() };
    let costing = |cost, source| Costing {
        cost,
        source,
        price_id: String::new(),
        provider: provider.clone(),
        unpriced_parts: Vec::new(),
        inconsistent: parts.inconsistent,
    };
    let in_range = |cost: Usd| {
        if cost <= rules.max_event_cost { Ok(cost) } else { Err(CostingError::OutOfRange(rules.max_event_cost)) }
    };
    if usage.cache_hit {
        return Ok(costing(Usd::ZERO, CostSource::CacheHit));
    }
    if let Some(told) = usage.cost.filter(|_| believes_cost) {
        return Ok(costing(in_range(told)?, CostSource::Reported));
    }
    let Some(record) = record.filter(|record| record.is_priced()) else {
        let unpriced = costing(Usd::ZERO, CostSource::Unpriced);
        return if rules.require_price { Err(CostingError::Unpriced(usage.model.clone())) } else { Ok(unpriced) };
    };
    let terms = Terms { call_type: &usage.call_type, service_tier: &usage.service_tier, batch: usage.batch, at };
    let computed = pricing::price(record, &usage.counts, &terms)?;
    let rounded = computed.booked().ok_or(CostingError::OutOfRange(rules.max_event_cost))?;
    let source = if record.is_zero { CostSource::ZeroPriced } else { CostSource::Computed };
    Ok(Costing {
        price_id: record.price_id.clone(),
        unpriced_parts: computed.unpriced_parts,
        ..costing(in_range(rounded)?, source)
    })
}

/// One movement of an account: which window of it an event is counted in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Posting {
    /// The account.
    pub account: AccountId,
    /// The first instant of the window.
    pub window_start: Timestamp,
}

/// An event of the ledger: appended once, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What the reporter said; the tags with the key's own.
    pub usage: Usage,
    /// The hash of what the reporter said.
    pub fingerprint: String,
    /// The key that made the call; `None` for a correction.
    pub key_id: Option<KeyId>,
    /// Its owner at that time.
    pub user_id: Option<UserId>,
    /// Its team at that time.
    pub team_id: Option<TeamId>,
    /// The organization that it counted for at that time.
    pub organization_id: Option<OrganizationId>,
    /// What it is booked as.
    pub costing: Costing,
    /// When the call began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// When the event was committed.
    pub recorded_at: Timestamp,
    /// Who reported it.
    pub reporter: String,
    /// The accounts that it moves.
    pub postings: Vec<Posting>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RULES: CostRules = CostRules { max_event_cost: Usd::from_nanos(10_000_000_000_000), require_price: false };

    fn record(fields: &serde_json::Value) -> Price {
        let fields = fields.as_object().expect("an object");
        Price::from_fields("p".to_owned(), "m".to_owned(), Timestamp::EPOCH, fields)
    }

    fn usage() -> Usage {
        Usage { model: "m".to_owned(), counts: Counts::text(1_000, 500), ..Usage::default() }
    }

    #[test]
    fn a_cost_comes_from_the_first_source_that_applies() {
        let priced = record(&json!({"input_cost_per_token": "0.0000025", "output_cost_per_token": "0.00001"}));
        let zero = record(&json!({"input_cost_per_token": "0", "output_cost_per_token": "0"}));
        let bare = record(&json!({"mode": "chat"}));
        let told = Usage { cost: Some(Usd::from_nanos(7)), ..usage() };
        let hit = Usage { cache_hit: true, ..told.clone() };
        let booked = |usage: &Usage, record: Option<&Price>, believed| {
            let costing = cost(usage, record, believed, Timestamp::EPOCH, RULES).expect("a cost");
            (costing.cost.nanos(), costing.source)
        };
        assert_eq!(booked(&hit, Some(&priced), true), (0, CostSource::CacheHit));
        assert_eq!(booked(&told, Some(&priced), true), (7, CostSource::Reported));
        assert_eq!(booked(&told, Some(&priced), false), (7_500_000, CostSource::Computed));
        assert_eq!(booked(&usage(), Some(&zero), true), (0, CostSource::ZeroPriced));
        assert_eq!(booked(&usage(), Some(&bare), true), (0, CostSource::Unpriced));
        assert_eq!(booked(&usage(), None, true), (0, CostSource::Unpriced));
    }

    #[test]
    fn what_is_out_of_reason_is_not_booked() {
        let dear = record(&json!({"input_cost_per_token": "100"}));
        let refused =
            |usage: &Usage, record: Option<&Price>, rules| cost(usage, record, true, Timestamp::EPOCH, rules).err();
        let told = Usage { cost: Some(Usd::MAX), ..usage() };
        assert_eq!(refused(&told, None, RULES), Some(CostingError::OutOfRange(RULES.max_event_cost)));
        assert_eq!(refused(&usage(), Some(&dear), RULES), Some(CostingError::OutOfRange(RULES.max_event_cost)));
        let strict = CostRules { require_price: true, ..RULES };
        assert_eq!(refused(&usage(), None, strict), Some(CostingError::Unpriced("m".to_owned())));
        let image = Usage { call_type: "image_generation".to_owned(), ..usage() };
        assert!(matches!(refused(&image, Some(&dear), RULES), Some(CostingError::NotPriced(_))));
    }

    #[test]
    fn a_fingerprint_tells_events_apart() {
        let key = KeyId::generate();
        let base = usage();
        let same = base.fingerprint(key, true);
        assert_eq!(base.clone().fingerprint(key, true), same);
        for other in [
            Usage { model: "n".to_owned(), ..base.clone() },
            Usage { model: String::new(), model_group: "m".to_owned(), ..base.clone() },
            Usage { tags: vec!["t".to_owned()], ..base.clone() },
            Usage { counts: Counts::text(1_000, 501), ..base.clone() },
            Usage { cost: Some(Usd::ZERO), ..base.clone() },
            Usage { started_at: Some(Timestamp::EPOCH), ..base.clone() },
        ] {
            assert_ne!(other.fingerprint(key, true), same, "{other:?}");
        }
        assert_ne!(base.fingerprint(KeyId::generate(), true), same);
        let told = Usage { cost: Some(Usd::ZERO), ..base };
        assert_eq!(told.fingerprint(key, false), same, "a cost that is not believed");
    }

    #[test]
    fn events_are_neither_too_old_nor_from_the_future() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let rule = AgeRule { now, max_age_seconds: Some(100) };
        let reason = |offset| rule.check(now.plus_seconds(offset), "f").map_err(|violation| violation.reason);
        assert_eq!(reason(-100), Ok(()));
        assert_eq!(reason(-101), Err(Reason::TooOld));
        assert_eq!(reason(86_400), Ok(()));
        assert_eq!(reason(86_401), Err(Reason::ClockSkew));
        let importer = AgeRule { now, max_age_seconds: None };
        assert!(importer.check(Timestamp::EPOCH, "f").is_ok());
    }
}
