//! `RecordUsage`: each event once, each by itself.

use bursar::pb;
use pb::{ErrorReason, UsageResult};
use prost::Message;
use tonic::Code;
use tonic_types::pb::ErrorInfo;

use super::{at, event, record};
use crate::gateway::{ask, authorize, reserve};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

/// The status and the reason of each result.
fn outcomes(answer: &pb::RecordUsageResponse) -> Vec<(UsageResult, String)> {
    let reason = |result: &pb::RecordUsageResult| {
        let details = result.error.iter().flat_map(|error| &error.details);
        let mut infos = details.filter(|detail| detail.type_url.ends_with("google.rpc.ErrorInfo"));
        infos.next().map(|info| ErrorInfo::decode(info.value.as_slice()).unwrap().reason).unwrap_or_default()
    };
    answer.results.iter().map(|result| (result.status(), reason(result))).collect()
}

async fn spend_of(world: &World, key_hash: &str) -> String {
    let request = pb::GetKeyRequest { key: key_hash.to_owned() };
    world.admin.keys().get_key(request).await.answer().key.unwrap().spend.unwrap()
}

on_both! {
    async fn an_event_counts_once_however_often_it_is_sent(world: World) {
        let (secret, key) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let batch = || vec![event("a", &secret, 400), event("b", &key.key_hash, 800), event("a", &secret, 400)];
        let first = record(&sidecar, batch()).await;
        assert_eq!((first.recorded, first.duplicates), (2, 1));
        let costs: Vec<&str> = first.results.iter().map(|result| result.cost.as_str()).collect();
        assert_eq!(costs, ["0.001", "0.002", "0.001"]);
        let again = record(&sidecar, batch()).await;
        assert_eq!((again.recorded, again.duplicates), (0, 3));
        assert_eq!(spend_of(&world, &key.key_hash).await, "0.003");
        let verified = world.store().verify().await.unwrap();
        assert!(verified.discrepancies.is_empty() && verified.events == 2, "{verified:?}");
    }

    async fn an_id_that_another_event_has_can_be_made_ones_own(world: World) {
        let (secret, key) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        record(&sidecar, vec![event("a", &secret, 400)]).await;
        let asked = pb::AuthorizeRequest { key: secret.clone(), ..ask("r", "0.5") };
        let reserved = authorize(&sidecar, asked).await.reservation_id;
        let events = || vec![
            event("a", &secret, 400),
            event("a", &secret, 800),
            pb::UsageEvent { reservation_id: reserved.clone(), ..event("a", "", 1_600) },
        ];
        let rekey = |on_id_conflict: i32| {
            let request = pb::RecordUsageRequest { events: events(), on_id_conflict };
            let sidecar = sidecar.clone();
            async move { sidecar.spend().record_usage(request).await }
        };
        let told = rekey(pb::IdConflict::Report.into()).await.answer();
        assert_eq!((told.recorded, told.duplicates, told.results[1].status()), (0, 1, UsageResult::Conflict));
        let first = rekey(pb::IdConflict::Rekey.into()).await.answer();
        let statuses: Vec<UsageResult> = first.results.iter().map(pb::RecordUsageResult::status).collect();
        assert_eq!(statuses, [UsageResult::Duplicate, UsageResult::Recorded, UsageResult::Recorded]);
        let stored: Vec<&str> = first.results.iter().map(|result| result.stored_request_id.as_str()).collect();
        assert!(stored[0].is_empty() && stored[1].starts_with("a~") && stored[1].len() == 10 && stored[1] != stored[2], "{stored:?}");
        let again = rekey(pb::IdConflict::Rekey.into()).await.answer();
        assert_eq!((again.recorded, again.duplicates), (0, 3), "repeats count once");
        assert_eq!(again.results[1].stored_request_id, stored[1]);
        assert_eq!(spend_of(&world, &key.key_hash).await, "0.007");
        let status = pb::GetBudgetStatusRequest { subject: Some(pb::get_budget_status_request::Subject::Key(secret.clone())) };
        assert_eq!(world.admin.budgets().get_budget_status(status).await.answer().budgets[0].reserved, "0", "it settled its own");
        assert_eq!(rekey(9).await.bad()[0].0, "on_id_conflict");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_repeat_is_a_repeat_whatever_comes_before_it(world: World) {
        let (secret, key) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        record(&sidecar, vec![event("a", &secret, 400)]).await;
        let answer = record(&sidecar, vec![event("a", &secret, 800), event("a", &secret, 400), event("a", &secret, 1_600)]).await;
        let statuses: Vec<UsageResult> = answer.results.iter().map(pb::RecordUsageResult::status).collect();
        assert_eq!(statuses, [UsageResult::Conflict, UsageResult::Duplicate, UsageResult::Conflict]);
        assert_eq!(answer.results[1].cost, "0.001");
        assert_eq!(spend_of(&world, &key.key_hash).await, "0.001");
    }

    async fn bad_events_do_not_hurt_the_others(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").set("max_event_cost", "5").set("require_price", "true").start().await;
        let (secret, key) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        record(&sidecar, vec![event("taken", &secret, 400)]).await;
        let events = vec![
            event("good", &secret, 400),
            event("taken", &secret, 401),
            event("stranger", "sk-nobody-made-this-key", 400),
            pb::UsageEvent { start_time: at("2025-06-03T12:00:00Z"), ..event("future", &secret, 400) },
            pb::UsageEvent { start_time: at("2025-01-01T00:00:00Z"), ..event("ancient", &secret, 400) },
            pb::UsageEvent { model: "no-such-model".into(), ..event("unpriced", &secret, 400) },
            pb::UsageEvent { call_type: "telepathy".into(), ..event("by-thought", &secret, 400) },
            pb::UsageEvent { cost: Some("5.000000001".into()), ..event("dear", &secret, 400) },
            pb::UsageEvent { reservation_id: "made-up".into(), ..event("unreserved", "", 400) },
            pb::UsageEvent { cost: Some("5".into()), model: "no-such-model".into(), ..event("told", &secret, 400) },
        ];
        let answer = record(&sidecar, events).await;
        let rejected = |reason: &str| (UsageResult::Rejected, reason.to_owned());
        assert_eq!(outcomes(&answer), [
            (UsageResult::Recorded, String::new()),
            (UsageResult::Conflict, "REQUEST_ID_CONFLICT".to_owned()),
            rejected("KEY_NOT_FOUND"),
            rejected("CLOCK_SKEW"),
            rejected("TOO_OLD"),
            rejected("MODEL_NOT_PRICED"),
            rejected("CALL_TYPE_NOT_PRICED"),
            rejected("COST_OUT_OF_RANGE"),
            rejected("RESERVATION_NOT_FOUND"),
            (UsageResult::Recorded, String::new()),
        ]);
        assert_eq!((answer.recorded, answer.duplicates), (2, 0));
        assert_eq!(spend_of(&world, &key.key_hash).await, "5.002");
        // An admin imports what is old.
        let old = pb::UsageEvent { start_time: at("2025-01-01T00:00:00Z"), ..event("ancient", &secret, 400) };
        assert_eq!(record(&world.admin, vec![old]).await.recorded, 1);
    }

    async fn a_malformed_batch_is_refused_as_a_whole(world: World) {
        let (secret, key) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let events = vec![
            event("good", &secret, 400),
            event("", &secret, 400),
            event("negative", &secret, -1),
            event("umlaut-ü", &secret, 1),
            pb::UsageEvent { cost: Some("1e3".into()), ..event("money", &secret, 1) },
            pb::UsageEvent { model: String::new(), ..event("model", &secret, 1) },
            event("keyless", "", 1),
            pb::UsageEvent { tags: vec!["t".repeat(257)], ..event("tag", &secret, 1) },
        ];
        let bad = sidecar.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await.bad();
        let fields: Vec<&str> = bad.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, [
            "events[1].request_id", "events[2].prompt_tokens", "events[3].request_id", "events[4].cost", "events[5].model",
            "events[6].key", "events[7].tags[0]",
        ]);
        assert_eq!(spend_of(&world, &key.key_hash).await, "0", "nothing was written");
        assert_eq!(sidecar.spend().record_usage(pb::RecordUsageRequest::default()).await.bad()[0].0, "events");
        let events = vec![event("x", &secret, 1); 10_001];
        assert_eq!(sidecar.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await.bad()[0].0, "events");
    }

    async fn recording_under_a_reservation_frees_it(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let ask = pb::AuthorizeRequest { key: secret.clone(), ..crate::gateway::ask("r", "1") };
        let reservation_id = crate::gateway::authorize(&sidecar, ask).await.reservation_id;
        let used = pb::UsageEvent { request_id: "e".into(), reservation_id, prompt_tokens: 40_000, ..Default::default() };
        let answer = record(&sidecar, vec![used]).await;
        assert_eq!(outcomes(&answer), [(UsageResult::Recorded, String::new())]);
        assert_eq!(answer.results[0].cost, "0.1");
        reserve(&world.with_key(&secret), "s", "0.9").await;
    }

    async fn usage_of_a_deleted_key_still_counts(world: World) {
        world.person("alice", pb::Role::InternalUser).await;
        world.team(pb::Team { team_id: "red".into(), members: vec![crate::teams::member("alice", pb::TeamRole::User)], ..Default::default() }).await;
        let owned = pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() };
        let (secret, key) = world.key(pb::Key { key_alias: Some("gone".into()), ..owned }).await;
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![secret.clone()], ..Default::default() }).await.answer();
        let answer = record(&world.sidecar().await, vec![event("late", &secret, 400)]).await;
        assert_eq!(answer.recorded, 1, "{answer:?}");
        let shown = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: "late".into() }).await.answer().event.unwrap();
        assert_eq!((shown.key_id, shown.key_alias, shown.team_id), (key.key_id, "gone".to_owned(), "red".to_owned()));
        let team = crate::teams::team(&world, "red").await;
        assert_eq!(team.spend.as_deref(), Some("0.001"));
        assert_eq!(team.members[0].spend, "0.001", "and its owner in the team");
        // Of a team that is gone, too, nobody else pays.
        world.organization(pb::Organization { organization_id: "globex".into(), ..Default::default() }).await;
        let bob = pb::User { user_id: "bob".into(), ..Default::default() };
        let made = pb::CreateUserRequest { user: Some(bob), organization_ids: vec!["globex".into()], auto_create_key: Some(false), ..Default::default() };
        world.admin.users().create_user(made).await.answer();
        let members = vec![crate::teams::member("bob", pb::TeamRole::User)];
        world.team(pb::Team { team_id: "gone".into(), members, ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("bob".into()), team_id: Some("gone".into()), ..Default::default() }).await;
        world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["gone".into()] }).await.answer();
        assert_eq!(record(&world.admin, vec![event("later", &secret, 400)]).await.recorded, 1);
        let globex = crate::organizations::organization(&world, "globex").await;
        assert_eq!(globex.spend.as_deref(), Some("0"));
        let bob = world.admin.users().get_user(pb::GetUserRequest { user_id: "bob".into(), ..Default::default() }).await.answer();
        assert_eq!(bob.user.unwrap().spend.as_deref(), Some("0.001"));
    }

    async fn only_sidecars_and_admins_record(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        for client in [alice, world.with_key(&secret)] {
            let request = pb::RecordUsageRequest { events: vec![event("a", &secret, 1)], ..Default::default() };
            client.spend().record_usage(request).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        }
    }

    async fn what_an_event_says_of_itself_is_kept(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let metadata = prost_types::Struct {
            fields: [("run".to_owned(), prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(7.0)) })].into(),
        };
        let told = pb::UsageEvent {
            model_group: "fast".into(), deployment: "eu-1".into(), customer_id: "cust".into(), tags: vec!["x".into(), "y".into()],
            start_time: at("2026-11-20T10:00:00Z"), end_time: at("2026-11-20T10:00:03Z"), completion_start_time: at("2026-11-20T10:00:01Z"),
            completion_tokens: 10, cache_read_tokens: 100, reasoning_tokens: 5, status: pb::UsageStatus::Failure.into(),
            error_code: "429".into(), error_message: "slow down".into(), session_id: "s".into(), metadata: Some(metadata),
            cost: Some("0.123456789".into()), ..event("full", &secret, 400)
        };
        record(&world.admin, vec![told.clone()]).await;
        let shown = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: "full".into() }).await.answer().event.unwrap();
        let kept = pb::UsageEvent {
            key: String::new(), key_hash: shown.key_hash.clone(), key_id: shown.key_id.clone(), key_alias: shown.key_alias.clone(),
            provider: "openai".into(), total_tokens: 410, cost_source: pb::CostSource::Reported.into(), call_type: shown.call_type.clone(),
            usage_style: shown.usage_style, recorded_at: shown.recorded_at, price_id: shown.price_id.clone(), ..told
        };
        assert_eq!(shown, kept);
        assert!(shown.recorded_at.is_some());
        assert_eq!(world.admin.spend().get_usage(pb::GetUsageRequest { request_id: "none".into() }).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(shown.model, MODEL);
    }

    async fn a_model_without_a_price_counts_as_zero_and_says_so(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let unknown = pb::UsageEvent { model: "home-made".into(), ..event("u", &secret, 400) };
        let cached = pb::UsageEvent { cache_hit: true, ..event("c", &secret, 400) };
        let answer = record(&world.sidecar().await, vec![unknown, cached]).await;
        assert!(answer.results.iter().all(|result| result.cost == "0"), "{answer:?}");
        for (id, source) in [("u", pb::CostSource::Unpriced), ("c", pb::CostSource::CacheHit)] {
            let shown = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: id.into() }).await.answer().event.unwrap();
            assert_eq!(shown.cost_source(), source);
        }
    }
}
