//! Transactions of management: the change, and the entry that says who made it.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::DatabaseTransaction;

use super::alerts::Telling;
use super::audit::{self, Unwritten};
use super::balances::{Balance, BalanceKey};
use super::error::StoreError;
use super::evictions::Eviction;
use super::view::View;
use crate::domain::audit::{Author, Change};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId};
use crate::domain::team::Team;

/// An open change. Dropped without [`Tx::commit`] nothing of it happens.
pub struct Tx {
    pub(super) inner: DatabaseTransaction,
    author: Author,
    now: Timestamp,
    changes: Vec<Change>,
    evictions: Vec<Eviction>,
    balances: Vec<(BalanceKey, Balance)>,
    /// The organizations of the teams that it changed, which it may have
    /// deleted.
    team_places: HashMap<TeamId, Option<OrganizationId>>,
    telling: Option<Arc<Telling>>,
}

/// What a committed change leaves to do.
#[derive(Debug, Default)]
#[must_use = "what was changed must be evicted from memory before the caller is answered"]
pub struct Committed {
    /// What is stale in memory now.
    pub evictions: Vec<Eviction>,
    /// Balances that were set, as they are now.
    pub balances: Vec<(BalanceKey, Balance)>,
}

impl Tx {
    pub(super) fn new(
        inner: DatabaseTransaction,
        author: Author,
        now: Timestamp,
        telling: Option<Arc<Telling>>,
    ) -> Self {
        Self {
            inner,
            author,
            now,
            changes: Vec::new(),
            evictions: Vec::new(),
            balances: Vec::new(),
            team_places: HashMap::new(),
            telling,
        }
    }

    /// A view of what the change sees.
    pub fn view(&self) -> View<'_> {
        View::of_transaction(&self.inner)
    }

    /// When the change is made.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Who makes it.
    pub const fn author(&self) -> &Author {
        &self.author
    }

    /// What is told of budgets.
    pub(super) fn told(&self) -> Option<Arc<Telling>> {
        self.telling.clone()
    }

    /// Adds an entry to the audit log.
    pub(super) fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Adds an entry about a team to the audit log.
    pub(super) fn record_team(&mut self, change: Change, team: &Team) {
        self.team_places.insert(team.team_id.clone(), team.organization_id.clone());
        self.record(change.of_team(Some(&team.team_id)));
    }

    /// Marks something in memory as stale.
    pub(super) fn evict(&mut self, eviction: Eviction) {
        self.evictions.push(eviction);
    }

    /// Remembers balances that the change set.
    pub(super) fn moved(&mut self, balances: impl IntoIterator<Item = (BalanceKey, Balance)>) {
        self.balances.extend(balances);
    }

    /// Makes the change durable, with its audit entries.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it has happened, unless the connection
    /// broke while the answer was on its way.
    pub async fn commit(mut self) -> Result<Committed, StoreError> {
        self.place_changes().await?;
        let told = |change| Unwritten { author: &self.author, now: self.now, change };
        audit::append(&self.inner, &self.changes.iter().map(told).collect::<Vec<_>>()).await?;
        self.inner.commit().await?;
        Ok(Committed { evictions: self.evictions, balances: self.balances })
    }

    /// Adds to the changes within teams whose organization they belong to.
    async fn place_changes(&mut self) -> Result<(), StoreError> {
        let mut unknown: Vec<TeamId> = self.changes.iter().filter_map(|change| change.team_id.clone()).collect();
        unknown.retain(|team| !self.team_places.contains_key(team));
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let teams = self.view().teams_by_id(&unknown).await?;
            self.team_places.extend(teams.into_iter().map(|team| (team.team_id, team.organization_id)));
        }
        for change in &mut self.changes {
            if let Some(team) = &change.team_id {
                change.organization_id = self.team_places.get(team).cloned().flatten();
            }
        }
        Ok(())
    }
}
