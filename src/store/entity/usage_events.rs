//! One row per call.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: String,
    pub fingerprint: String,
    pub key_id: String,
    pub user_id: String,
    pub team_id: String,
    pub model: String,
    pub model_group: String,
    pub provider: String,
    pub deployment: String,
    pub customer_id: String,
    pub tags: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub started_at: i64,
    pub ended_at: i64,
    pub first_token_at: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub reasoning_tokens: i64,
    pub detail: String,
    pub cost_nanos: i64,
    pub cost_source: String,
    pub price_id: String,
    pub unpriced_parts: String,
    pub inconsistent: bool,
    pub status: String,
    pub error_code: String,
    pub error_message: String,
    pub cache_hit: bool,
    pub call_type: String,
    pub session_id: String,
    pub metadata: String,
    pub reporter: String,
    pub recorded_at: i64,
    pub postings: String,
    pub organization_id: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
