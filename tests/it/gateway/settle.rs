//! Settle: what a call really used, booked once.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{ask, authorize, denial, reserve, settle};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

on_both! {
    async fn the_real_cost_replaces_the_estimate_in_every_account(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: Some("7".into()), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("8".into()), members, ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key {
            user_id: Some("alice".into()), team_id: Some("red".into()), max_budget: Some("9".into()), ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "1").await;
        // 100,000 × 2.5 USD a million.
        let settled = settle(&client, &id, 100_000).await;
        assert_eq!((settled.cost.as_str(), settled.late, settled.request_id.as_str()), ("0.25", false, id.as_str()));
        let standings: Vec<_> = settled.budgets.iter().map(|budget| {
            (budget.id.as_str(), budget.spend.as_str(), budget.reserved.as_str(), budget.remaining.as_deref().unwrap())
        }).collect();
        assert_eq!(standings, [
            (key.key_id.as_str(), "0.25", "0", "8.75"), ("red", "0.25", "0", "7.75"), ("red/alice", "0.25", "0", "6.75"),
        ]);
        let user = world.admin.users().get_user(pb::GetUserRequest { user_id: "alice".into(), ..Default::default() }).await.answer().user.unwrap();
        assert_eq!((user.spend.as_deref(), user.personal_spend.as_str()), (Some("0.25"), "0"), "a team key is not personal");
    }

    async fn settling_again_books_nothing_and_answers_the_same(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "1").await;
        let first = settle(&client, &id, 100_000).await;
        let again = settle(&client, &id, 100_000).await;
        assert_eq!((&first.cost, &first.request_id), (&again.cost, &again.request_id));
        assert_eq!(again.budgets[0].spend, "0.25");
        // Another usage under the same id is a conflict, and books nothing.
        let other = pb::UsageEvent { prompt_tokens: 7, ..Default::default() };
        let request = pb::SettleRequest { reservation_id: id, usage: Some(other) };
        client.gateway().settle(request).await.refused(Code::AlreadyExists, ErrorReason::RequestIdConflict);
        assert_eq!(world.store().verify().await.unwrap().events, 1);
    }

    async fn a_call_that_cost_more_than_its_estimate_is_booked_in_full(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "0.1").await;
        let settled = settle(&client, &id, 800_000).await;
        assert_eq!((settled.cost.as_str(), settled.budgets[0].spend.as_str()), ("2", "2"));
        assert_eq!(settled.budgets[0].remaining.as_deref(), Some("0"), "nothing is left");
        assert_eq!(denial(&authorize(&client, ask("b", "0")).await).0, pb::DenyReason::BudgetExceeded);
    }

    async fn a_cost_is_believed_from_sidecars_and_admins_only(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let told = |reservation_id: &str| pb::SettleRequest {
            reservation_id: reservation_id.into(),
            usage: Some(pb::UsageEvent { prompt_tokens: 40_000, cost: Some("0.77".into()), ..Default::default() }),
        };
        let own = world.with_key(&secret);
        let id = reserve(&own, "a", "1").await;
        assert_eq!(own.gateway().settle(told(&id)).await.answer().cost, "0.1", "computed, not believed");
        let sidecar = world.sidecar().await;
        let answer = authorize(&sidecar, pb::AuthorizeRequest { key: secret.clone(), ..ask("a", "1") }).await;
        assert_eq!(sidecar.gateway().settle(told(&answer.reservation_id)).await.answer().cost, "0.77");
    }

    async fn the_event_shows_key_model_and_cost(world: World) {
        let (secret, key) = world.key(pb::Key {
            key_alias: Some("billing".into()),
            model_aliases: [("fast".to_owned(), MODEL.to_owned())].into(),
            tags: vec!["prod".into()],
            ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        let answer = authorize(&client, pb::AuthorizeRequest { model: "fast".into(), ..ask("a", "1") }).await;
        let usage = pb::UsageEvent {
            request_id: "my-own-id".into(), prompt_tokens: 1_000, completion_tokens: 10, tags: vec!["night".into()],
            // Key and model come from the reservation, whatever is said here.
            model: "other".into(), key: "sk-other".into(), session_id: "s1".into(), ..Default::default()
        };
        let settled = client.gateway().settle(pb::SettleRequest { reservation_id: answer.reservation_id, usage: Some(usage) }).await.answer();
        assert_eq!((settled.request_id.as_str(), settled.cost.as_str()), ("my-own-id", "0.0026"));
        let event = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: "my-own-id".into() }).await.answer().event.unwrap();
        assert_eq!((&event.key_id, event.key_alias.as_str(), &event.key_hash), (&key.key_id, "billing", &key.key_hash));
        assert_eq!((event.model.as_str(), event.model_group.as_str(), event.provider.as_str()), (MODEL, "fast", "openai"));
        assert_eq!((event.cost.as_deref(), event.cost_source()), (Some("0.0026"), pb::CostSource::Computed));
        assert_eq!((event.total_tokens, event.tags), (1_010, vec!["night".to_owned(), "prod".to_owned()]));
    }

    async fn a_settlement_belongs_to_the_window_that_authorised_it(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T23:59:50Z").start().await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), budget_duration: Some("1d".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "0.6").await;
        world.hands().set("2025-01-02T00:00:10Z");
        // The new day has its whole budget.
        let tomorrow = reserve(&client, "b", "1").await;
        assert!(!settle(&client, &id, 200_000).await.late);
        let settled = settle(&client, &tomorrow, 40_000).await;
        assert_eq!(settled.budgets[0].spend, "0.1", "yesterday's call does not count today");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn bad_usage_is_refused_and_the_reservation_stays(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "1").await;
        let usage = pb::UsageEvent {
            prompt_tokens: -1, cost: Some("-1".into()), error_message: "e".repeat(100_000), ..Default::default()
        };
        let bad = client.gateway().settle(pb::SettleRequest { reservation_id: id.clone(), usage: Some(usage) }).await.bad();
        let fields: Vec<&str> = bad.iter().map(|(field, _)| field.as_str()).collect();
        assert!(fields.contains(&"usage.prompt_tokens") && fields.contains(&"usage.cost"), "{fields:?}");
        let future = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
        let usage = pb::UsageEvent { start_time: Some(future), ..Default::default() };
        let request = pb::SettleRequest { reservation_id: id.clone(), usage: Some(usage) };
        client.gateway().settle(request).await.refused(Code::InvalidArgument, ErrorReason::ClockSkew);
        assert_eq!(denial(&authorize(&client, ask("b", "1")).await).0, pb::DenyReason::BudgetExceeded);
        assert_eq!(settle(&client, &id, 40_000).await.cost, "0.1");
    }
    async fn a_settlement_under_the_id_of_another_event_leaves_the_reservation(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let (first, second) = (reserve(&client, "a", "0.5").await, reserve(&client, "b", "0.5").await);
        let usage = |prompt_tokens| Some(pb::UsageEvent { request_id: "mine".into(), prompt_tokens, ..Default::default() });
        client.gateway().settle(pb::SettleRequest { reservation_id: first, usage: usage(40_000) }).await.answer();
        let conflict = pb::SettleRequest { reservation_id: second.clone(), usage: usage(400_000) };
        client.gateway().settle(conflict).await.refused(Code::AlreadyExists, ErrorReason::RequestIdConflict);
        let status = client.budgets().get_budget_status(pb::GetBudgetStatusRequest::default()).await.answer();
        assert_eq!((status.budgets[0].spend.as_str(), status.budgets[0].reserved.as_str()), ("0.1", "0.5"));
        assert_eq!(settle(&client, &second, 40_000).await.budgets[0].remaining.as_deref(), Some("0.8"));
    }
    async fn a_settlement_without_usage_is_refused(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "0.5").await;
        let bare = pb::SettleRequest { reservation_id: id.clone(), usage: None };
        assert_eq!(client.gateway().settle(bare).await.bad()[0].0, "usage");
        let empty = pb::SettleRequest { reservation_id: id.clone(), usage: Some(pb::UsageEvent::default()) };
        assert_eq!(client.gateway().settle(empty.clone()).await.answer().cost, "0");
        let other = pb::SettleRequest { usage: Some(pb::UsageEvent { prompt_tokens: 9, ..Default::default() }), ..empty };
        let status = client.gateway().settle(other).await.refused(Code::AlreadyExists, ErrorReason::RequestIdConflict);
        assert!(status.message().contains(&id), "{}", status.message());
    }

    async fn spend_stays_when_a_window_becomes_endless(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), budget_duration: Some("1d".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        settle(&client, &reserve(&client, "a", "0.5").await, 200_000).await;
        let cleared = pb::Key { key_hash: key.key_hash.clone(), ..Default::default() };
        let mask = prost_types::FieldMask { paths: vec!["budget_duration".into()] };
        let request = pb::UpdateKeyRequest { key: Some(cleared), update_mask: Some(mask), ..Default::default() };
        world.admin.keys().update_key(request).await.answer();
        world.hands().advance(3 * 86_400);
        let shown = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash }).await.answer().key.unwrap();
        assert_eq!(shown.spend.as_deref(), Some("0.5"));
    }
}
