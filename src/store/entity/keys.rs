//! Live keys.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_id: String,
    pub key_hash: String,
    pub key_name: String,
    pub key_type: String,
    pub key_alias: Option<String>,
    pub user_id: Option<String>,
    pub team_id: Option<String>,
    pub service_account_id: Option<String>,
    pub models: String,
    pub model_aliases: String,
    pub allowed_routes: String,
    pub tags: String,
    pub metadata: String,
    pub blocked: bool,
    pub block_reason: Option<String>,
    pub expires_at: Option<i64>,
    pub created_by: String,
    pub budget_id: Option<String>,
    pub former_secrets: String,
    pub budget_limits: String,
    pub model_max_budget: String,
    pub model_tpm_limit: String,
    pub model_rpm_limit: String,
    pub temp_budget_increase_nanos: Option<i64>,
    pub temp_budget_expires_at: Option<i64>,
    pub rotation_interval: Option<String>,
    pub rotation_count: i64,
    pub last_rotated_at: Option<i64>,
    pub next_rotation_at: Option<i64>,
    pub max_budget_nanos: Option<i64>,
    pub soft_budget_nanos: Option<i64>,
    pub budget_duration: Option<String>,
    pub budget_anchor_at: i64,
    pub tpm_limit: Option<i64>,
    pub rpm_limit: Option<i64>,
    pub max_parallel_requests: Option<i64>,
    pub tpd_limit: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub budget_fallbacks: Option<String>,
    pub tpm_limit_type: Option<String>,
    pub rpm_limit_type: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
