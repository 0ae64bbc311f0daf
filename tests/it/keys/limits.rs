//! What limits a key beside its budget: windows, models, a budget that is
//! larger for a while.

use std::collections::BTreeMap;

use bursar::pb;
use pb::{BudgetScope, DenyReason, ErrorReason};
use prost_types::FieldMask;
use tonic::Code;

use super::generate;
use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::spend::{at, event, record};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

fn limit(max_budget: &str, budget_duration: &str) -> pb::BudgetLimit {
    pb::BudgetLimit { max_budget: max_budget.into(), budget_duration: budget_duration.into(), budget_resets_at: None }
}

fn dollars(max_budget: &str) -> pb::ModelLimit {
    pb::ModelLimit { max_budget: Some(max_budget.into()), ..Default::default() }
}

fn of_models(limits: &[(&str, pb::ModelLimit)]) -> pb::Key {
    let model_max_budget = limits.iter().map(|(model, limit)| ((*model).to_owned(), limit.clone())).collect();
    pb::Key { model_max_budget, ..Default::default() }
}

async fn update(
    client: &Client,
    key: pb::Key,
    paths: &[&str],
) -> Result<tonic::Response<pb::UpdateKeyResponse>, tonic::Status> {
    let mask = FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    client
        .keys()
        .update_key(pb::UpdateKeyRequest { key: Some(key), update_mask: Some(mask), ..Default::default() })
        .await
}

/// What the accounts of a key of a kind have spent and hold, by what follows the
/// key's id in theirs.
async fn standing(client: &Client, key: &pb::Key, scope: BudgetScope) -> Vec<(String, String, String)> {
    let subject = pb::get_budget_status_request::Subject::Key(key.key_hash.clone());
    let answer =
        client.budgets().get_budget_status(pb::GetBudgetStatusRequest { subject: Some(subject) }).await.answer();
    let of_scope = answer.budgets.into_iter().filter(|of| of.scope() == scope);
    of_scope
        .map(|of| (of.id.trim_start_matches(&format!("{}/", key.key_id)).to_owned(), of.spend, of.reserved))
        .collect()
}

on_both! {
    async fn every_window_binds(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let (secret, key) = world.key(pb::Key { budget_limits: vec![limit("0.02", "1d"), limit("0.03", "30d")], ..Default::default() }).await;
        let shown: Vec<_> = key.budget_limits.iter().map(|limit| (limit.max_budget.as_str(), limit.budget_resets_at)).collect();
        assert_eq!(shown, [("0.02", at("2025-01-02T00:00:00Z")), ("0.03", at("2025-02-01T00:00:00Z"))]);
        let client = world.with_key(&secret);
        let first = reserve(&client, "a", "0.02").await;
        assert_eq!(standing(&world.admin, &key, BudgetScope::KeyWindow).await, [("1d".into(), "0".into(), "0.02".into()), ("30d".into(), "0".into(), "0.02".into())]);
        settle(&client, &first, 8_000).await;
        let denied = authorize(&client, ask("b", "0.001")).await;
        assert_eq!(denial(&denied), (DenyReason::BudgetExceeded, BudgetScope::KeyWindow));
        assert_eq!((denied.budgets[0].id.as_str(), denied.budgets[0].spend.as_str()), (format!("{}/1d", key.key_id).as_str(), "0.02"));
        world.hands().set("2025-01-02T00:00:00Z");
        // The day is over, the month is not.
        assert_eq!(denial(&authorize(&client, ask("c", "0.02")).await), (DenyReason::BudgetExceeded, BudgetScope::KeyWindow));
        let second = reserve(&client, "d", "0.01").await;
        settle(&client, &second, 4_000).await;
        assert_eq!(standing(&world.admin, &key, BudgetScope::KeyWindow).await, [("1d".into(), "0.01".into(), "0".into()), ("30d".into(), "0.03".into(), "0".into())]);
        // Raised, it goes on; another duration begins at zero; without any, none binds.
        let named = |limits| pb::Key { key_hash: key.key_hash.clone(), budget_limits: limits, ..Default::default() };
        update(&world.admin, named(vec![limit("1", "30d"), limit("0.5", "7d")]), &["budget_limits"]).await.answer();
        assert_eq!(standing(&world.admin, &key, BudgetScope::KeyWindow).await, [("30d".into(), "0.03".into(), "0".into()), ("7d".into(), "0".into(), "0".into())]);
        let open = reserve(&client, "e", "0.05").await;
        update(&world.admin, named(vec![]), &["budget_limits"]).await.answer();
        settle(&client, &open, 20_000).await;
        update(&world.admin, named(vec![limit("1", "30d")]), &["budget_limits"]).await.answer();
        assert_eq!(standing(&world.admin, &key, BudgetScope::KeyWindow).await, [("30d".into(), "0".into(), "0".into())], "set again, it begins at zero");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_model_has_limits_of_its_own(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let key = pb::Key {
            model_aliases: BTreeMap::from([("smart".into(), MODEL.into())]),
            ..of_models(&[(MODEL, pb::ModelLimit { budget_duration: Some("1d".into()), ..dollars("0.02") }), ("other", dollars("0"))])
        };
        let (secret, key) = world.key(key).await;
        let client = world.with_key(&secret);
        let by_alias = |id: &str| pb::AuthorizeRequest { model: "smart".into(), ..ask(id, "0.015") };
        let first = authorize(&client, by_alias("a")).await;
        assert_eq!(first.decision(), pb::Decision::Allow, "{}", first.message);
        assert_eq!(denial(&authorize(&client, ask("b", "0.015")).await), (DenyReason::BudgetExceeded, BudgetScope::KeyModel));
        let elsewhere = pb::AuthorizeRequest { model: "gpt-4o-mini".into(), ..ask("c", "9") };
        assert_eq!(authorize(&client, elsewhere).await.decision(), pb::Decision::Allow);
        let nothing = pb::AuthorizeRequest { model: "other".into(), ..ask("d", "0") };
        assert_eq!(denial(&authorize(&client, nothing).await), (DenyReason::BudgetExceeded, BudgetScope::KeyModel));
        settle(&client, &first.reservation_id, 4_000).await;
        // Usage that nobody asked for counts, too; of other models it does not.
        record(&world.admin, vec![event("e", &secret, 4_000), pb::UsageEvent { model: "gpt-4o-mini".into(), ..event("f", &secret, 9_000_000) }]).await;
        let models = standing(&world.admin, &key, BudgetScope::KeyModel).await;
        assert_eq!(models, [(MODEL.to_owned(), "0.02".into(), "0".into()), ("other".into(), "0".into(), "0".into())]);
        assert_eq!(denial(&authorize(&client, ask("g", "0")).await), (DenyReason::BudgetExceeded, BudgetScope::KeyModel));
        // It survives another secret, and ends with its window.
        let rotated = world.admin.keys().regenerate_key(pb::RegenerateKeyRequest { key: secret, ..Default::default() }).await.answer().secret;
        let client = world.with_key(&rotated);
        assert_eq!(denial(&authorize(&client, ask("h", "0")).await), (DenyReason::BudgetExceeded, BudgetScope::KeyModel));
        world.hands().set("2025-01-02T00:00:00Z");
        reserve(&client, "i", "0.02").await;
        let reset = pb::AdjustSpendRequest { scope: BudgetScope::KeyModel.into(), id: format!("{}/{MODEL}", key.key_id), amount: "0.5".into(), reason: "test".into(), ..Default::default() };
        world.admin.spend().adjust_spend(reset).await.answer();
        let key = world.admin.keys().get_key(pb::GetKeyRequest { key: rotated }).await.answer().key.unwrap();
        let of_key = pb::ListUsageRequest { key: key.key_hash.clone(), cost_source: pb::CostSource::Adjustment.into(), ..Default::default() };
        assert_eq!(world.admin.spend().list_usage(of_key).await.answer().events.len(), 1);
        assert_eq!(standing(&world.admin, &key, BudgetScope::KeyModel).await[0].1, "0.5");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_model_has_rates_of_its_own(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let key = pb::Key {
            model_rpm_limit: BTreeMap::from([(MODEL.into(), 9), ("gpt-4o-mini".into(), 1)]),
            ..of_models(&[(MODEL, pb::ModelLimit { rpm_limit: Some(2), ..Default::default() })])
        };
        let (secret, _) = world.key(key).await;
        let client = world.with_key(&secret);
        for (id, model, allowed) in [("a", MODEL, true), ("b", MODEL, true), ("c", MODEL, false), ("d", "gpt-4o-mini", true), ("e", "gpt-4o-mini", false), ("f", "gpt-4.1", true)] {
            let answer = authorize(&client, pb::AuthorizeRequest { model: model.into(), ..ask(id, "0") }).await;
            if allowed {
                assert_eq!(answer.decision(), pb::Decision::Allow, "{id}: {}", answer.message);
            } else {
                assert_eq!(denial(&answer), (DenyReason::RateLimited, BudgetScope::KeyModel), "{id}");
            }
        }
    }

    async fn a_budget_is_larger_for_a_while(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let key = pb::Key { max_budget: Some("0.01".into()), temp_budget_increase: Some("0.02".into()), temp_budget_expires_at: at("2025-01-01T13:00:00Z"), ..Default::default() };
        let (secret, key) = world.key(key).await;
        let client = world.with_key(&secret);
        let first = reserve(&client, "a", "0.02").await;
        assert_eq!(denial(&authorize(&client, ask("b", "0.02")).await), (DenyReason::BudgetExceeded, BudgetScope::Key));
        settle(&client, &first, 8_000).await;
        let left = authorize(&client, pb::AuthorizeRequest { reserve: false, ..ask("", "0") }).await;
        assert_eq!(left.budgets[0].max_budget.as_deref(), Some("0.03"));
        world.hands().advance(3_599);
        assert_eq!(authorize(&client, ask("c", "0.01")).await.decision(), pb::Decision::Allow);
        world.hands().advance(1);
        assert_eq!(denial(&authorize(&client, ask("d", "0")).await), (DenyReason::BudgetExceeded, BudgetScope::Key));
        // Shown, though it is over; an update of something else minds it not.
        let named = pb::Key { key_hash: key.key_hash.clone(), tags: vec!["x".into()], ..Default::default() };
        let shown = update(&world.admin, named.clone(), &["tags"]).await.answer().key.unwrap();
        assert_eq!(shown.temp_budget_increase.as_deref(), Some("0.02"));
        let half = update(&world.admin, named.clone(), &["temp_budget_increase"]).await.unwrap_err();
        assert_eq!(crate::support::answer::bad_fields(&half)[0], ("key.temp_budget_expires_at".into(), "TEMP_BUDGET_INCOMPLETE".into()));
        let over = pb::Key { temp_budget_expires_at: at("2025-01-01T13:00:00Z"), temp_budget_increase: Some("1".into()), ..named.clone() };
        assert_eq!(update(&world.admin, over, &["temp_budget_increase", "temp_budget_expires_at"]).await.bad()[0].0, "key.temp_budget_expires_at");
        let shown = update(&world.admin, named, &["temp_budget_increase", "temp_budget_expires_at"]).await.answer().key.unwrap();
        assert_eq!((shown.temp_budget_increase, shown.temp_budget_expires_at), (None, None));
    }

    async fn limits_that_can_not_be_are_refused(world: World) {
        let windows = |limits| pb::Key { budget_limits: limits, ..Default::default() };
        for (key, fields) in [
            (windows(vec![limit("1", "1d"), limit("2", "1d")]), vec!["key.budget_limits[1].budget_duration"]),
            (windows(vec![limit("", ""), limit("-1", "x")]), vec!["key.budget_limits[0].budget_duration", "key.budget_limits[0].max_budget", "key.budget_limits[1].budget_duration", "key.budget_limits[1].max_budget"]),
            (windows((1..=11).map(|days| limit("1", &format!("{days}d"))).collect()), vec!["key.budget_limits"]),
            (of_models(&[("m", pb::ModelLimit::default())]), vec!["key.model_max_budget[\"m\"]"]),
            (of_models(&[("m", pb::ModelLimit { rpm_limit: Some(-1), budget_duration: Some("0d".into()), ..Default::default() })]), vec!["key.model_max_budget[\"m\"].budget_duration", "key.model_max_budget[\"m\"].rpm_limit"]),
            (of_models(&[("", dollars("1"))]), vec!["key.model_max_budget[\"\"]"]),
            (pb::Key { model_tpm_limit: BTreeMap::from([("m".into(), -1)]), ..Default::default() }, vec!["key.model_tpm_limit[\"m\"]"]),
            (pb::Key { temp_budget_increase: Some("1".into()), ..Default::default() }, vec!["key.temp_budget_expires_at"]),
            (pb::Key { temp_budget_expires_at: at("2020-01-01T00:00:00Z"), temp_budget_increase: Some("1".into()), ..Default::default() }, vec!["key.temp_budget_expires_at"]),
            (pb::Key { key_type: pb::KeyType::Gateway.into(), budget_limits: vec![limit("1", "1d")], ..of_models(&[("m", dollars("1"))]) }, vec!["key.budget_limits", "key.model_max_budget"]),
        ] {
            let mut found: Vec<String> = world.admin.keys().generate_key(generate(key.clone())).await.bad().into_iter().map(|fault| fault.0).collect();
            found.sort_unstable();
            assert_eq!(found, fields, "{key:?}");
        }
    }

    async fn who_may_not_raise_a_budget_raises_none_of_its_parts(backend: Backend) {
        let world = World::builder(backend).set("self_serve_budget_policy", "lower_only").start().await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let key = pb::Key { max_budget: Some("1".into()), budget_limits: vec![limit("1", "1d")], ..of_models(&[("m", dollars("1"))]) };
        let key = alice.keys().generate_key(generate(key)).await.answer().key.unwrap();
        let named = || pb::Key { key_hash: key.key_hash.clone(), ..Default::default() };
        let later = at("2099-01-01T00:00:00Z");
        for (change, paths) in [
            (pb::Key { budget_limits: vec![limit("2", "1d")], ..named() }, vec!["budget_limits"]),
            (named(), vec!["budget_limits"]),
            (named(), vec!["model_max_budget"]),
            (pb::Key { temp_budget_increase: Some("1".into()), temp_budget_expires_at: later, ..named() }, vec!["temp_budget_increase", "temp_budget_expires_at"]),
        ] {
            update(&alice, change, &paths).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        update(&alice, pb::Key { max_budget: Some("0.5".into()), ..named() }, &["max_budget"]).await.answer();
        let raised = pb::Key { max_budget: Some("1".into()), temp_budget_increase: Some("1".into()), temp_budget_expires_at: later, ..Default::default() };
        alice.keys().generate_key(generate(raised)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }
}
