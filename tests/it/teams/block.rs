//! `BlockTeam` and `UnblockTeam`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::red;
use crate::support::world::World;
use crate::support::{Answer, on_both};

on_both! {
    async fn blocking_twice_is_no_error(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let block = pb::BlockTeamRequest { team_id: "red".into() };
        for _ in 0..2 {
            assert_eq!(lead.teams().block_team(block.clone()).await.answer().team.unwrap().blocked, Some(true));
        }
        alice.teams().block_team(block.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let unblock = pb::UnblockTeamRequest { team_id: "red".into() };
        assert_eq!(lead.teams().unblock_team(unblock).await.answer().team.unwrap().blocked, Some(false));
        let absent = pb::BlockTeamRequest { team_id: "blue".into() };
        world.admin.teams().block_team(absent).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        assert_eq!(world.admin.teams().block_team(pb::BlockTeamRequest::default()).await.bad()[0].0, "team_id");
    }

    async fn a_team_admin_does_not_undo_what_a_proxy_admin_did(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        let unblock = pb::UnblockTeamRequest { team_id: "red".into() };
        let status = lead.teams().unblock_team(unblock.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        world.admin.teams().unblock_team(unblock).await.answer();
    }
}
