//! Invitations.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub invitation_id: String,
    pub user_id: String,
    pub token_hash: String,
    pub accepted_at: Option<i64>,
    pub expires_at: i64,
    pub created_at: i64,
    pub created_by: String,
    pub mail_to: Option<String>,
    pub mail_state: Option<String>,
    pub mail_error: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
