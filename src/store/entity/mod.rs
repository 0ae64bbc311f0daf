//! Rows, as the tables have them. They never leave the store.

#![expect(
    unreachable_pub,
    clippy::struct_field_names,
    reason = "the derives make public items of private rows; columns are named as in the tables"
)]

pub mod audit_entries;
pub mod balances;
pub mod budget_alerts;
pub mod budget_modes;
pub mod budgets;
pub mod closed_spans;
pub mod closings;
pub mod customers;
pub mod deleted_keys;
pub mod deleted_teams;
pub mod due_rankings;
pub mod holders;
pub mod idempotency_records;
pub mod invitations;
pub mod keys;
pub mod leases;
pub mod model_prices;
pub mod models;
pub mod open_reservations;
pub mod opening_balances;
pub mod organization_members;
pub mod organizations;
pub mod outbox;
pub mod prices;
pub mod rollup_rebuilds;
pub mod rotated_keys;
pub mod scope_budgets;
pub mod server_secrets;
pub mod session_keys;
pub mod team_members;
pub mod teams;
pub mod usage_deltas;
pub mod usage_event_tags;
pub mod usage_events;
pub mod usage_ids;
pub mod usage_rollups;
pub mod users;
pub mod verifications;
