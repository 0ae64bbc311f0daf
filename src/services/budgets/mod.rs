//! `BudgetService`: a table of contents.

mod status;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read};
use crate::pb;

/// The service.
pub(super) struct Budgets(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::budget_service_server::BudgetService for Budgets {
    async fn get_budget_status(
        &self,
        request: Request<pb::GetBudgetStatusRequest>,
    ) -> Result<Response<pb::GetBudgetStatusResponse>, Status> {
        read(&self.0, request, status::get_budget_status).await
    }
}
