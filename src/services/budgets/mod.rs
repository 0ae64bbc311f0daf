//! `BudgetService`: a table of contents.

mod modes;
mod scopes;
mod status;
mod tiers;
mod windows;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read, write};
use crate::domain::account::Scope;
use crate::pb;
use crate::store::{Cursor, CursorKey, PageRequest};

/// The longest id of an account, in bytes: an id, a model's name and what
/// separates them.
const ACCOUNT_ID_MAX_BYTES: usize = 256 + 1 + 512;

/// Behind which scope and id a page of a list by these begins.
fn after_scope(page: &PageRequest) -> Option<(&str, &str)> {
    page.after.as_ref().and_then(|cursor| match &cursor.key {
        CursorKey::Text(scope) => Some((scope.as_str(), cursor.id.as_str())),
        _ => None,
    })
}

/// Cuts what was found, one more than the page has, to its size; returns where the
/// next one begins.
fn cut<T>(found: &mut Vec<T>, page: &PageRequest, place: impl Fn(&T) -> (Scope, &str)) -> Option<Cursor> {
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    found.last().filter(|_| more).map(|last| {
        let (scope, id) = place(last);
        Cursor { key: CursorKey::Text(scope.as_str().to_owned()), id: id.to_owned() }
    })
}

/// The service.
pub(super) struct Budgets(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::budget_service_server::BudgetService for Budgets {
    async fn create_budget(
        &self,
        request: Request<pb::CreateBudgetRequest>,
    ) -> Result<Response<pb::CreateBudgetResponse>, Status> {
        write(&self.0, request, tiers::create::create_budget).await
    }

    async fn get_budget(
        &self,
        request: Request<pb::GetBudgetRequest>,
    ) -> Result<Response<pb::GetBudgetResponse>, Status> {
        read(&self.0, request, tiers::get::get_budget).await
    }

    async fn update_budget(
        &self,
        request: Request<pb::UpdateBudgetRequest>,
    ) -> Result<Response<pb::UpdateBudgetResponse>, Status> {
        write(&self.0, request, tiers::update::update_budget).await
    }

    async fn delete_budgets(
        &self,
        request: Request<pb::DeleteBudgetsRequest>,
    ) -> Result<Response<pb::DeleteBudgetsResponse>, Status> {
        write(&self.0, request, tiers::delete::delete_budgets).await
    }

    async fn list_budgets(
        &self,
        request: Request<pb::ListBudgetsRequest>,
    ) -> Result<Response<pb::ListBudgetsResponse>, Status> {
        read(&self.0, request, tiers::list::list_budgets).await
    }

    async fn get_budget_status(
        &self,
        request: Request<pb::GetBudgetStatusRequest>,
    ) -> Result<Response<pb::GetBudgetStatusResponse>, Status> {
        read(&self.0, request, status::get_budget_status).await
    }

    async fn list_budget_windows(
        &self,
        request: Request<pb::ListBudgetWindowsRequest>,
    ) -> Result<Response<pb::ListBudgetWindowsResponse>, Status> {
        read(&self.0, request, windows::list_budget_windows).await
    }

    async fn set_scope_budget(
        &self,
        request: Request<pb::SetScopeBudgetRequest>,
    ) -> Result<Response<pb::SetScopeBudgetResponse>, Status> {
        write(&self.0, request, scopes::set::set_scope_budget).await
    }

    async fn list_scope_budgets(
        &self,
        request: Request<pb::ListScopeBudgetsRequest>,
    ) -> Result<Response<pb::ListScopeBudgetsResponse>, Status> {
        read(&self.0, request, scopes::list::list_scope_budgets).await
    }

    async fn delete_scope_budget(
        &self,
        request: Request<pb::DeleteScopeBudgetRequest>,
    ) -> Result<Response<pb::DeleteScopeBudgetResponse>, Status> {
        write(&self.0, request, scopes::delete::delete_scope_budget).await
    }

    async fn set_budget_mode(
        &self,
        request: Request<pb::SetBudgetModeRequest>,
    ) -> Result<Response<pb::SetBudgetModeResponse>, Status> {
        write(&self.0, request, modes::set::set_budget_mode).await
    }

    async fn list_budget_modes(
        &self,
        request: Request<pb::ListBudgetModesRequest>,
    ) -> Result<Response<pb::ListBudgetModesResponse>, Status> {
        read(&self.0, request, modes::list::list_budget_modes).await
    }

    async fn delete_budget_mode(
        &self,
        request: Request<pb::DeleteBudgetModeRequest>,
    ) -> Result<Response<pb::DeleteBudgetModeResponse>, Status> {
        write(&self.0, request, modes::delete::delete_budget_mode).await
    }
}
