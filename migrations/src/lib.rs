//! Bursar's tables, step by step.
//!
//! A migration is never changed once it was released: a change is a new one at
//! the end of the list. Each must leave the previous binary working: first
//! add, then fill, and remove only in a later release.
//!
//! Kept the same way in both databases: instants are microseconds since 1970
//! in UTC, money is nano-dollars, lists and maps are JSON text.

use sea_orm_migration::prelude::*;

mod columns;
mod m20261121_000001_create_identities;
mod m20261121_000002_create_ledger;
mod m20261121_000003_create_prices;
mod m20261121_000004_create_audit_log;
mod m20261121_000005_create_secrets;
mod m20261121_000006_create_open_reservations;
mod m20261121_000007_create_organizations;
mod m20261121_000008_create_sign_in;
mod m20261121_000009_place_audit_entries;
mod m20261121_000010_index_orders;
mod m20261121_000011_create_outbox;
mod m20261121_000012_split_rollups;
mod m20261129_000013_create_models;
mod m20261129_000014_create_rollup_rebuilds;
mod m20261129_000015_partition_usage;
mod m20261129_000016_add_up_months;
mod m20261129_000017_create_scope_budgets;
mod m20261129_000018_add_whole_numbers;
mod m20261129_000019_rotate_keys;
mod m20261129_000020_limit_keys;
mod m20261129_000021_create_budgets;
mod m20261129_000022_sync_teams;
mod m20261130_000023_rank_days;
mod m20261130_000024_create_customers;
mod m20261130_000025_place_budgets;
mod m20261130_000026_create_budget_alerts;
mod m20261130_000027_limit_models;
mod m20261130_000028_fall_back;
mod m20261130_000029_create_budget_modes;
mod m20261130_000030_limit_days;
mod m20261130_000031_guarantee_keys;
mod m20261130_000032_create_verifications;
mod m20261130_000033_create_closings;

/// The ordered list of migrations.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_identities::Migration),
            Box::new(m20261121_000002_create_ledger::Migration),
            Box::new(m20261121_000003_create_prices::Migration),
            Box::new(m20261121_000004_create_audit_log::Migration),
            Box::new(m20261121_000005_create_secrets::Migration),
            Box::new(m20261121_000006_create_open_reservations::Migration),
            Box::new(m20261121_000007_create_organizations::Migration),
            Box::new(m20261121_000008_create_sign_in::Migration),
            Box::new(m20261121_000009_place_audit_entries::Migration),
            Box::new(m20261121_000010_index_orders::Migration),
            Box::new(m20261121_000011_create_outbox::Migration),
            Box::new(m20261121_000012_split_rollups::Migration),
            Box::new(m20261129_000013_create_models::Migration),
            Box::new(m20261129_000014_create_rollup_rebuilds::Migration),
            Box::new(m20261129_000015_partition_usage::Migration),
            Box::new(m20261129_000016_add_up_months::Migration),
            Box::new(m20261129_000017_create_scope_budgets::Migration),
            Box::new(m20261129_000018_add_whole_numbers::Migration),
            Box::new(m20261129_000019_rotate_keys::Migration),
            Box::new(m20261129_000020_limit_keys::Migration),
            Box::new(m20261129_000021_create_budgets::Migration),
            Box::new(m20261129_000022_sync_teams::Migration),
            Box::new(m20261130_000023_rank_days::Migration),
            Box::new(m20261130_000024_create_customers::Migration),
            Box::new(m20261130_000025_place_budgets::Migration),
            Box::new(m20261130_000026_create_budget_alerts::Migration),
            Box::new(m20261130_000027_limit_models::Migration),
            Box::new(m20261130_000028_fall_back::Migration),
            Box::new(m20261130_000029_create_budget_modes::Migration),
            Box::new(m20261130_000030_limit_days::Migration),
            Box::new(m20261130_000031_guarantee_keys::Migration),
            Box::new(m20261130_000032_create_verifications::Migration),
            Box::new(m20261130_000033_create_closings::Migration),
        ]
    }
}
