//! Teams.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "teams")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub team_id: String,
    pub team_alias: Option<String>,
    pub models: String,
    pub model_aliases: String,
    pub member_budget_nanos: Option<i64>,
    pub member_budget_duration: Option<String>,
    pub member_budget_anchor_at: i64,
    pub member_rpm_limit: Option<i64>,
    pub member_tpm_limit: Option<i64>,
    pub member_key_duration: Option<String>,
    pub member_permissions: Option<String>,
    pub tags: String,
    pub metadata: String,
    pub blocked: bool,
    pub blocked_by_admin: bool,
    pub idp_managed_by: Option<String>,
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
    pub organization_id: Option<String>,
    pub tpm_limit_type: Option<String>,
    pub rpm_limit_type: Option<String>,
    pub model_tpm_limit: String,
    pub model_rpm_limit: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
