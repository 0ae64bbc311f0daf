//! `UserService`: a table of contents.

mod activity;
mod admission;
mod batch;
mod create;
mod delete;
mod fields;
mod get;
mod invitations;
mod list;
mod login;
mod password;
mod roles;
mod shown;
mod update;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Users(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::user_service_server::UserService for Users {
    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        write(&self.0, request, create::create_user).await
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        read(&self.0, request, get::get_user).await
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        write(&self.0, request, update::update_user).await
    }

    async fn delete_users(
        &self,
        request: Request<pb::DeleteUsersRequest>,
    ) -> Result<Response<pb::DeleteUsersResponse>, Status> {
        write(&self.0, request, delete::delete_users).await
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        read(&self.0, request, list::list_users).await
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        read(&self.0, request, roles::list_roles).await
    }

    async fn create_invitation(
        &self,
        request: Request<pb::CreateInvitationRequest>,
    ) -> Result<Response<pb::CreateInvitationResponse>, Status> {
        write(&self.0, request, invitations::create::create_invitation).await
    }

    async fn get_invitation(
        &self,
        request: Request<pb::GetInvitationRequest>,
    ) -> Result<Response<pb::GetInvitationResponse>, Status> {
        read(&self.0, request, invitations::get::get_invitation).await
    }

    async fn list_invitations(
        &self,
        request: Request<pb::ListInvitationsRequest>,
    ) -> Result<Response<pb::ListInvitationsResponse>, Status> {
        read(&self.0, request, invitations::list::list_invitations).await
    }

    async fn delete_invitation(
        &self,
        request: Request<pb::DeleteInvitationRequest>,
    ) -> Result<Response<pb::DeleteInvitationResponse>, Status> {
        write(&self.0, request, invitations::delete::delete_invitation).await
    }

    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
        write(&self.0, request, invitations::accept::accept_invitation).await
    }

    async fn login(&self, request: Request<pb::LoginRequest>) -> Result<Response<pb::LoginResponse>, Status> {
        read(&self.0, request, login::login).await
    }

    async fn batch_update_users(
        &self,
        request: Request<pb::BatchUpdateUsersRequest>,
    ) -> Result<Response<pb::BatchUpdateUsersResponse>, Status> {
        write(&self.0, request, batch::batch_update_users).await
    }

    async fn get_user_daily_activity(
        &self,
        request: Request<pb::GetUserDailyActivityRequest>,
    ) -> Result<Response<pb::GetUserDailyActivityResponse>, Status> {
        read(&self.0, request, activity::get_user_daily_activity).await
    }
}
