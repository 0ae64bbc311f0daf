//! `ListUsers`: filters, orders and pages.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

async fn ids(client: &Client, request: pb::ListUsersRequest) -> Vec<String> {
    client.users().list_users(request).await.answer().users.into_iter().map(|user| user.user_id).collect()
}

/// Every page, one after the other.
async fn walk(client: &Client, mut request: pb::ListUsersRequest) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = client.users().list_users(request.clone()).await.answer();
        assert!(page.users.len() <= usize::try_from(request.page_size).unwrap());
        all.extend(page.users.into_iter().map(|user| user.user_id));
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

on_both! {
    async fn filters_are_combined(world: World) {
        for (id, email, role) in [
            ("alice", "alice@north.example", pb::Role::InternalUser),
            ("Albert", "bert@south.example", pb::Role::InternalUser),
            ("carol_%", "carol@north.example", pb::Role::ProxyAdmin),
        ] {
            world.user(pb::User { user_id: id.into(), user_email: Some(email.into()), user_role: role.into(), ..Default::default() }).await;
        }
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let all = || pb::ListUsersRequest { order_by: "user_id".into(), ..Default::default() };
        for (request, found) in [
            (all(), vec!["Albert", "alice", "carol_%"]),
            (pb::ListUsersRequest { role: pb::Role::InternalUser.into(), ..all() }, vec!["Albert", "alice"]),
            (pb::ListUsersRequest { user_id_contains: "AL".into(), ..all() }, vec!["Albert", "alice"]),
            (pb::ListUsersRequest { user_id_contains: "_%".into(), ..all() }, vec!["carol_%"]),
            (pb::ListUsersRequest { email_contains: "North".into(), ..all() }, vec!["alice", "carol_%"]),
            (pb::ListUsersRequest { user_email: "BERT@south.example".into(), ..all() }, vec!["Albert"]),
            (pb::ListUsersRequest { team_id: "red".into(), ..all() }, vec!["alice"]),
            (pb::ListUsersRequest { user_ids: vec!["alice".into(), "nobody".into()], ..all() }, vec!["alice"]),
            (pb::ListUsersRequest { email_contains: "north".into(), role: pb::Role::ProxyAdmin.into(), ..all() }, vec!["carol_%"]),
            (pb::ListUsersRequest { team_id: "blue".into(), ..all() }, vec![]),
        ] {
            assert_eq!(ids(&world.admin, request.clone()).await, found, "{request:?}");
        }
    }

    async fn pages_skip_and_repeat_nothing_in_any_order(world: World) {
        for number in 0..7_i64 {
            let user = pb::User {
                user_id: format!("u{number}"),
                user_alias: (number % 2 == 0).then(|| format!("alias {}", number % 4)),
                max_budget: (number % 3 != 0).then(|| (number % 3).to_string()),
                spend: Some((number % 2).to_string()),
                ..Default::default()
            };
            world.user(user).await;
        }
        for column in ["created_at", "user_id", "user_email", "user_alias", "max_budget", "spend"] {
            for direction in ["", " asc", " desc"] {
                let request = pb::ListUsersRequest { order_by: format!("{column}{direction}"), page_size: 2, ..Default::default() };
                let mut walked = walk(&world.admin, request.clone()).await;
                let whole = ids(&world.admin, pb::ListUsersRequest { page_size: 1_000, ..request.clone() }).await;
                assert_eq!(walked, whole, "{}", request.order_by);
                walked.sort();
                assert_eq!(walked, ["u0", "u1", "u2", "u3", "u4", "u5", "u6"], "{}", request.order_by);
            }
        }
        let by_spend = pb::ListUsersRequest { order_by: "spend desc".into(), ..Default::default() };
        let first: Vec<String> = ids(&world.admin, by_spend).await.into_iter().take(3).collect();
        assert!(first.iter().all(|id| ["u1", "u3", "u5"].contains(&id.as_str())), "{first:?}");
        let by_age = ids(&world.admin, pb::ListUsersRequest::default()).await;
        assert_eq!(by_age.first().map(String::as_str), Some("u6"), "newest first");
    }

    async fn rows_that_come_and_go_between_pages_disturb_nobody(world: World) {
        for number in 0..6 {
            world.user(pb::User { user_id: format!("m{number}"), ..Default::default() }).await;
        }
        let mut request = pb::ListUsersRequest { order_by: "user_id".into(), page_size: 3, include_total: true, ..Default::default() };
        let page = world.admin.users().list_users(request.clone()).await.answer();
        assert_eq!(page.total_size, Some(6));
        world.user(pb::User { user_id: "a-before".into(), ..Default::default() }).await;
        let delete = pb::DeleteUsersRequest { user_ids: vec!["m0".into(), "m2".into()] };
        world.admin.users().delete_users(delete).await.answer();
        request.page_token = page.next_page_token;
        let rest: Vec<String> = ids(&world.admin, request).await;
        assert_eq!(rest, ["m3", "m4", "m5"]);
    }

    async fn foreign_tokens_and_impossible_sizes_are_refused(world: World) {
        for number in 0..3 {
            world.user(pb::User { user_id: format!("u{number}"), ..Default::default() }).await;
        }
        let request = pb::ListUsersRequest { page_size: 1, ..Default::default() };
        let token = world.admin.users().list_users(request.clone()).await.answer().next_page_token;
        for (changed, field) in [
            (pb::ListUsersRequest { page_token: "nonsense".into(), ..request.clone() }, "page_token"),
            (pb::ListUsersRequest { page_token: token.clone(), order_by: "user_id".into(), ..request.clone() }, "page_token"),
            (pb::ListUsersRequest { page_token: token.clone(), user_id_contains: "u".into(), ..request.clone() }, "page_token"),
            (pb::ListUsersRequest { page_size: -1, ..request.clone() }, "page_size"),
            (pb::ListUsersRequest { order_by: "password".into(), ..request.clone() }, "order_by"),
            (pb::ListUsersRequest { order_by: "user_id sideways".into(), ..request.clone() }, "order_by"),
            (pb::ListUsersRequest { role: 77, ..request.clone() }, "role"),
            (pb::ListUsersRequest { user_ids: vec!["x".into(); 501], ..request.clone() }, "user_ids"),
        ] {
            let bad = world.admin.users().list_users(changed.clone()).await.bad();
            assert_eq!(bad[0].0, field, "{changed:?}");
        }
        // The token is of one kind of list, too.
        let keys = pb::ListKeysRequest { page_token: token.clone(), page_size: 1, ..Default::default() };
        world.admin.keys().list_keys(keys).await.refused(Code::InvalidArgument, ErrorReason::PageTokenInvalid);
        let larger = pb::ListUsersRequest { page_size: i32::MAX, page_token: token, ..Default::default() };
        assert_eq!(ids(&world.admin, larger).await.len(), 2, "sizes are clamped, and may change");
    }

    async fn a_team_admin_sees_ids_and_addresses_of_its_members(world: World) {
        let lead = world.person("lead", pb::Role::InternalUser).await;
        world.user(pb::User { user_id: "alice".into(), user_email: Some("a@b.c".into()), max_budget: Some("5".into()), ..Default::default() }).await;
        world.user(pb::User { user_id: "bob".into(), ..Default::default() }).await;
        let members = vec![
            pb::TeamMember { user_id: "lead".into(), role: pb::TeamRole::Admin.into(), ..Default::default() },
            pb::TeamMember { user_id: "alice".into(), ..Default::default() },
        ];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let request = pb::ListUsersRequest { order_by: "user_id".into(), include_total: true, view: pb::UserView::Full.into(), ..Default::default() };
        let answer = lead.users().list_users(request).await.answer();
        assert_eq!(answer.total_size, Some(2));
        let alice = pb::User { user_id: "alice".into(), user_email: Some("a@b.c".into()), ..Default::default() };
        assert_eq!(answer.users[0], alice);
        assert_eq!(answer.users[1].user_id, "lead");
    }
}
