//! Evictions: what a change makes stale in memory.

use crate::domain::account::AccountId;
use crate::domain::ids::{CustomerId, OrganizationId, TeamId, UserId};
use crate::domain::secret::KeyHash;

/// Something that is kept in memory and must be read again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Eviction {
    /// A key, by its hash.
    Key(KeyHash),
    /// A user.
    User(UserId),
    /// A team.
    Team(TeamId),
    /// A user in a team.
    Member(TeamId, UserId),
    /// An organization.
    Organization(OrganizationId),
    /// A user in an organization.
    OrganizationMember(OrganizationId, UserId),
    /// An end user.
    Customer(CustomerId),
    /// Some tier, and with it what is known of the keys and customers in any.
    Tier,
    /// The price book.
    Prices,
    /// The budget of an account that calls of all keys share, and what it spent.
    ScopeBudget(AccountId),
    /// How budgets are applied.
    BudgetModes,
}
