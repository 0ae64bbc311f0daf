//! `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`: is there room
//! for these tokens?

use super::undecided;
use crate::domain::fault::Violation;
use crate::domain::ids::{CustomerId, ParseIdError, TeamId, UserId};
use crate::domain::reason::Reason;
use crate::domain::secret::{KeyHash, ParseKeyError};
use crate::error::Error;
use crate::gate::{Metered, RateKind, RateStanding};
use crate::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use crate::pb::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use crate::pb::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus, RateLimit};
use crate::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use crate::services::Ctx;
use crate::services::wire::instant;

/// Decides about each descriptor by itself: its tokens count where there is room
/// for all of them, and nowhere if there is not.
pub(super) async fn should_rate_limit(ctx: Ctx, request: RateLimitRequest) -> Result<RateLimitResponse, Error> {
    let named: Vec<(Metered, i64)> = parse(&request)?;
    let mut statuses = Vec::with_capacity(named.len());
    for (named, tokens) in named {
        let metered = ctx.app.gate.meter(&named, tokens, ctx.now).await;
        let (has_room, standings) = metered.map_err(|error| undecided(error.into()))?;
        statuses.push(status(&ctx, has_room, &standings));
    }
    let is_over = statuses.iter().any(|status| status.code() == Code::OverLimit);
    let overall_code = if is_over { Code::OverLimit } else { Code::Ok }.into();
    Ok(RateLimitResponse { overall_code, statuses })
}

fn parse(request: &RateLimitRequest) -> Result<Vec<(Metered, i64)>, Error> {
    if request.descriptors.is_empty() {
        return Err(Error::invalid(Violation::new("descriptors", "must have at least one entry")));
    }
    let mut violations = Vec::new();
    let mut named = Vec::with_capacity(request.descriptors.len());
    for (index, descriptor) in request.descriptors.iter().enumerate() {
        let tokens = descriptor.hits_addend.unwrap_or_else(|| request.hits_addend.into());
        let metered = metered(&format!("descriptors[{index}].entries"), descriptor, &mut violations);
        named.push((metered, i64::try_from(tokens).unwrap_or(i64::MAX)));
    }
    if violations.is_empty() { Ok(named) } else { Err(Error::Invalid(violations)) }
}

fn metered(path: &str, descriptor: &RateLimitDescriptor, violations: &mut Vec<Violation>) -> Metered {
    let mut found = Metered::default();
    let mut wrong = |index: usize, reason: Reason, rule: String| {
        violations.push(Violation::named(format!("{path}[{index}]"), reason, rule));
    };
    for (index, entry) in descriptor.entries.iter().enumerate() {
        let value = entry.value.as_str();
        let no_id = |error: ParseIdError| (Reason::FieldInvalid, error.to_string());
        let taken = match entry.key.as_str() {
            "key" => {
                found.key = Some(KeyHash::of(value));
                Ok(())
            }
            "key_hash" => value
                .parse()
                .map(|hash| found.key = Some(hash))
                .map_err(|error: ParseKeyError| (Reason::KeyMalformed, error.to_string())),
            "user_id" => UserId::parse(value).map(|id| found.user_id = Some(id)).map_err(no_id),
            "team_id" => TeamId::parse(value).map(|id| found.team_id = Some(id)).map_err(no_id),
            "customer_id" => CustomerId::parse(value).map(|id| found.customer_id = Some(id)).map_err(no_id),
            "model" => {
                found.model = Some(value.to_owned());
                Ok(())
            }
            _ => {
                let rule = "must be key, key_hash, user_id, team_id, customer_id or model".to_owned();
                Err((Reason::FieldInvalid, rule))
            }
        };
        if let Err((reason, rule)) = taken {
            wrong(index, reason, rule);
        }
    }
    found
}

/// Of the limits that hold, the one with the least left tells how things stand.
fn status(ctx: &Ctx, has_room: bool, standings: &[RateStanding]) -> DescriptorStatus {
    let code = if has_room { Code::Ok } else { Code::OverLimit }.into();
    let Some(tightest) = standings.iter().min_by_key(|standing| (standing.relaxed, standing.remaining)) else {
        return DescriptorStatus { code, ..DescriptorStatus::default() };
    };
    let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    DescriptorStatus {
        code,
        current_limit: Some(RateLimit {
            name: format!("{} {}", tightest.account, tightest.kind.name()),
            requests_per_unit: number(tightest.limit),
            unit: unit_of(tightest.kind).into(),
        }),
        limit_remaining: number(tightest.remaining),
        duration_until_reset: tightest.resets_at.map(|at| instant::wait(at, ctx.now)),
    }
}

/// In what a limit counts; calls in flight are counted in no time.
const fn unit_of(kind: RateKind) -> Unit {
    match kind {
        RateKind::Requests | RateKind::Tokens => Unit::Minute,
        RateKind::TokensPerDay => Unit::Day,
        RateKind::Parallel => Unit::Unknown,
    }
}
