//! Extend: more room, or more time, or nothing at all.

use bursar::pb;
use pb::{BudgetScope, ErrorReason};
use tonic::{Code, Response, Status};

use super::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

fn by_cost(reservation_id: &str, cost: &str) -> pb::ExtendRequest {
    let (reservation_id, additional_cost) = (reservation_id.to_owned(), Some(cost.to_owned()));
    pb::ExtendRequest { reservation_id, additional_cost, ..Default::default() }
}

fn by_time(reservation_id: &str, ttl: &str) -> pb::ExtendRequest {
    pb::ExtendRequest { reservation_id: reservation_id.into(), ttl: ttl.into(), ..Default::default() }
}

async fn extend(client: &Client, request: pb::ExtendRequest) -> Result<Response<pb::ExtendResponse>, Status> {
    client.gateway().extend(request).await
}

/// What the budgets of the calling key hold.
async fn reserved(client: &Client) -> Vec<String> {
    let answer = client.budgets().get_budget_status(pb::GetBudgetStatusRequest::default()).await.answer();
    answer.budgets.into_iter().filter(|budget| budget.max_budget.is_some()).map(|budget| budget.reserved).collect()
}

async fn key_in_team(world: &World, of_key: &str, of_team: &str) -> Client {
    world.team(pb::Team { team_id: "red".into(), max_budget: Some(of_team.into()), ..Default::default() }).await;
    let key = pb::Key { team_id: Some("red".into()), max_budget: Some(of_key.into()), ..Default::default() };
    let (secret, _) = world.key(key).await;
    world.with_key(&secret)
}

on_both! {
    async fn more_is_set_aside_in_every_budget_or_in_none(world: World) {
        let client = key_in_team(&world, "2", "1").await;
        let id = reserve(&client, "a", "0.4").await;
        let extended = extend(&client, by_cost(&id, "0.3")).await.answer();
        let standings: Vec<_> = extended.budgets.iter().map(|budget| (budget.scope(), budget.reserved.as_str())).collect();
        assert_eq!(standings, [(BudgetScope::Key, "0.7"), (BudgetScope::Team, "0.7")]);
        assert_eq!(denial(&authorize(&client, ask("b", "0.4")).await).1, BudgetScope::Team);
        let status = extend(&client, by_cost(&id, "0.4")).await.refused(Code::ResourceExhausted, ErrorReason::BudgetExceeded);
        let details = tonic_types::StatusExt::get_error_details(&status);
        assert!(details.quota_failure().is_some() && details.retry_info().is_none(), "a budget for life has no end");
        assert_eq!(details.error_info().unwrap().metadata["scope"], "TEAM");
        assert_eq!(reserved(&client).await, ["0.7", "0.7"], "the key's budget had room, and holds nothing more");
        extend(&client, by_cost(&id, "0.3")).await.answer();
        assert_eq!(reserved(&client).await, ["1", "1"]);
        assert_eq!(settle(&client, &id, 100_000).await.cost, "0.25");
        assert_eq!(reserved(&client).await, ["0", "0"]);
        let again = reserve(&client, "c", "0.5").await;
        extend(&client, by_cost(&again, "0.25")).await.answer();
        let released = pb::ReleaseRequest { reservation_id: again };
        assert!(client.gateway().release(released).await.answer().released);
        assert_eq!(reserved(&client).await, ["0", "0"]);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn tokens_are_priced_as_those_of_the_model(world: World) {
        let client = key_in_team(&world, "2", "2").await;
        let id = reserve(&client, "a", "0.5").await;
        let more = pb::ExtendRequest { reservation_id: id.clone(), additional_output_tokens: Some(10_000), ..Default::default() };
        extend(&client, more).await.answer();
        // 10,000 × 10 USD a million.
        assert_eq!(reserved(&client).await, ["0.6", "0.6"]);
    }

    async fn a_longer_reservation_counts_longer(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z").start().await;
        let client = key_in_team(&world, "1", "1").await;
        let id = reserve(&client, "a", "0.6").await;
        let at = |text: &str| crate::spend::at(text);
        let shorter = extend(&client, by_time(&id, "10s")).await.answer();
        assert_eq!(shorter.reservation_expires_at, at("2025-06-10T12:10:00Z"));
        let longer = extend(&client, by_time(&id, "2h")).await.answer();
        assert_eq!(longer.reservation_expires_at, at("2025-06-10T14:00:00Z"));
        // Money alone leaves the time as it is.
        let larger = extend(&client, by_cost(&id, "0.1")).await.answer();
        assert_eq!(larger.reservation_expires_at, at("2025-06-10T14:00:00Z"));
        world.hands().set("2025-06-10T13:59:59Z");
        assert_eq!(reserved(&client).await, ["0.7", "0.7"]);
        // Another instance knows as long that the room is taken.
        let other = World::builder(backend).at("2025-06-10T13:59:59Z").start_on(std::sync::Arc::clone(&world.database)).await;
        let asked = other.admin.gateway();
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let request = pb::AuthorizeRequest { key: secret, ..ask("elsewhere", "0.5") };
        assert_eq!(denial(&asked.clone().authorize(request).await.answer()).1, BudgetScope::Team);
        assert!(!settle(&client, &id, 1_000).await.late);
        let id = reserve(&client, "b", "0.5").await;
        extend(&client, by_time(&id, "1h")).await.answer();
        world.hands().set("2025-06-10T14:59:59Z");
        assert_eq!(reserved(&client).await, ["0", "0"], "it ends when it was to end");
        extend(&client, by_time(&id, "1h")).await.refused(Code::FailedPrecondition, ErrorReason::ReservationNotLive);
    }

    async fn what_is_over_or_of_others_is_not_extended(world: World) {
        let client = key_in_team(&world, "1", "1").await;
        let [settled, released, open] = [reserve(&client, "a", "0.1").await, reserve(&client, "b", "0.1").await, reserve(&client, "c", "0.1").await];
        settle(&client, &settled, 10).await;
        client.gateway().release(pb::ReleaseRequest { reservation_id: released.clone() }).await.answer();
        for id in [&settled, &released] {
            extend(&client, by_cost(id, "0.1")).await.refused(Code::FailedPrecondition, ErrorReason::ReservationNotLive);
        }
        let (secret, _) = world.key(pb::Key::default()).await;
        extend(&world.with_key(&secret), by_cost(&open, "0.1")).await.refused(Code::NotFound, ErrorReason::ReservationNotFound);
        extend(&client, by_cost("no reservation", "0.1")).await.refused(Code::NotFound, ErrorReason::ReservationNotFound);
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer();
        // Its key comes in no more; an admin learns why.
        let status = extend(&world.admin, by_cost(&open, "0.1")).await.refused(Code::PermissionDenied, ErrorReason::CallDenied);
        assert_eq!(tonic_types::StatusExt::get_error_details(&status).error_info().unwrap().metadata["deny_reason"], "TEAM_BLOCKED");
    }

    async fn what_makes_no_sense_is_told(world: World) {
        let client = key_in_team(&world, "1", "1").await;
        let id = reserve(&client, "a", "0.1").await;
        for (request, field) in [
            (pb::ExtendRequest { reservation_id: id.clone(), ..Default::default() }, "additional_cost"),
            (pb::ExtendRequest { ttl: "1m".into(), ..Default::default() }, "reservation_id"),
            (by_time(&id, "9s"), "ttl"),
            (by_time(&id, "2d"), "ttl"),
            (by_time(&id, "soon"), "ttl"),
            (by_cost(&id, "-1"), "additional_cost"),
            (pb::ExtendRequest { reservation_id: id.clone(), additional_output_tokens: Some(-1), ..Default::default() }, "additional_output_tokens"),
        ] {
            assert_eq!(extend(&client, request).await.bad()[0].0, field);
        }
    }

    async fn no_budget_is_passed_however_many_extend_at_once(world: World) {
        let client = key_in_team(&world, "5", "1").await;
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(reserve(&client, &format!("r{number}"), "0").await);
        }
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..100 {
            let (client, id) = (client.clone(), ids[number % 5].clone());
            calls.spawn(async move { extend(&client, by_cost(&id, "0.05")).await.map(|_| ()) });
        }
        let done = calls.join_all().await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 20);
        assert!(done.iter().filter_map(|done| done.as_ref().err()).all(|status| status.code() == Code::ResourceExhausted));
        assert_eq!(reserved(&client).await, ["1", "1"]);
        for id in ids {
            client.gateway().release(pb::ReleaseRequest { reservation_id: id }).await.answer();
        }
        assert_eq!(reserved(&client).await, ["0", "0"]);
    }
}
