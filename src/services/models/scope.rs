//! Scope: which models a caller may see, which are those that it may call.

use crate::domain::decision::model_lists;
use crate::domain::ids::TeamId;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::ModelScope;

/// The models that the caller may see: with a key those that the key may call,
/// signed in those that the user may call, by itself or in one of its teams.
///
/// # Errors
/// [`Error`] if the database fails.
pub(super) async fn scope(ctx: &Ctx) -> Result<ModelScope, Error> {
    if ctx.scope.is_all() {
        return Ok(ModelScope::All);
    }
    if let Some(identity) = ctx.caller.identity() {
        return Ok(ModelScope::Callable(vec![model_lists(identity).map(|(_, list)| list.clone()).collect()]));
    }
    let Some(user) = ctx.caller.user() else { return Ok(ModelScope::Callable(Vec::new())) };
    let mut places = vec![vec![user.models.clone()]];
    let view = ctx.app.store.view();
    let memberships = view.teams_of_users(std::slice::from_ref(&user.user_id)).await?;
    let teams: Vec<TeamId> = memberships.into_iter().map(|(_, team)| team).collect();
    places.extend(view.teams_by_id(&teams).await?.into_iter().map(|team| vec![team.models]));
    Ok(ModelScope::Callable(places))
}
