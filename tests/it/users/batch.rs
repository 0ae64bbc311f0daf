//! `BatchUpdateUsers`.

use bursar::pb;
use tonic::Code;

use crate::organizations::acme;
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn update(user: pb::User) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest { user: Some(user), ..Default::default() }
}

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

fn batch(requests: Vec<pb::UpdateUserRequest>) -> pb::BatchUpdateUsersRequest {
    pb::BatchUpdateUsersRequest { requests, ..Default::default() }
}

on_both! {
    async fn each_change_has_a_result_of_its_own(world: World) {
        for user in ["a", "b", "c"] {
            world.user(pb::User { user_email: Some(format!("{user}@b.c")), ..named(user) }).await;
        }
        let answer = world.admin.users().batch_update_users(batch(vec![
            update(pb::User { max_budget: Some("1".into()), ..named("a") }),
            update(pb::User { max_budget: Some("x".into()), ..named("b") }),
            update(named("nobody")),
            update(pb::User { user_email: Some("C@b.c".into()), user_alias: Some("C".into()), ..Default::default() }),
            update(pb::User { user_email: Some("a@b.c".into()), ..named("b") }),
        ])).await.answer();
        let codes: Vec<Option<Code>> = answer.results.iter().map(|result| result.error.as_ref().map(|error| Code::from_i32(error.code))).collect();
        assert_eq!(codes, [None, Some(Code::InvalidArgument), Some(Code::NotFound), None, Some(Code::AlreadyExists)]);
        assert_eq!((answer.total_count, answer.success_count, answer.failed_count), (5, 2, 3));
        assert_eq!(answer.results[0].user.as_ref().unwrap().max_budget.as_deref(), Some("1"));
        assert_eq!(answer.results[3].user.as_ref().unwrap().user_id, "c", "found by its address");
        assert_eq!(answer.results[2].user_id, "nobody");
    }

    async fn everybody_is_changed_by_proxy_admins(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        world.user(pb::User { soft_budget: Some("9".into()), ..named("soft") }).await;
        let all = |user: pb::User| pb::BatchUpdateUsersRequest { all_users: true, update: Some(update(user)), ..Default::default() };
        let answer = world.admin.users().batch_update_users(all(pb::User { max_budget: Some("5".into()), ..Default::default() })).await.answer();
        assert_eq!((answer.total_count, answer.success_count, answer.failed_count), (3, 2, 1));
        assert_eq!(answer.results.iter().map(|result| result.user_id.as_str()).collect::<Vec<_>>(), ["soft"], "only what failed");
        assert_eq!(olga.users().batch_update_users(all(pb::User::default())).await.unwrap_err().code(), Code::PermissionDenied);
        for (user, field) in [
            (named("a"), "update.user.user_id"),
            (pb::User { user_email: Some("a@b.c".into()), ..Default::default() }, "update.user.user_email"),
            (pb::User { user_role: pb::Role::ProxyAdmin.into(), ..Default::default() }, "update.user.user_role"),
            (pb::User { spend: Some("0".into()), ..Default::default() }, "update.user.spend"),
        ] {
            assert_eq!(world.admin.users().batch_update_users(all(user)).await.bad()[0].0, field);
        }
        let password = pb::UpdateUserRequest { password: Some("one for everybody".into()), ..update(pb::User::default()) };
        let password = pb::BatchUpdateUsersRequest { all_users: true, update: Some(password), ..Default::default() };
        assert_eq!(world.admin.users().batch_update_users(password).await.bad()[0].0, "update.password");
    }

    async fn impossible_requests_and_foreign_users_are_refused(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        for (request, field) in [
            (batch(vec![]), "requests"),
            (batch(vec![update(named("a")); 501]), "requests"),
            (pb::BatchUpdateUsersRequest { all_users: true, ..batch(vec![update(named("a"))]) }, "requests"),
            (pb::BatchUpdateUsersRequest { all_users: true, ..batch(vec![]) }, "update"),
        ] {
            assert_eq!(world.admin.users().batch_update_users(request).await.bad()[0].0, field);
        }
        let request = pb::CreateUserRequest { user: Some(named("nina")), organization_ids: vec!["acme".into()], ..Default::default() };
        olga.users().create_user(request).await.answer();
        world.user(named("stranger")).await;
        let change = |user: &str| update(pb::User { user_alias: Some("x".into()), ..named(user) });
        let answer = olga.users().batch_update_users(batch(vec![change("nina"), change("omar"), change("stranger")])).await.answer();
        let codes: Vec<Option<Code>> = answer.results.iter().map(|result| result.error.as_ref().map(|error| Code::from_i32(error.code))).collect();
        assert_eq!(codes, [None, Some(Code::PermissionDenied), Some(Code::NotFound)]);
    }
}
