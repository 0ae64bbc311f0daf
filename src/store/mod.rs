//! The tables: the only SQL of the project. Domain types in, domain types out.
//!
//! Reads go through a [`View`], of the database or of an open transaction.
//! Changes of users, teams, keys and prices go through a [`Tx`], which writes
//! the audit entry of each change in its own transaction: there is no way to
//! change one of them without. Keys for which nothing must be locked are
//! [`Addition`]s, many of which share a transaction. The ledger has transactions
//! of its own.

mod additions;
mod alerts;
mod archive;
mod audit;
mod audit_chain;
mod backup;
mod balances;
mod bell;
mod budget_modes;
mod cascades;
mod connect;
mod corrections;
mod counts;
mod customers;
mod day_tokens;
mod deliveries;
mod denials;
mod diagnosis;
mod dialect;
mod entity;
mod error;
mod event_rows;
mod evictions;
mod foreign;
mod idempotency;
mod invitations;
mod json;
mod key_hashes;
mod key_list;
mod key_rows;
mod keys;
mod lease_clock;
mod leases;
mod ledger;
mod like;
mod limits;
mod members;
mod merge;
mod models;
mod names;
mod open_reservations;
mod organization_members;
mod organizations;
mod outbox;
mod page;
mod partitions;
mod presence;
mod prices;
mod reach;
mod rebuild;
mod retention;
mod rollup_rows;
mod rollups;
mod scope_budgets;
mod seal;
mod secrets;
mod session_keys;
mod shares;
mod teams;
mod tiers;
mod tx;
mod usage;
mod users;
mod verifications;
mod verify;
mod view;

pub use additions::Addition;
pub use alerts::Telling;
pub use archive::{DeletedKey, DeletedTeam, DeletedTeamFilter};
pub use audit::{AuditFilter, FeedEntry, StoredEntry};
pub use audit_chain::{AuditFault, AuditVerification};
pub use backup::{BackupError, restore};
pub use balances::{Balance, BalanceKey, PastWindow, Spend};
pub use bell::Listener;
pub use cascades::Removed;
pub use connect::{ConnectOptions, PoolStatus, Store};
pub use corrections::Life;
pub use customers::{CustomerFilter, StoredCustomer};
pub use deliveries::{Delivery, DeliveryCounts, DeliveryFilter};
pub use denials::DeniedCalls;
pub use diagnosis::Diagnosis;
pub use error::{Constraint, StoreError};
pub use event_rows::EventRows;
pub use evictions::Eviction;
pub use foreign::ForeignDatabase;
pub use idempotency::{ANSWER_SECONDS, IdempotencyRecord, SECRET_SECONDS};
pub use invitations::InvitationFilter;
pub use key_list::{InstantRange, KeyFilter, KeyScope, StoredKey};
pub use leases::{HoldWrite, Lease};
pub use ledger::{Appended, BatchOutcome, Counted, LedgerBatch, Outcome};
pub use models::{ModelFilter, ModelScope, ModelSource};
pub use names::{Name, Names};
pub use open_reservations::{ClosedReservation, Closing, Freed};
pub use organizations::{OrganizationFilter, StoredOrganization};
pub use outbox::{OutboxEntry, OutboxKind};
pub use page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey};
pub use rebuild::Rebuild;
pub use rollups::{Among, Ranking, Top, UsageFilter, UsageRow};
pub use seal::{Seal, SealKey};
pub use secrets::SecretName;
pub use session_keys::SessionKey;
pub use shares::Sharers;
pub use teams::{StoredTeam, TeamFilter, TeamScope};
pub use tiers::TierUsers;
pub use tx::{Committed, Tx};
pub use usage::{EventFilter, EventScope, EventTime, StoredEvent};
pub use users::{StoredUser, UserFilter, UserScope};
pub use verifications::LastVerification;
pub use verify::{Discrepancy, Verification};
pub use view::{Snapshot, View};

/// The columns that lists can be ordered by.
pub mod sortable {
    pub use super::customers::SORTABLE as CUSTOMERS;
    pub use super::key_list::SORTABLE as KEYS;
    pub use super::organizations::SORTABLE as ORGANIZATIONS;
    pub use super::teams::SORTABLE as TEAMS;
    pub use super::users::SORTABLE as USERS;
}
