//! The owner and the team of a key, and what it must keep of theirs.

use crate::domain::fault::{Refusal, Violation};
use crate::domain::key::Key;
use crate::domain::models::ALL_TEAM_MODELS;
use crate::domain::reason::Reason;
use crate::domain::team::Team;
use crate::error::Error;
use crate::services::Ctx;
use crate::services::keys::rules;
use crate::services::wire::access::{KeyStanding, managed_team};
use crate::store::View;

/// The rules about the key's owner and team, after the change, given the team
/// before; gives the one after.
pub(super) async fn check(
    ctx: &Ctx,
    view: View<'_>,
    standing: &KeyStanding,
    (before, of_before): (&Key, Option<Team>),
    after: &Key,
) -> Result<Option<Team>, Error> {
    let is_admin = *standing == KeyStanding::ProxyAdmin;
    if after.service_account_id.is_some() && after.user_id.is_some() {
        return Err(Error::invalid(Violation::new("key.user_id", "must be absent: a service account has no owner")));
    }
    if after.team_id.is_none() && after.models.iter().any(|name| name == ALL_TEAM_MODELS) {
        return Err(Error::invalid(Violation::new(
            "key.models",
            format!("{ALL_TEAM_MODELS:?} needs a key with a team_id"),
        )));
    }
    let team = match &after.team_id {
        // Who moves a key manages both teams.
        Some(id) if after.team_id != before.team_id => Some(managed_team(ctx, view, id).await?.0),
        Some(_) => of_before,
        None => None,
    };
    if let Some(owner) = &after.user_id
        && (after.user_id != before.user_id || after.team_id != before.team_id)
    {
        let user = rules::owner(view, owner).await?;
        if let Some(team) = &team {
            rules::check_membership(view, &team.team_id, owner).await?;
        }
        if after.user_id != before.user_id {
            rules::check_active(&user)?;
        }
    }
    let moved = after.team_id != before.team_id;
    if let Some(team) = &team {
        if moved || (!is_admin && after.models != before.models) {
            rules::check_models(ctx, &after.models, &team.models, "team")?;
        }
        if moved {
            check_limits(after, team, is_admin)?;
        } else if *standing == KeyStanding::TeamAdmin && after.budget.max != before.budget.max {
            check_limit("max_budget", after.budget.max, team.budget.max)?;
        }
    } else if !is_admin && after.models != before.models {
        let owner = after.user_id.as_ref();
        if let Some(owner) = owner {
            rules::check_models(ctx, &after.models, &rules::owner(view, owner).await?.models, "user")?;
        }
    }
    Ok(team)
}

/// A key that moves to a team must fit into it.
fn check_limits(key: &Key, team: &Team, is_admin: bool) -> Result<(), Refusal> {
    check_limit("tpm_limit", key.rates.tpm, team.rates.tpm)?;
    check_limit("rpm_limit", key.rates.rpm, team.rates.rpm)?;
    check_limit("tpd_limit", key.rates.tpd, team.rates.tpd)?;
    if is_admin { Ok(()) } else { check_limit("max_budget", key.budget.max, team.budget.max) }
}

fn check_limit<T: PartialOrd + ToString>(field: &str, asked: Option<T>, limit: Option<T>) -> Result<(), Refusal> {
    match (asked, limit) {
        (Some(asked), Some(limit)) if asked > limit => {
            let (asked, limit) = (asked.to_string(), limit.to_string());
            let message = format!("{field} {asked} is larger than the team's, {limit}");
            let refusal = Refusal::precondition(Reason::LimitAboveTeam, message);
            Err(refusal.with("field", field).with("requested", asked).with("limit", limit))
        }
        _ => Ok(()),
    }
}
