//! Aliases: what a token names by its label.

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::domain::token::Stated;
use crate::error::Error;
use crate::gate::Directory;

/// Puts the ids of what a token names by aliases in their place.
///
/// # Errors
/// `PERMISSION_DENIED` if nothing has an alias, `FAILED_PRECONDITION` if several
/// have it.
pub(super) async fn find(directory: &Directory, stated: &mut Stated) -> Result<(), Error> {
    if let Some(alias) = stated.aliases.team.take() {
        let found = directory.teams_named(&alias).await?;
        stated.teams.one = Some(only(found, "team", &alias, Reason::TeamUnknown)?);
    }
    if let Some(alias) = stated.aliases.organization.take() {
        let found = directory.organizations_named(&alias).await?;
        stated.organization_id = Some(only(found, "organization", &alias, Reason::OrganizationUnknown)?);
    }
    Ok(())
}

fn only<T>(mut found: Vec<T>, kind: &str, alias: &str, unknown: Reason) -> Result<T, Refusal> {
    match (found.pop(), found.pop()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let message = format!("the token names {kind} {alias:?} by its alias, and none has it");
            Err(Refusal::denied(unknown, message).with("alias", alias))
        }
        (Some(_), Some(_)) => {
            let message = format!("the token names {kind} {alias:?} by its alias, which several have");
            Err(Refusal::precondition(Reason::AliasAmbiguous, message).with("alias", alias))
        }
    }
}
