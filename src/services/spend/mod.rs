//! `SpendService`: a table of contents.

mod access;
mod calculate;
mod daily;
mod get;
mod list;
mod record;
mod tokens;

use std::sync::Arc;

use tonic::{Request, Response, Status};

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

    async fn list_usage(
        &self,
        request: Request<pb::ListUsageRequest>,
    ) -> Result<Response<pb::ListUsageResponse>, Status> {
        read(&self.0, request, list::list_usage).await
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

    async fn calculate_cost(
        &self,
        request: Request<pb::CalculateCostRequest>,
    ) -> Result<Response<pb::CalculateCostResponse>, Status> {
        read(&self.0, request, calculate::calculate_cost).await
    }
}
