//! `ListKeys`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::in_team;
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};
use crate::teams::red;

/// The aliases of the keys that a request finds.
async fn aliases(client: &Client, request: pb::ListKeysRequest) -> Vec<String> {
    let keys = client.keys().list_keys(request).await.answer().keys;
    keys.into_iter().map(|key| key.key_alias.unwrap_or_default()).collect()
}

fn alias(name: &str, key: pb::Key) -> pb::Key {
    pb::Key { key_alias: Some(name.into()), ..key }
}

on_both! {
    async fn filters_are_combined(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        red(&world, pb::Team::default()).await;
        let personal = pb::Key { user_id: Some("alice".into()), ..Default::default() };
        world.key(alias("a-personal", personal)).await;
        world.key(alias("a-team", in_team("alice"))).await;
        world.key(alias("l-team", in_team("lead"))).await;
        let (_, blocked) = world.key(alias("free_x", pb::Key { blocked: Some(true), key_type: pb::KeyType::ReadOnly.into(), ..Default::default() })).await;
        let short = pb::GenerateKeyRequest { key: Some(alias("short", pb::Key::default())), duration: Some("1m".into()), ..Default::default() };
        world.admin.keys().generate_key(short).await.answer();
        world.hands().advance(60);
        let by_alias = || pb::ListKeysRequest { order_by: "key_alias".into(), key_alias_contains: "-".into(), ..Default::default() };
        let all = || pb::ListKeysRequest { order_by: "key_alias".into(), ..Default::default() };
        for (request, found) in [
            (by_alias(), vec!["a-personal", "a-team", "l-team"]),
            (pb::ListKeysRequest { user_id: "alice".into(), ..by_alias() }, vec!["a-personal", "a-team"]),
            (pb::ListKeysRequest { team_id: "red".into(), ..by_alias() }, vec!["a-team", "l-team"]),
            (pb::ListKeysRequest { team_id: "red".into(), user_id: "lead".into(), ..by_alias() }, vec!["l-team"]),
            (pb::ListKeysRequest { user_id: "lead".into(), include_team_keys: true, ..by_alias() }, vec!["a-team", "l-team"]),
            (pb::ListKeysRequest { key_alias: "short".into(), ..all() }, vec!["short"]),
            (pb::ListKeysRequest { key_alias_contains: "E_X".into(), ..all() }, vec!["free_x"]),
            (pb::ListKeysRequest { key: blocked.key_hash.clone(), ..all() }, vec!["free_x"]),
            (pb::ListKeysRequest { status: pb::KeyState::Blocked.into(), ..all() }, vec!["free_x"]),
            (pb::ListKeysRequest { status: pb::KeyState::Expired.into(), ..all() }, vec!["short"]),
            (pb::ListKeysRequest { status: pb::KeyState::Active.into(), ..by_alias() }, vec!["a-personal", "a-team", "l-team"]),
            (pb::ListKeysRequest { key_type: pb::KeyType::ReadOnly.into(), ..all() }, vec!["free_x"]),
        ] {
            assert_eq!(aliases(&world.admin, request.clone()).await, found, "{request:?}");
        }
    }

    async fn more_filters_are_combined(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        red(&world, pb::Team::default()).await;
        let boss = world.person("boss", pb::Role::ProxyAdmin).await;
        let make = async |client: &Client, key: pb::Key, days: &str, is_service: bool| {
            let request = pb::GenerateKeyRequest { key: Some(key), duration: Some(days.into()), service_account: is_service, ..Default::default() };
            client.keys().generate_key(request).await.answer().key.unwrap()
        };
        let first = make(&world.admin, alias("first", pb::Key { tags: vec!["Night".into()], models: vec!["gpt-4o".into()], ..Default::default() }), "1d", false).await;
        world.hands().advance(3_600);
        make(&boss, alias("second", pb::Key { tags: vec!["night%".into()], models: vec!["gpt-4o-mini".into()], ..Default::default() }), "10d", false).await;
        make(&world.admin, alias("robot", pb::Key { team_id: Some("red".into()), ..Default::default() }), "-1", true).await;
        crate::spend::record(&world.admin, vec![crate::spend::event("a", &first.key_hash, 4)]).await;
        let all = || pb::ListKeysRequest { order_by: "key_alias".into(), created_by: String::new(), ..Default::default() };
        let instant = crate::spend::at;
        for (request, found) in [
            (pb::ListKeysRequest { search: "OBO".into(), ..all() }, vec!["robot"]),
            (pb::ListKeysRequest { search: first.key_hash.clone(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { search: first.key_hash[1..].into(), ..all() }, vec![]),
            (pb::ListKeysRequest { created_by: "boss".into(), key_alias_contains: "s".into(), ..all() }, vec!["second"]),
            (pb::ListKeysRequest { tag: "Night".into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { tag: "night%".into(), ..all() }, vec!["second"]),
            (pb::ListKeysRequest { tag: "nigh".into(), ..all() }, vec![]),
            (pb::ListKeysRequest { model: "gpt-4o".into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { service_accounts_only: true, ..all() }, vec!["robot"]),
            (pb::ListKeysRequest { expires_before: instant("2025-01-02T00:00:01Z"), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { expires_after: instant("2025-01-02T00:00:01Z"), ..all() }, vec!["second"]),
            (pb::ListKeysRequest { created_before: instant("2025-01-01T01:00:00Z"), search: "s".into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { created_after: instant("2025-01-01T01:00:00Z"), search: "o".into(), ..all() }, vec!["robot", "second"]),
        ] {
            assert_eq!(aliases(&world.admin, request.clone()).await, found, "{request:?}");
        }
        let by_use = aliases(&world.admin, pb::ListKeysRequest { order_by: "last_used_at desc".into(), search: "s".into(), ..Default::default() }).await;
        assert_eq!(by_use, ["first", "second"], "what was never used is last");
        let bad = pb::ListKeysRequest {
            expires_after: instant("2025-01-02T00:00:00Z"), expires_before: instant("2025-01-01T00:00:00Z"), ..Default::default()
        };
        let fields: Vec<String> = world.admin.keys().list_keys(bad).await.bad().into_iter().map(|fault| fault.0).collect();
        assert_eq!(fields, ["expires_before"]);
    }

    async fn deleted_keys_are_found_by_what_they_were(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let (olga, omar) = crate::organizations::acme(&world, pb::Organization::default()).await;
        for (team_id, organization_id) in [("red", Some("acme")), ("gone", Some("acme")), ("blue", None)] {
            let members = vec![crate::teams::member("omar", pb::TeamRole::Admin)];
            world.team(pb::Team { team_id: team_id.into(), organization_id: organization_id.map(Into::into), members, ..Default::default() }).await;
        }
        let tier = pb::Budget { budget_id: "gold".into(), max_budget: Some("9".into()), ..Default::default() };
        world.admin.budgets().create_budget(pb::CreateBudgetRequest { budget: Some(tier), ..Default::default() }).await.answer();
        let of = |team_id: &str| pb::Key { team_id: Some(team_id.into()), ..Default::default() };
        let first = world.key(alias("first", pb::Key {
            tags: vec!["Night".into()], models: vec!["gpt-4o".into()], key_type: pb::KeyType::ReadOnly.into(), budget_id: Some("gold".into()), ..of("red")
        })).await.1;
        world.hands().advance(3_600);
        let service = pb::GenerateKeyRequest { key: Some(alias("robot", of("gone"))), duration: Some("1d".into()), service_account: true, ..Default::default() };
        world.admin.keys().generate_key(service).await.answer();
        world.key(alias("own", pb::Key { user_id: Some("omar".into()), ..Default::default() })).await;
        world.key(alias("other", of("blue"))).await;
        let aliases_of = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let delete = pb::DeleteKeysRequest { key_aliases: aliases_of(&["first", "own", "other"]), ..Default::default() };
        world.admin.keys().delete_keys(delete).await.answer();
        world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["gone".into()] }).await.answer();
        let all = || pb::ListKeysRequest { status: pb::KeyState::Deleted.into(), ..Default::default() };
        let instant = crate::spend::at;
        for (request, mut found) in [
            (all(), vec!["first", "own", "other", "robot"]),
            (pb::ListKeysRequest { organization_id: "acme".into(), ..all() }, vec!["first", "robot"]),
            (pb::ListKeysRequest { key_type: pb::KeyType::ReadOnly.into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { tag: "Night".into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { tag: "nigh".into(), ..all() }, vec![]),
            (pb::ListKeysRequest { model: "gpt-4o".into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { budget_id: "gold".into(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { service_accounts_only: true, ..all() }, vec!["robot"]),
            (pb::ListKeysRequest { search: "OBO".into(), ..all() }, vec!["robot"]),
            (pb::ListKeysRequest { search: first.key_hash.clone(), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { created_by: "master".into(), team_id: "blue".into(), ..all() }, vec!["other"]),
            (pb::ListKeysRequest { created_by: "omar".into(), ..all() }, vec![]),
            (pb::ListKeysRequest { expires_before: instant("2025-01-03T00:00:00Z"), ..all() }, vec!["robot"]),
            (pb::ListKeysRequest { expires_after: instant("2025-01-03T00:00:00Z"), ..all() }, vec![]),
            (pb::ListKeysRequest { created_before: instant("2025-01-01T01:00:00Z"), ..all() }, vec!["first"]),
            (pb::ListKeysRequest { user_id: "omar".into(), ..all() }, vec!["own"]),
            (pb::ListKeysRequest { user_id: "omar".into(), include_team_keys: true, ..all() }, vec!["first", "other", "own"]),
        ] {
            let mut listed = aliases(&world.admin, request.clone()).await;
            listed.sort_unstable();
            found.sort_unstable();
            assert_eq!(listed, found, "{request:?}");
        }
        // Who sees a team's keys sees its deleted ones.
        assert_eq!(aliases(&olga, pb::ListKeysRequest { organization_id: "acme".into(), ..all() }).await, ["first"]);
        assert_eq!(aliases(&omar, pb::ListKeysRequest { team_id: "blue".into(), ..all() }).await, ["other"]);
    }

    async fn aliases_are_listed_in_order(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        for (name, key) in [("b", in_team("alice")), ("a", in_team("lead")), ("d", pb::Key::default()), ("c_1", pb::Key { user_id: Some("alice".into()), ..Default::default() })] {
            world.key(alias(name, key)).await;
        }
        world.key(in_team("alice")).await;
        let list = async |client: &Client, request: pb::ListKeyAliasesRequest| {
            let mut request = pb::ListKeyAliasesRequest { page_size: 2, include_total: true, ..request };
            let mut found = Vec::new();
            loop {
                let page = client.keys().list_key_aliases(request.clone()).await.answer();
                found.extend(page.key_aliases);
                if page.next_page_token.is_empty() {
                    assert_eq!(page.total_size, Some(i64::try_from(found.len()).unwrap()));
                    return found;
                }
                request.page_token = page.next_page_token;
            }
        };
        let all = pb::ListKeyAliasesRequest::default;
        assert_eq!(list(&world.admin, all()).await, ["a", "b", "c_1", "d"]);
        assert_eq!(list(&world.admin, pb::ListKeyAliasesRequest { search: "C_".into(), ..all() }).await, ["c_1"]);
        assert_eq!(list(&world.admin, pb::ListKeyAliasesRequest { team_id: "red".into(), ..all() }).await, ["a", "b"]);
        assert_eq!(list(&lead, all()).await, ["a", "b"]);
        assert_eq!(list(&alice, all()).await, ["b", "c_1"]);
        let foreign = pb::ListKeyAliasesRequest { team_id: "blue".into(), ..all() };
        alice.keys().list_key_aliases(foreign).await.refused(Code::PermissionDenied, ErrorReason::NotYourTeam);
    }

    async fn pages_skip_and_repeat_nothing_in_any_order(world: World) {
        for number in 0..7_i64 {
            let key = pb::Key {
                key_alias: Some(format!("k{number}")),
                max_budget: (number % 2 == 0).then(|| number.to_string()),
                spend: Some((number % 3).to_string()),
                ..Default::default()
            };
            let duration = (number % 3 == 0).then(|| format!("{}d", number + 1));
            world.admin.keys().generate_key(pb::GenerateKeyRequest { key: Some(key), duration, ..Default::default() }).await.answer();
        }
        for column in ["created_at", "key_alias", "max_budget", "expires_at", "updated_at", "spend"] {
            for direction in ["", " desc"] {
                let mut request = pb::ListKeysRequest { order_by: format!("{column}{direction}"), page_size: 2, include_total: true, ..Default::default() };
                let whole = aliases(&world.admin, pb::ListKeysRequest { page_size: 50, ..request.clone() }).await;
                let mut walked = Vec::new();
                loop {
                    let page = world.admin.keys().list_keys(request.clone()).await.answer();
                    assert_eq!(page.total_size, Some(7));
                    walked.extend(page.keys.into_iter().map(|key| key.key_alias.unwrap()));
                    request.page_token = page.next_page_token;
                    if request.page_token.is_empty() {
                        break;
                    }
                }
                assert_eq!(walked, whole, "{column}{direction}");
                walked.sort();
                assert_eq!(walked.len(), 7);
                walked.dedup();
                assert_eq!(walked.len(), 7, "{column}{direction}");
            }
        }
    }

    async fn everybody_lists_what_it_may_see(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        world.key(alias("a-team", in_team("alice"))).await;
        world.key(alias("l-team", in_team("lead"))).await;
        world.key(alias("service", pb::Key { team_id: Some("red".into()), ..Default::default() })).await;
        world.key(alias("foreign", pb::Key::default())).await;
        let by_alias = || pb::ListKeysRequest { order_by: "key_alias".into(), key_alias_contains: "e".into(), ..Default::default() };
        let in_red = || pb::ListKeysRequest { team_id: "red".into(), ..by_alias() };
        assert_eq!(aliases(&alice, by_alias()).await, ["a-team"], "its own, unless it asks for more");
        assert_eq!(aliases(&alice, in_red()).await, ["a-team", "service"]);
        assert_eq!(aliases(&lead, in_red()).await, ["a-team", "l-team", "service"]);
        for (request, reason) in [
            (pb::ListKeysRequest { user_id: "lead".into(), ..by_alias() }, ErrorReason::NotYourUser),
            (pb::ListKeysRequest { team_id: "blue".into(), ..by_alias() }, ErrorReason::NotYourTeam),
        ] {
            alice.keys().list_keys(request).await.refused(Code::PermissionDenied, reason);
        }
        let viewer = world.person("auditor", pb::Role::ProxyAdminViewer).await;
        assert_eq!(aliases(&viewer, by_alias()).await, ["a-team", "foreign", "l-team", "service"]);
    }

    async fn deleted_keys_are_listed_on_demand(world: World) {
        let mut secrets = Vec::new();
        for name in ["a", "b", "c"] {
            secrets.push(world.key(alias(name, pb::Key { spend: Some("1.5".into()), ..Default::default() })).await.0);
        }
        for secret in [&secrets[2], &secrets[0]] {
            world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![secret.clone()], ..Default::default() }).await.answer();
        }
        let request = pb::ListKeysRequest { status: pb::KeyState::Deleted.into(), include_total: true, page_size: 1, ..Default::default() };
        let page = world.admin.keys().list_keys(request.clone()).await.answer();
        assert_eq!((page.total_size, page.keys[0].key_alias.as_deref(), page.keys[0].spend.as_deref()), (Some(2), Some("a"), Some("1.5")));
        let request = pb::ListKeysRequest { page_token: page.next_page_token, ..request };
        assert_eq!(aliases(&world.admin, request).await, ["c"]);
        assert_eq!(aliases(&world.admin, pb::ListKeysRequest::default()).await, ["b"]);
    }
}
