//! Budgets and rate limits on the wire.

use strum::VariantArray;

use super::instant;
use crate::domain::account::{Line, Scope};
use crate::domain::clock::Timestamp;
use crate::gate::{BudgetStanding, RateKind, RateStanding};
use crate::pb;

/// The scope on the wire; a user's two accounts are one scope.
pub(crate) const fn scope_to_wire(scope: Scope) -> pb::BudgetScope {
    match scope {
        Scope::Key => pb::BudgetScope::Key,
        Scope::KeyWindow => pb::BudgetScope::KeyWindow,
        Scope::KeyModel => pb::BudgetScope::KeyModel,
        Scope::Team => pb::BudgetScope::Team,
        Scope::User | Scope::UserPersonal => pb::BudgetScope::User,
        Scope::TeamMember => pb::BudgetScope::TeamMember,
        Scope::Organization => pb::BudgetScope::Organization,
        Scope::OrganizationMember => pb::BudgetScope::OrganizationMember,
        Scope::TeamModel => pb::BudgetScope::TeamModel,
        Scope::OrganizationModel => pb::BudgetScope::OrganizationModel,
        Scope::UserModel => pb::BudgetScope::UserModel,
        Scope::Customer => pb::BudgetScope::Customer,
        Scope::CustomerModel => pb::BudgetScope::CustomerModel,
        Scope::Tag => pb::BudgetScope::Tag,
        Scope::Provider => pb::BudgetScope::Provider,
        Scope::Model => pb::BudgetScope::Model,
        Scope::Global => pb::BudgetScope::Global,
    }
}

/// The scope that a request names, of a user that of all its keys; `None` if it
/// names none.
pub(crate) fn scope_from_wire(scope: pb::BudgetScope) -> Option<Scope> {
    Scope::VARIANTS.iter().copied().find(|known| scope_to_wire(*known) == scope)
}

/// The name of a scope, such as `TEAM_MEMBER`.
pub(crate) fn scope_name(scope: pb::BudgetScope) -> &'static str {
    scope.as_str_name().trim_start_matches("BUDGET_SCOPE_")
}

/// Leaves the budgets that bind: a user's rates do where its budget may not.
pub(crate) fn retain_binding(budgets: &mut Vec<BudgetStanding>, lines: &[Line<'_>]) {
    budgets.retain(|standing| lines.iter().any(|line| line.budget_binds && *line.account == standing.account));
}

/// A budget's standing on the wire.
pub(crate) fn to_wire(standing: &BudgetStanding) -> pb::BudgetStatus {
    let BudgetStanding { account, budget, window, spent, reserved, mode, .. } = standing;
    let since_ever = window.start == Timestamp::EPOCH;
    pb::BudgetStatus {
        scope: scope_to_wire(account.scope()).into(),
        id: account.object_id(),
        max_budget: budget.max.map(|max| max.to_string()),
        soft_budget: budget.soft.map(|soft| soft.to_string()),
        spend: spent.to_string(),
        reserved: reserved.to_string(),
        remaining: standing.remaining().map(|left| left.to_string()),
        budget_duration: budget.duration.map(|length| length.to_string()),
        window_start: (!since_ever).then(|| instant::to_wire(window.start)),
        resets_at: window.end.map(instant::to_wire),
        shadow: mode.shadow,
        would_deny: false,
    }
}

/// A budget's standing in the answer to a call.
pub(crate) fn answered(standing: &BudgetStanding) -> pb::BudgetStatus {
    pb::BudgetStatus { would_deny: standing.would_deny(), ..to_wire(standing) }
}

/// A rate limit's standing on the wire.
pub(crate) fn rate_to_wire(standing: &RateStanding) -> pb::RateLimitStatus {
    let kind = match standing.kind {
        RateKind::Parallel => pb::RateLimitKind::Parallel,
        RateKind::Requests => pb::RateLimitKind::Requests,
        RateKind::Tokens => pb::RateLimitKind::Tokens,
        RateKind::TokensPerDay => pb::RateLimitKind::TokensPerDay,
    };
    pb::RateLimitStatus {
        scope: scope_to_wire(standing.account.scope()).into(),
        id: standing.account.object_id(),
        kind: kind.into(),
        limit: standing.limit,
        remaining: standing.remaining,
        resets_at: standing.resets_at.map(instant::to_wire),
        relaxed: standing.relaxed,
        is_share: standing.is_share(),
    }
}
