//! What teams and keys take of the throughput of those that they are in.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait};

use super::entity::{keys, teams};
use super::error::StoreError;
use super::key_rows::to_key;
use super::teams::to_team;
use super::view::View;
use crate::domain::ids::{KeyId, OrganizationId, TeamId};
use crate::domain::throughput::Share;

/// Keys that share what somebody has.
#[derive(Clone, Copy, Debug)]
pub enum Sharers<'a> {
    /// Those of a team.
    KeysOfTeam(&'a TeamId),
    /// Those of all teams of an organization.
    KeysOfOrganization(&'a OrganizationId),
}

impl View<'_> {
    /// What the teams of an organization take of its throughput, except one.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn shares(&self, of: &OrganizationId, except: Option<&TeamId>) -> Result<Vec<Share>, StoreError> {
        let query = teams::Entity::find()
            .filter(teams::Column::OrganizationId.eq(of.as_str()))
            .filter(Condition::all().add_option(except.map(|team| teams::Column::TeamId.ne(team.as_str()))));
        let rows = query.all(&self.executor()).await?;
        rows.into_iter().map(|row| Ok(Share::from(&to_team(row)?))).collect()
    }

    /// What these keys take, by their own limits and those of their tiers,
    /// except one; those that take nothing are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn shares_of_keys(&self, of: Sharers<'_>, except: Option<KeyId>) -> Result<Vec<Share>, StoreError> {
        use keys::Column;
        let of_them = match of {
            Sharers::KeysOfTeam(team) => Column::TeamId.eq(team.as_str()),
            Sharers::KeysOfOrganization(organization) => {
                let teams = teams::Entity::find()
                    .select_only()
                    .column(teams::Column::TeamId)
                    .filter(teams::Column::OrganizationId.eq(organization.as_str()));
                Column::TeamId.in_subquery(teams.into_query())
            }
        };
        let takes_something = Condition::any()
            .add(Column::TpmLimit.is_not_null())
            .add(Column::RpmLimit.is_not_null())
            .add(Column::BudgetId.is_not_null())
            .add(Column::ModelTpmLimit.ne("{}"))
            .add(Column::ModelRpmLimit.ne("{}"))
            .add(Column::ModelMaxBudget.ne("{}"));
        let wanted = Condition::all()
            .add(of_them)
            .add(takes_something)
            .add_option(except.map(|key| Column::KeyId.ne(key.to_string())));
        let rows = keys::Entity::find().filter(wanted).all(&self.executor()).await?;
        let keys = rows.into_iter().map(to_key).collect::<Result<Vec<_>, _>>()?;
        let mut tiers: Vec<_> = keys.iter().filter_map(|key| key.budget_id.clone()).collect();
        tiers.sort();
        tiers.dedup();
        let tiers = self.find_tiers(&tiers).await?;
        let tier = |id| tiers.get(id);
        Ok(keys.iter().map(|key| Share::of_key(key, key.budget_id.as_ref().and_then(tier))).collect())
    }
}
