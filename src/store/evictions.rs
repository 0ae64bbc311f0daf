//! Evictions: what a change makes stale in memory.

use crate::domain::ids::{TeamId, UserId};
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
    /// The price book.
    Prices,
}
