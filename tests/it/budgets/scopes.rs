//! Scope budgets: what calls of all keys may spend under a tag, with a
//! provider, on a model, or at all.

use bursar::pb;
use pb::{BudgetScope, DenyReason, ErrorReason};
use tokio::task::JoinSet;
use tonic::Code;

use crate::audit::entries;
use crate::gateway::{ask, authorize, denial};
use crate::models::{create, model};
use crate::spend::{event, record};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

fn dollars(max_budget: &str) -> pb::Budget {
    pb::Budget { max_budget: Some(max_budget.into()), ..Default::default() }
}

async fn set(world: &World, scope: BudgetScope, id: &str, budget: pb::Budget) -> pb::ScopeBudget {
    let request = pb::SetScopeBudgetRequest { scope: scope.into(), id: id.into(), budget: Some(budget) };
    world.admin.budgets().set_scope_budget(request).await.answer().scope_budget.unwrap()
}

async fn delete(world: &World, scope: BudgetScope, id: &str) {
    let request = pb::DeleteScopeBudgetRequest { scope: scope.into(), id: id.into() };
    world.admin.budgets().delete_scope_budget(request).await.answer();
}

/// Scope, id, spend and reserved of every budget.
async fn listed(world: &World) -> Vec<(BudgetScope, String, String, String)> {
    let request = pb::ListScopeBudgetsRequest::default();
    let found = world.admin.budgets().list_scope_budgets(request).await.answer().scope_budgets;
    let status = found.into_iter().map(|found| found.status.unwrap());
    status.map(|status| (status.scope(), status.id, status.spend, status.reserved)).collect()
}

fn row(scope: BudgetScope, id: &str, spend: &str, reserved: &str) -> (BudgetScope, String, String, String) {
    (scope, id.to_owned(), spend.to_owned(), reserved.to_owned())
}

/// A key that may spend as much as it likes.
async fn caller(world: &World) -> Client {
    let (secret, _) = world.key(pb::Key::default()).await;
    world.with_key(&secret)
}

/// A model at two providers.
async fn at_two_providers(world: &World) {
    for provider in ["east", "west"] {
        let of = pb::Model { provider: provider.into(), ..model("m", provider, &[("input_cost_per_token", "0.001")]) };
        create(world, of).await;
    }
}

fn of_m(request_id: &str, cost: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { model: "m".into(), ..ask(request_id, cost) }
}

/// Settles a call of `m` that a provider answered, for a thousandth of a dollar a token.
async fn settle_with(client: &Client, reservation_id: String, provider: &str, prompt_tokens: i64) {
    let usage =
        pb::UsageEvent { provider: provider.into(), deployment: provider.into(), prompt_tokens, ..Default::default() };
    client.gateway().settle(pb::SettleRequest { reservation_id, usage: Some(usage) }).await.answer();
}

on_both! {
    async fn every_scope_binds_the_calls_that_fall_under_it(world: World) {
        let sidecar = world.sidecar().await;
        for (scope, id) in [
            (BudgetScope::Tag, "night"), (BudgetScope::Provider, "openai"), (BudgetScope::Model, MODEL), (BudgetScope::Global, ""),
        ] {
            set(&world, scope, id, dollars("1")).await;
            let tagged = |request_id: &str, cost: &str| pb::AuthorizeRequest { tags: vec!["night".into()], ..ask(&format!("{id}-{request_id}"), cost) };
            // Two keys that know nothing of each other.
            let first = caller(&world).await;
            let (secret, _) = world.key(pb::Key::default()).await;
            let second = world.with_key(&secret);
            let reserved = authorize(&first, tagged("a", "0.6")).await;
            assert_eq!(reserved.decision(), pb::Decision::Allow, "{scope:?} {}", reserved.message);
            let denied = authorize(&second, tagged("b", "0.5")).await;
            assert_eq!(denial(&denied), (DenyReason::BudgetExceeded, scope));
            assert!(denied.budgets.iter().all(|budget| budget.scope() != scope), "what others spend is not its business");
            assert!(!denied.message.contains("0.6"), "{}", denied.message);
            let told = authorize(&sidecar, pb::AuthorizeRequest { key: secret, ..tagged("b", "0.5") }).await;
            assert_eq!((told.budgets[0].scope(), told.budgets[0].id.as_str(), told.budgets[0].reserved.as_str()), (scope, id, "0.6"));
            assert!(!told.message.contains("0.6"), "whoever holds the key reads it: {}", told.message);
            let usage = pb::UsageEvent { prompt_tokens: 40_000, tags: vec!["night".into()], ..Default::default() };
            first.gateway().settle(pb::SettleRequest { reservation_id: reserved.reservation_id, usage: Some(usage) }).await.answer();
            assert_eq!(listed(&world).await, [row(scope, id, "0.1", "0")]);
            let fits = authorize(&second, tagged("c", "0.9")).await;
            assert_eq!(fits.decision(), pb::Decision::Allow, "{scope:?} {}", fits.message);
            second.gateway().release(pb::ReleaseRequest { reservation_id: fits.reservation_id }).await.answer();
            delete(&world, scope, id).await;
            assert_eq!(authorize(&second, tagged("d", "50")).await.decision(), pb::Decision::Allow, "{scope:?}");
        }
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn gateways_see_what_binds_every_call_of_a_key(world: World) {
        use pb::get_budget_status_request::Subject;
        for (scope, id) in [(BudgetScope::Tag, "night"), (BudgetScope::Tag, "day"), (BudgetScope::Model, MODEL), (BudgetScope::Global, "")] {
            set(&world, scope, id, dollars("1")).await;
        }
        world.user(pb::User { user_id: "alice".into(), max_budget: Some("9".into()), ..Default::default() }).await;
        let key = pb::Key { tags: vec!["night".into()], max_budget: Some("2".into()), user_id: Some("alice".into()), ..Default::default() };
        let (secret, key) = world.key(key).await;
        let ask = pb::GetBudgetStatusRequest { subject: Some(Subject::Key(key.key_hash.clone())) };
        let own = [BudgetScope::Key, BudgetScope::User];
        let all = [BudgetScope::Key, BudgetScope::Tag, BudgetScope::User, BudgetScope::Global];
        for (client, expected) in [(world.admin.clone(), &all[..]), (world.sidecar().await, &all[..]), (world.with_key(&secret), &own[..])] {
            let status = client.budgets().get_budget_status(ask.clone()).await.answer();
            assert_eq!(status.budgets.iter().map(pb::BudgetStatus::scope).collect::<Vec<_>>(), expected);
        }
        let shown = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash }).await.answer();
        assert_eq!(shown.budgets.iter().map(pb::BudgetStatus::scope).collect::<Vec<_>>(), all);
    }

    async fn tags_are_checked_before_the_budget_of_the_user(world: World) {
        set(&world, BudgetScope::Tag, "night", dollars("0")).await;
        let owner = pb::User { user_id: "alice".into(), max_budget: Some("0".into()), ..Default::default() };
        world.user(owner).await;
        let (secret, _) = world.key(pb::Key { tags: vec!["night".into()], user_id: Some("alice".into()), ..Default::default() }).await;
        assert_eq!(denial(&authorize(&world.with_key(&secret), ask("a", "0")).await), (DenyReason::BudgetExceeded, BudgetScope::Tag));
    }

    async fn the_words_of_a_denial_keep_an_organizations_numbers(world: World) {
        world.organization(pb::Organization { organization_id: "acme".into(), max_budget: Some("0.7".into()), rpm_limit: Some(77), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), organization_id: Some("acme".into()), ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let denied = authorize(&world.with_key(&secret), ask("a", "0.8")).await;
        assert_eq!(denial(&denied), (DenyReason::BudgetExceeded, BudgetScope::Organization));
        assert!(denied.message.contains("acme") && !denied.message.contains("0.7"), "{}", denied.message);
    }

    async fn tags_of_the_key_count_like_those_of_the_call(world: World) {
        set(&world, BudgetScope::Tag, "night", dollars("0")).await;
        let (secret, _) = world.key(pb::Key { tags: vec!["night".into()], ..Default::default() }).await;
        assert_eq!(denial(&authorize(&world.with_key(&secret), ask("a", "0")).await), (DenyReason::BudgetExceeded, BudgetScope::Tag));
        assert_eq!(authorize(&caller(&world).await, ask("b", "0")).await.decision(), pb::Decision::Allow);
    }

    async fn a_call_goes_to_whichever_provider_has_room(world: World) {
        at_two_providers(&world).await;
        set(&world, BudgetScope::Provider, "east", dollars("1")).await;
        set(&world, BudgetScope::Provider, "west", dollars("2")).await;
        let client = caller(&world).await;
        let first = authorize(&client, of_m("a", "0.8")).await;
        assert!(first.exhausted_providers.is_empty());
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "east", "0", "0.8"), row(BudgetScope::Provider, "west", "0", "0.8")], "wherever it goes");
        settle_with(&client, first.reservation_id, "east", 700).await;
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "east", "0.7", "0"), row(BudgetScope::Provider, "west", "0", "0")]);
        let second = authorize(&client, of_m("b", "0.8")).await;
        assert_eq!((second.decision(), second.exhausted_providers.as_slice()), (pb::Decision::Allow, &["east".to_owned()][..]));
        assert_eq!(denial(&authorize(&client, of_m("c", "1.3")).await), (DenyReason::BudgetExceeded, BudgetScope::Provider));
        // Whoever asks again gets the answer that it got.
        let repeated = authorize(&client, of_m("b", "0.8")).await;
        assert_eq!((repeated.reservation_id, repeated.exhausted_providers), (second.reservation_id.clone(), second.exhausted_providers.clone()));
        // A provider without a budget has always room.
        delete(&world, BudgetScope::Provider, "west").await;
        let fourth = authorize(&client, of_m("d", "50")).await;
        assert_eq!((fourth.decision(), fourth.exhausted_providers.as_slice()), (pb::Decision::Allow, &["east".to_owned()][..]));
        settle_with(&client, second.reservation_id, "west", 800).await;
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "east", "0.7", "0")]);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn who_has_to_wait_for_a_provider_is_told_the_first_that_may_have_room(backend: Backend) {
        let world = World::builder(backend).at("2025-06-15T12:00:00Z").start().await;
        at_two_providers(&world).await;
        set(&world, BudgetScope::Provider, "east", pb::Budget { budget_duration: Some("1d".into()), ..dollars("0") }).await;
        set(&world, BudgetScope::Provider, "west", pb::Budget { budget_duration: Some("30d".into()), ..dollars("0") }).await;
        let denied = authorize(&caller(&world).await, of_m("a", "0.1")).await;
        assert_eq!(denial(&denied), (DenyReason::BudgetExceeded, BudgetScope::Provider));
        assert_eq!(denied.exhausted_providers, ["east", "west"]);
        assert_eq!(denied.retry_after.unwrap().seconds, 12 * 3_600);
        // Not before every other budget has room, too.
        set(&world, BudgetScope::Global, "", pb::Budget { budget_duration: Some("7d".into()), ..dollars("0") }).await;
        assert_eq!(authorize(&caller(&world).await, of_m("b", "0.1")).await.retry_after.unwrap().seconds, 12 * 3_600);
        set(&world, BudgetScope::Global, "", dollars("0")).await;
        assert_eq!(authorize(&caller(&world).await, of_m("c", "0.1")).await.retry_after, None, "it never resets");
        let seen = authorize(&world.sidecar().await, pb::AuthorizeRequest { key: world.key(pb::Key::default()).await.0, ..of_m("d", "0.1") }).await;
        let shown: Vec<&str> = seen.budgets.iter().map(|budget| budget.id.as_str()).collect();
        assert_eq!(shown, ["west", "east", ""], "all that have no room, the one that denied first");
    }

    async fn what_was_set_aside_for_a_call_it_pays(world: World) {
        set(&world, BudgetScope::Tag, "night", dollars("1")).await;
        set(&world, BudgetScope::Model, "fast", dollars("1")).await;
        set(&world, BudgetScope::Model, MODEL, dollars("1")).await;
        let aliases = [("fast".to_owned(), MODEL.to_owned())].into();
        let (secret, _) = world.key(pb::Key { model_aliases: aliases, ..Default::default() }).await;
        let client = world.with_key(&secret);
        let asked = pb::AuthorizeRequest { model: "fast".into(), tags: vec!["night".into()], ..ask("a", "0.5") };
        let reserved = authorize(&client, asked).await;
        // Whoever settles need not repeat its labels.
        crate::gateway::settle(&client, &reserved.reservation_id, 40_000).await;
        let all = [
            row(BudgetScope::Model, "fast", "0.1", "0"), row(BudgetScope::Model, MODEL, "0.1", "0"), row(BudgetScope::Tag, "night", "0.1", "0"),
        ];
        assert_eq!(listed(&world).await, all);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn who_answered_is_known_by_the_name_if_by_nothing_else(world: World) {
        set(&world, BudgetScope::Provider, "house", dollars("1")).await;
        let client = caller(&world).await;
        let asked = pb::AuthorizeRequest { model: "house/model".into(), ..ask("a", "0.5") };
        let reserved = authorize(&client, asked).await.reservation_id;
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "house", "0", "0.5")]);
        let usage = pb::UsageEvent { cost: Some("0.4".into()), ..Default::default() };
        world.admin.gateway().settle(pb::SettleRequest { reservation_id: reserved, usage: Some(usage) }).await.answer();
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "house", "0.4", "0")]);
    }

    async fn a_late_settlement_pays_what_was_set_aside(backend: Backend) {
        let world = World::builder(backend).at("2025-06-15T12:00:00Z").set("reservation_ttl", "1m").start().await;
        set(&world, BudgetScope::Tag, "night", dollars("1")).await;
        let client = caller(&world).await;
        let reserved = authorize(&client, pb::AuthorizeRequest { tags: vec!["night".into()], ..ask("a", "0.5") }).await.reservation_id;
        world.hands().advance(61);
        assert!(crate::gateway::settle(&client, &reserved, 40_000).await.late);
        assert_eq!(listed(&world).await, [row(BudgetScope::Tag, "night", "0.1", "0")]);
    }

    async fn of_64_callers_with_room_for_10_exactly_10_pass(world: World) {
        set(&world, BudgetScope::Provider, "openai", dollars("1")).await;
        let mut callers = JoinSet::new();
        for number in 0..64 {
            let client = caller(&world).await;
            callers.spawn(async move { authorize(&client, ask(&format!("call-{number}"), "0.1")).await });
        }
        let answers = callers.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.decision() == pb::Decision::Allow).count(), 10);
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "openai", "0", "1")]);
    }

    async fn calls_count_from_when_a_budget_is_set(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("before", &secret, 4_000)]).await;
        set(&world, BudgetScope::Provider, "openai", pb::Budget::default()).await;
        set(&world, BudgetScope::Global, "", pb::Budget::default()).await;
        record(&world.admin, vec![event("after", &secret, 400)]).await;
        let providers = world.admin.spend().get_provider_budgets(pb::GetProviderBudgetsRequest {}).await.answer().providers;
        assert_eq!(providers.len(), 1);
        assert_eq!((providers["openai"].spend.as_str(), &providers["openai"].max_budget), ("0.001", &None));
        assert_eq!(listed(&world).await, [row(BudgetScope::Global, "", "0.001", "0"), row(BudgetScope::Provider, "openai", "0.001", "0")]);
        let total = |window: pb::SpendWindow| pb::GetTotalSpendRequest { window: window.into() };
        let ever = world.admin.spend().get_total_spend(total(pb::SpendWindow::Lifetime)).await.answer();
        assert_eq!((ever.spend.as_str(), ever.budget.unwrap().spend.as_str()), ("0.011", "0.001"));
        for window in [pb::SpendWindow::Unspecified, pb::SpendWindow::CurrentBudget] {
            let counted = world.admin.spend().get_total_spend(total(window)).await.answer();
            assert_eq!((counted.spend.as_str(), counted.metrics), ("0.001", None));
        }
        // Lowered below what was spent, it denies at once.
        set(&world, BudgetScope::Provider, "openai", dollars("0.001")).await;
        assert_eq!(denial(&authorize(&world.with_key(&secret), ask("a", "0")).await).1, BudgetScope::Provider);
        // One that is set again begins at 0.
        delete(&world, BudgetScope::Provider, "openai").await;
        assert_eq!(set(&world, BudgetScope::Provider, "openai", dollars("1")).await.status.unwrap().spend, "0");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn windows_begin_anew_and_durations_too(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let daily = pb::Budget { budget_duration: Some("1d".into()), ..dollars("0.001") };
        let made = set(&world, BudgetScope::Model, MODEL, daily.clone()).await;
        assert_eq!(made.budget.unwrap().budget_resets_at, crate::spend::at("2025-06-02T00:00:00Z"));
        let (secret, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("a", &secret, 400)]).await;
        let client = world.with_key(&secret);
        assert_eq!(denial(&authorize(&client, ask("b", "0")).await).1, BudgetScope::Model);
        world.hands().set("2025-06-02T00:00:00Z");
        assert_eq!(authorize(&client, ask("c", "0.001")).await.decision(), pb::Decision::Allow);
        // Without a duration the window stays open, with what was spent in it.
        record(&world.admin, vec![event("d", &secret, 400)]).await;
        let cleared = set(&world, BudgetScope::Model, MODEL, dollars("5")).await;
        assert_eq!((cleared.status.unwrap().spend.as_str(), cleared.budget.unwrap().budget_resets_at), ("0.001", None));
        world.hands().advance(3_600);
        let weekly = set(&world, BudgetScope::Model, MODEL, pb::Budget { budget_duration: Some("7d".into()), ..daily }).await;
        assert_eq!(weekly.status.unwrap().spend, "0", "a different duration is a new window");
    }

    async fn windows_begin_in_a_time_zone_of_their_own(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let daily = |time_zone: &str| pb::Budget { budget_duration: Some("1d".into()), time_zone: time_zone.into(), ..dollars("0.001") };
        set(&world, BudgetScope::Model, MODEL, daily("America/New_York")).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("a", &secret, 400)]).await;
        let client = world.with_key(&secret);
        world.hands().set("2025-06-02T03:59:59Z");
        assert_eq!(denial(&authorize(&client, ask("b", "0")).await).1, BudgetScope::Model);
        world.hands().set("2025-06-02T04:00:00Z");
        assert_eq!(authorize(&client, ask("c", "0.001")).await.decision(), pb::Decision::Allow);
        record(&world.admin, vec![event("d", &secret, 40)]).await;
        let same = set(&world, BudgetScope::Model, MODEL, daily("America/New_York")).await;
        assert_eq!((same.status.unwrap().spend.as_str(), same.budget.unwrap().time_zone.as_str()), ("0.0001", "America/New_York"));
        world.hands().advance(1);
        let moved = set(&world, BudgetScope::Model, MODEL, daily("Asia/Kathmandu")).await;
        assert_eq!(moved.status.unwrap().spend, "0", "another zone is a new window");
        assert_eq!(moved.budget.unwrap().budget_resets_at, crate::spend::at("2025-06-02T18:15:00Z"));
    }

    async fn a_reservation_outlives_its_server_and_leaves_no_room_taken(backend: Backend) {
        let world = World::builder(backend).start().await;
        at_two_providers(&world).await;
        for provider in ["east", "west"] {
            set(&world, BudgetScope::Provider, provider, dollars("1")).await;
        }
        let (secret, _) = world.key(pb::Key::default()).await;
        let reserved = authorize(&world.with_key(&secret), of_m("a", "0.6")).await.reservation_id;
        let world = World::builder(backend).start_on(world.stop().await).await;
        let client = world.with_key(&secret);
        assert_eq!(denial(&authorize(&client, of_m("b", "0.6")).await).1, BudgetScope::Provider, "it is still held");
        settle_with(&client, reserved, "west", 100).await;
        assert_eq!(listed(&world).await, [row(BudgetScope::Provider, "east", "0", "0"), row(BudgetScope::Provider, "west", "0.1", "0")]);
    }

    async fn spend_is_corrected_and_reset(world: World) {
        set(&world, BudgetScope::Provider, "openai", dollars("1")).await;
        set(&world, BudgetScope::Global, "", dollars("1")).await;
        let adjust = |scope: BudgetScope, id: &str, amount: &str| {
            let request = pb::AdjustSpendRequest { scope: scope.into(), id: id.into(), amount: amount.into(), reason: "invoice".into(), ..Default::default() };
            let client = world.admin.clone();
            async move { client.spend().adjust_spend(request).await.answer().spend }
        };
        assert_eq!(adjust(BudgetScope::Provider, "openai", "0.4").await, "0.4");
        assert_eq!(adjust(BudgetScope::Global, "", "0.3").await, "0.3");
        let reset = pb::ResetSpendRequest { scope: BudgetScope::Provider.into(), ids: vec!["openai".into()], ..Default::default() };
        assert_eq!(world.admin.spend().reset_spend(reset).await.answer().accounts_reset, 1);
        assert_eq!(listed(&world).await, [row(BudgetScope::Global, "", "0.3", "0"), row(BudgetScope::Provider, "openai", "0", "0")]);
        let unknown = pb::AdjustSpendRequest { scope: BudgetScope::Model.into(), id: "nothing".into(), amount: "1".into(), reason: "x".into(), ..Default::default() };
        world.admin.spend().adjust_spend(unknown).await.refused(Code::NotFound, ErrorReason::AccountNotFound);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn changes_are_audited_and_lists_are_paged(world: World) {
        for id in ["b", "a", "c"] {
            set(&world, BudgetScope::Tag, id, dollars("1")).await;
        }
        set(&world, BudgetScope::Provider, "openai", dollars("1")).await;
        set(&world, BudgetScope::Tag, "a", dollars("2")).await;
        delete(&world, BudgetScope::Tag, "b").await;
        let found = entries(&world.admin, pb::ListAuditEntriesRequest { object_type: "scope_budget".into(), ..Default::default() }).await;
        let actions: Vec<(&str, &str)> = found.iter().map(|entry| (entry.action().as_str_name(), entry.object_id.as_str())).collect();
        assert_eq!(actions[..2], [("AUDIT_ACTION_DELETE", "tag/b"), ("AUDIT_ACTION_UPDATE", "tag/a")]);
        assert_eq!(found.len(), 6);
        let mut ids = Vec::new();
        let mut request = pb::ListScopeBudgetsRequest { page_size: 1, ..Default::default() };
        loop {
            let page = world.admin.budgets().list_scope_budgets(request.clone()).await.answer();
            ids.extend(page.scope_budgets.into_iter().map(|found| found.id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(ids, ["openai", "a", "c"]);
        let of_tags = pb::ListScopeBudgetsRequest { scope: BudgetScope::Tag.into(), ..Default::default() };
        assert_eq!(world.admin.budgets().list_scope_budgets(of_tags).await.answer().scope_budgets.len(), 2);
    }

    async fn mistakes_are_told(world: World) {
        let of = |scope: BudgetScope, id: &str, budget: Option<pb::Budget>| pb::SetScopeBudgetRequest { scope: scope.into(), id: id.into(), budget };
        for (request, field) in [
            (of(BudgetScope::Key, "x", Some(dollars("1"))), "scope"),
            (of(BudgetScope::Unspecified, "x", Some(dollars("1"))), "scope"),
            (of(BudgetScope::Tag, "", Some(dollars("1"))), "id"),
            (of(BudgetScope::Tag, &"x".repeat(257), Some(dollars("1"))), "id"),
            (of(BudgetScope::Global, "x", Some(dollars("1"))), "id"),
            (of(BudgetScope::Tag, "x", None), "budget"),
            (of(BudgetScope::Tag, "x", Some(dollars("-1"))), "budget.max_budget"),
            (of(BudgetScope::Tag, "x", Some(pb::Budget { soft_budget: Some("1".into()), ..dollars("1") })), "budget.soft_budget"),
            (of(BudgetScope::Tag, "x", Some(pb::Budget { time_zone: "Berlin".into(), ..dollars("1") })), "budget.time_zone"),
            (of(BudgetScope::Tag, "x", Some(pb::Budget { budget_duration: Some("0d".into()), ..dollars("1") })), "budget.budget_duration"),
        ] {
            assert_eq!(world.admin.budgets().set_scope_budget(request.clone()).await.bad()[0].0, field, "{request:?}");
        }
        let unknown = pb::DeleteScopeBudgetRequest { scope: BudgetScope::Tag.into(), id: "x".into() };
        world.admin.budgets().delete_scope_budget(unknown).await.refused(Code::NotFound, ErrorReason::ScopeBudgetNotFound);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        viewer.budgets().list_scope_budgets(pb::ListScopeBudgetsRequest::default()).await.answer();
        viewer.budgets().set_scope_budget(of(BudgetScope::Tag, "x", Some(dollars("1")))).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }
}

#[tokio::test]
async fn another_instance_hears_of_a_budget_that_begins_anew() {
    let first = World::builder(Backend::Postgres).start().await;
    let second = World::builder(Backend::Postgres).start_on(first.database.clone()).await;
    let (secret, _) = first.key(pb::Key::default()).await;
    set(&first, BudgetScope::Provider, "openai", dollars("0.001")).await;
    record(&first.admin, vec![event("a", &secret, 400)]).await;
    let decision = async || {
        authorize(&second.with_key(&secret), pb::AuthorizeRequest { reserve: false, ..ask("", "0") }).await.decision()
    };
    let until = async |wanted: pb::Decision| {
        for _ in 0..200 {
            if decision().await == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the other instance never says {wanted:?}");
    };
    until(pb::Decision::Deny).await;
    delete(&first, BudgetScope::Provider, "openai").await;
    set(&first, BudgetScope::Provider, "openai", dollars("0.001")).await;
    until(pb::Decision::Allow).await;
}
