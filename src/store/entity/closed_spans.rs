//! Stretches of time of which events are no longer kept.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "closed_spans")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub span_at: i64,
    pub events: i64,
    pub closed_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
