//! Races: many callers at once, and no budget overspent.

use bursar::pb;
use tokio::task::JoinSet;

use crate::gateway::{ask, authorize};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

/// 64 callers on several connections, all at once; how many were allowed.
async fn stampede(world: &World, secret: &str, cost: &str) -> Vec<String> {
    let mut callers = JoinSet::new();
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(world.connect().await);
    }
    for number in 0..64 {
        let client = Client::anonymous(channels[number % 8].clone()).with_key(secret);
        let request = ask(&format!("{cost}-{number}"), cost);
        callers.spawn(async move { authorize(&client, request).await });
    }
    let answers = callers.join_all().await;
    answers
        .into_iter()
        .filter(|answer| answer.decision() == pb::Decision::Allow)
        .map(|answer| answer.reservation_id)
        .collect()
}

on_both! {
    async fn of_64_callers_with_room_for_10_exactly_10_pass(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: Some("1".into()), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("2".into()), members, ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key {
            user_id: Some("alice".into()), team_id: Some("red".into()), max_budget: Some("3".into()), ..Default::default()
        }).await;
        let allowed = stampede(&world, &secret, "0.1").await;
        assert_eq!(allowed.len(), 10, "1 USD for the member at 0.1 each");
        // Their real cost is a fifth: 8 of 10 places are free again.
        let client = world.with_key(&secret);
        let mut settling = JoinSet::new();
        for reservation_id in allowed {
            let client = client.clone();
            settling.spawn(async move {
                let usage = pb::UsageEvent { prompt_tokens: 8_000, ..Default::default() };
                client.gateway().settle(pb::SettleRequest { reservation_id, usage: Some(usage) }).await.answer().cost
            });
        }
        assert!(settling.join_all().await.iter().all(|cost| cost == "0.02"));
        assert_eq!(stampede(&world, &secret, "0.1000000").await.len(), 8);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn of_64_callers_with_three_places_in_flight_exactly_3_pass(world: World) {
        let (secret, _) = world.key(pb::Key { max_parallel_requests: Some(3), ..Default::default() }).await;
        assert_eq!(stampede(&world, &secret, "0").await.len(), 3);
    }

    async fn a_new_secret_does_not_outlive_its_key(world: World) {
        for round in 0..12 {
            let id = format!("acme-{round}");
            world.organization(pb::Organization { organization_id: id.clone(), ..Default::default() }).await;
            let team = pb::Team { team_id: format!("red-{round}"), organization_id: Some(id.clone()), ..Default::default() };
            let team = world.team(team).await;
            let service = pb::GenerateKeyRequest {
                key: Some(pb::Key { team_id: Some(team.team_id), ..Default::default() }), service_account: true, ..Default::default()
            };
            let secret = world.admin.keys().generate_key(service).await.answer().secret;
            let rotating = async {
                let request = pb::RegenerateKeyRequest { key: secret.clone(), ..Default::default() };
                let rotated = world.admin.keys().regenerate_key(request).await.ok()?.into_inner().secret;
                // In memory from its first use on.
                let _ = world.with_key(&rotated).keys().get_key(pb::GetKeyRequest::default()).await;
                Some(rotated)
            };
            let request = pb::DeleteOrganizationsRequest { organization_ids: vec![id], ..Default::default() };
            let (client, delay) = (world.admin.clone(), std::time::Duration::from_micros(400 * round));
            let deleting = async move {
                tokio::time::sleep(delay).await;
                while client.organizations().delete_organizations(request.clone()).await.is_err() {}
            };
            let (rotated, ()) = tokio::join!(rotating, deleting);
            for secret in rotated.into_iter().chain([secret]) {
                assert!(world.with_key(&secret).keys().get_key(pb::GetKeyRequest::default()).await.is_err());
                let gone = world.admin.keys().get_key(pb::GetKeyRequest { key: secret }).await.answer().key.unwrap();
                assert_eq!(gone.state(), pb::KeyState::Deleted);
            }
        }
    }

    async fn the_same_event_from_32_senders_is_booked_once(world: World) {
        let (secret, key) = world.key(pb::Key::default()).await;
        let mut senders = JoinSet::new();
        for number in 0..32 {
            let client = world.admin.clone();
            let event = |id: String| pb::UsageEvent { request_id: id, key: secret.clone(), model: "gpt-4o".into(), prompt_tokens: 400, ..Default::default() };
            // Each sends the shared events and one of its own.
            let events = vec![event("shared-1".into()), event(format!("own-{number}")), event("shared-2".into())];
            senders.spawn(async move { client.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await.answer() });
        }
        let answers = senders.join_all().await;
        assert_eq!(answers.iter().map(|answer| answer.recorded).sum::<i64>(), 34);
        assert_eq!(answers.iter().map(|answer| answer.duplicates).sum::<i64>(), 62);
        let request = pb::GetKeyRequest { key: key.key_hash };
        assert_eq!(world.admin.keys().get_key(request).await.answer().key.unwrap().spend.as_deref(), Some("0.034"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_user_who_is_created_twice_at_once_exists_once(world: World) {
        let mut makers = JoinSet::new();
        for number in 0..16 {
            let admin = world.admin.clone();
            makers.spawn(async move {
                let user = pb::User { user_id: "alice".into(), user_alias: Some(number.to_string()), ..Default::default() };
                let request = pb::CreateUserRequest { user: Some(user), ..Default::default() };
                admin.users().create_user(request).await
            });
        }
        let (made, refused): (Vec<_>, Vec<_>) = makers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        for refusal in refused {
            refusal.refused(tonic::Code::AlreadyExists, pb::ErrorReason::UserIdExists);
        }
        let keys = world.admin.keys().list_keys(pb::ListKeysRequest { user_id: "alice".into(), ..Default::default() }).await.answer();
        assert_eq!(keys.keys.len(), 1, "no key of a user who was not made");
    }

    async fn one_address_belongs_to_one_user_however_many_want_it(world: World) {
        let mut makers = JoinSet::new();
        for number in 0..32 {
            let admin = world.admin.clone();
            makers.spawn(async move {
                // In whatever case.
                let address = if number % 2 == 0 { "alice@example.com" } else { "Alice@Example.COM" };
                let user = pb::User { user_email: Some(address.into()), ..Default::default() };
                let request = pb::CreateUserRequest { user: Some(user), ..Default::default() };
                admin.users().create_user(request).await
            });
        }
        let (made, refused): (Vec<_>, Vec<_>) = makers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        for refusal in refused {
            refusal.refused(tonic::Code::AlreadyExists, pb::ErrorReason::UserEmailExists);
        }
        let everybody = world.admin.users().list_users(pb::ListUsersRequest::default()).await.answer().users;
        let keys = world.admin.keys().list_keys(pb::ListKeysRequest::default()).await.answer().keys;
        assert_eq!((everybody.len(), keys.len()), (1, 1));
    }

    async fn the_same_create_sent_twice_at_once_gets_one_answer(world: World) {
        let request = pb::GenerateKeyRequest { request_id: "once".into(), ..Default::default() };
        let mut makers = JoinSet::new();
        for _ in 0..16 {
            let (admin, request) = (world.admin.clone(), request.clone());
            makers.spawn(async move { admin.keys().generate_key(request).await.answer().secret });
        }
        let mut secrets = makers.join_all().await;
        secrets.dedup();
        assert_eq!(secrets.len(), 1);
    }

    async fn two_edits_with_one_etag_are_one_edit(world: World) {
        let user = world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let mut editors = JoinSet::new();
        for number in 0..8 {
            let admin = world.admin.clone();
            let user = pb::User { user_id: "alice".into(), user_alias: Some(number.to_string()), etag: user.etag.clone(), ..Default::default() };
            editors.spawn(async move { admin.users().update_user(pb::UpdateUserRequest { user: Some(user), ..Default::default() }).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) = editors.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, 7));
        for refusal in refused {
            refusal.refused(tonic::Code::Aborted, pb::ErrorReason::EtagStale);
        }
    }
    async fn who_is_removed_from_a_team_changes_nothing_of_it_any_more(world: World) {
        let (lead, _) = crate::teams::red(&world, pb::Team::default()).await;
        let add = pb::AddTeamMembersRequest { team_id: "red".into(), members: vec![crate::teams::member("lead", pb::TeamRole::Admin)], ..Default::default() };
        let remove = pb::RemoveTeamMemberRequest { team_id: "red".into(), user_id: "lead".into(), ..Default::default() };
        let (_, key) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        for round in 0..25 {
            let mut edits = JoinSet::new();
            for number in 0..6 {
                let (lead, alias, key_hash) = (lead.clone(), Some(format!("{round}-{number}")), key.key_hash.clone());
                edits.spawn(async move {
                    // Whichever way it ends, the audit log says when.
                    if number % 2 == 0 {
                        let team = pb::Team { team_id: "red".into(), team_alias: alias, ..Default::default() };
                        let _ = lead.teams().update_team(pb::UpdateTeamRequest { team: Some(team), ..Default::default() }).await;
                    } else {
                        let key = pb::Key { key_hash, key_alias: alias, ..Default::default() };
                        let _ = lead.keys().update_key(pb::UpdateKeyRequest { key: Some(key), ..Default::default() }).await;
                    }
                });
            }
            tokio::time::sleep(std::time::Duration::from_millis(round % 5)).await;
            world.admin.teams().remove_team_member(remove.clone()).await.answer();
            edits.join_all().await;
            world.admin.teams().add_team_members(add.clone()).await.answer();
        }
        let list = pb::ListAuditEntriesRequest { team_id: "red".into(), order_by: "sequence".into(), page_size: 1_000, ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(list).await.answer().entries;
        let (mut is_in, mut edits) = (true, 0);
        for entry in entries {
            match entry.action() {
                pb::AuditAction::RemoveMember if entry.object_id.contains("lead") => is_in = false,
                pb::AuditAction::AddMember if entry.object_id.contains("lead") => is_in = true,
                pb::AuditAction::Update if entry.actor == "lead" => {
                    edits += 1;
                    assert!(is_in, "{entry:?}");
                }
                _ => {}
            }
        }
        assert!(edits > 0, "no edit was ever in time");
    }

    async fn two_servers_on_one_database_never_pass_a_budget(backend: Backend) {
        let first = World::start(backend).await;
        let second = World::builder(backend).start_on(std::sync::Arc::clone(&first.database)).await;
        let (secret, key) = first.key(pb::Key { max_budget: Some("0.5".into()), ..Default::default() }).await;
        let mut callers = JoinSet::new();
        for (number, world) in [&first, &second].into_iter().cycle().take(24).enumerate() {
            let client = Client::anonymous(world.connect().await).with_key(&secret);
            callers.spawn(async move {
                let mut spent = 0;
                for call in 0..20 {
                    // Between 0.0025 and 0.0125 USD each: in all three times the budget.
                    let tokens = 1_000 * (1 + (call * 7 + i64::try_from(number).unwrap()) % 5);
                    let cost = rust_decimal::Decimal::new(tokens * 25, 7).normalize().to_string();
                    let Ok(answer) = client.gateway().authorize(ask(&format!("{number}-{call}"), &cost)).await else { continue };
                    let answer = answer.into_inner();
                    if answer.decision() == pb::Decision::Allow {
                        crate::gateway::settle(&client, &answer.reservation_id, tokens).await;
                        spent += tokens;
                    }
                }
                spent
            });
        }
        let tokens: i64 = callers.join_all().await.into_iter().sum();
        let spent = rust_decimal::Decimal::new(tokens * 25, 7);
        let limit = rust_decimal::Decimal::new(5, 1);
        assert!(spent <= limit && spent > rust_decimal::Decimal::new(3, 1), "{spent}");
        let shown = first.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash }).await.answer().key.unwrap();
        assert_eq!(shown.spend.unwrap().parse::<rust_decimal::Decimal>().unwrap(), spent);
        assert!(first.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn what_is_granted_is_always_held_in_the_database(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("100".into()), ..Default::default() }).await;
        let mut callers = JoinSet::new();
        for number in 0..8 {
            let client = Client::anonymous(world.connect().await).with_key(&secret);
            callers.spawn(async move {
                let mut open = Vec::new();
                for call in 0..40 {
                    open.push(crate::gateway::reserve(&client, &format!("{number}-{call}"), "0.01").await);
                    let id = open[0].clone();
                    match call % 4 {
                        0 => {
                            client.gateway().release(pb::ReleaseRequest { reservation_id: id }).await.answer();
                            open.remove(0);
                        }
                        1 => {
                            // Sent twice at once, as a hedging client does.
                            let twice = [client.clone(), client.clone()].map(|client| {
                                let id = id.clone();
                                async move { crate::gateway::settle(&client, &id, 400).await }
                            });
                            futures_util::future::join_all(twice).await;
                            open.remove(0);
                        }
                        _ => {}
                    }
                }
                open.len()
            });
        }
        let open: usize = callers.join_all().await.into_iter().sum();
        let keys = held(&world).await;
        assert!(keys >= i64::try_from(open).unwrap() * 10_000_000, "{open} reservations of 0.01 are open, {keys} nano-dollars held");
        assert_eq!(world.app().gate.live_reservations(), open);
    }

    async fn a_settlement_that_conflicts_keeps_its_room_held(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let (first, second) = (crate::gateway::reserve(&client, "a", "0.1").await, crate::gateway::reserve(&client, "b", "0.5").await);
        let usage = |tokens| Some(pb::UsageEvent { request_id: "mine".into(), prompt_tokens: tokens, ..Default::default() });
        client.gateway().settle(pb::SettleRequest { reservation_id: first, usage: usage(40_000) }).await.answer();
        let conflict = pb::SettleRequest { reservation_id: second, usage: usage(1) };
        client.gateway().settle(conflict).await.refused(tonic::Code::AlreadyExists, pb::ErrorReason::RequestIdConflict);
        assert!(held(&world).await >= 500_000_000);
    }
}

/// What is held in the database for all accounts together, in nano-dollars.
async fn held(world: &World) -> i64 {
    use sqlx::Connection;
    let sql = "SELECT CAST(COALESCE(SUM(held_nanos), 0) AS BIGINT) FROM leases";
    match world.backend {
        Backend::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(&world.database.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        }
        Backend::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&world.database.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        }
    }
}
