//! Corrections: events that set what something spent.

use super::account::{AccountId, Scope};
use super::clock::Timestamp;
use super::ids::{CustomerId, KeyId, OrganizationId, TeamId, UserId, new_uuid};
use super::money::Usd;
use super::usage::{CostSource, Costing, Event, Posting, Usage};

/// Whose spend is set.
#[derive(Clone, Debug)]
pub enum Owner<'a> {
    /// A key.
    Key(KeyId),
    /// A user.
    User(&'a UserId),
    /// A team.
    Team(&'a TeamId),
    /// A user in a team.
    Member(&'a TeamId, &'a UserId),
    /// An organization.
    Organization(&'a OrganizationId),
    /// A user in an organization.
    OrganizationMember(&'a OrganizationId, &'a UserId),
    /// An end user.
    Customer(&'a CustomerId),
    /// A key in one window, or with one model.
    KeyPart(KeyId, &'a AccountId),
    /// A user with one model.
    UserModel(&'a UserId, &'a AccountId),
    /// An end user with one model.
    CustomerModel(&'a CustomerId, &'a AccountId),
    /// What calls of all keys share.
    Scope(&'a AccountId),
}

impl Owner<'_> {
    /// The accounts that are set.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountId> {
        match self {
            Self::Key(id) => vec![AccountId::key(*id)],
            // What a user's budget is compared with is set, too.
            Self::User(id) => vec![AccountId::user(id), AccountId::user_personal(id)],
            Self::Team(id) => vec![AccountId::team(id)],
            Self::Member(team, user) => vec![AccountId::team_member(team, user)],
            Self::Organization(id) => vec![AccountId::organization(id)],
            Self::OrganizationMember(organization, user) => vec![AccountId::organization_member(organization, user)],
            Self::Customer(id) => vec![AccountId::customer(id)],
            Self::KeyPart(_, account)
            | Self::UserModel(_, account)
            | Self::CustomerModel(_, account)
            | Self::Scope(account) => vec![(*account).clone()],
        }
    }

    /// The event that moves one of the accounts, in the window that begins then,
    /// by a difference; `reporter` is who sets it.
    #[must_use]
    pub fn correction(
        &self,
        account: &AccountId,
        window_start: Timestamp,
        difference: Usd,
        (reporter, now): (String, Timestamp),
    ) -> Event {
        let request_id = format!("adjustment:{}", new_uuid());
        let costing = Costing {
            cost: difference,
            list_cost: None,
            source: CostSource::Adjustment,
            price_id: String::new(),
            provider: String::new(),
            unpriced_parts: Vec::new(),
            inconsistent: false,
        };
        let personal = account.scope() == Scope::UserPersonal;
        Event {
            fingerprint: String::new(),
            key_id: if let Self::Key(id) | Self::KeyPart(id, _) = self { Some(*id) } else { None },
            user_id: match self {
                Self::User(id) | Self::Member(_, id) | Self::OrganizationMember(_, id) | Self::UserModel(id, _)
                    if !personal =>
                {
                    Some((*id).clone())
                }
                _ => None,
            },
            team_id: match self {
                Self::Team(id) | Self::Member(id, _) => Some((*id).clone()),
                _ => None,
            },
            organization_id: match self {
                Self::Organization(id) | Self::OrganizationMember(id, _) => Some((*id).clone()),
                _ => None,
            },
            costing,
            started_at: now,
            ended_at: now,
            recorded_at: now,
            reporter,
            postings: vec![Posting { account: account.clone(), window_start }],
            usage: Usage {
                request_id,
                call_type: "adjustment".to_owned(),
                customer_id: match self {
                    Self::Customer(id) | Self::CustomerModel(id, _) => id.to_string(),
                    _ => String::new(),
                },
                ..Usage::default()
            },
        }
    }
}
