//! `OrganizationService`: a table of contents.

mod activity;
mod create;
mod delete;
mod fields;
mod get;
mod list;
mod members;
mod update;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Organizations(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::organization_service_server::OrganizationService for Organizations {
    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::CreateOrganizationResponse>, Status> {
        write(&self.0, request, create::create_organization).await
    }

    async fn get_organization(
        &self,
        request: Request<pb::GetOrganizationRequest>,
    ) -> Result<Response<pb::GetOrganizationResponse>, Status> {
        read(&self.0, request, get::get_organization).await
    }

    async fn update_organization(
        &self,
        request: Request<pb::UpdateOrganizationRequest>,
    ) -> Result<Response<pb::UpdateOrganizationResponse>, Status> {
        write(&self.0, request, update::update_organization).await
    }

    async fn delete_organizations(
        &self,
        request: Request<pb::DeleteOrganizationsRequest>,
    ) -> Result<Response<pb::DeleteOrganizationsResponse>, Status> {
        write(&self.0, request, delete::delete_organizations).await
    }

    async fn list_organizations(
        &self,
        request: Request<pb::ListOrganizationsRequest>,
    ) -> Result<Response<pb::ListOrganizationsResponse>, Status> {
        read(&self.0, request, list::list_organizations).await
    }

    async fn add_organization_members(
        &self,
        request: Request<pb::AddOrganizationMembersRequest>,
    ) -> Result<Response<pb::AddOrganizationMembersResponse>, Status> {
        write(&self.0, request, members::add::add_organization_members).await
    }

    async fn update_organization_member(
        &self,
        request: Request<pb::UpdateOrganizationMemberRequest>,
    ) -> Result<Response<pb::UpdateOrganizationMemberResponse>, Status> {
        write(&self.0, request, members::update::update_organization_member).await
    }

    async fn remove_organization_member(
        &self,
        request: Request<pb::RemoveOrganizationMemberRequest>,
    ) -> Result<Response<pb::RemoveOrganizationMemberResponse>, Status> {
        write(&self.0, request, members::remove::remove_organization_member).await
    }

    async fn get_organization_daily_activity(
        &self,
        request: Request<pb::GetOrganizationDailyActivityRequest>,
    ) -> Result<Response<pb::GetOrganizationDailyActivityResponse>, Status> {
        read(&self.0, request, activity::get_organization_daily_activity).await
    }
}
