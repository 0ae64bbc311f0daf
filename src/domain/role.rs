//! Roles: what a user may do everywhere, and what a member may do in a team.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// A user's role in the whole installation.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Everything.
    ProxyAdmin,
    /// Reads everything; writes only its own alias.
    ProxyAdminViewer,
    /// Its own keys and spend.
    InternalUser,
    /// Reads its own keys and spend.
    InternalUserViewer,
}

impl Role {
    /// Whether users with this role take the defaults of internal users.
    #[must_use]
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::InternalUser | Self::InternalUserViewer)
    }

    /// Whether only a proxy admin may give this role.
    #[must_use]
    pub const fn is_admin(self) -> bool {
        !self.is_internal()
    }

    /// A short name and a description, for people.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::ProxyAdmin => {
                ("Admin (All Permissions)", "Manages every user, team, key, budget and price, and reads all spend.")
            }
            Self::ProxyAdminViewer => {
                ("Admin (View Only)", "Reads everything that an admin reads, and changes nothing but its own alias.")
            }
            Self::InternalUser => (
                "Internal User (Create/Delete/View)",
                "Makes, reads, changes and deletes its own keys, and reads its own spend.",
            ),
            Self::InternalUserViewer => ("Internal User (View Only)", "Reads its own keys and its own spend."),
        }
    }
}

/// A member's role in one team.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TeamRole {
    /// Manages the team.
    Admin,
    /// Reads the team, and does what its member permissions say.
    User,
}

impl TeamRole {
    /// A short name and a description, for people.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Admin => {
                ("Team Admin", "Manages the members and keys of the team, and lowers its budgets and limits.")
            }
            Self::User => ("Team Member", "Reads the team and does what its member permissions allow."),
        }
    }
}

/// A member's role in one organization.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OrganizationRole {
    /// Manages the organization's teams, members, keys, and its own users.
    #[serde(rename = "org_admin")]
    #[strum(serialize = "org_admin")]
    Admin,
    /// Is in the organization.
    InternalUser,
    /// Is in the organization, to look.
    InternalUserViewer,
}

impl OrganizationRole {
    /// A short name and a description, for people.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Admin => (
                "Organization Admin",
                "Manages the teams, members and keys of the organization, within its budget, limits and models.",
            ),
            Self::InternalUser => ("Organization Member", "May be in the organization's teams."),
            Self::InternalUserViewer => ("Organization Viewer", "May be in the organization's teams, to look."),
        }
    }
}

/// What a plain member may do with the keys of its team.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "role.proto documents each, and the conversion keeps the two equal")]
pub enum MemberPermission {
    KeyInfo,
    KeyHealth,
    KeyList,
    KeyGenerate,
    KeyGenerateServiceAccount,
    KeyUpdate,
    KeyDelete,
    KeyBlock,
    KeyUnblock,
    KeyRegenerate,
    KeyResetSpend,
    TeamDailyActivity,
    SpendLogs,
}

impl MemberPermission {
    /// What members may do in a team whose permissions were never written.
    pub const DEFAULT: [Self; 2] = [Self::KeyInfo, Self::KeyHealth];

    /// Whether it is about every key that the team has: whoever may read, change
    /// or end it, sees it.
    #[must_use]
    pub const fn shows_keys(self) -> bool {
        match self {
            Self::KeyGenerate | Self::KeyGenerateServiceAccount | Self::TeamDailyActivity | Self::SpendLogs => false,
            Self::KeyInfo
            | Self::KeyHealth
            | Self::KeyList
            | Self::KeyUpdate
            | Self::KeyDelete
            | Self::KeyBlock
            | Self::KeyUnblock
            | Self::KeyRegenerate
            | Self::KeyResetSpend => true,
        }
    }
}
