//! The directory: who a key is, from memory.
//!
//! What is asked for and not known is read once, however many ask at once, and
//! kept until a change evicts it. An eviction also voids a read that is under
//! way, so that nothing stale can be kept. Expiry and windows are not kept as
//! results: they are compared with the clock at each use.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::domain::clock::Timestamp;
use crate::domain::customer::{CustomerDefaults, CustomerFacts};
use crate::domain::identity::{
    Affiliation, Identity, KeyFacts, MemberFacts, Membership, OrganizationFacts, OrganizationMemberFacts, Principal,
    Ranks, TeamFacts, UserFacts, organization_of,
};
use crate::domain::ids::{CustomerId, OrganizationId, TeamId, UserId};
use crate::domain::models::ModelList;
use crate::domain::secret::KeyHash;
use crate::store::{Eviction, Store, StoreError};
use crate::traces::span;

/// The most organizations of one user whose roles are looked at.
const ORGANIZATIONS_MAX: u64 = 1_000;
/// How long a hash that belongs to no key is remembered, in seconds.
const UNKNOWN_SECONDS: i64 = 5;
/// How many of those are remembered.
const UNKNOWN_CAPACITY: usize = 10_000;

/// Keys, users, teams and memberships in memory.
pub struct Directory {
    store: Store,
    keys: Memory<KeyHash, KeyFacts>,
    users: Memory<UserId, UserFacts>,
    teams: Memory<TeamId, TeamFacts>,
    members: Memory<(TeamId, UserId), MemberFacts>,
    organizations: Memory<OrganizationId, OrganizationFacts>,
    organization_members: Memory<(OrganizationId, UserId), OrganizationMemberFacts>,
    customers: Cache<CustomerId, Arc<CustomerFacts>>,
    customer_defaults: CustomerDefaults,
    unknown: Cache<KeyHash, Timestamp>,
    /// Counts the changes of keys.
    changes: AtomicU64,
    /// Counts the changes of tiers.
    tiers: AtomicU64,
}

/// Things of one kind, the most used of them, in memory. `None`: there is no
/// such thing.
struct Memory<K, V>(Cache<K, Option<Arc<V>>>);

impl<K: Eq + Hash + Clone, V> Memory<K, V> {
    fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    async fn get_or_read(
        &self,
        key: &K,
        read: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<Option<Arc<V>>, StoreError> {
        match self.0.get_value_or_guard_async(key).await {
            Ok(value) => Ok(value),
            Err(guard) => {
                let value = read.await?.map(Arc::new);
                // Refused if the key was evicted meanwhile.
                let _ = guard.insert(value.clone());
                Ok(value)
            }
        }
    }
}

impl Directory {
    /// A directory that keeps up to `capacity` keys. Customers without limits of
    /// their own have these.
    pub fn new(store: Store, capacity: usize, customer_defaults: CustomerDefaults) -> Self {
        Self {
            store,
            keys: Memory::new(capacity),
            users: Memory::new(capacity),
            teams: Memory::new(capacity),
            members: Memory::new(capacity),
            organizations: Memory::new(capacity),
            organization_members: Memory::new(capacity),
            customers: Cache::new(capacity),
            customer_defaults,
            unknown: Cache::new(UNKNOWN_CAPACITY),
            changes: AtomicU64::new(0),
            tiers: AtomicU64::new(0),
        }
    }

    /// Who a key is, if that is in memory whole and the secret is good.
    pub fn known(&self, hash: &KeyHash, now: Timestamp) -> Option<Identity> {
        let key = self.keys.0.get(hash)??;
        if !key.accepts(hash, now) || self.is_stale(&key) {
            return None;
        }
        let user = match &key.user_id {
            Some(id) => self.users.0.get(id)?,
            None => None,
        };
        let team = match &key.team_id {
            Some(id) => self.teams.0.get(id)?,
            None => None,
        };
        let member = match (&key.team_id, &key.user_id) {
            (Some(team), Some(user)) => self.members.0.get(&(team.clone(), user.clone()))?,
            _ => None,
        };
        let organization = match organization_of(&key, user.as_deref(), team.as_deref()) {
            Some(id) => self.organizations.0.get(id)?,
            None => None,
        };
        let place = match (&organization, &key.user_id) {
            (Some(organization), Some(user)) => {
                self.organization_members.0.get(&(organization.organization_id.clone(), user.clone()))?
            }
            _ => None,
        };
        Some(identity(key, user, (team, member), (organization, place), now))
    }

    /// Who a key is; `None` if this hash is not that of a good secret of a live
    /// key.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn find(&self, hash: &KeyHash, now: Timestamp) -> Result<Option<Identity>, StoreError> {
        if let Some(identity) = self.known(hash, now) {
            return Ok(Some(identity));
        }
        if self.unknown.get(hash).is_some_and(|until| now < until) {
            return Ok(None);
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let Some(key) = span("store.read_key", self.key(hash)).await? else {
            // An attacker who tries hashes must not push real keys out.
            self.keys.0.remove(hash);
            self.unknown.insert(*hash, now.plus_seconds(UNKNOWN_SECONDS));
            if self.changes.load(Ordering::SeqCst) != changes {
                // It may have been made while it was read.
                self.unknown.remove(hash);
            }
            return Ok(None);
        };
        if !key.accepts(hash, now) {
            return Ok(None);
        }
        self.whose(key, now).await.map(Some)
    }

    /// Who somebody without a key is, whose token opens these models.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn principal(
        &self,
        principal: Principal,
        models: ModelList,
        now: Timestamp,
    ) -> Result<Identity, StoreError> {
        self.whose(Arc::new(KeyFacts::of_principal(principal, models)), now).await
    }

    /// Whose a key is: with its owner, team and organization, as far as they are
    /// still there.
    ///
    /// # Errors
    /// [`StoreError`] if they are not in memory and the database fails.
    pub async fn whose(&self, key: Arc<KeyFacts>, now: Timestamp) -> Result<Identity, StoreError> {
        let user = match &key.user_id {
            Some(id) => self.user(id).await?,
            None => None,
        };
        let team = match &key.team_id {
            Some(id) => self.team(id).await?,
            None => None,
        };
        let member = match (&key.team_id, &key.user_id) {
            (Some(team), Some(user)) => self.member(team, user).await?,
            _ => None,
        };
        let organization = match organization_of(&key, user.as_deref(), team.as_deref()) {
            Some(id) => self.organization(id).await?,
            None => None,
        };
        let place = match (&organization, &key.user_id) {
            (Some(organization), Some(user)) => {
                let pair = (organization.organization_id.clone(), user.clone());
                let read = self.read_organization_member(&organization.organization_id, user);
                self.organization_members.get_or_read(&pair, read).await?
            }
            _ => None,
        };
        Ok(identity(key, user, (team, member), (organization, place), now))
    }

    /// Who a key is, also by a secret that it had.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn find_by_any(&self, hash: &KeyHash, now: Timestamp) -> Result<Option<Identity>, StoreError> {
        if let Some(identity) = self.find(hash, now).await? {
            return Ok(Some(identity));
        }
        match self.store.present()?.find_key(hash).await? {
            Some(key) if key.key_hash != *hash => self.find(&key.key_hash, now).await,
            _ => Ok(None),
        }
    }

    /// A team, if it exists.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn team(&self, id: &TeamId) -> Result<Option<Arc<TeamFacts>>, StoreError> {
        self.teams.get_or_read(id, self.read_team(id)).await
    }

    /// The teams with an alias, none of which is kept in memory; no more than two.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn teams_named(&self, alias: &str) -> Result<Vec<TeamId>, StoreError> {
        self.store.present()?.teams_named(alias).await
    }

    /// The organizations with an alias, likewise.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn organizations_named(&self, alias: &str) -> Result<Vec<OrganizationId>, StoreError> {
        self.store.present()?.organizations_named(alias).await
    }

    /// A user in a team, if it is there.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn member(&self, team: &TeamId, user: &UserId) -> Result<Option<Arc<MemberFacts>>, StoreError> {
        let pair = (team.clone(), user.clone());
        self.members.get_or_read(&pair, self.read_member(team, user)).await
    }

    /// An organization, if it exists.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn organization(&self, id: &OrganizationId) -> Result<Option<Arc<OrganizationFacts>>, StoreError> {
        self.organizations.get_or_read(id, self.read_organization(id)).await
    }

    /// A user, if it exists.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn user(&self, id: &UserId) -> Result<Option<Arc<UserFacts>>, StoreError> {
        self.users.get_or_read(id, self.read_user(id)).await
    }

    /// A customer, if it is in memory.
    pub fn known_customer(&self, id: &str) -> Option<Arc<CustomerFacts>> {
        self.customers.get(id).filter(|facts| facts.tiers_seen == self.tiers.load(Ordering::SeqCst))
    }

    /// A customer, whether anybody has heard of it or not.
    ///
    /// # Errors
    /// [`StoreError`] if it is not in memory and the database fails.
    pub async fn customer(&self, id: &CustomerId) -> Result<Arc<CustomerFacts>, StoreError> {
        loop {
            if let Some(known) = self.known_customer(id.as_str()) {
                return Ok(known);
            }
            // What was read before a tier changed.
            if self.customers.get(id).is_some() {
                self.customers.remove(id);
            }
            match self.customers.get_value_or_guard_async(id).await {
                Ok(_) => {}
                Err(guard) => {
                    let tiers_seen = self.tiers.load(Ordering::SeqCst);
                    let facts = self.store.present()?.customer_facts(id, &self.customer_defaults, tiers_seen).await?;
                    let facts = Arc::new(facts);
                    // Refused if the customer was evicted meanwhile.
                    let _ = guard.insert(Arc::clone(&facts));
                    return Ok(facts);
                }
            }
        }
    }

    /// Forgets everything: nobody knows whether it still holds.
    pub fn forget(&self) {
        self.keys.0.clear();
        self.users.0.clear();
        self.teams.0.clear();
        self.members.0.clear();
        self.organizations.0.clear();
        self.organization_members.0.clear();
        self.customers.clear();
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.unknown.clear();
    }

    /// Forgets what a change made stale.
    pub fn evict(&self, evictions: &[Eviction]) {
        for eviction in evictions {
            match eviction {
                Eviction::Key(hash) => {
                    self.keys.0.remove(hash);
                    self.changes.fetch_add(1, Ordering::SeqCst);
                    self.unknown.remove(hash);
                }
                Eviction::User(id) => drop(self.users.0.remove(id)),
                Eviction::Team(id) => drop(self.teams.0.remove(id)),
                Eviction::Member(team, user) => drop(self.members.0.remove(&(team.clone(), user.clone()))),
                Eviction::Organization(id) => drop(self.organizations.0.remove(id)),
                Eviction::OrganizationMember(organization, user) => {
                    self.organization_members.0.remove(&(organization.clone(), user.clone()));
                }
                Eviction::Customer(id) => drop(self.customers.remove(id)),
                // Keys in tiers are read again at their next use. Each knows which
                // changes it has seen: also one that was being read meanwhile.
                Eviction::Tier => drop(self.tiers.fetch_add(1, Ordering::SeqCst)),
                Eviction::Prices | Eviction::ScopeBudget(_) | Eviction::BudgetModes => {}
            }
        }
    }

    /// The key with a hash, with its tier as it is now.
    async fn key(&self, hash: &KeyHash) -> Result<Option<Arc<KeyFacts>>, StoreError> {
        loop {
            let found = self.keys.get_or_read(hash, self.read_key(hash)).await?;
            if !found.as_ref().is_some_and(|key| self.is_stale(key)) {
                return Ok(found);
            }
            self.keys.0.remove(hash);
        }
    }

    fn is_stale(&self, key: &KeyFacts) -> bool {
        key.budget_id.is_some() && key.tiers_seen != self.tiers.load(Ordering::SeqCst)
    }

    async fn read_key(&self, hash: &KeyHash) -> Result<Option<KeyFacts>, StoreError> {
        let tiers_seen = self.tiers.load(Ordering::SeqCst);
        let view = self.store.present()?;
        let Some(key) = view.find_key(hash).await? else { return Ok(None) };
        let tier = view.tier_of_key(&key).await?;
        Ok(Some(KeyFacts::new(key, tier.as_ref(), tiers_seen)))
    }

    async fn read_user(&self, id: &UserId) -> Result<Option<UserFacts>, StoreError> {
        let view = self.store.present()?;
        let Some(user) = view.find_user(id).await? else { return Ok(None) };
        let organizations = view.organizations_of(id, ORGANIZATIONS_MAX).await?;
        let ranks = Ranks {
            team: view.highest_team_role(id).await?,
            organization: organizations.iter().map(|member| member.role).min(),
        };
        let sole = match organizations.as_slice() {
            [sole] => Some(sole.organization_id.clone()),
            _ => None,
        };
        let bound_to = user.home_organization_id.clone().or(sole);
        Ok(Some(UserFacts::new(user, ranks, bound_to)))
    }

    async fn read_organization(&self, id: &OrganizationId) -> Result<Option<OrganizationFacts>, StoreError> {
        Ok(self.store.present()?.find_organization(id).await?.map(Into::into))
    }

    async fn read_organization_member(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<OrganizationMemberFacts>, StoreError> {
        Ok(self.store.present()?.find_organization_member(organization, user).await?.map(Into::into))
    }

    async fn read_team(&self, id: &TeamId) -> Result<Option<TeamFacts>, StoreError> {
        Ok(self.store.present()?.find_team(id).await?.map(Into::into))
    }

    async fn read_member(&self, team: &TeamId, user: &UserId) -> Result<Option<MemberFacts>, StoreError> {
        Ok(self.store.present()?.find_member(team, user).await?.map(Into::into))
    }
}

fn identity(
    key: Arc<KeyFacts>,
    user: Option<Arc<UserFacts>>,
    (team, member): (Option<Arc<TeamFacts>>, Option<Arc<MemberFacts>>),
    (organization, place): (Option<Arc<OrganizationFacts>>, Option<Arc<OrganizationMemberFacts>>),
    now: Timestamp,
) -> Identity {
    let membership = team.as_ref().zip(member).map(|(team, facts)| Membership::new(facts, team));
    let affiliation = organization.map(|organization| Affiliation::new(organization, place));
    let raised_budget = key.limits.as_ref().and_then(|limits| limits.raise(&key.budget, now));
    Identity { key, raised_budget, user, team, membership, affiliation, customer: None }
}
