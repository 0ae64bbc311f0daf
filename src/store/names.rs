//! Names: what reports and events show next to an id, also of what is deleted.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Select};

use super::entity::{deleted_keys, deleted_teams, keys, organizations, teams, users};
use super::error::StoreError;
use super::view::View;
use crate::domain::rollup::Dimension;

/// What something is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Its alias; empty if it has none.
    pub alias: String,
    /// The hash of a key's secret; else empty.
    pub key_hash: String,
}

/// Names by id.
pub type Names = HashMap<String, Name>;

#[derive(FromQueryResult)]
struct Row {
    id: String,
    alias: Option<String>,
    key_hash: String,
}

impl View<'_> {
    /// The names of what a report is split by, in at most two queries. Unknown
    /// ids are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn names(&self, dimension: Dimension, ids: &[String]) -> Result<Names, StoreError> {
        match dimension {
            Dimension::Key => {
                let mut names = self.live_keys(ids).await?;
                names.extend(self.dead_keys(&missing(ids, &names)).await?);
                Ok(names)
            }
            Dimension::Team => {
                let mut names = self.live_teams(ids).await?;
                names.extend(self.dead_teams(&missing(ids, &names)).await?);
                Ok(names)
            }
            Dimension::User => {
                use users::Column::{UserAlias, UserId};
                self.read(users::Entity::find(), UserId, UserAlias, None, ids).await
            }
            Dimension::Organization => {
                use organizations::Column::{OrganizationAlias, OrganizationId};
                self.read(organizations::Entity::find(), OrganizationId, OrganizationAlias, None, ids).await
            }
            // They are names.
            _ => Ok(Names::new()),
        }
    }

    async fn live_keys(&self, ids: &[String]) -> Result<Names, StoreError> {
        use keys::Column::{KeyAlias, KeyHash, KeyId};
        self.read(keys::Entity::find(), KeyId, KeyAlias, Some(KeyHash), ids).await
    }

    async fn dead_keys(&self, ids: &[String]) -> Result<Names, StoreError> {
        use deleted_keys::Column::{KeyAlias, KeyHash, KeyId};
        self.read(deleted_keys::Entity::find(), KeyId, KeyAlias, Some(KeyHash), ids).await
    }

    async fn live_teams(&self, ids: &[String]) -> Result<Names, StoreError> {
        use teams::Column::{TeamAlias, TeamId};
        self.read(teams::Entity::find(), TeamId, TeamAlias, None, ids).await
    }

    async fn dead_teams(&self, ids: &[String]) -> Result<Names, StoreError> {
        use deleted_teams::Column::{DeletedAt, TeamAlias, TeamId};
        // An id may have been used several times: the last one counts.
        let oldest_first = deleted_teams::Entity::find().order_by_asc(DeletedAt);
        self.read(oldest_first, TeamId, TeamAlias, None, ids).await
    }

    async fn read<E: EntityTrait, C: ColumnTrait>(
        &self,
        table: Select<E>,
        id: C,
        alias: C,
        hash: Option<C>,
        ids: &[String],
    ) -> Result<Names, StoreError> {
        if ids.is_empty() {
            return Ok(Names::new());
        }
        let query = table.select_only().column_as(id, "id").column_as(alias, "alias").filter(id.is_in(ids));
        let query = match hash {
            Some(hash) => query.column_as(hash, "key_hash"),
            None => query.expr_as(sea_orm::sea_query::Expr::val(""), "key_hash"),
        };
        let rows = query.into_model::<Row>().all(&self.executor()).await?;
        let name = |row: Row| (row.id, Name { alias: row.alias.unwrap_or_default(), key_hash: row.key_hash });
        Ok(rows.into_iter().map(name).collect())
    }
}

fn missing(ids: &[String], found: &Names) -> Vec<String> {
    ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect()
}
