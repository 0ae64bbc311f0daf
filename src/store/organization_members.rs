//! Members of organizations: rows, reads and changes.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::organization_members::{self, Column};
use super::entity::{team_members, teams, users};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::word;
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::money::Usd;
use crate::domain::organization::OrganizationMember;
use crate::domain::role::OrganizationRole;
use crate::domain::user::Email;

impl View<'_> {
    /// A user's place in an organization.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_organization_member(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<OrganizationMember>, StoreError> {
        let key = (organization.to_string(), user.to_string());
        let row = organization_members::Entity::find_by_id(key).one(&self.executor()).await?;
        row.map(|row| to_member(row, None)).transpose()
    }

    /// Up to `limit` members of an organization behind `after`, by user id,
    /// with their e-mail addresses.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn organization_members_after(
        &self,
        organization: &OrganizationId,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<OrganizationMember>, StoreError> {
        let mut query = organization_members::Entity::find()
            .find_also_related_user()
            .filter(Column::OrganizationId.eq(organization.as_str()))
            .order_by_asc(Column::UserId)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::UserId.gt(after.as_str()));
        }
        let rows = query.all(&self.executor()).await?;
        rows.into_iter().map(|(row, user)| to_member(row, user.and_then(|user| user.user_email))).collect()
    }

    /// The organizations of a user, by id, with its place in each.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn organizations_of(&self, user: &UserId, limit: u64) -> Result<Vec<OrganizationMember>, StoreError> {
        let query = organization_members::Entity::find()
            .filter(Column::UserId.eq(user.as_str()))
            .order_by_asc(Column::OrganizationId)
            .limit(limit);
        query.all(&self.executor()).await?.into_iter().map(|row| to_member(row, None)).collect()
    }

    /// Which of these users are in an organization.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn members_among(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<UserId>, StoreError> {
        let ids: Vec<String> = organization_members::Entity::find()
            .select_only()
            .column(Column::UserId)
            .filter(Column::OrganizationId.eq(organization.as_str()))
            .filter(Column::UserId.is_in(users.iter().map(UserId::as_str)))
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(UserId::stored).collect())
    }

    /// The members of a team that are not in an organization.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn team_members_outside(
        &self,
        team: &TeamId,
        organization: &OrganizationId,
    ) -> Result<Vec<UserId>, StoreError> {
        use sea_orm::QueryTrait;
        let inside = organization_members::Entity::find()
            .select_only()
            .column(Column::UserId)
            .filter(Column::OrganizationId.eq(organization.as_str()));
        let ids: Vec<String> = team_members::Entity::find()
            .select_only()
            .column(team_members::Column::UserId)
            .filter(team_members::Column::TeamId.eq(team.as_str()))
            .filter(team_members::Column::UserId.not_in_subquery(inside.into_query()))
            .order_by_asc(team_members::Column::UserId)
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(UserId::stored).collect())
    }

    /// The teams of an organization that a user is in.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn teams_in_organization(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Vec<TeamId>, StoreError> {
        let ids: Vec<String> = teams::Entity::find()
            .select_only()
            .column(teams::Column::TeamId)
            .filter(teams::Column::OrganizationId.eq(organization.as_str()))
            .filter(teams::Column::TeamId.in_subquery(reach::teams_of(user, None)))
            .order_by_asc(teams::Column::TeamId)
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(TeamId::stored).collect())
    }

    /// Whether two users share an organization that the first administers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn administers_organization_of(&self, admin: &UserId, member: &UserId) -> Result<bool, StoreError> {
        let shared = organization_members::Entity::find()
            .filter(Column::UserId.eq(member.as_str()))
            .filter(Column::OrganizationId.in_subquery(reach::organizations_administered(admin)));
        Ok(shared.count(&self.executor()).await? > 0)
    }

    /// Which of these users are in an organization that a user administers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn members_administered(&self, admin: &UserId, users: &[&UserId]) -> Result<Vec<UserId>, StoreError> {
        let ids: Vec<String> = organization_members::Entity::find()
            .select_only()
            .column(Column::UserId)
            .distinct()
            .filter(Column::UserId.is_in(users.iter().map(|user| user.as_str())))
            .filter(Column::OrganizationId.in_subquery(reach::organizations_administered(admin)))
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(UserId::stored).collect())
    }

    /// How many admins an organization has.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn count_organization_admins(&self, organization: &OrganizationId) -> Result<u64, StoreError> {
        let role: &'static str = OrganizationRole::Admin.into();
        let query = organization_members::Entity::find()
            .filter(Column::OrganizationId.eq(organization.as_str()))
            .filter(Column::Role.eq(role));
        Ok(query.count(&self.executor()).await?)
    }
}

/// Joins users to memberships.
trait FindUser {
    fn find_also_related_user(self) -> sea_orm::SelectTwo<organization_members::Entity, users::Entity>;
}

impl FindUser for sea_orm::Select<organization_members::Entity> {
    fn find_also_related_user(self) -> sea_orm::SelectTwo<organization_members::Entity, users::Entity> {
        let to_user = organization_members::Entity::belongs_to(users::Entity)
            .from(Column::UserId)
            .to(users::Column::UserId)
            .into();
        self.join(sea_orm::JoinType::LeftJoin, to_user).select_also(users::Entity)
    }
}

impl Tx {
    /// Adds a member. Says whether it was none before.
    ///
    /// # Errors
    /// [`StoreError::Reference`] if the user or organization does not exist.
    pub async fn insert_organization_member(&mut self, member: &OrganizationMember) -> Result<bool, StoreError> {
        let inserted = organization_members::Entity::insert(to_row(member))
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .try_insert()
            .exec_without_returning(&self.inner)
            .await?;
        if !matches!(inserted, sea_orm::TryInsertResult::Inserted(1)) {
            return Ok(false);
        }
        let change = Change::created(ObjectType::OrganizationMember, object_id(member), member);
        self.record(change.named(Action::AddMember).of_organization(Some(&member.organization_id)));
        self.evict_organization_member(member);
        Ok(true)
    }

    /// Changes a member.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is none any more.
    pub async fn update_organization_member(
        &mut self,
        before: &OrganizationMember,
        after: &OrganizationMember,
    ) -> Result<(), StoreError> {
        let change = Change::updated(ObjectType::OrganizationMember, object_id(before), before, after);
        let Some(change) = change else { return Ok(()) };
        let updated = organization_members::Entity::update_many()
            .set(to_row(after))
            .filter(Column::OrganizationId.eq(before.organization_id.as_str()))
            .filter(Column::UserId.eq(before.user_id.as_str()))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        let names = [("organization_id", before.organization_id.as_str()), ("user_id", before.user_id.as_str())];
        let change = change.named(Action::UpdateMember).naming(&names);
        self.record(change.of_organization(Some(&before.organization_id)));
        self.evict_organization_member(before);
        Ok(())
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is none any more.
    pub async fn delete_organization_member(&mut self, member: &OrganizationMember) -> Result<(), StoreError> {
        let key = (member.organization_id.to_string(), member.user_id.to_string());
        let deleted = organization_members::Entity::delete_by_id(key).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        let change = Change::deleted(ObjectType::OrganizationMember, object_id(member), member);
        self.record(change.named(Action::RemoveMember).of_organization(Some(&member.organization_id)));
        self.evict_organization_member(member);
        Ok(())
    }

    fn evict_organization_member(&mut self, member: &OrganizationMember) {
        self.evict(Eviction::OrganizationMember(member.organization_id.clone(), member.user_id.clone()));
        // What the user may do, and whom its keys count for, depends on its
        // memberships.
        self.evict(Eviction::User(member.user_id.clone()));
    }
}

fn object_id(member: &OrganizationMember) -> String {
    format!("{}/{}", member.organization_id, member.user_id)
}

fn to_member(row: organization_members::Model, email: Option<String>) -> Result<OrganizationMember, StoreError> {
    Ok(OrganizationMember {
        organization_id: OrganizationId::stored(row.organization_id),
        user_id: UserId::stored(row.user_id),
        user_email: email.map(Email::stored),
        role: word(&row.role)?,
        max_budget_in_organization: row.max_budget_nanos.map(Usd::from_nanos),
        added_at: Timestamp::from_micros(row.added_at),
    })
}

fn to_row(member: &OrganizationMember) -> organization_members::ActiveModel {
    let role: &'static str = member.role.into();
    organization_members::ActiveModel {
        organization_id: Set(member.organization_id.to_string()),
        user_id: Set(member.user_id.to_string()),
        role: Set(role.to_owned()),
        max_budget_nanos: Set(member.max_budget_in_organization.map(Usd::nanos)),
        added_at: Set(member.added_at.micros()),
    }
}
