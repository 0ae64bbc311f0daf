//! `AddTeamModels` and `RemoveTeamModels`.

use bursar::pb;
use pb::ErrorReason;
use tokio::task::JoinSet;
use tonic::Code;

use super::{red, team};
use crate::organizations::{acme, make};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn add(models: &[&str]) -> pb::AddTeamModelsRequest {
    pb::AddTeamModelsRequest { team_id: "red".into(), models: models.iter().map(ToString::to_string).collect() }
}

fn remove(models: &[&str]) -> pb::RemoveTeamModelsRequest {
    let models = models.iter().map(ToString::to_string).collect();
    pb::RemoveTeamModelsRequest { team_id: "red".into(), models, allow_all: false }
}

on_both! {
    async fn models_come_and_go_one_by_one(world: World) {
        let (lead, alice) = red(&world, pb::Team { models: vec!["a".into()], ..Default::default() }).await;
        assert_eq!(world.admin.teams().add_team_models(add(&["b", "a", "c"])).await.answer().team.unwrap().models, ["a", "b", "c"]);
        assert_eq!(lead.teams().remove_team_models(remove(&["b", "zz"])).await.answer().team.unwrap().models, ["a", "c"]);
        lead.teams().add_team_models(add(&["d"])).await.refused(Code::PermissionDenied, ErrorReason::BudgetRaiseNeedsAdmin);
        lead.teams().add_team_models(add(&["a"])).await.answer();
        alice.teams().add_team_models(add(&["a"])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        world.admin.teams().remove_team_models(remove(&["a", "c"])).await.refused(Code::FailedPrecondition, ErrorReason::WouldAllowAllModels);
        let all = pb::RemoveTeamModelsRequest { allow_all: true, ..remove(&["a", "c"]) };
        assert!(world.admin.teams().remove_team_models(all).await.answer().team.unwrap().models.is_empty());
        assert_eq!(world.admin.teams().add_team_models(add(&["x"])).await.answer().team.unwrap().models, ["all-proxy-models", "x"], "nothing is narrowed");
        assert_eq!(world.admin.teams().add_team_models(add(&[])).await.bad()[0].0, "models");
        assert_eq!(world.admin.teams().add_team_models(add(&["all-team-models"])).await.bad()[0].0, "models[0]");
        assert_eq!(world.admin.teams().add_team_models(add(&["m"; 501])).await.bad()[0].0, "models");
        let unknown = pb::AddTeamModelsRequest { team_id: "blue".into(), ..add(&["x"]) };
        world.admin.teams().add_team_models(unknown).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }

    async fn an_organizations_list_is_the_frame(world: World) {
        let (olga, omar) = acme(&world, pb::Organization { models: vec!["a".into(), "b".into()], ..Default::default() }).await;
        let lead = pb::TeamMember { user_id: "omar".into(), role: pb::TeamRole::Admin.into(), ..Default::default() };
        make(&olga, pb::Team { members: vec![lead], models: vec!["a".into()], ..crate::organizations::team("red") }).await.answer();
        assert_eq!(omar.teams().add_team_models(add(&["b"])).await.answer().team.unwrap().models, ["a", "b"], "what the organization has");
        for client in [&omar, &olga, &world.admin] {
            client.teams().add_team_models(add(&["c"])).await.refused(Code::FailedPrecondition, ErrorReason::OrgModelNotAllowed);
        }
        make(&olga, pb::Team { models: vec![], ..crate::organizations::team("blue") }).await.answer();
        let request = pb::AddTeamModelsRequest { team_id: "blue".into(), ..add(&["b"]) };
        assert_eq!(olga.teams().add_team_models(request).await.answer().team.unwrap().models, ["a", "b"]);
    }

    async fn of_20_who_add_at_once_nothing_is_lost(world: World) {
        red(&world, pb::Team { models: vec!["a".into()], ..Default::default() }).await;
        let mut makers = JoinSet::new();
        for number in 0..20 {
            let admin = world.admin.clone();
            makers.spawn(async move { admin.teams().add_team_models(add(&[&format!("m{number}")])).await.answer() });
        }
        makers.join_all().await;
        assert_eq!(team(&world, "red").await.models.len(), 21);
    }
}
