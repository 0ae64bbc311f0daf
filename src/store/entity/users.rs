//! Users.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    pub user_email: Option<String>,
    pub email_folded: Option<String>,
    pub user_alias: Option<String>,
    pub user_role: String,
    pub models: String,
    pub metadata: String,
    pub blocked: bool,
    pub max_budget_nanos: Option<i64>,
    pub soft_budget_nanos: Option<i64>,
    pub budget_duration: Option<String>,
    pub budget_anchor_at: i64,
    pub tpm_limit: Option<i64>,
    pub rpm_limit: Option<i64>,
    pub max_parallel_requests: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub home_organization_id: Option<String>,
    pub password_hash: Option<String>,
    pub password_set_at: Option<i64>,
    pub session_epoch: String,
    pub model_max_budget: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
