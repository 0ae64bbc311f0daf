//! The archive of teams.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deleted_teams")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub archive_id: String,
    pub team_id: String,
    pub team_alias: Option<String>,
    pub organization_id: Option<String>,
    pub record: String,
    pub members: String,
    pub deleted_at: i64,
    pub deleted_by: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
