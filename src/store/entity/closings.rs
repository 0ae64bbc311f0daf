//! What became of calls at another instance than the one that holds room for them.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "closings")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub reservation: String,
    /// The run that holds room for it.
    pub holder: i64,
    /// Whether the call was made; else it was released.
    pub was_made: bool,
    /// What it used, as rate limits count.
    pub tokens: i64,
    pub expires_at: i64,
    /// Whether the holder knows.
    pub heard: bool,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
