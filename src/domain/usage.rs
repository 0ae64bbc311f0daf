//! Usage: what a model call used, what it costs, and which accounts it moves.

use serde::Serialize;
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::account::AccountId;
use super::audit::Fields;
use super::clock::Timestamp;
use super::fault::Violation;
use super::identity::Payer;
use super::ids::{KeyId, OrganizationId, TeamId, UserId};
use super::money::Usd;
use super::pricing::{self, Billable, Counts, Lookup, Markups, Price, PriceBook, PriceError, Terms, Units};
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

/// The provider of a call of which nobody says who answered it.
pub const UNKNOWN_PROVIDER: &str = "unknown";

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
    /// What it used beside tokens.
    pub units: Units,
    /// What chooses among prices.
    pub terms: Terms,
    /// What it cost, if told.
    pub cost: Option<Usd>,
    /// What the gateway adds to the computed cost.
    pub additional_cost: Option<Usd>,
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

impl PriceBook {
    /// The price of a usage that holds at an instant.
    #[must_use]
    pub fn find_for(&self, usage: &Usage, at: Timestamp) -> Option<&Price> {
        let size = pricing::book::image_size(&usage.terms);
        let wanted = Lookup {
            model: &usage.model,
            model_group: &usage.model_group,
            provider: &usage.provider,
            deployment: &usage.deployment,
            region: &usage.terms.region,
            image: size.as_deref().map(|size| (size, usage.terms.image_quality.as_str())),
        };
        self.find(&wanted, at)
    }
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
    /// The usage as far as its cost depends on it, if the call began at an
    /// instant.
    #[must_use]
    pub fn billable(&self, at: Timestamp) -> Billable<'_> {
        let lasted = self.ended_at.map_or(0, |end| end.micros().saturating_sub(self.started_at.unwrap_or(at).micros()));
        Billable {
            counts: &self.counts,
            units: &self.units,
            terms: &self.terms,
            call_type: &self.call_type,
            at,
            lasted_micros: lasted.max(0),
            additional: self.additional_cost.unwrap_or_default().to_decimal(),
        }
    }

    /// Whether the provider did nothing that could be billed, as far as is told.
    fn used_nothing(&self) -> bool {
        self.counts.are_none() && self.units.is_empty() && self.additional_cost.is_none()
    }

    /// A hash of everything that the reporter said: tells a repeat from a
    /// different event under the same id. A cost that is not believed does not
    /// count.
    #[must_use]
    pub fn fingerprint(&self, payer: &Payer, believes_cost: bool) -> String {
        #[derive(Serialize)]
        struct Said<'a> {
            #[serde(rename = "key_id")]
            payer: &'a Payer,
            names: [&'a str; 10],
            tags: &'a [String],
            instants: [Option<i64>; 3],
            counts: &'a [(&'static str, i64)],
            flags: [bool; 3],
            cost: Option<i64>,
            metadata: &'a Fields,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            more_counts: Vec<(&'static str, i64)>,
            #[serde(skip_serializing_if = "Units::is_empty")]
            units: &'a Units,
            #[serde(skip_serializing_if = "Option::is_none")]
            terms: Option<Terms>,
            #[serde(skip_serializing_if = "Option::is_none")]
            additional_cost: Option<i64>,
        }
        let counts = self.counts.named();
        // Tier and batch stand among the names and flags.
        let terms = Terms { service_tier: String::new(), batch: false, ..self.terms.clone() };
        let said = Said {
            payer,
            names: [
                &self.model,
                &self.model_group,
                &self.provider,
                &self.deployment,
                &self.customer_id,
                &self.terms.service_tier,
                &self.error_code,
                &self.error_message,
                &self.call_type,
                &self.session_id,
            ],
            tags: &self.tags,
            instants: [self.started_at, self.ended_at, self.first_token_at].map(|at| at.map(Timestamp::micros)),
            counts: &counts[..COUNTS_AT_FIRST],
            more_counts: counts[COUNTS_AT_FIRST..].iter().copied().filter(|(_, count)| *count != 0).collect(),
            flags: [self.terms.batch, self.cache_hit, self.status == UsageStatus::Success],
            cost: self.cost.filter(|_| believes_cost).map(Usd::nanos),
            metadata: &self.metadata,
            units: &self.units,
            terms: (!terms.are_usual()).then_some(terms),
            additional_cost: self.additional_cost.map(Usd::nanos),
        };
        // Plain values: serializing cannot fail.
        let digest = Sha256::digest(serde_json::to_vec(&said).unwrap_or_default());
        hex::encode(&digest[..16])
    }
}

/// The field of a correction's metadata that says why it was made.
pub const REASON: &str = "reason";

/// How many counts fingerprints always had: the others are in them only if they
/// are not 0, so that a repeat is one through an upgrade.
const COUNTS_AT_FIRST: usize = 16;

/// What an event is booked as.
#[derive(Clone, Debug, PartialEq)]
pub struct Costing {
    /// The rounded cost.
    pub cost: Usd,
    /// What it is by the provider's list, if a discount or a margin makes a
    /// difference.
    pub list_cost: Option<Usd>,
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
#[derive(Clone, Debug)]
pub struct CostRules {
    /// Setting `max_event_cost`.
    pub max_event_cost: Usd,
    /// Setting `require_price`.
    pub require_price: bool,
    /// Settings `cost_discount_config` and `cost_margin_config`.
    pub markups: Markups,
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
    rules: &CostRules,
) -> Result<Costing, CostingError> {
    let parts = usage.counts.parts();
    let known = record.and_then(|record| record.provider.clone());
    let provider = if usage.provider.is_empty() {
        known.unwrap_or_else(|| UNKNOWN_PROVIDER.to_owned())
    } else {
        usage.provider.clone()
    };
    let costing = |cost, source| Costing {
        cost,
        list_cost: None,
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
    if usage.status == UsageStatus::Failure && usage.used_nothing() {
        return Ok(costing(Usd::ZERO, CostSource::Computed));
    }
    let unpriced = |error: CostingError, parts: Vec<&'static str>| {
        if rules.require_price {
            return Err(error);
        }
        Ok(Costing { unpriced_parts: parts, ..costing(Usd::ZERO, CostSource::Unpriced) })
    };
    let no_price = || CostingError::Unpriced(usage.model.clone());
    let Some(record) = record.filter(|record| record.is_priced()) else { return unpriced(no_price(), Vec::new()) };
    let computed = match pricing::price(record, &usage.billable(at), &rules.markups.of(&provider)) {
        Ok(computed) => computed,
        Err(PriceError::OutOfRange) => return Err(CostingError::OutOfRange(rules.max_event_cost)),
        Err(error) => return unpriced(error.into(), vec!["call_type"]),
    };
    if !computed.priced && !computed.unpriced_parts.is_empty() {
        return unpriced(no_price(), computed.unpriced_parts);
    }
    let out_of_range = || CostingError::OutOfRange(rules.max_event_cost);
    let rounded = computed.booked().ok_or_else(out_of_range)?;
    let list_cost = computed.original().and_then(Usd::round_half_even).filter(|list| *list != rounded);
    let source = if record.is_zero { CostSource::ZeroPriced } else { CostSource::Computed };
    Ok(Costing {
        list_cost,
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

impl Posting {
    /// The windows of the account that it moves: the one that it names, and its
    /// whole life.
    pub fn windows(&self) -> impl Iterator<Item = Timestamp> {
        let own = (self.window_start != Timestamp::EPOCH).then_some(self.window_start);
        own.into_iter().chain([Timestamp::EPOCH])
    }
}

/// An event of the ledger: appended once, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What the reporter said; the tags with the key's own.
    pub usage: Usage,
    /// The hash of what the reporter said.
    pub fingerprint: String,
    /// The key that made the call; `None` for a correction, and for the call of
    /// somebody with a token.
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
mod tests;
