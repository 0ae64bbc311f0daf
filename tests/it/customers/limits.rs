//! What binds calls on behalf of a customer.

use bursar::pb;
use pb::{BudgetScope, DenyReason, ErrorReason, Role};
use tonic::Code;

use super::{create, customer, known, update};
use crate::gateway::{ask, authorize, denial, settle};
use crate::spend::{event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

/// A call on behalf of a customer.
fn on_behalf(customer_id: &str, request_id: &str, cost: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { customer_id: customer_id.into(), ..ask(request_id, cost) }
}

/// Asks, and expects a reservation.
async fn reserve(client: &Client, customer_id: &str, request_id: &str, cost: &str) -> String {
    let answer = authorize(client, on_behalf(customer_id, request_id, cost)).await;
    assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
    answer.reservation_id
}

/// How the budget of a customer stands: its maximum, spend and what is reserved.
async fn standing(client: &Client, customer_id: &str) -> (Option<String>, String, String) {
    let subject = Some(pb::get_budget_status_request::Subject::CustomerId(customer_id.into()));
    let answer = client.budgets().get_budget_status(pb::GetBudgetStatusRequest { subject }).await.answer();
    let budget = answer.budgets.into_iter().next().unwrap();
    assert_eq!((budget.scope(), budget.id.as_str()), (BudgetScope::Customer, customer_id));
    (budget.max_budget, budget.spend, budget.reserved)
}

async fn tier(world: &World, budget: pb::Budget) {
    let request = pb::CreateBudgetRequest { budget: Some(budget), ..Default::default() };
    world.admin.budgets().create_budget(request).await.answer();
}

const SPENT: (DenyReason, BudgetScope) = (DenyReason::BudgetExceeded, BudgetScope::Customer);

on_both! {
    async fn its_budget_binds_calls_of_every_key(world: World) {
        create(&world, customer("acme", Some("1"))).await;
        let (first, _) = world.key(pb::Key::default()).await;
        let (second, _) = world.key(pb::Key::default()).await;
        let (first, second) = (world.with_key(&first), world.with_key(&second));
        let id = reserve(&first, "acme", "a", "0.6").await;
        assert_eq!(denial(&authorize(&second, on_behalf("acme", "b", "0.5")).await), SPENT);
        reserve(&second, "other", "c", "100").await;
        assert_eq!(standing(&world.admin, "acme").await, (Some("1".into()), "0".into(), "0.6".into()));
        let settled = settle(&first, &id, 100_000).await;
        let budget = &settled.budgets[0];
        assert_eq!((budget.scope(), budget.spend.as_str(), budget.remaining.as_deref()), (BudgetScope::Customer, "0.25", Some("0.75")));
        assert_eq!(standing(&world.admin, "acme").await, (Some("1".into()), "0.25".into(), "0".into()));
        let stored = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: id }).await.answer().event.unwrap();
        assert_eq!(stored.customer_id, "acme", "the reservation says on whose behalf");
    }

    async fn a_blocked_customer_is_refused_everywhere_until_it_is_not(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let client = world.with_key(&secret);
        reserve(&client, "acme", "a", "1").await;
        let names = vec!["acme".to_owned()];
        let blocked = world.admin.customers().block_customers(pb::BlockCustomersRequest { customer_ids: names.clone() }).await.answer();
        assert_eq!(blocked.customers[0].blocked, Some(true), "who was unknown is made");
        let refused = authorize(&client, on_behalf("acme", "b", "1")).await;
        assert_eq!(denial(&refused), (DenyReason::CustomerBlocked, BudgetScope::Customer));
        assert_eq!(refused.identity.unwrap().customer_id, "acme");
        reserve(&client, "other", "c", "1").await;
        world.admin.customers().block_customers(pb::BlockCustomersRequest { customer_ids: names.clone() }).await.answer();
        for _ in 0..2 {
            let freed = world.admin.customers().unblock_customers(pb::UnblockCustomersRequest { customer_ids: names.clone() }).await.answer();
            assert_eq!(freed.customers[0].blocked, Some(false));
        }
        reserve(&client, "acme", "d", "1").await;
        let unknown = pb::UnblockCustomersRequest { customer_ids: vec!["nobody".into()] };
        world.admin.customers().unblock_customers(unknown).await.refused(Code::NotFound, ErrorReason::CustomerNotFound);
    }

    async fn only_its_models_are_called_on_its_behalf(world: World) {
        create(&world, pb::Customer { allowed_models: vec!["claude*".into()], ..customer("acme", None) }).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let client = world.with_key(&secret);
        let refused = authorize(&client, on_behalf("acme", "a", "1")).await;
        assert_eq!(denial(&refused), (DenyReason::ModelNotAllowed, BudgetScope::Customer));
        update(&world, customer("acme", None), &["allowed_models"]).await.answer();
        reserve(&client, "acme", "b", "1").await;
    }

    async fn rates_bind_all_calls_on_its_behalf(world: World) {
        create(&world, pb::Customer { rpm_limit: Some(2), ..customer("acme", None) }).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let client = world.with_key(&secret);
        for request_id in ["a", "b"] {
            reserve(&client, "acme", request_id, "1").await;
        }
        let refused = authorize(&client, on_behalf("acme", "c", "1")).await;
        assert_eq!(denial(&refused), (DenyReason::RateLimited, BudgetScope::Customer));
        assert_eq!((refused.rate_limits[0].limit, refused.rate_limits[0].remaining), (2, 0));
    }

    async fn the_default_binds_the_first_call_of_whoever_comes(backend: Backend) {
        let world = World::builder(backend).set("max_end_user_budget", "1").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let calls = (0..100).map(|number| {
            let client = world.with_key(&secret);
            tokio::spawn(async move { authorize(&client, on_behalf("new", &format!("r{number}"), "0.1")).await })
        });
        let mut allowed = 0;
        for call in calls.collect::<Vec<_>>() {
            let answer = call.await.unwrap();
            if answer.decision() == pb::Decision::Allow {
                allowed += 1;
            } else {
                assert_eq!(denial(&answer), SPENT);
            }
        }
        assert_eq!(allowed, 10);
        // A limit of its own goes before the default, also a larger one.
        create(&world, customer("rich", Some("3"))).await;
        reserve(&world.with_key(&secret), "rich", "rich", "2").await;
        assert_eq!(standing(&world.admin, "unheard of").await.0.as_deref(), Some("1"));
    }

    async fn the_default_tier_goes_before_the_default_maximum(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z")
            .set("max_end_user_budget", "1").set("max_end_user_budget_id", "free").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let client = world.with_key(&secret);
        assert_eq!(standing(&world.admin, "a").await.0.as_deref(), Some("1"), "there is no such tier yet");
        tier(&world, pb::Budget { budget_id: "free".into(), max_budget: Some("2".into()), budget_duration: Some("1d".into()), ..Default::default() }).await;
        assert_eq!(standing(&world.admin, "a").await.0.as_deref(), Some("2"));
        let used = pb::UsageEvent { customer_id: "a".into(), cost: Some("1.75".into()), ..event("e", &secret, 1) };
        record(&world.admin, vec![used]).await;
        assert_eq!(denial(&authorize(&client, on_behalf("a", "r", "0.5")).await), SPENT);
        assert_eq!(known(&world, "a").await.spend.as_deref(), Some("1.75"));
        assert!(known(&world, "a").await.budget_resets_at.is_some());
        // Its windows are those of the tier.
        world.hands().set("2025-06-11T00:00:00Z");
        assert_eq!(known(&world, "a").await.spend.as_deref(), Some("0"));
        reserve(&client, "a", "s", "2").await;
        assert_eq!(known(&world, "a").await.lifetime_spend, "1.75");
    }

    async fn a_tier_is_shared_and_its_money_is_not(world: World) {
        tier(&world, pb::Budget { budget_id: "free".into(), max_budget: Some("1".into()), ..Default::default() }).await;
        for id in ["a", "b"] {
            create(&world, pb::Customer { budget_id: Some("free".into()), ..customer(id, None) }).await;
        }
        let (secret, _) = world.key(pb::Key::default()).await;
        let client = world.with_key(&secret);
        reserve(&client, "a", "a1", "1").await;
        reserve(&client, "b", "b1", "0.5").await;
        assert_eq!(denial(&authorize(&client, on_behalf("b", "b2", "1")).await), SPENT);
        // One of them gets a limit of its own; the other stays as it is.
        update(&world, customer("b", Some("3")), &[]).await.answer();
        reserve(&client, "b", "b3", "1").await;
        assert_eq!(standing(&world.admin, "a").await.0.as_deref(), Some("1"));
        // A change of the tier reaches who has none.
        let more = pb::UpdateBudgetRequest { budget: Some(pb::Budget { budget_id: "free".into(), max_budget: Some("9".into()), ..Default::default() }), ..Default::default() };
        world.admin.budgets().update_budget(more).await.answer();
        assert_eq!(standing(&world.admin, "a").await.0.as_deref(), Some("9"));
        assert_eq!(standing(&world.admin, "b").await.0.as_deref(), Some("3"));
    }

    async fn a_window_of_another_length_begins_now(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z").start().await;
        create(&world, pb::Customer { spend: Some("3".into()), budget_duration: Some("7d".into()), ..customer("acme", Some("5")) }).await;
        world.hands().advance(60);
        let weekly = |length: &str| pb::Customer { budget_duration: Some(length.into()), ..customer("acme", None) };
        assert_eq!(update(&world, weekly("7d"), &[]).await.answer().customer.unwrap().spend.as_deref(), Some("3"));
        assert_eq!(update(&world, weekly("1d"), &[]).await.answer().customer.unwrap().spend.as_deref(), Some("0"));
        let spent = pb::Customer { spend: Some("2".into()), ..customer("acme", None) };
        assert_eq!(update(&world, spent, &[]).await.answer().customer.unwrap().spend.as_deref(), Some("2"));
        let open = update(&world, customer("acme", None), &["budget_duration"]).await.answer().customer.unwrap();
        assert_eq!((open.spend.as_deref(), open.budget_resets_at, open.lifetime_spend.as_str()), (Some("2"), None, "3"), "what was ever spent stays");
        world.hands().advance(10 * 86_400);
        assert_eq!(known(&world, "acme").await.spend.as_deref(), Some("2"));
    }

    async fn corrections_reach_customers(world: World) {
        create(&world, customer("acme", Some("5"))).await;
        let adjust = |amount: &str| pb::AdjustSpendRequest { scope: BudgetScope::Customer.into(), id: "acme".into(), amount: amount.into(), reason: "test".into(), ..Default::default() };
        assert_eq!(world.admin.spend().adjust_spend(adjust("2")).await.answer().spend, "2");
        assert_eq!(standing(&world.admin, "acme").await.1, "2");
        let reset = pb::ResetSpendRequest { scope: BudgetScope::Customer.into(), ids: vec!["acme".into()], ..Default::default() };
        assert_eq!(world.admin.spend().reset_spend(reset.clone()).await.answer().accounts_reset, 1);
        assert_eq!(known(&world, "acme").await.spend.as_deref(), Some("0"));
        let nobody = pb::ResetSpendRequest { ids: vec!["nobody".into()], ..reset };
        world.admin.spend().reset_spend(nobody).await.refused(Code::NotFound, ErrorReason::AccountNotFound);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_late_or_foreign_settlement_pays_from_the_same_account(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z").start().await;
        create(&world, customer("acme", Some("5"))).await;
        let sidecar = world.sidecar().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let asked = |id: &str| pb::AuthorizeRequest { key: secret.clone(), ..on_behalf("acme", id, "1") };
        let late = authorize(&sidecar, asked("late")).await.reservation_id;
        world.hands().advance(3_600);
        assert!(settle(&sidecar, &late, 400_000).await.late);
        assert_eq!(standing(&world.admin, "acme").await, (Some("5".into()), "1".into(), "0".into()));
        // Another instance settles, and what the first one holds is freed.
        let open = authorize(&sidecar, asked("open")).await.reservation_id;
        let released = authorize(&sidecar, asked("released")).await.reservation_id;
        let other = World::builder(backend).start_on(std::sync::Arc::clone(&world.database));
        let other = other.await;
        let elsewhere = other.admin.gateway();
        let usage = Some(pb::UsageEvent { prompt_tokens: 400_000, ..Default::default() });
        let settled = elsewhere.clone().settle(pb::SettleRequest { reservation_id: open, usage }).await;
        assert_eq!(settled.answer().cost, "1");
        elsewhere.clone().release(pb::ReleaseRequest { reservation_id: released }).await.answer();
        assert_eq!(standing(&other.admin, "acme").await.1, "2");
        assert!(other.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn only_admins_and_sidecars_ask_how_a_customer_stands(world: World) {
        create(&world, customer("acme", Some("5"))).await;
        assert_eq!(standing(&world.sidecar().await, "acme").await.0.as_deref(), Some("5"));
        let alice = world.person("alice", Role::InternalUser).await;
        let subject = Some(pb::get_budget_status_request::Subject::CustomerId("acme".into()));
        let status = alice.budgets().get_budget_status(pb::GetBudgetStatusRequest { subject }).await;
        status.refused(Code::NotFound, ErrorReason::CustomerNotFound);
    }

    async fn limits_of_a_model_count_however_usage_is_reported(backend: Backend) {
        let world = World::start(backend).await;
        let limit = pb::ModelLimit { max_budget: Some("9".into()), ..Default::default() };
        create(&world, pb::Customer { model_max_budget: [("gpt-4o".to_owned(), limit)].into(), ..customer("acme", None) }).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let of_model = |world: &World| {
            let subject = Some(pb::get_budget_status_request::Subject::CustomerId("acme".into()));
            let request = pb::GetBudgetStatusRequest { subject };
            let client = world.admin.clone();
            async move {
                let budgets = client.budgets().get_budget_status(request).await.answer().budgets;
                let of = budgets.into_iter().find(|budget| budget.scope() == BudgetScope::CustomerModel).unwrap();
                (of.spend, of.reserved)
            }
        };
        // Without a reservation; under the name of a version of the model, too.
        let sidecar = world.sidecar().await;
        let used = |id: &str, model: &str| pb::UsageEvent {
            customer_id: "acme".into(), model: model.into(), model_group: "gpt-4o".into(), cost: Some("0.25".into()), ..event(id, &secret, 1)
        };
        record(&sidecar, vec![used("a", "gpt-4o"), used("b", "some-version")]).await;
        assert_eq!(of_model(&world).await, ("0.5".to_owned(), "0".to_owned()));
        // Settled and released by another run than reserved it.
        let client = world.with_key(&secret);
        let settled = reserve(&client, "acme", "c", "1").await;
        let released = reserve(&client, "acme", "d", "1").await;
        let database = world.stop().await;
        let world = World::builder(backend).start_on(database).await;
        assert_eq!(of_model(&world).await, ("0.5".to_owned(), "2".to_owned()));
        let client = world.with_key(&secret);
        settle(&client, &settled, 100_000).await;
        client.gateway().release(pb::ReleaseRequest { reservation_id: released }).await.answer();
        assert_eq!(of_model(&world).await, ("0.75".to_owned(), "0".to_owned()));
        assert_eq!(world.store().verify().await.unwrap().discrepancies, []);
    }

    async fn limits_of_a_model_are_its_own_or_its_tiers(world: World) {
        let limit = |max: &str| pb::ModelLimit { max_budget: Some(max.into()), ..Default::default() };
        tier(&world, pb::Budget { budget_id: "free".into(), model_max_budget: [("gpt-4o".to_owned(), limit("1"))].into(), ..Default::default() }).await;
        create(&world, pb::Customer { budget_id: Some("free".into()), ..customer("acme", None) }).await;
        let own = pb::Customer { model_max_budget: [("gpt-*".to_owned(), limit("2"))].into(), budget_id: Some("free".into()), ..customer("rich", None) };
        assert_eq!(create(&world, own).await.model_max_budget.len(), 1);
        let (secret, _) = world.key(pb::Key::default()).await;
        let client = world.with_key(&secret);
        let spent = (DenyReason::BudgetExceeded, BudgetScope::CustomerModel);
        let id = reserve(&client, "acme", "a", "0.9").await;
        let denied = authorize(&client, on_behalf("acme", "b", "0.2")).await;
        assert_eq!((denial(&denied), denied.budgets[0].id.as_str()), (spent, "acme/gpt-4o"));
        reserve(&client, "rich", "c", "1.9").await;
        let denied = authorize(&client, on_behalf("rich", "d", "0.2")).await;
        assert_eq!((denial(&denied), denied.budgets[0].id.as_str()), (spent, "rich/gpt-*"));
        settle(&client, &id, 100_000).await;
        let subject = Some(pb::get_budget_status_request::Subject::CustomerId("acme".into()));
        let budgets = world.admin.budgets().get_budget_status(pb::GetBudgetStatusRequest { subject }).await.answer().budgets;
        let rows: Vec<_> = budgets.iter().map(|budget| (budget.scope(), budget.id.as_str(), budget.spend.as_str())).collect();
        assert_eq!(rows, [(BudgetScope::Customer, "acme", "0.25"), (BudgetScope::CustomerModel, "acme/gpt-4o", "0.25")]);
        // Its own limits taken away, the tier's hold.
        update(&world, customer("rich", None), &["model_max_budget"]).await.answer();
        let denied = authorize(&client, on_behalf("rich", "e", "1.1")).await;
        assert_eq!((denial(&denied), denied.budgets[0].id.as_str()), (spent, "rich/gpt-4o"));
        // Another limit of the tier holds for the next call.
        let update = pb::UpdateBudgetRequest { budget: Some(pb::Budget { budget_id: "free".into(), model_max_budget: [("gpt-4o".to_owned(), limit("3"))].into(), ..Default::default() }), ..Default::default() };
        world.admin.budgets().update_budget(update).await.answer();
        reserve(&client, "rich", "e", "1.1").await;
        assert_eq!(world.store().verify().await.unwrap().discrepancies, []);
    }
}
