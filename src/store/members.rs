//! Members of teams: rows, reads and changes.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::{team_members, users};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::word;
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::money::Usd;
use crate::domain::role::TeamRole;
use crate::domain::team::{Member, MemberLimits};
use crate::domain::user::Email;

impl View<'_> {
    /// A user's place in a team.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_member(&self, team: &TeamId, user: &UserId) -> Result<Option<Member>, StoreError> {
        let key = (team.to_string(), user.to_string());
        let row = team_members::Entity::find_by_id(key).one(&self.executor()).await?;
        row.map(|row| to_member(row, None)).transpose()
    }

    /// Up to `limit` members of a team behind `after`, by user id, with their
    /// e-mail addresses.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn members_after(
        &self,
        team: &TeamId,
        after: Option<&UserId>,
        limit: u64,
    ) -> Result<Vec<Member>, StoreError> {
        let mut query = team_members::Entity::find()
            .filter(team_members::Column::TeamId.eq(team.as_str()))
            .order_by_asc(team_members::Column::UserId)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(team_members::Column::UserId.gt(after.as_str()));
        }
        let rows = query.all(&self.executor()).await?;
        let ids = rows.iter().map(|row| row.user_id.clone());
        let emails: Vec<(String, Option<String>)> = users::Entity::find()
            .select_only()
            .column(users::Column::UserId)
            .column(users::Column::UserEmail)
            .filter(users::Column::UserId.is_in(ids))
            .into_tuple()
            .all(&self.executor())
            .await?;
        let email_of = |id: &str| emails.iter().find(|(user, _)| user == id).and_then(|(_, email)| email.clone());
        rows.into_iter()
            .map(|row| {
                let email = email_of(&row.user_id);
                to_member(row, email)
            })
            .collect()
    }

    /// The teams of a user, by team id, with its place in each.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn memberships(&self, user: &UserId, limit: u64) -> Result<Vec<Member>, StoreError> {
        let query = team_members::Entity::find()
            .filter(team_members::Column::UserId.eq(user.as_str()))
            .order_by_asc(team_members::Column::TeamId)
            .limit(limit);
        query.all(&self.executor()).await?.into_iter().map(|row| to_member(row, None)).collect()
    }

    /// The teams of each of these users.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn teams_of_users(&self, users: &[UserId]) -> Result<Vec<(UserId, TeamId)>, StoreError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, String)> = team_members::Entity::find()
            .select_only()
            .column(team_members::Column::UserId)
            .column(team_members::Column::TeamId)
            .filter(team_members::Column::UserId.is_in(users.iter().map(UserId::as_str)))
            .order_by_asc(team_members::Column::TeamId)
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(rows.into_iter().map(|(user, team)| (UserId::stored(user), TeamId::stored(team))).collect())
    }

    /// The highest role that a user has in any team.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn highest_team_role(&self, user: &UserId) -> Result<Option<TeamRole>, StoreError> {
        let roles: Vec<String> = team_members::Entity::find()
            .select_only()
            .distinct()
            .column(team_members::Column::Role)
            .filter(team_members::Column::UserId.eq(user.as_str()))
            .into_tuple()
            .all(&self.executor())
            .await?;
        let roles: Vec<TeamRole> = roles.iter().map(|role| word(role)).collect::<Result<_, _>>()?;
        Ok(roles.into_iter().min())
    }

    /// Whether two users share a team that the first administers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn administers_member(&self, admin: &UserId, member: &UserId) -> Result<bool, StoreError> {
        let administered = reach::teams_of(admin, Some(TeamRole::Admin));
        let shared = team_members::Entity::find()
            .filter(team_members::Column::UserId.eq(member.as_str()))
            .filter(team_members::Column::TeamId.in_subquery(administered));
        Ok(shared.count(&self.executor()).await? > 0)
    }

    /// How many admins a team has.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn count_team_admins(&self, team: &TeamId) -> Result<u64, StoreError> {
        let role: &'static str = TeamRole::Admin.into();
        let query = team_members::Entity::find()
            .filter(team_members::Column::TeamId.eq(team.as_str()))
            .filter(team_members::Column::Role.eq(role));
        Ok(query.count(&self.executor()).await?)
    }
}

impl Tx {
    /// Adds a member. Says whether it was none before.
    ///
    /// # Errors
    /// [`StoreError::Reference`] if the user or team does not exist.
    pub async fn insert_member(&mut self, member: &Member) -> Result<bool, StoreError> {
        let inserted = team_members::Entity::insert(to_row(member))
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .try_insert()
            .exec_without_returning(&self.inner)
            .await?;
        if !matches!(inserted, sea_orm::TryInsertResult::Inserted(1)) {
            return Ok(false);
        }
        let id = object_id(member);
        self.record(
            Change::created(ObjectType::TeamMember, id, member).named(Action::AddMember).of_team(Some(&member.team_id)),
        );
        self.evict_member(member);
        Ok(true)
    }

    /// Changes a member.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is none any more.
    pub async fn update_member(&mut self, before: &Member, after: &Member) -> Result<(), StoreError> {
        let change = Change::updated(ObjectType::TeamMember, object_id(before), before, after);
        let Some(change) = change else { return Ok(()) };
        let updated = team_members::Entity::update_many()
            .set(to_row(after))
            .filter(team_members::Column::TeamId.eq(before.team_id.as_str()))
            .filter(team_members::Column::UserId.eq(before.user_id.as_str()))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        let names = [("team_id", before.team_id.as_str()), ("user_id", before.user_id.as_str())];
        self.record(change.named(Action::UpdateMember).naming(&names).of_team(Some(&before.team_id)));
        self.evict_member(before);
        Ok(())
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is none any more.
    pub async fn delete_member(&mut self, member: &Member) -> Result<(), StoreError> {
        let key = (member.team_id.to_string(), member.user_id.to_string());
        let deleted = team_members::Entity::delete_by_id(key).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        let change = Change::deleted(ObjectType::TeamMember, object_id(member), member);
        self.record(change.named(Action::RemoveMember).of_team(Some(&member.team_id)));
        self.evict_member(member);
        Ok(())
    }

    fn evict_member(&mut self, member: &Member) {
        self.evict(Eviction::Member(member.team_id.clone(), member.user_id.clone()));
        // What the user may do depends on its memberships.
        self.evict(Eviction::User(member.user_id.clone()));
    }
}

fn object_id(member: &Member) -> String {
    format!("{}/{}", member.team_id, member.user_id)
}

fn to_member(row: team_members::Model, email: Option<String>) -> Result<Member, StoreError> {
    let own_limits = if row.has_own_limits {
        Some(MemberLimits {
            max: row.max_budget_nanos.map(Usd::from_nanos),
            duration: row.budget_duration.as_deref().map(word).transpose()?,
            anchor: Timestamp::from_micros(row.budget_anchor_at),
            rpm: row.rpm_limit,
            tpm: row.tpm_limit,
        })
    } else {
        None
    };
    Ok(Member {
        team_id: TeamId::stored(row.team_id),
        user_id: UserId::stored(row.user_id),
        user_email: email.map(Email::stored),
        role: word(&row.role)?,
        own_limits,
        added_at: Timestamp::from_micros(row.added_at),
    })
}

fn to_row(member: &Member) -> team_members::ActiveModel {
    let role: &'static str = member.role.into();
    let limits = member.own_limits.clone().unwrap_or_default();
    team_members::ActiveModel {
        team_id: Set(member.team_id.to_string()),
        user_id: Set(member.user_id.to_string()),
        role: Set(role.to_owned()),
        has_own_limits: Set(member.own_limits.is_some()),
        max_budget_nanos: Set(limits.max.map(Usd::nanos)),
        budget_duration: Set(limits.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(limits.anchor.micros()),
        rpm_limit: Set(limits.rpm),
        tpm_limit: Set(limits.tpm),
        added_at: Set(member.added_at.micros()),
    }
}
