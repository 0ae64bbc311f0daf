//! `SpendService`: a table of contents.

mod access;
mod accounts;
mod activity;
mod adjust;
mod breakdown;
mod calculate;
mod daily;
mod errors;
mod export;
mod filters;
mod get;
mod list;
mod names;
mod providers;
mod ranking;
mod rebuild;
mod record;
mod report;
mod reset;
mod stream;
mod tokens;
mod total;

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::wire::messages::Messages;
use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Spend(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::spend_service_server::SpendService for Spend {
    // What it must finish, the gate's own task finishes.
    async fn record_usage(
        &self,
        request: Request<pb::RecordUsageRequest>,
    ) -> Result<Response<pb::RecordUsageResponse>, Status> {
        write(&self.0, request, record::record_usage).await
    }

    type StreamUsageStream = Messages<pb::StreamUsageResponse>;

    async fn stream_usage(
        &self,
        request: Request<Streaming<pb::StreamUsageRequest>>,
    ) -> Result<Response<Self::StreamUsageStream>, Status> {
        stream::stream_usage(&self.0, request)
    }

    async fn list_usage(
        &self,
        request: Request<pb::ListUsageRequest>,
    ) -> Result<Response<pb::ListUsageResponse>, Status> {
        read(&self.0, request, list::list_usage).await
    }

    type ExportUsageStream = Messages<pb::ExportUsageResponse>;

    async fn export_usage(
        &self,
        request: Request<pb::ExportUsageRequest>,
    ) -> Result<Response<Self::ExportUsageStream>, Status> {
        export::export_usage(&self.0, request).await
    }

    async fn get_usage(&self, request: Request<pb::GetUsageRequest>) -> Result<Response<pb::GetUsageResponse>, Status> {
        read(&self.0, request, get::get_usage).await
    }

    async fn get_daily_spend(
        &self,
        request: Request<pb::GetDailySpendRequest>,
    ) -> Result<Response<pb::GetDailySpendResponse>, Status> {
        read(&self.0, request, daily::get_daily_spend).await
    }

    async fn list_key_spend(
        &self,
        request: Request<pb::ListKeySpendRequest>,
    ) -> Result<Response<pb::ListKeySpendResponse>, Status> {
        read(&self.0, request, ranking::list_key_spend).await
    }

    async fn list_user_spend(
        &self,
        request: Request<pb::ListUserSpendRequest>,
    ) -> Result<Response<pb::ListUserSpendResponse>, Status> {
        read(&self.0, request, ranking::list_user_spend).await
    }

    async fn list_team_spend(
        &self,
        request: Request<pb::ListTeamSpendRequest>,
    ) -> Result<Response<pb::ListTeamSpendResponse>, Status> {
        read(&self.0, request, ranking::list_team_spend).await
    }

    async fn list_model_spend(
        &self,
        request: Request<pb::ListModelSpendRequest>,
    ) -> Result<Response<pb::ListModelSpendResponse>, Status> {
        read(&self.0, request, ranking::list_model_spend).await
    }

    async fn list_provider_spend(
        &self,
        request: Request<pb::ListProviderSpendRequest>,
    ) -> Result<Response<pb::ListProviderSpendResponse>, Status> {
        read(&self.0, request, ranking::list_provider_spend).await
    }

    async fn list_customer_spend(
        &self,
        request: Request<pb::ListCustomerSpendRequest>,
    ) -> Result<Response<pb::ListCustomerSpendResponse>, Status> {
        read(&self.0, request, ranking::list_customer_spend).await
    }

    async fn list_tag_spend(
        &self,
        request: Request<pb::ListTagSpendRequest>,
    ) -> Result<Response<pb::ListTagSpendResponse>, Status> {
        read(&self.0, request, ranking::list_tag_spend).await
    }

    async fn list_customer_names(
        &self,
        request: Request<pb::ListCustomerNamesRequest>,
    ) -> Result<Response<pb::ListCustomerNamesResponse>, Status> {
        read(&self.0, request, names::list_customer_names).await
    }

    async fn list_tag_names(
        &self,
        request: Request<pb::ListTagNamesRequest>,
    ) -> Result<Response<pb::ListTagNamesResponse>, Status> {
        read(&self.0, request, names::list_tag_names).await
    }

    async fn get_activity(
        &self,
        request: Request<pb::GetActivityRequest>,
    ) -> Result<Response<pb::GetActivityResponse>, Status> {
        read(&self.0, request, activity::get_activity).await
    }

    async fn get_model_activity(
        &self,
        request: Request<pb::GetModelActivityRequest>,
    ) -> Result<Response<pb::GetModelActivityResponse>, Status> {
        read(&self.0, request, activity::get_model_activity).await
    }

    async fn get_error_activity(
        &self,
        request: Request<pb::GetErrorActivityRequest>,
    ) -> Result<Response<pb::GetErrorActivityResponse>, Status> {
        read(&self.0, request, errors::get_error_activity).await
    }

    async fn get_spend_report(
        &self,
        request: Request<pb::GetSpendReportRequest>,
    ) -> Result<Response<pb::GetSpendReportResponse>, Status> {
        read(&self.0, request, report::get_spend_report).await
    }

    async fn get_provider_budgets(
        &self,
        request: Request<pb::GetProviderBudgetsRequest>,
    ) -> Result<Response<pb::GetProviderBudgetsResponse>, Status> {
        read(&self.0, request, providers::get_provider_budgets).await
    }

    async fn get_total_spend(
        &self,
        request: Request<pb::GetTotalSpendRequest>,
    ) -> Result<Response<pb::GetTotalSpendResponse>, Status> {
        read(&self.0, request, total::get_total_spend).await
    }

    async fn adjust_spend(
        &self,
        request: Request<pb::AdjustSpendRequest>,
    ) -> Result<Response<pb::AdjustSpendResponse>, Status> {
        write(&self.0, request, adjust::adjust_spend_of).await
    }

    async fn reset_spend(
        &self,
        request: Request<pb::ResetSpendRequest>,
    ) -> Result<Response<pb::ResetSpendResponse>, Status> {
        write(&self.0, request, reset::reset_spend).await
    }

    async fn rebuild_rollups(
        &self,
        request: Request<pb::RebuildRollupsRequest>,
    ) -> Result<Response<pb::RebuildRollupsResponse>, Status> {
        write(&self.0, request, rebuild::rebuild_rollups).await
    }

    async fn calculate_cost(
        &self,
        request: Request<pb::CalculateCostRequest>,
    ) -> Result<Response<pb::CalculateCostResponse>, Status> {
        read(&self.0, request, calculate::calculate_cost).await
    }
}
