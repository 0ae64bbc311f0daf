//! Users, teams, their members, keys, and the archives of what was deleted.

use sea_orm_migration::prelude::*;

use crate::columns::{
    bookkeeping, create, flag, index, limits, number, number_null, references, table, text, text_null, unique,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = vec![users(), teams(), team_members(), keys(), deleted_keys(), deleted_teams()];
        let indexes = vec![
            unique("users", &["email_folded"]),
            index("users", &["created_at", "user_id"]),
            index("users", &["user_role"]),
            index("teams", &["created_at", "team_id"]),
            index("team_members", &["user_id", "team_id"]),
            unique("keys", &["key_hash"]),
            unique("keys", &["key_alias"]),
            index("keys", &["created_at", "key_id"]),
            index("keys", &["user_id", "created_at"]),
            index("keys", &["team_id", "created_at"]),
            unique("deleted_keys", &["key_hash"]),
            index("deleted_keys", &["deleted_at", "key_id"]),
            index("deleted_keys", &["user_id"]),
            index("deleted_keys", &["team_id"]),
            index("deleted_teams", &["deleted_at", "archive_id"]),
            index("deleted_teams", &["team_id"]),
        ];
        create(manager, tables, indexes).await
    }
}

fn users() -> TableCreateStatement {
    let mut columns = vec![
        text("user_id"),
        text_null("user_email"),
        text_null("email_folded"),
        text_null("user_alias"),
        text("user_role"),
        text("models"),
        text("metadata"),
        flag("blocked"),
    ];
    columns.extend(limits());
    columns.extend(bookkeeping());
    table("users", &["user_id"], columns)
}

fn teams() -> TableCreateStatement {
    let mut columns = vec![
        text("team_id"),
        text_null("team_alias"),
        text("models"),
        text("model_aliases"),
        number_null("member_budget_nanos"),
        text_null("member_budget_duration"),
        number("member_budget_anchor_at"),
        number_null("member_rpm_limit"),
        number_null("member_tpm_limit"),
        text_null("member_key_duration"),
        text_null("member_permissions"),
        text("tags"),
        text("metadata"),
        flag("blocked"),
        flag("blocked_by_admin"),
    ];
    columns.extend(limits());
    columns.extend(bookkeeping());
    table("teams", &["team_id"], columns)
}

fn team_members() -> TableCreateStatement {
    let columns = vec![
        text("team_id"),
        text("user_id"),
        text("role"),
        flag("has_own_limits"),
        number_null("max_budget_nanos"),
        text_null("budget_duration"),
        number("budget_anchor_at"),
        number_null("rpm_limit"),
        number_null("tpm_limit"),
        number("added_at"),
    ];
    let mut members = table("team_members", &["team_id", "user_id"], columns);
    references(&mut members, "team_members_team_id_fkey", "team_id", "teams", "team_id");
    references(&mut members, "team_members_user_id_fkey", "user_id", "users", "user_id");
    members
}

fn keys() -> TableCreateStatement {
    let mut columns = vec![
        text("key_id"),
        text("key_hash"),
        text("key_name"),
        text("key_type"),
        text_null("key_alias"),
        text_null("user_id"),
        text_null("team_id"),
        text_null("service_account_id"),
        text("models"),
        text("model_aliases"),
        text("allowed_routes"),
        text("tags"),
        text("metadata"),
        flag("blocked"),
        number_null("expires_at"),
        text("created_by"),
    ];
    columns.extend(limits());
    columns.extend(bookkeeping());
    let mut keys = table("keys", &["key_id"], columns);
    references(&mut keys, "keys_user_id_fkey", "user_id", "users", "user_id");
    references(&mut keys, "keys_team_id_fkey", "team_id", "teams", "team_id");
    keys
}

/// Without foreign keys: what it names may be gone.
fn deleted_keys() -> TableCreateStatement {
    let columns = vec![
        text("key_id"),
        text("key_hash"),
        text_null("key_alias"),
        text_null("user_id"),
        text_null("team_id"),
        text("record"),
        number("deleted_at"),
        text("deleted_by"),
    ];
    table("deleted_keys", &["key_id"], columns)
}

/// The same `team_id` may have been deleted more than once.
fn deleted_teams() -> TableCreateStatement {
    let columns = vec![
        text("archive_id"),
        text("team_id"),
        text_null("team_alias"),
        text("record"),
        text("members"),
        number("deleted_at"),
        text("deleted_by"),
    ];
    table("deleted_teams", &["archive_id"], columns)
}
