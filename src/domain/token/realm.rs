//! Realms: whose users somebody's word is taken for, and what becomes of them.

use super::Stated;
use crate::domain::ids::{OrganizationId, TeamId};

/// The most teams that one token makes.
const TEAMS_MAX: usize = 100;

/// What is done for those whom somebody else vouches for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a switch of the settings is a switch")]
pub struct Realm {
    /// Who vouches for them: an issuer, by the claim `iss` to the letter.
    pub name: Box<str>,
    /// The team of those who name none.
    pub default_team: Option<TeamId>,
    /// Whether a model call needs a team.
    pub team_required: bool,
    /// Whether users that are not known are made.
    pub creates_users: bool,
    /// Whether teams that are not known are made.
    pub creates_teams: bool,
    /// Whether organizations that are not known are made.
    pub creates_organizations: bool,
    /// What its teams do to memberships.
    pub memberships: Memberships,
    /// Whether a user's role becomes what is stated.
    pub sets_roles: bool,
}

impl Realm {
    /// A realm of users and teams that are there already, and stay as they are.
    #[must_use]
    pub fn of_known(name: &str) -> Self {
        Self {
            name: name.into(),
            default_team: None,
            team_required: false,
            creates_users: false,
            creates_teams: false,
            creates_organizations: false,
            memberships: Memberships::Ignore,
            sets_roles: false,
        }
    }

    /// The teams that somebody states and that are made if they are not there.
    pub fn teams_to_make<'a>(&self, stated: &'a Stated) -> impl Iterator<Item = &'a TeamId> + use<'a> {
        let most = if self.creates_teams { TEAMS_MAX } else { 0 };
        stated.teams.all().filter(|id| !id.as_str().starts_with(TeamId::RESERVED_PREFIX)).take(most)
    }

    /// The organization that somebody states and that is made if it is not there.
    #[must_use]
    pub fn organization_to_make<'a>(&self, stated: &'a Stated) -> Option<&'a OrganizationId> {
        stated.organization_id.as_ref().filter(|_| self.creates_organizations)
    }

    /// Whether somebody who is known may be changed.
    #[must_use]
    pub fn changes_users(&self) -> bool {
        self.sets_roles || self.memberships != Memberships::Ignore
    }
}

/// What the teams that somebody states do to its memberships.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Memberships {
    /// Nothing.
    #[default]
    Ignore,
    /// The user joins them.
    Add,
    /// The user joins them, and leaves what the realm manages and is not stated.
    Sync,
}
