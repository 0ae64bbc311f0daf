//! How everything stands that binds the calls of a key, as far as the caller
//! may know it.

use super::budget;
use crate::domain::identity::{Identity, Models};
use crate::domain::scope_budget::CallScopes;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;

/// The budgets and the rate limits, in the order in which they are checked. To
/// whoever may read everything also the budgets that all keys share, of the
/// key's tags and of all calls: those of providers and models depend on the call.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn of_key(
    ctx: &Ctx,
    identity: &Identity,
) -> Result<(Vec<pb::BudgetStatus>, Vec<pb::RateLimitStatus>), Error> {
    let gate = &ctx.app.gate;
    let mut lines = gate.binding_lines(identity, Models::All);
    let shared = gate.scope_budgets();
    if ctx.scope.is_all() {
        let tags = || identity.key.tags.iter().map(AsRef::as_ref).collect();
        shared.join(&mut lines, || CallScopes { tags: tags(), providers: &[], models: ["", ""] });
    }
    let (mut budgets, rates) = gate.all_standings(&lines, ctx.now).await?;
    budget::retain_binding(&mut budgets, &lines);
    Ok((budgets.iter().map(budget::to_wire).collect(), rates.iter().map(budget::rate_to_wire).collect()))
}
