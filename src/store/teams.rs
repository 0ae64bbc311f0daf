//! Teams: rows, reads and changes.

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, Select};

use super::balances::{Spend, WithSpend, select_with_spend, spend_in_window};
use super::counts::count_by;
use super::entity::{keys, team_members, teams};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text, word};
use super::like::{contains, found};
use super::limits::{budget, throughput, throughput_type};
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, rows};
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::limit::{ModelRates, Rates};
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
    pub team_ids: Vec<TeamId>,
    pub organization_id: Option<OrganizationId>,
    pub no_organization: bool,
    pub member: Option<UserId>,
    pub not_member: Option<UserId>,
    pub alias_contains: String,
    /// The beginning of the id, or part of the alias.
    pub search: String,
    pub blocked: Option<bool>,
    /// Only this team, or teams with this member: what the caller may see.
    pub visible_to: Option<TeamScope>,
}

/// The teams that a caller may see.
#[derive(Clone, Debug)]
pub enum TeamScope {
    /// Those of which a user is a member, and those of organizations that it
    /// administers.
    OfUser(UserId),
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

    /// The teams with an alias; no more than two are looked for.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn teams_named(&self, alias: &str) -> Result<Vec<TeamId>, StoreError> {
        let ids: Vec<String> = teams::Entity::find()
            .select_only()
            .column(teams::Column::TeamId)
            .filter(teams::Column::TeamAlias.eq(alias))
            .limit(2)
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(TeamId::stored).collect())
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

    /// The ids of all teams that a filter lets through.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn team_ids(&self, filter: &TeamFilter) -> Result<Vec<TeamId>, StoreError> {
        let query = teams::Entity::find().select_only().column(teams::Column::TeamId).filter(condition(filter));
        let ids: Vec<String> = query.into_tuple().all(&self.executor()).await?;
        Ok(ids.into_iter().map(TeamId::stored).collect())
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
        let rows: Vec<WithSpend<teams::Model>> = rows(query, &key, &id, order, page, &self.executor()).await?;
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
        let ids: Vec<String> = rows.iter().map(|row| row.row.team_id.clone()).collect();
        let executor = self.executor();
        let members = count_by(team_members::Entity::find(), team_members::Column::TeamId, &ids, &executor).await?;
        let of_keys = count_by(keys::Entity::find(), keys::Column::TeamId, &ids, &executor).await?;
        rows.into_iter()
            .map(|row| {
                let (member_count, key_count) = (members.of(&row.row.team_id), of_keys.of(&row.row.team_id));
                Ok(StoredTeam { spend: row.spend(), team: to_team(row.row)?, member_count, key_count })
            })
            .collect()
    }

    /// Up to `limit` teams of an organization behind `after`, by id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn teams_after(
        &self,
        of: &OrganizationId,
        after: Option<&TeamId>,
        limit: u64,
    ) -> Result<Vec<Team>, StoreError> {
        use sea_orm::QueryOrder;
        let query = teams::Entity::find()
            .filter(teams::Column::OrganizationId.eq(of.as_str()))
            .filter(Condition::all().add_option(after.map(|team| teams::Column::TeamId.gt(team.as_str()))))
            .order_by_asc(teams::Column::TeamId)
            .limit(limit);
        query.all(&self.executor()).await?.into_iter().map(to_team).collect()
    }
}

impl Tx {
    /// Adds a team.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its id is.
    pub async fn insert_team(&mut self, team: &Team) -> Result<(), StoreError> {
        teams::Entity::insert(to_row(team)?).exec_without_returning(&self.inner).await?;
        self.record_team(Change::created(ObjectType::Team, &team.team_id, team), team);
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
        // A team that leaves an organization is that one's to know.
        let placed = if after.organization_id.is_some() { &*after } else { before };
        self.record_team(change.named(Action::of_update(before.blocked, after.blocked)), placed);
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
        self.record_team(Change::deleted(ObjectType::Team, &team.team_id, team), team);
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
    use teams::Column;
    let with_member = |user: &UserId| Column::TeamId.in_subquery(reach::teams_of(user, None));
    let ids = &filter.team_ids;
    Condition::all()
        .add_option((!ids.is_empty()).then(|| Column::TeamId.is_in(ids.iter().map(TeamId::as_str))))
        .add_option(filter.organization_id.as_ref().map(|id| Column::OrganizationId.eq(id.as_str())))
        .add_option(filter.no_organization.then(|| Column::OrganizationId.is_null()))
        .add_option(filter.member.as_ref().map(with_member))
        .add_option(filter.not_member.as_ref().map(|user| with_member(user).not()))
        .add_option(contains(Column::TeamAlias, &filter.alias_contains))
        .add_option(found(Column::TeamId, Column::TeamAlias, &filter.search))
        .add_option(filter.blocked.map(|blocked| Column::Blocked.eq(blocked)))
        .add_option(filter.visible_to.as_ref().map(|scope| {
            match scope {
                TeamScope::OfUser(user) => Condition::any()
                    .add(with_member(user))
                    .add(Column::OrganizationId.in_subquery(reach::organizations_administered(user))),
                TeamScope::Only(team) => Condition::all().add(Column::TeamId.eq(team.as_str())),
                TeamScope::Nothing => Condition::all().add(Expr::val(false)),
            }
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

pub(super) fn to_team(row: teams::Model) -> Result<Team, StoreError> {
    Ok(Team {
        team_id: TeamId::stored(row.team_id),
        team_alias: row.team_alias,
        organization_id: row.organization_id.map(OrganizationId::stored),
        models: from_text(&row.models)?,
        model_aliases: from_text(&row.model_aliases)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates {
            tpm: row.tpm_limit,
            rpm: row.rpm_limit,
            parallel: row.max_parallel_requests,
            tpd: row.tpd_limit,
        },
        throughput: throughput(row.tpm_limit_type.as_deref(), row.rpm_limit_type.as_deref())?,
        model_rates: ModelRates { tpm: from_text(&row.model_tpm_limit)?, rpm: from_text(&row.model_rpm_limit)? },
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
        idp_managed_by: row.idp_managed_by,
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
        idp_managed_by: Set(team.idp_managed_by.clone()),
        max_budget_nanos: Set(team.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(team.budget.soft.map(Usd::nanos)),
        budget_duration: Set(team.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(team.budget.anchor.micros()),
        tpm_limit: Set(team.rates.tpm),
        rpm_limit: Set(team.rates.rpm),
        max_parallel_requests: Set(team.rates.parallel),
        tpd_limit: Set(team.rates.tpd),
        created_at: Set(team.created_at.micros()),
        updated_at: Set(team.updated_at.micros()),
        version: Set(team.version),
        organization_id: Set(team.organization_id.as_ref().map(ToString::to_string)),
        tpm_limit_type: Set(throughput_type(team.throughput.tpm_limit_type)),
        rpm_limit_type: Set(throughput_type(team.throughput.rpm_limit_type)),
        model_tpm_limit: Set(to_text(&team.model_rates.tpm)?),
        model_rpm_limit: Set(to_text(&team.model_rates.rpm)?),
    })
}
