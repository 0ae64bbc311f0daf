//! `TeamService`: a table of contents.

mod activity;
mod available;
mod block;
mod create;
mod delete;
mod fields;
mod get;
mod list;
mod members;
mod membership;
mod models;
mod permissions;
mod update;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Teams(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::team_service_server::TeamService for Teams {
    async fn create_team(
        &self,
        request: Request<pb::CreateTeamRequest>,
    ) -> Result<Response<pb::CreateTeamResponse>, Status> {
        write(&self.0, request, create::create_team).await
    }

    async fn get_team(&self, request: Request<pb::GetTeamRequest>) -> Result<Response<pb::GetTeamResponse>, Status> {
        read(&self.0, request, get::get_team).await
    }

    async fn update_team(
        &self,
        request: Request<pb::UpdateTeamRequest>,
    ) -> Result<Response<pb::UpdateTeamResponse>, Status> {
        write(&self.0, request, update::update_team).await
    }

    async fn delete_teams(
        &self,
        request: Request<pb::DeleteTeamsRequest>,
    ) -> Result<Response<pb::DeleteTeamsResponse>, Status> {
        write(&self.0, request, delete::delete_teams).await
    }

    async fn list_teams(
        &self,
        request: Request<pb::ListTeamsRequest>,
    ) -> Result<Response<pb::ListTeamsResponse>, Status> {
        read(&self.0, request, list::list_teams).await
    }

    async fn add_team_members(
        &self,
        request: Request<pb::AddTeamMembersRequest>,
    ) -> Result<Response<pb::AddTeamMembersResponse>, Status> {
        write(&self.0, request, members::add::add_team_members).await
    }

    async fn remove_team_member(
        &self,
        request: Request<pb::RemoveTeamMemberRequest>,
    ) -> Result<Response<pb::RemoveTeamMemberResponse>, Status> {
        write(&self.0, request, members::remove::remove_team_member).await
    }

    async fn block_team(
        &self,
        request: Request<pb::BlockTeamRequest>,
    ) -> Result<Response<pb::BlockTeamResponse>, Status> {
        write(&self.0, request, block::block_team).await
    }

    async fn unblock_team(
        &self,
        request: Request<pb::UnblockTeamRequest>,
    ) -> Result<Response<pb::UnblockTeamResponse>, Status> {
        write(&self.0, request, block::unblock_team).await
    }

    async fn update_team_member(
        &self,
        request: Request<pb::UpdateTeamMemberRequest>,
    ) -> Result<Response<pb::UpdateTeamMemberResponse>, Status> {
        write(&self.0, request, members::update::update_team_member).await
    }

    async fn add_team_models(
        &self,
        request: Request<pb::AddTeamModelsRequest>,
    ) -> Result<Response<pb::AddTeamModelsResponse>, Status> {
        write(&self.0, request, models::add_team_models).await
    }

    async fn remove_team_models(
        &self,
        request: Request<pb::RemoveTeamModelsRequest>,
    ) -> Result<Response<pb::RemoveTeamModelsResponse>, Status> {
        write(&self.0, request, models::remove_team_models).await
    }

    async fn list_available_teams(
        &self,
        request: Request<pb::ListAvailableTeamsRequest>,
    ) -> Result<Response<pb::ListAvailableTeamsResponse>, Status> {
        read(&self.0, request, available::list_available_teams).await
    }

    async fn get_team_member_permissions(
        &self,
        request: Request<pb::GetTeamMemberPermissionsRequest>,
    ) -> Result<Response<pb::GetTeamMemberPermissionsResponse>, Status> {
        read(&self.0, request, permissions::get_team_member_permissions).await
    }

    async fn update_team_member_permissions(
        &self,
        request: Request<pb::UpdateTeamMemberPermissionsRequest>,
    ) -> Result<Response<pb::UpdateTeamMemberPermissionsResponse>, Status> {
        write(&self.0, request, permissions::update_team_member_permissions).await
    }

    async fn get_team_daily_activity(
        &self,
        request: Request<pb::GetTeamDailyActivityRequest>,
    ) -> Result<Response<pb::GetTeamDailyActivityResponse>, Status> {
        read(&self.0, request, activity::get_team_daily_activity).await
    }
}
