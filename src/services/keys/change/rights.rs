//! Who may change what of a key.

use crate::config::SelfServeBudgets;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::fault::Refusal;
use crate::domain::ids::BudgetId;
use crate::domain::key::{Key, KeyType};
use crate::domain::limit::{Budget, is_raised};
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::role::MemberPermission;
use crate::domain::team::Team;
use crate::error::Error;
use crate::services::Ctx;
use crate::services::keys::rules;
use crate::services::wire::access::KeyStanding;

/// The fields that budgets are made of.
const BUDGET_FIELDS: [&str; 9] = [
    "max_budget",
    "soft_budget",
    "budget_duration",
    "budget_anchor_at",
    "budget_id",
    "budget_limits",
    "model_max_budget",
    "temp_budget_increase",
    "temp_budget_expires_at",
];

/// Those of them that an owner may write, if any.
const OWNER_BUDGET_FIELDS: [&str; 2] = ["max_budget", "soft_budget"];

/// May the caller put the key into a tier, or take it out of one? Who may not is
/// not told whether there is such a tier.
pub(super) fn check_tier(standing: &KeyStanding, before: &Key, budget_id: &Patch<BudgetId>) -> Result<(), Refusal> {
    let is_kept = match budget_id {
        Patch::Keep => true,
        Patch::Clear => before.budget_id.is_none(),
        Patch::Set(id) => before.budget_id.as_ref() == Some(id),
    };
    let may = matches!(standing, KeyStanding::ProxyAdmin | KeyStanding::TeamAdmin);
    if is_kept || may { Ok(()) } else { Err(rules::field_refused("budget_id")) }
}

/// The budgets that are in force before and after a change, tiers and all.
#[derive(Clone, Copy)]
pub(super) struct InForce<'a> {
    pub(super) was: &'a Budget,
    pub(super) is: &'a Budget,
}

/// May the caller change what it changes of a key, which is in this team?
/// Writing the same value again is no
/// change.
pub(super) fn check(
    ctx: &Ctx,
    standing: &KeyStanding,
    (before, after): (&Key, &Key),
    budgets: InForce<'_>,
    (spend, team): (&Patch<Usd>, Option<&Team>),
) -> Result<(), Error> {
    let is_narrow = ctx.caller.key().is_some_and(|key| !key.allowed_routes.is_empty());
    if is_narrow && after.allowed_routes != before.allowed_routes {
        // A key that may call some RPCs only widens no other, and not itself.
        return Err(rules::field_refused("allowed_routes").into());
    }
    if *standing == KeyStanding::ProxyAdmin {
        return Ok(());
    }
    let may_set_spend = before.team_id.is_some() && standing.may_as_member(MemberPermission::KeyResetSpend);
    if !spend.is_keep() && !may_set_spend {
        return Err(rules::field_refused("spend").into());
    }
    let Some(change) = Change::updated(ObjectType::Key, before.key_id, before, after) else { return Ok(()) };
    for field in change.fields() {
        if !may_write(ctx, (standing, team), (before, after), budgets, field) {
            return Err(rules::field_refused(field).into());
        }
    }
    Ok(())
}

fn may_write(
    ctx: &Ctx,
    (standing, team): (&KeyStanding, Option<&Team>),
    (before, after): (&Key, &Key),
    budgets: InForce<'_>,
    field: &str,
) -> bool {
    if field == "blocked" {
        let permission = if after.blocked { MemberPermission::KeyBlock } else { MemberPermission::KeyUnblock };
        return standing.may_as_member(permission);
    }
    match field {
        "allowed_routes" => return false,
        // Nobody else lets a key do more.
        "key_type" if !before.key_type.includes(after.key_type) => return false,
        _ => {}
    }
    if let Some((_, kind)) = after.limits.throughput.fields().into_iter().find(|(name, _)| *name == field) {
        return *standing == KeyStanding::TeamAdmin && kind.is_none_or(|kind| kind.is_given(before.team_id.is_some()));
    }
    match standing {
        // A key that leaves its teams becomes personal, and a personal one stays where
        // it is: but for proxy admins. One whose secret others may know lends them no
        // rights of a new owner.
        KeyStanding::TeamAdmin => match field {
            "team_id" => before.team_id.is_some() && after.team_id.is_some(),
            "user_id" if before.team_id.is_none() => false,
            "user_id" => after.user_id.is_none() || after.key_type == KeyType::LlmApi,
            _ => true,
        },
        KeyStanding::Owner(_) if ["user_id", "team_id"].contains(&field) => false,
        KeyStanding::Owner(_) if BUDGET_FIELDS.contains(&field) => {
            OWNER_BUDGET_FIELDS.contains(&field) && owner_may_write_budget(ctx, (before, team), budgets)
        }
        KeyStanding::ProxyAdmin | KeyStanding::Owner(_) => true,
        KeyStanding::TeamMember(_) => {
            let placed = ["user_id", "team_id", "key_type"].contains(&field) || BUDGET_FIELDS.contains(&field);
            !placed && standing.may_as_member(MemberPermission::KeyUpdate)
        }
        KeyStanding::Viewer | KeyStanding::Outsider => false,
    }
}

/// What an owner may do to the budget of a key that it made itself: setting
/// `self_serve_budget_policy`.
fn owner_may_write_budget(ctx: &Ctx, (before, team): (&Key, Option<&Team>), InForce { was, is }: InForce<'_>) -> bool {
    let made_it = ctx.caller.user_id().is_some_and(|user| user.as_str() == before.created_by);
    let same_windows = was.duration == is.duration;
    let raised = is_raised(was.max.as_ref(), is.max.as_ref());
    made_it
        && match ctx.app.rules.self_serve_budgets {
            SelfServeBudgets::Disabled => false,
            SelfServeBudgets::LowerOnly => !raised && same_windows,
            SelfServeBudgets::Ceiling => {
                let ceiling = rules::ceiling(ctx, team);
                same_windows && !is_raised(ceiling.as_ref(), is.max.as_ref())
            }
        }
}
