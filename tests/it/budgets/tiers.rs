//! Budgets that many keys share: tiers.

use std::collections::BTreeMap;
use std::time::Duration;

use bursar::pb;
use pb::{BudgetScope, DenyReason, ErrorReason};
use prost_types::FieldMask;
use tonic::{Code, Response, Status};

use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::keys::generate;
use crate::spend::{at, event, record};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

fn budget(budget_id: &str, max_budget: Option<&str>) -> pb::Budget {
    pb::Budget { budget_id: budget_id.into(), max_budget: max_budget.map(Into::into), ..Default::default() }
}

async fn create(world: &World, budget: pb::Budget) -> pb::Budget {
    let request = pb::CreateBudgetRequest { budget: Some(budget), ..Default::default() };
    world.admin.budgets().create_budget(request).await.answer().budget.unwrap()
}

async fn update(
    world: &World,
    budget: pb::Budget,
    paths: &[&str],
) -> Result<Response<pb::UpdateBudgetResponse>, Status> {
    let mask = FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    let update_mask = (!paths.is_empty()).then_some(mask);
    world.admin.budgets().update_budget(pb::UpdateBudgetRequest { budget: Some(budget), update_mask }).await
}

fn in_tier(budget_id: &str) -> pb::Key {
    pb::Key { budget_id: Some(budget_id.into()), ..Default::default() }
}

async fn set_tier(
    client: &Client,
    key_hash: &str,
    budget_id: Option<&str>,
) -> Result<Response<pb::UpdateKeyResponse>, Status> {
    let key = pb::Key { key_hash: key_hash.into(), budget_id: budget_id.map(Into::into), ..Default::default() };
    let update_mask = Some(FieldMask { paths: vec!["budget_id".into()] });
    client.keys().update_key(pb::UpdateKeyRequest { key: Some(key), update_mask, ..Default::default() }).await
}

async fn spend(world: &World, key_hash: &str) -> String {
    let request = pb::GetKeyRequest { key: key_hash.into() };
    world.admin.keys().get_key(request).await.answer().key.unwrap().spend.unwrap()
}

on_both! {
    async fn a_change_acts_at_once_on_every_key_and_own_values_win(world: World) {
        let rates = pb::Budget { rpm_limit: Some(100), ..budget("free", Some("0.02")) };
        create(&world, rates).await;
        let (first, _) = world.key(in_tier("free")).await;
        let (second, _) = world.key(in_tier("free")).await;
        let (own, _) = world.key(pb::Key { max_budget: Some("0.05".into()), ..in_tier("free") }).await;
        let room = async |secret: &str, cost: &str| authorize(&world.with_key(secret), pb::AuthorizeRequest { reserve: false, ..ask("", cost) }).await;
        for (secret, max) in [(&first, "0.02"), (&second, "0.02"), (&own, "0.05")] {
            let answer = room(secret, "0").await;
            assert_eq!(answer.budgets[0].max_budget.as_deref(), Some(max));
            assert_eq!(answer.rate_limits[0].limit, 100);
        }
        record(&world.admin, vec![event("a", &first, 8_000)]).await;
        assert_eq!(denial(&room(&first, "0").await), (DenyReason::BudgetExceeded, BudgetScope::Key));
        assert_eq!(room(&second, "0").await.decision(), pb::Decision::Allow, "what is spent is each key's own");
        update(&world, budget("free", Some("0.03")), &[]).await.answer();
        assert_eq!(room(&first, "0.01").await.decision(), pb::Decision::Allow);
        update(&world, budget("free", Some("0")), &[]).await.answer();
        for (secret, decision) in [(&first, pb::Decision::Deny), (&second, pb::Decision::Deny), (&own, pb::Decision::Allow)] {
            assert_eq!(room(secret, "0").await.decision(), decision);
        }
        let shown = update(&world, budget("free", None), &["max_budget", "rpm_limit"]).await.answer().budget.unwrap();
        assert_eq!((shown.max_budget, shown.rpm_limit, shown.key_count), (None, None, 3));
        assert_eq!(room(&first, "9").await.decision(), pb::Decision::Allow);
    }

    async fn windows_are_each_keys_own(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let (secret, key) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("before", &secret, 4_000)]).await;
        create(&world, pb::Budget { budget_duration: Some("1d".into()), ..budget("daily", Some("0.02")) }).await;
        let joined = set_tier(&world.admin, &key.key_hash, Some("daily")).await.answer().key.unwrap();
        assert_eq!((joined.spend.as_deref(), joined.budget_resets_at), (Some("0"), at("2025-01-02T00:00:00Z")), "a window begins");
        let client = world.with_key(&secret);
        let open = reserve(&client, "a", "0.02").await;
        assert_eq!(denial(&authorize(&client, ask("b", "0")).await).1, BudgetScope::Key);
        settle(&client, &open, 8_000).await;
        assert_eq!(spend(&world, &key.key_hash).await, "0.02");
        world.hands().set("2025-01-02T00:00:00Z");
        assert_eq!(spend(&world, &key.key_hash).await, "0");
        reserve(&client, "c", "0.01").await;
        // Another length: another window, from now on.
        world.hands().set("2025-01-02T12:00:00Z");
        record(&world.admin, vec![event("d", &secret, 4_000)]).await;
        update(&world, pb::Budget { budget_duration: Some("30d".into()), ..budget("daily", None) }, &["budget_duration"]).await.answer();
        assert_eq!(spend(&world, &key.key_hash).await, "0");
        record(&world.admin, vec![event("e", &secret, 4_000)]).await;
        assert_eq!(spend(&world, &key.key_hash).await, "0.01");
        let adjust = pb::AdjustSpendRequest { scope: BudgetScope::Key.into(), id: key.key_id.clone(), amount: "0.01".into(), reason: "test".into(), ..Default::default() };
        assert_eq!(world.admin.spend().adjust_spend(adjust).await.answer().spend, "0.02");
        assert_eq!(denial(&authorize(&client, ask("f", "0")).await).1, BudgetScope::Key);
        world.hands().advance(1);
        // Its own length goes before the tier's; without a tier it is alone.
        let own = pb::Key { key_hash: key.key_hash.clone(), budget_duration: Some("7d".into()), ..Default::default() };
        world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(own), ..Default::default() }).await.answer();
        assert_eq!(spend(&world, &key.key_hash).await, "0");
        reserve(&client, "g", "0.02").await;
        let alone = set_tier(&world.admin, &key.key_hash, None).await.answer().key.unwrap();
        assert_eq!((alone.max_budget, alone.budget_duration.as_deref()), (None, Some("7d")));
        reserve(&client, "h", "9").await;
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn windows_begin_in_the_time_zone_of_their_tier(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let daily = |time_zone: &str| pb::Budget { budget_duration: Some("1d".into()), time_zone: time_zone.into(), ..budget("daily", Some("0.02")) };
        assert_eq!(create(&world, daily("Asia/Kathmandu")).await.time_zone, "Asia/Kathmandu");
        let (secret, key) = world.key(in_tier("daily")).await;
        assert_eq!(key.budget_resets_at, at("2025-06-01T18:15:00Z"));
        let key_of = async || world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await.answer().key.unwrap();
        record(&world.admin, vec![event("a", &secret, 8_000)]).await;
        assert_eq!(denial(&authorize(&world.with_key(&secret), ask("b", "0")).await).1, BudgetScope::Key);
        world.hands().set("2025-06-01T18:15:00Z");
        assert_eq!(key_of().await.spend.as_deref(), Some("0"));
        record(&world.admin, vec![event("c", &secret, 4_000)]).await;
        update(&world, daily("Asia/Kathmandu"), &["time_zone"]).await.answer();
        assert_eq!(key_of().await.spend.as_deref(), Some("0.01"), "the same zone is no new window");
        world.hands().advance(1);
        let moved = update(&world, daily("America/New_York"), &["time_zone"]).await.answer().budget.unwrap();
        assert_eq!(moved.time_zone, "America/New_York");
        let seen = key_of().await;
        assert_eq!((seen.spend.as_deref(), seen.budget_resets_at), (Some("0"), at("2025-06-02T04:00:00Z")));
        let cleared = update(&world, budget("daily", None), &["time_zone"]).await.answer().budget.unwrap();
        assert_eq!((cleared.time_zone.as_str(), key_of().await.budget_resets_at), ("", at("2025-06-02T00:00:00Z")));
        // Windows of its own length begin as the setting says.
        let own = pb::Key { budget_duration: Some("7d".into()), ..in_tier("daily") };
        update(&world, daily("Asia/Kathmandu"), &["time_zone"]).await.answer();
        assert_eq!(world.key(own).await.1.budget_resets_at, at("2025-06-02T00:00:00Z"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn one_length_of_windows_is_in_force(backend: Backend) {
        let world = World::builder(backend).at("2025-01-10T12:00:00Z").start().await;
        create(&world, pb::Budget { budget_duration: Some("30d".into()), ..budget("monthly", Some("0.02")) }).await;
        let (secret, key) = world.key(pb::Key { budget_duration: Some("1d".into()), ..in_tier("monthly") }).await;
        let client = world.with_key(&secret);
        let set_own = async |duration: Option<&str>| {
            let key = pb::Key { key_hash: key.key_hash.clone(), budget_duration: duration.map(Into::into), ..Default::default() };
            let update_mask = Some(FieldMask { paths: vec!["budget_duration".into()] });
            world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(key), update_mask, ..Default::default() }).await.answer().key.unwrap()
        };
        record(&world.admin, vec![event("a", &secret, 8_000)]).await;
        assert_eq!(denial(&authorize(&client, ask("b", "0")).await).1, BudgetScope::Key);
        world.hands().advance(1);
        let monthly = set_own(None).await;
        assert_eq!((monthly.spend.as_deref(), monthly.budget_resets_at), (Some("0"), at("2025-02-01T00:00:00Z")));
        let open = reserve(&client, "c", "0.02").await;
        settle(&client, &open, 8_000).await;
        world.hands().set("2025-01-11T12:00:00Z");
        assert_eq!(spend(&world, &key.key_hash).await, "0.02", "the month goes on");
        // The same length, now its own, and without the tier: the same window.
        assert_eq!(set_own(Some("30d")).await.spend.as_deref(), Some("0.02"));
        assert_eq!(set_tier(&world.admin, &key.key_hash, None).await.answer().key.unwrap().spend.as_deref(), Some("0.02"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn bounds_leave_a_tier_to_itself(backend: Backend) {
        let world = World::builder(backend).set("upperbound_key_generate_params", "{ max_budget = \"100\", rpm_limit = 1000 }").start().await;
        create(&world, pb::Budget { rpm_limit: Some(10), ..budget("free", Some("1")) }).await;
        create(&world, budget("gold", Some("1000"))).await;
        let free = world.admin.keys().generate_key(generate(in_tier("free"))).await.answer();
        assert!(free.adjusted_fields.is_empty(), "{:?}", free.adjusted_fields);
        update(&world, budget("free", Some("0")), &[]).await.answer();
        assert_eq!(denial(&authorize(&world.with_key(&free.secret), ask("a", "0")).await).1, BudgetScope::Key);
        let gold = world.admin.keys().generate_key(generate(in_tier("gold"))).await.answer();
        let outline = |fields: &[pb::AdjustedField]| fields.iter().map(|field| (field.path.clone(), field.applied.clone())).collect::<Vec<_>>();
        let bounded = [("key.max_budget".to_owned(), "100".to_owned()), ("key.rpm_limit".to_owned(), "1000".to_owned())];
        assert_eq!(outline(&gold.adjusted_fields), bounded);
        // Whoever joins later is bounded, too.
        let joined = set_tier(&world.admin, &free.key.unwrap().key_hash, Some("gold")).await.answer();
        assert_eq!(outline(&joined.adjusted_fields), bounded);
        assert_eq!(joined.key.unwrap().max_budget.as_deref(), Some("100"));
    }

    async fn who_may_only_lower_its_budget_does_not_leave_its_tier_behind(backend: Backend) {
        let world = World::builder(backend).set("self_serve_budget_policy", "lower_only").start().await;
        create(&world, budget("free", Some("10"))).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let key = alice.keys().generate_key(generate(pb::Key::default())).await.answer().key.unwrap();
        set_tier(&world.admin, &key.key_hash, Some("free")).await.answer();
        let set_max = async |max: Option<&str>| {
            let key = pb::Key { key_hash: key.key_hash.clone(), max_budget: max.map(Into::into), ..Default::default() };
            let update_mask = Some(FieldMask { paths: vec!["max_budget".into()] });
            alice.keys().update_key(pb::UpdateKeyRequest { key: Some(key), update_mask, ..Default::default() }).await
        };
        set_max(Some("1000000")).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        set_max(Some("5")).await.answer();
        set_max(None).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }

    async fn models_of_a_tier_bind_each_key(world: World) {
        let limit = |max: &str| pb::ModelLimit { max_budget: Some(max.into()), ..Default::default() };
        let models = |max: &str| BTreeMap::from([(MODEL.to_owned(), limit(max))]);
        create(&world, pb::Budget { model_max_budget: models("0.01"), ..budget("small", None) }).await;
        let (first, _) = world.key(in_tier("small")).await;
        let (second, _) = world.key(in_tier("small")).await;
        let (own, _) = world.key(pb::Key { model_max_budget: models("1"), ..in_tier("small") }).await;
        reserve(&world.with_key(&first), "a", "0.01").await;
        assert_eq!(denial(&authorize(&world.with_key(&first), ask("b", "0")).await).1, BudgetScope::KeyModel);
        reserve(&world.with_key(&second), "a", "0.01").await;
        reserve(&world.with_key(&own), "a", "0.5").await;
        update(&world, pb::Budget { model_max_budget: models("0.02"), ..budget("small", None) }, &[]).await.answer();
        reserve(&world.with_key(&first), "c", "0.01").await;
    }

    async fn another_instance_knows_the_change(backend: Backend) {
        let world = World::start(backend).await;
        let other = World::builder(backend).start_on(std::sync::Arc::clone(&world.database)).await;
        create(&world, budget("free", None)).await;
        let (secret, _) = world.key(in_tier("free")).await;
        let client = other.with_key(&secret);
        let ask = || pb::AuthorizeRequest { reserve: false, ..ask("", "0") };
        assert_eq!(authorize(&client, ask()).await.decision(), pb::Decision::Allow);
        update(&world, budget("free", Some("0")), &[]).await.answer();
        let denied = async {
            while authorize(&client, ask()).await.decision() == pb::Decision::Allow {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), denied).await.expect("within the delay of the feed");
    }

    async fn tiers_are_made_listed_and_deleted(world: World) {
        let made = create(&world, budget("", Some("1"))).await;
        assert!(!made.budget_id.is_empty() && made.created_at.is_some());
        let request = pb::CreateBudgetRequest { budget: Some(budget("free", Some("2"))), request_id: "r".into() };
        let free = world.admin.budgets().create_budget(request.clone()).await.answer();
        assert_eq!(world.admin.budgets().create_budget(request).await.answer(), free);
        let again = pb::CreateBudgetRequest { budget: Some(budget("free", None)), ..Default::default() };
        world.admin.budgets().create_budget(again).await.refused(Code::AlreadyExists, ErrorReason::BudgetIdExists);
        let (_, key) = world.key(in_tier("free")).await;
        assert_eq!(key.budget_id.as_deref(), Some("free"));
        let listed = world.admin.budgets().list_budgets(pb::ListBudgetsRequest { include_total: true, ..Default::default() }).await.answer();
        let outline: Vec<_> = listed.budgets.iter().map(|budget| (budget.budget_id.as_str(), budget.key_count)).collect();
        assert_eq!((outline, listed.total_size), (vec![("free", 1), (made.budget_id.as_str(), 0)], Some(2)));
        let keys = pb::ListKeysRequest { budget_id: "free".into(), ..Default::default() };
        assert_eq!(world.admin.keys().list_keys(keys).await.answer().keys[0].key_id, key.key_id);
        let delete = |ids: &[&str], detach| pb::DeleteBudgetsRequest { budget_ids: ids.iter().map(ToString::to_string).collect(), detach };
        world.admin.budgets().delete_budgets(delete(&[&made.budget_id, "free"], false)).await.refused(Code::FailedPrecondition, ErrorReason::BudgetInUse);
        world.admin.budgets().delete_budgets(delete(&["free", "gold"], true)).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
        let gone = world.admin.budgets().delete_budgets(delete(&[&made.budget_id, "free"], true)).await.answer();
        assert_eq!((gone.deleted_budget_ids, gone.detached_key_count), (vec![made.budget_id, "free".to_owned()], 1));
        let alone = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await.answer().key.unwrap();
        assert_eq!(alone.budget_id, None);
        let get = pb::GetBudgetRequest { budget_id: "free".into() };
        world.admin.budgets().get_budget(get).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
        set_tier(&world.admin, &key.key_hash, Some("free")).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
        world.admin.keys().generate_key(generate(in_tier("free"))).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
    }

    async fn only_proxy_admins_give_a_tier(world: World) {
        create(&world, budget("gold", Some("1000"))).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        alice.keys().generate_key(generate(in_tier("gold"))).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let key = alice.keys().generate_key(generate(pb::Key::default())).await.answer().key.unwrap();
        set_tier(&alice, &key.key_hash, Some("gold")).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        alice.budgets().list_budgets(pb::ListBudgetsRequest::default()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        assert_eq!(viewer.budgets().list_budgets(pb::ListBudgetsRequest::default()).await.answer().budgets.len(), 1);
    }

    async fn tiers_that_can_not_be_are_refused(world: World) {
        let bad = pb::Budget {
            budget_id: " x".into(), max_budget: Some("-1".into()), budget_duration: Some("1x".into()), tpm_limit: Some(-1), time_zone: "Mars/Olympus".into(),
            model_max_budget: BTreeMap::from([("m".into(), pb::ModelLimit::default())]), ..Default::default()
        };
        let refused = world.admin.budgets().create_budget(pb::CreateBudgetRequest { budget: Some(bad), ..Default::default() }).await.bad();
        let mut fields: Vec<String> = refused.into_iter().map(|fault| fault.0).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["budget.budget_duration", "budget.budget_id", "budget.max_budget", "budget.model_max_budget[\"m\"]", "budget.time_zone", "budget.tpm_limit"]);
        create(&world, budget("free", Some("1"))).await;
        let soft = pb::Budget { soft_budget: Some("1".into()), ..budget("free", None) };
        update(&world, soft, &["soft_budget"]).await.refused(Code::FailedPrecondition, ErrorReason::SoftBudgetNotBelowMax);
        let both = pb::Budget { soft_budget: Some("50".into()), ..budget("free", Some("100")) };
        update(&world, both, &["soft_budget"]).await.refused(Code::FailedPrecondition, ErrorReason::SoftBudgetNotBelowMax);
        update(&world, pb::Budget { etag: "9".into(), ..budget("free", Some("2")) }, &[]).await.refused(Code::Aborted, ErrorReason::EtagStale);
        assert_eq!(update(&world, budget("free", None), &["budget_id"]).await.bad()[0].0, "update_mask");
        update(&world, budget("gold", None), &["max_budget"]).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
        let scope = pb::SetScopeBudgetRequest {
            scope: BudgetScope::Tag.into(), id: "t".into(), budget: Some(pb::Budget { rpm_limit: Some(1), ..budget("free", Some("1")) }),
        };
        let fields: Vec<String> = world.admin.budgets().set_scope_budget(scope).await.bad().into_iter().map(|fault| fault.0).collect();
        assert_eq!(fields, ["budget.budget_id", "budget.rpm_limit"]);
    }
}
