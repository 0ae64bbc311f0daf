//! Names that are taken, in words.

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::store::{Constraint, StoreError};

/// A failure to write, with the name that is taken if that is the cause. Names
/// are told, never whose they are.
pub(crate) fn explain(error: StoreError, name: impl Fn(Constraint) -> Option<String>) -> Error {
    let StoreError::Taken(constraint) = error else { return error.into() };
    let (reason, field, resource) = match constraint {
        Constraint::UserId => (Reason::UserIdExists, "user_id", "user"),
        Constraint::UserEmail => (Reason::UserEmailExists, "user_email", "user"),
        Constraint::TeamId => (Reason::TeamIdExists, "team_id", "team"),
        Constraint::OrganizationId => (Reason::OrganizationIdExists, "organization_id", "organization"),
        Constraint::BudgetId => (Reason::BudgetIdExists, "budget_id", "budget"),
        Constraint::CustomerId => (Reason::CustomerIdExists, "customer_id", "customer"),
        Constraint::Model => (Reason::ModelExists, "model_name", "model"),
        Constraint::KeyAlias => (Reason::KeyAliasExists, "key_alias", "key"),
        Constraint::KeyHash | Constraint::DeletedKeyHash => {
            return Refusal::exists(Reason::KeyExists, "a key with this secret exists, or existed; choose another")
                .into();
        }
        Constraint::Member | Constraint::KeyId | Constraint::RequestId | Constraint::PriceFrom => {
            return StoreError::Taken(constraint).into();
        }
    };
    let name = name(constraint).unwrap_or_default();
    let refusal = Refusal::exists(reason, format!("{field} {name:?} is taken"));
    refusal.with(field, &name).about(resource, &name).into()
}
