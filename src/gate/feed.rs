//! The change feed: what others changed is evicted from this process's memory.
//!
//! The audit log in commit order is the feed. What this process changes it
//! evicts itself, before it answers; the feed brings the changes of commands
//! and of other instances.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Gate;
use crate::domain::audit::{Fields, ObjectType};
use crate::domain::ids::{KeyId, OrganizationId, TeamId, UserId};
use crate::store::{Eviction, FeedEntry, Store, StoreError};

/// How often the feed is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many changes are read at a time.
const PAGE: u64 = 1_000;

/// Follows the feed from a position on, for ever.
pub async fn follow_changes(gate: Arc<Gate>, mut position: i64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match gate.catch_up(position).await {
            Ok(reached) => position = reached,
            Err(error) => tracing::warn!(%error, "the change feed can't be read; it is tried again"),
        }
    }
}

impl Gate {
    /// Evicts what changed after a position; returns the position reached.
    async fn catch_up(&self, mut position: i64) -> Result<i64, StoreError> {
        loop {
            let changes = self.store.view().changes_after(position, PAGE).await?;
            let Some(last) = changes.last() else { return Ok(position) };
            let reached = last.sequence;
            let mut evictions = Vec::new();
            for change in &changes {
                evictions.extend(evictions_of(&self.store, change).await?);
            }
            self.evict(&evictions).await?;
            position = reached;
        }
    }
}

async fn evictions_of(store: &Store, change: &FeedEntry) -> Result<Vec<Eviction>, StoreError> {
    Ok(match change.object_type {
        ObjectType::User => vec![Eviction::User(UserId::stored(change.object_id.as_str()))],
        ObjectType::Team => vec![Eviction::Team(TeamId::stored(change.object_id.as_str()))],
        ObjectType::Prices => vec![Eviction::Prices],
        // Nothing of these is in memory.
        ObjectType::Invitation | ObjectType::SessionKey => Vec::new(),
        ObjectType::TeamMember => member(change).into_iter().flatten().collect(),
        ObjectType::Organization => vec![Eviction::Organization(OrganizationId::stored(change.object_id.as_str()))],
        ObjectType::OrganizationMember => organization_member(change).into_iter().flatten().collect(),
        ObjectType::Key => key(store, &change.object_id).await?.into_iter().collect(),
    })
}

/// A member's ids are in the fields of the change: in the object's id they
/// could not be told apart.
fn member(change: &FeedEntry) -> Option<[Eviction; 2]> {
    let fields: &Fields = change.after.as_ref().or(change.before.as_ref())?;
    let team = TeamId::stored(fields.get("team_id")?.as_str()?);
    let user = UserId::stored(fields.get("user_id")?.as_str()?);
    Some([Eviction::Member(team, user.clone()), Eviction::User(user)])
}

fn organization_member(change: &FeedEntry) -> Option<[Eviction; 2]> {
    let fields: &Fields = change.after.as_ref().or(change.before.as_ref())?;
    let organization = OrganizationId::stored(fields.get("organization_id")?.as_str()?);
    let user = UserId::stored(fields.get("user_id")?.as_str()?);
    Some([Eviction::OrganizationMember(organization, user.clone()), Eviction::User(user)])
}

async fn key(store: &Store, id: &str) -> Result<Option<Eviction>, StoreError> {
    let Ok(id) = id.parse().map(KeyId) else { return Ok(None) };
    let view = store.view();
    let hash = match view.find_key_by_id(id).await? {
        Some(key) => Some(key.key_hash),
        None => view.find_deleted_key_by_id(id).await?.map(|deleted| deleted.key.key_hash),
    };
    Ok(hash.map(Eviction::Key))
}
