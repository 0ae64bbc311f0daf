//! Cascades: what goes with a team, a user, an organization or a membership.
//! Each is part of the transaction that it is called in, and every object that
//! goes leaves an audit entry of its own.

use super::error::StoreError;
use super::tx::Tx;
use crate::domain::ids::{OrganizationId, TeamId};
use crate::domain::organization::{Organization, OrganizationMember};
use crate::domain::team::{Member, Team};
use crate::domain::user::User;

/// How many members or teams are read at a time.
const PAGE: u64 = 1_000;

/// More memberships than anybody has.
const EVERY: u64 = 1_000_000;

/// How much went with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Teams that were deleted, or left.
    pub teams: Vec<TeamId>,
    /// How many keys died.
    pub keys: i64,
}

impl Tx {
    /// Deletes a team with its keys and memberships, into the archive. Returns
    /// how many keys died.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_team(&mut self, team: &Team) -> Result<i64, StoreError> {
        let members = self.view().members_after(&team.team_id, None, EVERY).await?;
        self.archive_team(team, &members).await?;
        let keys = self.lock_keys_of(None, Some(&team.team_id)).await?;
        for key in &keys {
            self.delete_key(key).await?;
        }
        for member in &members {
            self.delete_member(member).await?;
        }
        self.delete_team(team).await?;
        Ok(count(keys.len()))
    }

    /// Deletes a user with its keys and memberships. Returns how many keys
    /// died.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_user(&mut self, user: &User) -> Result<i64, StoreError> {
        let id = &user.user_id;
        let keys = self.lock_keys_of(Some(id), None).await?;
        for key in &keys {
            self.delete_key(key).await?;
        }
        for member in self.view().memberships(id, EVERY).await? {
            self.delete_member(&member).await?;
        }
        for member in self.view().organizations_of(id, EVERY).await? {
            self.delete_organization_member(&member).await?;
        }
        self.revoke_invitations(id, false).await?;
        self.delete_user(user).await?;
        Ok(count(keys.len()))
    }

    /// Takes a user out of a team, with its keys there. Returns how many died.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_member(&mut self, member: &Member) -> Result<i64, StoreError> {
        let keys = self.lock_keys_of(Some(&member.user_id), Some(&member.team_id)).await?;
        for key in &keys {
            self.delete_key(key).await?;
        }
        self.delete_member(member).await?;
        Ok(count(keys.len()))
    }

    /// Takes a user out of an organization and of its teams, with its keys
    /// there: who is in a team of an organization is in the organization. If it
    /// is at home there, with its keys of no team, too.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_organization_member(&mut self, member: &OrganizationMember) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let (organization, user) = (&member.organization_id, &member.user_id);
        for team in self.view().teams_in_organization(organization, user).await? {
            if let Some(in_team) = self.view().find_member(&team, user).await? {
                removed.keys += self.remove_member(&in_team).await?;
                removed.teams.push(team);
            }
        }
        removed.keys += self.leave(member).await?;
        Ok(removed)
    }

    /// Deletes an organization with its teams, their keys and all memberships.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_organization(&mut self, organization: &Organization) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let id = &organization.organization_id;
        loop {
            let teams = self.view().teams_after(id, None, PAGE).await?;
            if teams.is_empty() {
                break;
            }
            for team in teams {
                removed.keys += self.remove_team(&team).await?;
                removed.teams.push(team.team_id);
            }
        }
        loop {
            let members = self.view().organization_members_after(id, None, PAGE).await?;
            if members.is_empty() {
                break;
            }
            for member in members {
                removed.keys += self.leave(&member).await?;
            }
        }
        self.delete_organization(organization).await?;
        Ok(removed)
    }

    /// Ends a membership; an organization that is left is nobody's home. The keys
    /// that someone at home there has outside of teams were bound by its budget,
    /// and go with it. Returns how many died.
    async fn leave(&mut self, member: &OrganizationMember) -> Result<i64, StoreError> {
        let mut died = 0;
        if let Some(before) = self.view().find_user(&member.user_id).await?.filter(|user| is_home(user, member)) {
            for key in self.lock_keys_of(Some(&before.user_id), None).await? {
                if key.team_id.is_none() {
                    self.delete_key(&key).await?;
                    died += 1;
                }
            }
            let mut after = User { home_organization_id: None, ..before.clone() };
            self.update_user(&before, &mut after).await?;
        }
        self.delete_organization_member(member).await?;
        Ok(died)
    }
}

fn is_home(user: &User, member: &OrganizationMember) -> bool {
    let home: Option<&OrganizationId> = user.home_organization_id.as_ref();
    home == Some(&member.organization_id)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
