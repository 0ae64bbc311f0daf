//! What can go wrong in the store, by meaning and not by database.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

use crate::domain::clock::Timestamp;

/// Something that must be unique, or must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub enum Constraint {
    UserId,
    UserEmail,
    TeamId,
    OrganizationId,
    Member,
    KeyId,
    KeyHash,
    KeyAlias,
    DeletedKeyHash,
    RequestId,
    PriceFrom,
    Model,
    BudgetId,
    CustomerId,
}

/// Each constraint as PostgreSQL names it, and as SQLite names its columns.
const CONSTRAINTS: [(&str, &str, Constraint); 15] = [
    ("users_pkey", "users.user_id", Constraint::UserId),
    ("users_email_folded_key", "users.email_folded", Constraint::UserEmail),
    ("teams_pkey", "teams.team_id", Constraint::TeamId),
    ("organizations_pkey", "organizations.organization_id", Constraint::OrganizationId),
    ("team_members_pkey", "team_members.team_id, team_members.user_id", Constraint::Member),
    ("keys_pkey", "keys.key_id", Constraint::KeyId),
    ("keys_key_hash_key", "keys.key_hash", Constraint::KeyHash),
    ("keys_key_alias_key", "keys.key_alias", Constraint::KeyAlias),
    ("rotated_keys_pkey", "rotated_keys.key_hash", Constraint::DeletedKeyHash),
    ("deleted_keys_key_hash_key", "deleted_keys.key_hash", Constraint::DeletedKeyHash),
    (
        "idempotency_records_pkey",
        "idempotency_records.caller, idempotency_records.rpc, idempotency_records.request_id",
        Constraint::RequestId,
    ),
    ("prices_model_valid_from_at_key", "prices.model, prices.valid_from_at", Constraint::PriceFrom),
    ("customers_pkey", "customers.customer_id", Constraint::CustomerId),
    ("budgets_pkey", "budgets.budget_id", Constraint::BudgetId),
    ("models_pkey", "models.model_name, models.deployment", Constraint::Model),
];

/// A change of one row touched it, unless somebody else was faster.
///
/// # Errors
/// [`StoreError::Stale`].
pub(super) const fn one_row(affected: u64) -> Result<(), StoreError> {
    if affected == 1 { Ok(()) } else { Err(StoreError::Stale) }
}

/// A failure of the store. The text of a cause is for the log only.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Something with this name exists.
    #[error("{0:?} is taken")]
    Taken(Constraint),
    /// Something that a row needs does not exist, or a row is still needed.
    #[error("a row that others need is missing or still in use: {0}")]
    Reference(String),
    /// The row was changed since it was read.
    #[error("the row was changed since it was read")]
    Stale,
    /// A report needs usage events that are no longer kept.
    #[error("usage events before {kept_from} are no longer kept")]
    EventsGone {
        /// The first instant of which all are.
        kept_from: Timestamp,
        /// Whether it needs them because of its time zone only.
        by_zone: bool,
    },
    /// Other transactions were in the way, several times over.
    #[error("too many transactions at once: {0}")]
    Contended(String),
    /// The database can't be reached, or does not answer in time.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A fault in a query, or a row that makes no sense.
    #[error("the store is broken: {0}")]
    Broken(String),
}

impl StoreError {
    /// Whether the same transaction may succeed when it is tried again at once.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Contended(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let text = error.to_string();
        match &error {
            // Its text shows the URL, which may have a password.
            DbErr::Conn(RuntimeErr::Internal(_)) => Self::Unavailable(
                "its URL can't be read: write # / ? @ and : in a password as %23 %2F %3F %40 and %3A".to_owned(),
            ),
            DbErr::Custom(_) if text.contains("this migration has been applied") => Self::Unavailable(
                "its tables are of a newer version; start that one again, or put a backup back".to_owned(),
            ),
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => from_sqlx(cause, text),
            DbErr::ConnectionAcquire(_) => Self::Unavailable(text),
            _ => Self::Broken(text),
        }
    }
}

fn from_sqlx(cause: &SqlxError, text: String) -> StoreError {
    let SqlxError::Database(error) = cause else {
        return match cause {
            SqlxError::Io(_) | SqlxError::Tls(_) | SqlxError::PoolTimedOut | SqlxError::PoolClosed => {
                StoreError::Unavailable(text)
            }
            SqlxError::Protocol(_) | SqlxError::WorkerCrashed => StoreError::Unavailable(text),
            _ => StoreError::Broken(text),
        };
    };
    if error.is_unique_violation() {
        return constraint(error.constraint(), error.message()).map_or(StoreError::Broken(text), StoreError::Taken);
    }
    if error.is_foreign_key_violation() {
        return StoreError::Reference(text);
    }
    match error.code().as_deref() {
        // PostgreSQL: serialization failure, deadlock. SQLite: a snapshot that
        // is too old to write.
        Some("40001" | "40P01" | "517") => StoreError::Contended(text),
        Some(code) if is_trouble_of_sqlite(code) => StoreError::Unavailable(text),
        // PostgreSQL: connection trouble, no resources, shutting down, statement timeout.
        Some(code) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) && code.len() == 5 => {
            StoreError::Unavailable(text)
        }
        _ => StoreError::Broken(text),
    }
}

/// Busy, locked, read-only, an I/O error, a full disk, a file that can't be opened:
/// the lowest byte of a code, whatever stands above it.
fn is_trouble_of_sqlite(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| [5, 6, 8, 10, 13, 14].contains(&(code & 0xff)))
}

fn constraint(name: Option<&str>, message: &str) -> Option<Constraint> {
    let columns = message.strip_prefix("UNIQUE constraint failed: ");
    let is_it = |(postgres, sqlite, _): &&(&str, &str, Constraint)| name == Some(*postgres) || columns == Some(*sqlite);
    CONSTRAINTS.iter().find(is_it).map(|(_, _, constraint)| *constraint)
}
