//! People: which user a request means by an id, an e-mail address or both, and
//! making the ones that do not exist.

use super::correction::{Owner, begin_at_zero};
use super::faults::Faults;
use super::text;
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::OrganizationMember;
use crate::domain::reason::Reason;
use crate::domain::role::OrganizationRole;
use crate::domain::user::{Email, NewUser, User};
use crate::error::Error;
use crate::services::Ctx;
use crate::store::{Tx, View};

/// The most members of one request.
pub(crate) const MEMBERS_MAX: usize = 500;

/// A user as a request names it: by an id, an address, or both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Person {
    user_id: Option<UserId>,
    email: Option<Email>,
}

impl Person {
    /// Takes the two fields that name a user; one of them must be there.
    pub(crate) fn take(path: &str, user_id: &str, email: &str, faults: &mut Faults) -> Self {
        let field = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if user_id.is_empty() && email.is_empty() {
            let named = if path.is_empty() { "user_id" } else { path };
            faults.add_named(named, Reason::UserReferenceMissing, "must be named by user_id or user_email");
        }
        Self {
            user_id: text::user_id(&field("user_id"), user_id, faults),
            email: (!email.is_empty()).then(|| faults.take(field("user_email"), Email::parse(email))).flatten(),
        }
    }

    /// The user with an id.
    pub(crate) fn of_id(user_id: &UserId) -> Self {
        Self { user_id: Some(user_id.clone()), email: None }
    }

    /// The id, or else the address.
    pub(crate) fn name(&self) -> &str {
        let email = self.email.as_ref().map(Email::as_str);
        self.user_id.as_ref().map(UserId::as_str).or(email).unwrap_or_default()
    }

    /// The id that the request gives.
    pub(crate) fn user_id(&self) -> String {
        self.user_id.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The address that the request gives.
    pub(crate) fn user_email(&self) -> String {
        self.email.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether two requests certainly mean one user.
    fn is_same(&self, other: &Self) -> bool {
        let folded = |email: &Option<Email>| email.as_ref().map(Email::folded);
        let same_id = self.user_id.is_some() && self.user_id == other.user_id;
        same_id || (self.email.is_some() && folded(&self.email) == folded(&other.email))
    }
}

/// Takes the members of a request, each with its path and its person. The same
/// user twice is a fault.
pub(crate) fn take_members<M, A>(
    field: &str,
    members: &[M],
    take: impl Fn(&str, &M, &mut Faults) -> A,
    faults: &mut Faults,
) -> Vec<A> {
    if members.len() > MEMBERS_MAX {
        faults.add(field, format!("must have at most {MEMBERS_MAX} entries"));
        return Vec::new();
    }
    members.iter().enumerate().map(|(index, member)| take(&format!("{field}[{index}]"), member, faults)).collect()
}

/// Reports who is named twice, where that fails the whole request.
pub(crate) fn check_repeats<'a>(field: &str, people: impl Iterator<Item = &'a Person>, faults: &mut Faults) {
    let mut seen: Vec<&Person> = Vec::new();
    for (index, person) in people.enumerate() {
        if seen.iter().any(|other| person.is_same(other)) {
            faults.0.push(named_twice(format!("{field}[{index}]")));
        }
        seen.push(person);
    }
}

/// The fault of somebody who is named twice.
pub(crate) fn named_twice(path: String) -> Violation {
    Violation::named(path, Reason::DuplicateMember, "is named twice")
}

/// Who may make users by naming them as members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MayMake {
    /// By an id, or by an e-mail address.
    Any,
    /// By an e-mail address; the user's home is then this organization.
    ByEmail(Option<OrganizationId>),
    /// Not at all.
    Nobody,
}

/// The user that a request means; `None` if there is none yet.
///
/// # Errors
/// `INVALID_ARGUMENT` if id and address name different users.
pub(crate) async fn find(view: View<'_>, person: &Person, path: &str) -> Result<Option<User>, Error> {
    let by_id = match &person.user_id {
        Some(id) => view.find_user(id).await?,
        None => None,
    };
    let by_email = match &person.email {
        Some(email) => view.find_user_by_email(email).await?,
        None => None,
    };
    match (by_id, by_email) {
        (Some(user), Some(other)) if user.user_id != other.user_id => Err(mismatch(person, path)),
        (Some(_), None) if person.email.is_some() => Err(mismatch(person, path)),
        (None, Some(_)) if person.user_id.is_some() => Err(mismatch(person, path)),
        (by_id, by_email) => Ok(by_id.or(by_email)),
    }
}

fn mismatch(person: &Person, path: &str) -> Error {
    let (id, email) = (person.user_id(), person.user_email());
    let rule = format!("user_id {id:?} and user_email {email:?} must name the same user");
    Error::invalid(Violation::named(path, Reason::UserIdEmailMismatch, rule))
}

/// The caller, if it names itself. Of others it learns nothing, not even
/// whether somebody has an address.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn itself(ctx: &Ctx, view: View<'_>, person: &Person) -> Result<Option<UserId>, Error> {
    let Some(id) = ctx.caller.user_id() else { return Ok(None) };
    let email = view.find_user(id).await?.and_then(|user| user.user_email);
    let folded = |email: &Email| email.folded();
    let is_own_id = person.user_id.as_ref().is_none_or(|named| named == id);
    let is_own_email = person.email.as_ref().is_none_or(|named| email.as_ref().map(folded) == Some(named.folded()));
    Ok((is_own_id && is_own_email).then(|| id.clone()))
}

/// The member that a request means, whether it is one or not.
///
/// # Errors
/// `NOT_FOUND` if there is no such user; `INVALID_ARGUMENT` if id and address
/// name different ones.
pub(crate) async fn member(view: View<'_>, person: &Person) -> Result<UserId, Error> {
    let Some(email) = &person.email else {
        return person.user_id.clone().ok_or_else(|| Error::internal("a user reference vanished"));
    };
    let user = view.find_user_by_email(email).await?.ok_or_else(|| not_a_member(email.as_str()))?;
    match &person.user_id {
        Some(id) if *id != user.user_id => {
            let rule = "and user_email must name the same user";
            Err(Error::invalid(Violation::named("user_id", Reason::UserIdEmailMismatch, rule)))
        }
        _ => Ok(user.user_id),
    }
}

/// Makes a user a plain member of an organization, if it is none.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn enter_organization(
    ctx: &Ctx,
    tx: &mut Tx,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<(), Error> {
    let member = OrganizationMember {
        organization_id: organization.clone(),
        user_id: user.clone(),
        user_email: None,
        role: OrganizationRole::InternalUser,
        max_budget_in_organization: None,
        added_at: ctx.now,
    };
    if tx.insert_organization_member(&member).await? {
        begin_at_zero(tx, &[Owner::OrganizationMember(organization, user)]).await?;
    }
    Ok(())
}

/// The refusal to name somebody as a member who is none.
pub(crate) fn not_a_member(name: &str) -> Refusal {
    Refusal::not_found(Reason::MemberNotFound, "member", [name])
}

/// Whether the caller may make this person.
///
/// # Errors
/// `NOT_FOUND`, as the person does not exist, and stays so.
pub(crate) fn check_may_make(person: &Person, may_make: &MayMake) -> Result<(), Refusal> {
    match may_make {
        MayMake::Any => Ok(()),
        MayMake::ByEmail(_) if person.user_id.is_none() => Ok(()),
        MayMake::ByEmail(_) | MayMake::Nobody => Err(Refusal::not_found(Reason::UserNotFound, "user", [person.name()])),
    }
}

/// Makes a person that was not found, with the configured defaults. Says
/// whether it was made here: somebody else may have at the same moment.
///
/// # Errors
/// `NOT_FOUND` if the caller may not make it.
pub(crate) async fn make(ctx: &Ctx, tx: &mut Tx, person: &Person, may_make: &MayMake) -> Result<(User, bool), Error> {
    check_may_make(person, may_make)?;
    let home_organization_id = match may_make {
        MayMake::ByEmail(home) => home.clone(),
        MayMake::Any | MayMake::Nobody => None,
    };
    let new = NewUser {
        user_id: person.user_id.clone(),
        user_email: person.email.clone(),
        home_organization_id,
        ..NewUser::default()
    };
    let defaults = &ctx.app.rules.users;
    let (user, _) = new.complete(defaults, defaults.implicit_role(), ctx.now);
    if tx.insert_user_if_absent(&user).await? {
        begin_at_zero(tx, &[Owner::User(&user.user_id)]).await?;
        return Ok((user, true));
    }
    let found = match &person.email {
        Some(email) => tx.view().find_user_by_email(email).await?,
        None => tx.view().find_user(&user.user_id).await?,
    };
    let user = found.ok_or_else(|| Refusal::not_found(Reason::UserNotFound, "user", [person.name()]))?;
    Ok((user, false))
}
