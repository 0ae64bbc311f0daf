//! `GetKey`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::in_team;
use crate::support::world::World;
use crate::support::{Answer, on_both};
use crate::teams::red;

fn get(key: &str) -> pb::GetKeyRequest {
    pb::GetKeyRequest { key: key.into() }
}

on_both! {
    async fn a_key_is_found_by_secret_and_by_hash_and_finds_itself(world: World) {
        let (secret, key) = world.key(pb::Key { key_type: pb::KeyType::LlmApi.into(), ..Default::default() }).await;
        assert_eq!(world.admin.keys().get_key(get(&secret)).await.answer().key.unwrap(), key);
        assert_eq!(world.admin.keys().get_key(get(&key.key_hash)).await.answer().key.unwrap(), key);
        assert_eq!(world.with_key(&secret).keys().get_key(get("")).await.answer().key.unwrap(), key);
        world.admin.keys().get_key(get("")).await.refused(Code::InvalidArgument, ErrorReason::CallerHasNoKey);
        world.admin.keys().get_key(get("what")).await.refused(Code::InvalidArgument, ErrorReason::KeyMalformed);
        let status = world.admin.keys().get_key(get("sk-no-such-secret-0123")).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        assert!(!format!("{status:?}").contains("no-such-secret"), "a secret is never repeated: {status:?}");
    }

    async fn a_foreign_key_looks_as_if_it_did_not_exist(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let bob = world.person("bob", pb::Role::InternalUser).await;
        let (_, personal) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (_, shared) = world.key(in_team("alice")).await;
        let (_, of_lead) = world.key(in_team("lead")).await;
        for (client, key, seen) in [
            (&alice, &personal, true), (&alice, &shared, true), (&lead, &shared, true), (&lead, &personal, false),
            (&bob, &personal, false), (&bob, &shared, false), (&alice, &of_lead, true),
        ] {
            let answer = client.keys().get_key(get(&key.key_hash)).await;
            if seen {
                assert_eq!(answer.answer().key.unwrap().key_id, key.key_id);
            } else {
                answer.refused(Code::NotFound, ErrorReason::KeyNotFound);
            }
        }
    }

    async fn a_key_is_shown_with_all_that_binds_it(world: World) {
        let (lead, _) = red(&world, pb::Team { team_alias: Some("The reds".into()), max_budget: Some("5".into()), ..Default::default() }).await;
        let zoe = pb::User { user_id: "zoe".into(), user_email: Some("zoe@example.org".into()), ..Default::default() };
        world.user(zoe).await;
        let add = pb::AddTeamMembersRequest { team_id: "red".into(), members: vec![crate::teams::member("zoe", pb::TeamRole::User)], ..Default::default() };
        world.admin.teams().add_team_members(add).await.answer();
        let windows = vec![pb::BudgetLimit { max_budget: "2".into(), budget_duration: "1d".into(), ..Default::default() }];
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), rpm_limit: Some(7), budget_limits: windows, ..in_team("zoe") }).await;
        crate::gateway::reserve(&world.with_key(&secret), "a", "0.25").await;
        let shown = lead.keys().get_key(get(&key.key_hash)).await.answer();
        assert_eq!((shown.team_alias.as_str(), shown.user_email.as_str()), ("The reds", "zoe@example.org"));
        let rows: Vec<_> = shown.budgets.iter().map(|budget| (budget.scope(), budget.reserved.as_str(), budget.remaining.as_deref())).collect();
        assert_eq!(rows[..3], [
            (pb::BudgetScope::Key, "0.25", Some("0.75")), (pb::BudgetScope::KeyWindow, "0.25", Some("1.75")), (pb::BudgetScope::Team, "0.25", Some("4.75")),
        ]);
        assert_eq!((shown.rate_limits[0].limit, shown.rate_limits[0].remaining), (7, 6));
    }

    async fn a_team_says_whether_its_members_see_each_others_keys(world: World) {
        use pb::TeamMemberPermission::{KeyBlock, KeyGenerate, KeyInfo, SpendLogs};
        let (_, alice) = red(&world, pb::Team::default()).await;
        let (_, of_lead) = world.key(super::in_team("lead")).await;
        let (_, of_alice) = world.key(super::in_team("alice")).await;
        let (_, of_team) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let sees = async |key: &pb::Key| {
            let found = alice.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await;
            found.map_err(|status| assert_eq!(status.code(), Code::NotFound)).is_ok()
        };
        assert!(sees(&of_lead).await, "by default");
        for (permissions, shown) in [(vec![KeyGenerate, SpendLogs], false), (vec![], false), (vec![KeyInfo], true), (vec![KeyBlock], true)] {
            let permit = pb::UpdateTeamMemberPermissionsRequest {
                team_id: "red".into(), member_permissions: permissions.into_iter().map(Into::into).collect(), ..Default::default()
            };
            world.admin.teams().update_team_member_permissions(permit.clone()).await.answer();
            assert_eq!(sees(&of_lead).await, shown, "{permit:?}");
            assert!(sees(&of_alice).await && sees(&of_team).await, "its own, and the team's");
        }
    }

    async fn a_deleted_key_is_in_the_archive(world: World) {
        let (secret, key) = world.key(pb::Key { spend: Some("2".into()), key_alias: Some("x".into()), ..Default::default() }).await;
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { key_aliases: vec!["x".into()], ..Default::default() }).await.answer();
        let archived = world.admin.keys().get_key(get(&secret)).await.answer().key.unwrap();
        assert_eq!((archived.key_id.as_str(), archived.state(), archived.spend.as_deref()), (key.key_id.as_str(), pb::KeyState::Deleted, Some("2")));
        assert!(archived.deleted_at.is_some());
    }
}
