//! Usage added up.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_rollups")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub cut: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub grain: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket_at: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub cell: String,
    pub key_id: String,
    pub user_id: String,
    pub team_id: String,
    pub organization_id: String,
    pub customer_id: String,
    pub tag: String,
    pub model: String,
    pub model_group: String,
    pub provider: String,
    pub deployment: String,
    pub error_code: String,
    pub spent_nanos: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub api_requests: i64,
    pub successful_requests: i64,
    pub failed_requests: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
