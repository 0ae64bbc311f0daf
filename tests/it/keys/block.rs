//! `BlockKey` and `UnblockKey`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::in_team;
use crate::support::world::World;
use crate::support::{Answer, on_both};
use crate::teams::red;

on_both! {
    async fn owners_do_not_unblock_themselves(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let (_, personal) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (_, shared) = world.key(in_team("alice")).await;
        let block = |key: &pb::Key| pb::BlockKeyRequest { key: key.key_hash.clone(), ..Default::default() };
        let unblock = |key: &pb::Key| pb::UnblockKeyRequest { key: key.key_hash.clone() };
        for _ in 0..2 {
            assert_eq!(lead.keys().block_key(block(&shared)).await.answer().key.unwrap().state(), pb::KeyState::Blocked);
        }
        lead.keys().block_key(block(&personal)).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        world.admin.keys().block_key(block(&personal)).await.answer();
        for key in [&personal, &shared] {
            let status = alice.keys().unblock_key(unblock(key)).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied);
        }
        assert_eq!(lead.keys().unblock_key(unblock(&shared)).await.answer().key.unwrap().state(), pb::KeyState::Active);
        let absent = pb::BlockKeyRequest { key: "0".repeat(64), ..Default::default() };
        world.admin.keys().block_key(absent).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        assert_eq!(world.admin.keys().block_key(pb::BlockKeyRequest::default()).await.bad()[0].0, "key");
    }
}
