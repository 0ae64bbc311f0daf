//! Resolving members: which user a request means, and making the ones that do
//! not exist.

use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::UserId;
use crate::domain::reason::Reason;
use crate::domain::role::{Role, TeamRole};
use crate::domain::team::AskedLimits;
use crate::domain::user::{Email, NewUser, User};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::correction::{Owner, begin_at_zero};
use crate::services::wire::faults::Faults;
use crate::services::wire::{role, text};
use crate::store::Tx;

/// The most members of one request.
pub(super) const MEMBERS_MAX: usize = 500;

/// A member that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) user_id: Option<UserId>,
    pub(super) email: Option<Email>,
    pub(super) role: TeamRole,
    pub(super) limits: AskedLimits,
}

/// Takes the members of a request. The same user twice is a fault.
pub(super) fn take(field: &str, members: &[pb::TeamMember], faults: &mut Faults) -> Vec<Asked> {
    if members.len() > MEMBERS_MAX {
        faults.add(field, format!("must have at most {MEMBERS_MAX} entries"));
        return Vec::new();
    }
    let mut taken: Vec<Asked> = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let path = format!("{field}[{index}]");
        let asked = take_one(&path, member, faults);
        let same = |other: &Asked| {
            let same_id = asked.user_id.is_some() && asked.user_id == other.user_id;
            let folded = |email: &Option<Email>| email.as_ref().map(Email::folded);
            same_id || (asked.email.is_some() && folded(&asked.email) == folded(&other.email))
        };
        if taken.iter().any(same) {
            faults.add_named(path, Reason::DuplicateMember, "is named twice");
        }
        taken.push(asked);
    }
    taken
}

fn take_one(path: &str, member: &pb::TeamMember, faults: &mut Faults) -> Asked {
    let field = |name: &str| format!("{path}.{name}");
    if member.user_id.is_empty() && member.user_email.is_empty() {
        faults.add_named(path, Reason::UserReferenceMissing, "must have a user_id or a user_email");
    }
    let email = (!member.user_email.is_empty()).then_some(&member.user_email);
    Asked {
        user_id: text::user_id(&field("user_id"), &member.user_id, faults),
        email: email.and_then(|email| faults.take(field("user_email"), Email::parse(email))),
        role: role::team_role_from_wire(&field("role"), member.role, faults).unwrap_or(TeamRole::User),
        limits: AskedLimits {
            max: faults.money(field("max_budget_in_team"), member.max_budget_in_team.as_ref()),
            duration: faults.length(field("budget_duration"), member.budget_duration.as_ref()),
            rpm: faults.limit(field("rpm_limit"), member.rpm_limit),
            tpm: faults.limit(field("tpm_limit"), member.tpm_limit),
        },
    }
}

/// Who may make users by naming them as members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayMake {
    /// By an id, or by an e-mail address.
    Any,
    /// By an e-mail address.
    ByEmail,
    /// Not at all.
    None,
}

/// The user that a request means, and whether it was made for it.
///
/// # Errors
/// `INVALID_ARGUMENT` if id and address name different users; `NOT_FOUND` if
/// there is none and the caller may not make it.
pub(super) async fn user(
    ctx: &Ctx,
    tx: &mut Tx,
    asked: &Asked,
    path: &str,
    may_make: MayMake,
) -> Result<(User, bool), Error> {
    let by_id = match &asked.user_id {
        Some(id) => tx.view().find_user(id).await?,
        None => None,
    };
    let by_email = match &asked.email {
        Some(email) => tx.view().find_user_by_email(email).await?,
        None => None,
    };
    match (by_id, by_email) {
        (Some(user), Some(other)) if user.user_id != other.user_id => Err(mismatch(asked, path)),
        (Some(_), None) if asked.email.is_some() => Err(mismatch(asked, path)),
        (None, Some(_)) if asked.user_id.is_some() => Err(mismatch(asked, path)),
        (Some(user), _) | (None, Some(user)) => Ok((user, false)),
        (None, None) => make(ctx, tx, asked, may_make).await,
    }
}

fn mismatch(asked: &Asked, path: &str) -> Error {
    let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
    let (id, email) = (name(asked.user_id.as_ref().map(UserId::as_str)), name(asked.email.as_ref().map(Email::as_str)));
    let rule = format!("user_id {id:?} and user_email {email:?} must name the same user");
    Error::invalid(Violation::named(path, Reason::UserIdEmailMismatch, rule))
}

async fn make(ctx: &Ctx, tx: &mut Tx, asked: &Asked, may_make: MayMake) -> Result<(User, bool), Error> {
    let allowed = match may_make {
        MayMake::Any => true,
        MayMake::ByEmail => asked.user_id.is_none(),
        MayMake::None => false,
    };
    let name = asked.user_id.as_ref().map(UserId::as_str).or(asked.email.as_ref().map(Email::as_str));
    if !allowed {
        return Err(Refusal::not_found(Reason::UserNotFound, "user", name).into());
    }
    let new = NewUser { user_id: asked.user_id.clone(), user_email: asked.email.clone(), ..NewUser::default() };
    let (user, _) = new.complete(&ctx.app.rules.users, Role::InternalUser, ctx.now);
    // Another request may have made the user at the same moment.
    if tx.insert_user_if_absent(&user).await? {
        begin_at_zero(ctx, tx, &[Owner::User(&user.user_id)]).await?;
        return Ok((user, true));
    }
    let found = match &asked.email {
        Some(email) => tx.view().find_user_by_email(email).await?,
        None => tx.view().find_user(&user.user_id).await?,
    };
    let user = found.ok_or_else(|| Refusal::not_found(Reason::UserNotFound, "user", name))?;
    Ok((user, false))
}
