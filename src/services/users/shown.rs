//! What is shown of users beside their rows.

use std::collections::HashMap;

use crate::domain::ids::UserId;
use crate::error::Error;
use crate::services::Ctx;
use crate::services::wire::user::Shown;
use crate::store::{TeamFilter, TeamScope};

/// The teams and keys of users. Of others than itself, a caller who does not
/// reach everything learns of the teams only that it may see.
///
/// # Errors
/// [`Error`] if the database fails.
pub(super) async fn of(ctx: &Ctx, users: &[UserId]) -> Result<HashMap<UserId, Shown>, Error> {
    let view = ctx.app.store.view();
    let mut memberships = view.teams_of_users(users).await?;
    if let Some(caller) = ctx.caller.user_id().filter(|_| !ctx.scope.is_all() && !memberships.is_empty()) {
        let filter = TeamFilter {
            team_ids: memberships.iter().map(|(_, team)| team.clone()).collect(),
            visible_to: Some(TeamScope::OfUser(caller.clone())),
            ..TeamFilter::default()
        };
        let seen = view.team_ids(&filter).await?;
        memberships.retain(|(user, team)| user == caller || seen.contains(team));
    }
    let counts = view.key_counts(users).await?;
    let mut shown: HashMap<UserId, Shown> =
        counts.into_iter().map(|(user, key_count)| (user, Shown { key_count, ..Shown::default() })).collect();
    for (user, team) in memberships {
        shown.entry(user).or_default().team_ids.push(team);
    }
    Ok(shown)
}

/// The same of one user.
///
/// # Errors
/// [`Error`] if the database fails.
pub(super) async fn of_one(ctx: &Ctx, user: &UserId) -> Result<Shown, Error> {
    Ok(of(ctx, std::slice::from_ref(user)).await?.remove(user).unwrap_or_default())
}
