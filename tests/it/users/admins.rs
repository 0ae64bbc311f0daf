//! The last proxy admin: there always is one.

use bursar::pb;
use pb::ErrorReason::LastProxyAdmin;
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};

use super::sessions::change;
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

fn demoted(user_id: &str) -> pb::User {
    pb::User { user_role: pb::Role::InternalUser.into(), ..named(user_id) }
}

fn blocked(user_id: &str) -> pb::User {
    pb::User { blocked: Some(true), ..named(user_id) }
}

async fn delete(client: &Client, ids: &[&str]) -> Result<Response<pb::DeleteUsersResponse>, Status> {
    let user_ids = ids.iter().map(ToString::to_string).collect();
    client.users().delete_users(pb::DeleteUsersRequest { user_ids }).await
}

/// How many unblocked proxy admins there are.
async fn admins(world: &World) -> usize {
    let request = pb::ListUsersRequest { role: pb::Role::ProxyAdmin.into(), ..Default::default() };
    let users = world.admin.users().list_users(request).await.answer().users;
    users.iter().filter(|user| user.blocked != Some(true)).count()
}

on_both! {
    async fn nobody_but_the_master_key_takes_the_last_one(world: World) {
        let ann = world.person("ann", pb::Role::ProxyAdmin).await;
        let bob = world.person("bob", pb::Role::ProxyAdmin).await;
        change(&ann, blocked("bob")).await.answer();
        // Somebody who is blocked is no admin to count on.
        change(&ann, demoted("ann")).await.refused(Code::FailedPrecondition, LastProxyAdmin);
        change(&ann, blocked("ann")).await.refused(Code::FailedPrecondition, LastProxyAdmin);
        change(&ann, blocked("bob")).await.answer();
        change(&ann, pb::User { blocked: Some(false), ..named("bob") }).await.answer();
        delete(&bob, &["ann"]).await.answer();
        change(&bob, demoted("bob")).await.refused(Code::FailedPrecondition, LastProxyAdmin);
        change(&world.admin, demoted("bob")).await.answer();
        assert_eq!(admins(&world).await, 0);
    }

    async fn of_two_who_take_each_others_rights_at_once_one_keeps_them(world: World) {
        type Takes = fn(Client, &'static str) -> futures_util::future::BoxFuture<'static, Result<(), Status>>;
        let demote: Takes = |client, id| Box::pin(async move { change(&client, demoted(id)).await.map(drop) });
        let block: Takes = |client, id| Box::pin(async move { change(&client, blocked(id)).await.map(drop) });
        let remove: Takes = |client, id| Box::pin(async move { delete(&client, &[id]).await.map(drop) });
        for (one, other) in [(demote, demote), (block, block), (remove, remove), (demote, remove), (block, demote)] {
            for _ in 0..4 {
                let mut both = Vec::new();
                for (taker, taken, takes) in [("ann", "bob", one), ("bob", "ann", other)] {
                    let secret = world.person_secret(taker, pb::Role::ProxyAdmin).await;
                    let client = Client::anonymous(world.connect().await).with_key(&secret);
                    both.push(async move { takes(client, taken).await });
                }
                let takers: JoinSet<_> = both.into_iter().collect();
                let ends = takers.join_all().await;
                let lost = ends.iter().filter(|end| end.is_err()).count();
                assert_eq!((admins(&world).await, lost), (1, 1), "{ends:?}");
                for id in ["ann", "bob"] {
                    let _ = delete(&world.admin, &[id]).await;
                }
            }
        }
    }
}
