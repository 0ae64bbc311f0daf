//! Models that admins registered.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "models")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub model_name: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub deployment: String,
    pub provider: String,
    pub provider_model: String,
    pub base_model: String,
    pub access_groups: String,
    pub prices: String,
    pub mode: Option<String>,
    pub max_output_tokens: Option<i64>,
    pub batch_discount: bool,
    pub multiplier_excludes_cache: bool,
    pub metadata: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
