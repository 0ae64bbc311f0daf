//! Rebuilds of rollups.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rollup_rebuilds")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub job_id: String,
    pub from_at: i64,
    pub until_at: i64,
    pub next_at: i64,
    pub done: bool,
    pub claim: i64,
    pub claimed_until_at: i64,
    pub compared: i64,
    pub repaired: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
