//! Costs, fingerprints and ages of events, case by case.

use std::collections::HashMap;

use super::super::pricing::{PriceRecord, Unit};
use super::*;
use crate::domain::identity::Principal;
use serde_json::json;

fn rules() -> CostRules {
    let max_event_cost = Usd::from_nanos(10_000_000_000_000);
    CostRules { max_event_cost, require_price: false, markups: Markups::default() }
}

fn record(fields: &serde_json::Value) -> Price {
    let fields = fields.as_object().expect("an object").clone();
    let (price_id, model) = ("p".to_owned(), "m".to_owned());
    Price::of(&PriceRecord { price_id, model, valid_from: Timestamp::EPOCH, fields })
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
        let costing = cost(usage, record, believed, Timestamp::EPOCH, &rules()).expect("a cost");
        (costing.cost.nanos(), costing.source)
    };
    assert_eq!(booked(&hit, Some(&priced), true), (0, CostSource::CacheHit));
    assert_eq!(booked(&told, Some(&priced), true), (7, CostSource::Reported));
    assert_eq!(booked(&told, Some(&priced), false), (7_500_000, CostSource::Computed));
    assert_eq!(booked(&usage(), Some(&zero), true), (0, CostSource::ZeroPriced));
    assert_eq!(booked(&usage(), Some(&bare), true), (0, CostSource::Unpriced));
    assert_eq!(booked(&usage(), None, true), (0, CostSource::Unpriced));
    let strange = Usage { call_type: "telepathy".to_owned(), ..usage() };
    assert_eq!(booked(&strange, Some(&priced), true), (0, CostSource::Unpriced));
    let image = record(&json!({"output_cost_per_image": "0.04"}));
    let chat = Usage { call_type: "chat".to_owned(), ..usage() };
    assert_eq!(booked(&chat, Some(&image), true), (0, CostSource::Unpriced));
    assert_eq!(booked(&Usage::default(), Some(&priced), true), (0, CostSource::Computed), "nothing was used");
    let per_request = record(&json!({"input_cost_per_request": "0.005", "input_cost_per_token": "0.1"}));
    let nothing = Usage { counts: Counts::default(), ..usage() };
    let failed = Usage { status: UsageStatus::Failure, ..nothing.clone() };
    assert_eq!(booked(&nothing, Some(&per_request), true), (5_000_000, CostSource::Computed));
    assert_eq!(booked(&failed, Some(&per_request), true), (0, CostSource::Computed), "before the provider was called");
}

#[test]
fn a_margin_is_booked_and_the_list_cost_is_told() {
    let priced = record(&json!({"input_cost_per_token": "0.0000025", "output_cost_per_token": "0.00001"}));
    let tenth = rust_decimal::Decimal::new(1, 1);
    let markups = Markups::new(HashMap::new(), [("openai".to_owned(), (tenth, rust_decimal::Decimal::ZERO))].into());
    let with_margin = CostRules { markups, ..rules() };
    let booked = |provider: &str| {
        let usage = Usage { provider: provider.to_owned(), ..usage() };
        let costing = cost(&usage, Some(&priced), true, Timestamp::EPOCH, &with_margin).expect("a cost");
        (costing.cost.nanos(), costing.list_cost.map(Usd::nanos))
    };
    assert_eq!(booked("openai"), (8_250_000, Some(7_500_000)));
    assert_eq!(booked("azure"), (7_500_000, None));
}

#[test]
fn what_is_out_of_reason_is_not_booked() {
    let dear = record(&json!({"input_cost_per_token": "100"}));
    let refused = |usage: &Usage, record: Option<&Price>, rules: CostRules| {
        cost(usage, record, true, Timestamp::EPOCH, &rules).err()
    };
    let told = Usage { cost: Some(Usd::MAX), ..usage() };
    let out_of_range = Some(CostingError::OutOfRange(rules().max_event_cost));
    assert_eq!(refused(&told, None, rules()), out_of_range);
    assert_eq!(refused(&usage(), Some(&dear), rules()), out_of_range);
    let strict = CostRules { require_price: true, ..rules() };
    assert_eq!(refused(&usage(), None, strict.clone()), Some(CostingError::Unpriced("m".to_owned())));
    let strange = Usage { call_type: "telepathy".to_owned(), ..usage() };
    assert!(matches!(refused(&strange, Some(&dear), strict.clone()), Some(CostingError::NotPriced(_))));
    let image = record(&json!({"output_cost_per_image": "0.04"}));
    let chat = Usage { call_type: "chat".to_owned(), ..usage() };
    assert_eq!(refused(&chat, Some(&image), strict), Some(CostingError::Unpriced("m".to_owned())));
}

#[test]
fn a_fingerprint_tells_events_apart() {
    let key = &Payer::Key(KeyId::generate());
    let base = usage();
    let same = base.fingerprint(key, true);
    assert_eq!(base.clone().fingerprint(key, true), same);
    for other in [
        Usage { model: "n".to_owned(), ..base.clone() },
        Usage { model: String::new(), model_group: "m".to_owned(), ..base.clone() },
        Usage { tags: vec!["t".to_owned()], ..base.clone() },
        Usage { counts: Counts::text(1_000, 501), ..base.clone() },
        Usage { cost: Some(Usd::ZERO), ..base.clone() },
        Usage { units: Units::default().with(Unit::Images, 1), ..base.clone() },
        Usage { terms: Terms { region: "eu".to_owned(), ..Terms::default() }, ..base.clone() },
        Usage { additional_cost: Some(Usd::from_nanos(1)), ..base.clone() },
        Usage { started_at: Some(Timestamp::EPOCH), ..base.clone() },
    ] {
        assert_ne!(other.fingerprint(key, true), same, "{other:?}");
    }
    let somebody = |user: &str, team: Option<&str>| {
        let (user_id, team_id) = (Some(UserId::stored(user)), team.map(TeamId::stored));
        Payer::Principal(Principal { user_id, team_id, organization_id: None })
    };
    for other in [Payer::Key(KeyId::generate()), somebody("u", None), somebody("u", Some("t")), somebody("v", None)] {
        assert_ne!(base.fingerprint(&other, true), same, "{other:?}");
    }
    assert_ne!(base.fingerprint(&somebody("u", None), true), base.fingerprint(&somebody("v", None), true));
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
