//! Teams: rows, reads and changes.

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, QueryTrait,
    Select,
};

use super::balances::{Spend, WithSpend, select_with_spend, spend_in_window};
use super::entity::{keys, team_members, teams};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text, word};
use super::limits::budget;
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, paginate};
use super::tx::Tx;
use super::users::contains;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::limit::Rates;
use crate::domain::money::Usd;
use crate::domain::team::{MemberDefaults, Team};

/// The columns that teams can be ordered by.
pub const SORTABLE: [SortKey; 5] = [
    SortKey::number("created_at"),
    SortKey::text("team_alias").or_null(),
    SortKey::text("team_id"),
    SortKey::number("max_budget").or_null(),
    SortKey::number("spend"),
];

/// A team with what its keys spent, and how large it is.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTeam {
    /// The team.
    pub team: Team,
    /// What its keys spent.
    pub spend: Spend,
    /// How many members it has.
    pub member_count: i64,
    /// How many live keys it has.
    pub key_count: i64,
}

/// Which teams a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListTeamsRequest")]
pub struct TeamFilter {
    pub team_id: Option<TeamId>,
    pub member: Option<UserId>,
    pub alias_contains: String,
    pub blocked: Option<bool>,
    /// Only this team, or teams with this member: what the caller may see.
    pub visible_to: Option<TeamScope>,
}

/// The teams that a caller may see.
#[derive(Clone, Debug)]
pub enum TeamScope {
    /// Those of which a user is a member.
    OfMember(UserId),
    /// One team.
    Only(TeamId),
    /// None.
    Nothing,
}

impl View<'_> {
    /// The team with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_team(&self, id: &TeamId) -> Result<Option<Team>, StoreError> {
        let row = teams::Entity::find_by_id(id.as_str()).one(&self.executor()).await?;
        row.map(to_team).transpose()
    }

    /// The team with an id, what it spent and how large it is.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_stored_team(&self, id: &TeamId, now: Timestamp) -> Result<Option<StoredTeam>, StoreError> {
        let query = with_spend(teams::Entity::find_by_id(id.as_str()), now);
        let row = query.into_model::<WithSpend<teams::Model>>().one(&self.executor()).await?;
        let teams = self.with_counts(row.into_iter().collect()).await?;
        Ok(teams.into_iter().next())
    }

    /// The teams with these ids, in any order; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn teams_by_id(&self, ids: &[TeamId]) -> Result<Vec<Team>, StoreError> {
        let ids = ids.iter().map(TeamId::as_str);
        let rows = teams::Entity::find().filter(teams::Column::TeamId.is_in(ids)).all(&self.executor()).await?;
        rows.into_iter().map(to_team).collect()
    }

    /// One page of teams.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_teams(
        &self,
        filter: &TeamFilter,
        order: Order,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<StoredTeam>, StoreError> {
        let query = teams::Entity::find().filter(condition(filter));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let key = sort_expression(order.key, now);
        let query = with_spend(query, now).expr_as(key.clone(), "sort_key");
        let id = Expr::col((teams::Entity, teams::Column::TeamId));
        let query = paginate(query, &key, &id, order, page);
        let rows = query.into_model::<WithSpend<teams::Model>>().all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: row.sort_key(order.key),
            id: row.row.team_id.clone(),
        });
        let items = self.with_counts(page.items).await?;
        Ok(Page { items, next: page.next, total: page.total })
    }

    /// Adds to a page of teams how many members and keys each has, by one
    /// grouped query each.
    async fn with_counts(&self, rows: Vec<WithSpend<teams::Model>>) -> Result<Vec<StoredTeam>, StoreError> {
        #[derive(FromQueryResult)]
        struct Count {
            team_id: String,
            count: i64,
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = rows.iter().map(|row| row.row.team_id.clone()).collect();
        let members = team_members::Entity::find()
            .select_only()
            .column(team_members::Column::TeamId)
            .column_as(team_members::Column::UserId.count(), "count")
            .filter(team_members::Column::TeamId.is_in(ids.clone()))
            .group_by(team_members::Column::TeamId);
        let members = members.into_model::<Count>().all(&self.executor()).await?;
        let of_keys = keys::Entity::find()
            .select_only()
            .column(keys::Column::TeamId)
            .column_as(keys::Column::KeyId.count(), "count")
            .filter(keys::Column::TeamId.is_in(ids))
            .group_by(keys::Column::TeamId);
        let of_keys = of_keys.into_model::<Count>().all(&self.executor()).await?;
        let count =
            |counts: &[Count], id: &str| counts.iter().find(|count| count.team_id == id).map_or(0, |count| count.count);
        rows.into_iter()
            .map(|row| {
                let (member_count, key_count) = (count(&members, &row.row.team_id), count(&of_keys, &row.row.team_id));
                Ok(StoredTeam { spend: row.spend(), team: to_team(row.row)?, member_count, key_count })
            })
            .collect()
    }
}

impl Tx {
    /// Adds a team.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its id is.
    pub async fn insert_team(&mut self, team: &Team) -> Result<(), StoreError> {
        teams::Entity::insert(to_row(team)?).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::Team, &team.team_id, team));
        self.evict(Eviction::Team(team.team_id.clone()));
        Ok(())
    }

    /// Changes a team; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it.
    pub async fn update_team(&mut self, before: &Team, after: &mut Team) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::Team, &before.team_id, before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = teams::Entity::update_many()
            .set(to_row(after)?)
            .filter(teams::Column::TeamId.eq(before.team_id.as_str()))
            .filter(teams::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        self.record(change.named(Action::of_update(before.blocked, after.blocked)));
        self.evict(Eviction::Team(before.team_id.clone()));
        Ok(())
    }

    /// Removes a team that has no keys and members any more.
    ///
    /// # Errors
    /// [`StoreError::Reference`] if it has some.
    pub async fn delete_team(&mut self, team: &Team) -> Result<(), StoreError> {
        let deleted = teams::Entity::delete_by_id(team.team_id.as_str()).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::Team, &team.team_id, team));
        self.evict(Eviction::Team(team.team_id.clone()));
        Ok(())
    }

    /// Locks the teams with these ids until the end of the transaction and
    /// reads them; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_teams(&mut self, ids: &[TeamId]) -> Result<Vec<Team>, StoreError> {
        use sea_orm::QueryOrder;
        let query = teams::Entity::find()
            .filter(teams::Column::TeamId.is_in(ids.iter().map(TeamId::as_str)))
            .order_by_asc(teams::Column::TeamId);
        let rows = query.lock_exclusive().all(&self.inner).await?;
        rows.into_iter().map(to_team).collect()
    }
}

fn condition(filter: &TeamFilter) -> Condition {
    let with_member = |user: &UserId| {
        let teams = team_members::Entity::find()
            .select_only()
            .column(team_members::Column::TeamId)
            .filter(team_members::Column::UserId.eq(user.as_str()));
        teams::Column::TeamId.in_subquery(teams.into_query())
    };
    Condition::all()
        .add_option(filter.team_id.as_ref().map(|id| teams::Column::TeamId.eq(id.as_str())))
        .add_option(filter.member.as_ref().map(with_member))
        .add_option(contains(teams::Column::TeamAlias, &filter.alias_contains))
        .add_option(filter.blocked.map(|blocked| teams::Column::Blocked.eq(blocked)))
        .add_option(filter.visible_to.as_ref().map(|scope| match scope {
            TeamScope::OfMember(user) => with_member(user),
            TeamScope::Only(team) => teams::Column::TeamId.eq(team.as_str()),
            TeamScope::Nothing => Expr::val(false),
        }))
}

fn with_spend(query: Select<teams::Entity>, now: Timestamp) -> Select<teams::Entity> {
    select_with_spend(query, Scope::Team, "teams", "team_id", now)
}

fn sort_expression(key: SortKey, now: Timestamp) -> SimpleExpr {
    let column = match key.name {
        "spend" => return spend_in_window(Scope::Team, "teams", "team_id", now),
        "team_id" => teams::Column::TeamId,
        "team_alias" => teams::Column::TeamAlias,
        "max_budget" => teams::Column::MaxBudgetNanos,
        _ => teams::Column::CreatedAt,
    };
    Expr::col((teams::Entity, column))
}

fn to_team(row: teams::Model) -> Result<Team, StoreError> {
    Ok(Team {
        team_id: TeamId::stored(row.team_id),
        team_alias: row.team_alias,
        models: from_text(&row.models)?,
        model_aliases: from_text(&row.model_aliases)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests },
        member_defaults: MemberDefaults {
            max: row.member_budget_nanos.map(Usd::from_nanos),
            duration: row.member_budget_duration.as_deref().map(word).transpose()?,
            anchor: Timestamp::from_micros(row.member_budget_anchor_at),
            rpm: row.member_rpm_limit,
            tpm: row.member_tpm_limit,
        },
        team_member_key_duration: row.member_key_duration.as_deref().map(word).transpose()?,
        member_permissions: row.member_permissions.as_deref().map(from_text).transpose()?,
        tags: from_text(&row.tags)?,
        metadata: from_text(&row.metadata)?,
        blocked: row.blocked,
        blocked_by_admin: row.blocked_by_admin,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(team: &Team) -> Result<teams::ActiveModel, StoreError> {
    Ok(teams::ActiveModel {
        team_id: Set(team.team_id.to_string()),
        team_alias: Set(team.team_alias.clone()),
        models: Set(to_text(&team.models)?),
        model_aliases: Set(to_text(&team.model_aliases)?),
        member_budget_nanos: Set(team.member_defaults.max.map(Usd::nanos)),
        member_budget_duration: Set(team.member_defaults.duration.map(|length| length.to_string())),
        member_budget_anchor_at: Set(team.member_defaults.anchor.micros()),
        member_rpm_limit: Set(team.member_defaults.rpm),
        member_tpm_limit: Set(team.member_defaults.tpm),
        member_key_duration: Set(team.team_member_key_duration.map(|length| length.to_string())),
        member_permissions: Set(team.member_permissions.as_ref().map(to_text).transpose()?),
        tags: Set(to_text(&team.tags)?),
        metadata: Set(to_text(&team.metadata)?),
        blocked: Set(team.blocked),
        blocked_by_admin: Set(team.blocked_by_admin),
        max_budget_nanos: Set(team.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(team.budget.soft.map(Usd::nanos)),
        budget_duration: Set(team.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(team.budget.anchor.micros()),
        tpm_limit: Set(team.rates.tpm),
        rpm_limit: Set(team.rates.rpm),
        max_parallel_requests: Set(team.rates.parallel),
        created_at: Set(team.created_at.micros()),
        updated_at: Set(team.updated_at.micros()),
        version: Set(team.version),
    })
}
