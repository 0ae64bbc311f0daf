//! Authorize with `reserve`: all accounts or none, once per request, until it
//! expires.

use bursar::pb;
use pb::{DenyReason, ErrorReason};
use tonic::Code;

use super::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

/// The key's spend, reserved and remaining.
async fn standing(client: &Client) -> (String, String, String) {
    let answer = client.budgets().get_budget_status(pb::GetBudgetStatusRequest::default()).await.answer();
    let budget = answer.budgets.into_iter().next().unwrap();
    (budget.spend, budget.reserved, budget.remaining.unwrap())
}

async fn limited(world: &World, max_budget: &str) -> Client {
    let (secret, _) = world.key(pb::Key { max_budget: Some(max_budget.into()), ..Default::default() }).await;
    world.with_key(&secret)
}

fn numbers(spend: &str, reserved: &str, remaining: &str) -> (String, String, String) {
    (spend.to_owned(), reserved.to_owned(), remaining.to_owned())
}

on_both! {
    async fn reservations_count_until_the_budget_is_full(world: World) {
        let client = limited(&world, "1").await;
        reserve(&client, "a", "0.4").await;
        reserve(&client, "b", "0.6").await;
        assert_eq!(standing(&client).await, numbers("0", "1", "0"));
        assert_eq!(denial(&authorize(&client, ask("c", "0.000000001")).await).0, DenyReason::BudgetExceeded);
        assert_eq!(standing(&client).await, numbers("0", "1", "0"), "a denial takes nothing");
    }

    async fn nothing_is_set_aside_if_one_account_refuses(world: World) {
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("1".into()), ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), max_budget: Some("5".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        assert_eq!(denial(&authorize(&client, ask("a", "2")).await).0, DenyReason::BudgetExceeded);
        assert_eq!(standing(&client).await, numbers("0", "0", "5"));
    }

    async fn the_same_request_gets_the_same_reservation(world: World) {
        let client = limited(&world, "1").await;
        let first = authorize(&client, ask("a", "0.7")).await;
        let second = authorize(&client, ask("a", "0.7")).await;
        assert_eq!(first.reservation_id, second.reservation_id);
        assert_eq!(first.reservation_expires_at, second.reservation_expires_at);
        assert_eq!(standing(&client).await, numbers("0", "0.7", "0.3"));
        client.gateway().authorize(ask("a", "0.1")).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
        // The id is the caller's: another key may use the same.
        reserve(&limited(&world, "1").await, "a", "0.1").await;
    }

    async fn a_reservation_that_nobody_settles_expires(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").set("reservation_ttl", "1m").start().await;
        let client = limited(&world, "1").await;
        let answer = authorize(&client, ask("a", "1")).await;
        assert_eq!(answer.reservation_expires_at.unwrap().seconds, 1_735_689_660);
        world.hands().advance(59);
        assert_eq!(denial(&authorize(&client, ask("b", "1")).await).0, DenyReason::BudgetExceeded);
        world.hands().advance(1);
        reserve(&client, "c", "1").await;
    }

    async fn a_late_settlement_is_booked_all_the_same(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").set("reservation_ttl", "1m").start().await;
        let client = limited(&world, "1").await;
        let id = reserve(&client, "a", "1").await;
        world.hands().advance(61);
        let settled = settle(&client, &id, 100_000).await;
        assert!(settled.late);
        assert_eq!(settled.cost, "0.25");
        assert_eq!(standing(&client).await, numbers("0.25", "0", "0.75"));
    }

    async fn free_calls_need_no_budget(world: World) {
        let prices = r#"{"free-model": {"input_cost_per_token": 0, "output_cost_per_token": 0, "litellm_provider": "home"}}"#;
        crate::prices::import(&world, prices).await;
        let client = limited(&world, "0").await;
        let request = pb::AuthorizeRequest {
            model: "free-model".into(), estimated_input_tokens: Some(1_000_000), reserve: true, request_id: "a".into(),
            ..Default::default()
        };
        let answer = authorize(&client, request).await;
        assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
        let settled = settle(&client, &answer.reservation_id, 1_000_000).await;
        assert_eq!(settled.cost, "0");
    }

    async fn a_reservation_outlives_the_server(backend: Backend) {
        let world = World::start(backend).await;
        let client = limited(&world, "1").await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let other = world.with_key(&secret);
        reserve(&client, "x", "0.2").await;
        let id = reserve(&other, "a", "0.7").await;
        let database = world.stop().await;
        let world = World::builder(backend).start_on(database).await;
        let other = world.with_key(&secret);
        assert_eq!(standing(&other).await, numbers("0", "0.7", "0.3"));
        assert_eq!(denial(&authorize(&other, ask("b", "0.4")).await).0, DenyReason::BudgetExceeded);
        let settled = settle(&other, &id, 40_000).await;
        assert_eq!((settled.cost.as_str(), settled.late), ("0.1", false));
        assert_eq!(standing(&other).await, numbers("0.1", "0", "0.9"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
    async fn a_reservation_of_a_former_run_is_freed_once_however_often_it_is_closed(backend: Backend) {
        let world = World::start(backend).await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let (released, settled, live) =
            (reserve(&client, "a", "0.1").await, reserve(&client, "b", "0.2").await, reserve(&client, "c", "0.3").await);
        let world = World::builder(backend).start_on(world.stop().await).await;
        let client = world.with_key(&secret);
        assert_eq!(standing(&client).await, numbers("0", "0.6", "0.4"));
        let release = |id: &str| pb::ReleaseRequest { reservation_id: id.to_owned() };
        for first in [true, false, false] {
            assert_eq!(client.gateway().release(release(&released)).await.answer().released, first);
            assert_eq!(standing(&client).await, numbers("0", "0.5", "0.5"));
        }
        // Twice the same event, and another one under the same reservation.
        for (id, spend) in [("e", "0.1"), ("e", "0.1"), ("f", "0.2")] {
            let usage = pb::UsageEvent { request_id: id.into(), prompt_tokens: 40_000, ..Default::default() };
            client.gateway().settle(pb::SettleRequest { reservation_id: settled.clone(), usage: Some(usage) }).await.answer();
            let (spent, reserved, _) = standing(&client).await;
            assert_eq!((spent.as_str(), reserved.as_str()), (spend, "0.3"));
        }
        assert!(!client.gateway().release(release(&settled)).await.answer().released);
        // What a run closed itself is not freed again by the next one.
        let own = reserve(&client, "own", "0.1").await;
        settle(&client, &own, 40_000).await;
        let gone = reserve(&client, "gone", "0.1").await;
        assert!(client.gateway().release(release(&gone)).await.answer().released);
        let world = World::builder(backend).start_on(world.stop().await).await;
        let client = world.with_key(&secret);
        assert_eq!(standing(&client).await, numbers("0.3", "0.3", "0.4"));
        for closed in [&own, &gone, &settled, &released] {
            assert!(!client.gateway().release(release(closed)).await.answer().released);
        }
        // What is still open can be closed two runs later, too.
        assert!(client.gateway().release(release(&live)).await.answer().released);
        assert_eq!(standing(&client).await, numbers("0.3", "0", "0.7"));
    }
}
