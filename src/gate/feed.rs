//! The change feed: the audit log in commit order, as what it means to those
//! who keep something in memory.
//!
//! What this process changes it evicts itself, before it answers; the feed
//! brings the changes of commands and of other instances, and tells whoever
//! watches of all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;

use super::Gate;
use crate::domain::account::AccountId;
use crate::domain::alert::BudgetAlert;
use crate::domain::audit::{Action, Fields, ObjectType};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::ids::{CustomerId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::secret::KeyHash;
use crate::store::{Eviction, FeedEntry, Store, StoreError};

/// How often the feed is read when nobody tells of a change: what is blocked on one
/// instance is refused by all within a second, also when no bell is heard.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long it rests after each reading: so that while much is changed, many
/// changes are read at once. Nobody waits for less.
const REST: Duration = Duration::from_millis(10);

/// How many changes are read at a time.
const PAGE: u16 = 500;

/// How many batches of changes a slow watcher may lag behind before it reads
/// them from the database.
const LAG: usize = 256;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A key; the hash of its secret, and of those that it had before the
    /// change or that are still good.
    Key(KeyId, Vec<KeyHash>),
    /// A user.
    User(UserId),
    /// A team.
    Team(TeamId),
    /// A user in a team.
    Member(TeamId, UserId),
    /// An organization.
    Organization(OrganizationId),
    /// A user in an organization.
    OrganizationMember(OrganizationId, UserId),
    /// An end user.
    Customer(CustomerId),
    /// The prices of models, or of one; or its access groups.
    Prices(Option<String>),
    /// The budget of an account that calls of all keys share, which no sidecar
    /// keeps.
    ScopeBudget(AccountId),
    /// How budgets are applied, which no sidecar keeps either.
    BudgetModes,
    /// Limits that many keys share, likewise.
    Tier,
    /// Nothing: what an account spent reached a level of its budget.
    BudgetAlert(Box<BudgetAlert>),
    /// Nothing that anybody keeps in memory.
    Other,
}

/// A change, as those who keep something in memory hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its position in commit order.
    pub position: i64,
    /// When it was made.
    pub at: Timestamp,
    /// What changed.
    pub subject: Subject,
    /// Whether it is blocked or gone by this change.
    pub revoked: bool,
}

impl Announcement {
    /// A change of something that nobody here knows.
    const fn of_nothing(entry: &FeedEntry) -> Self {
        Self { position: entry.sequence, at: entry.at, subject: Subject::Other, revoked: false }
    }
}

/// Those who watch, and the news for them.
pub(super) struct News(broadcast::Sender<Arc<Vec<Announcement>>>);

impl Default for News {
    fn default() -> Self {
        Self(broadcast::Sender::new(LAG))
    }
}

/// Follows the feed from a position on, for ever.
pub async fn follow_changes(gate: Arc<Gate>, clock: Clock, mut position: i64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_the_dark = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = gate.heard.notified() => {}
            () = gate.changed.notified() => gate.ring().await,
        }
        match gate.store.while_present(gate.catch_up(&mut position)).await {
            Ok(()) => {
                gate.feed_read_at.store(clock.now().micros(), Ordering::Relaxed);
                if std::mem::take(&mut in_the_dark) {
                    tracing::info!("the change feed is read again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut in_the_dark, true) {
                    tracing::warn!(%error, "the change feed can't be read; it is tried again and again");
                }
                gate.doubt(clock.now());
            }
        }
        tokio::time::sleep(REST).await;
    }
}

/// Looks again and again whether the database is there, for ever: beside the feed,
/// which may be waiting for it.
pub async fn watch_database(gate: Arc<Gate>, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if gate.store.look().await.is_err() {
            gate.doubt(clock.now());
        }
    }
}

impl Gate {
    /// Another instance changed something.
    pub fn hear(&self) {
        self.heard.notify_one();
    }

    /// Tells other instances that something changed here.
    async fn ring(&self) {
        if !matches!(tokio::time::timeout(INTERVAL, self.store.ring()).await, Ok(Ok(()))) {
            tracing::debug!("other instances are not told; they read the change feed twice a second");
        }
    }

    /// The feed can't be read. Who is known goes on being decided about for a while;
    /// then it may have been blocked long ago, and is asked about again.
    fn doubt(&self, now: Timestamp) {
        let read_at = Timestamp::from_micros(self.feed_read_at.load(Ordering::Relaxed));
        if now >= read_at.plus_seconds(self.rules.max_feed_age_seconds) {
            self.directory.forget();
        }
    }

    /// Evicts what changed after a position, and tells the watchers; moves the
    /// position along, so that nothing is read twice if it is given up.
    async fn catch_up(&self, position: &mut i64) -> Result<(), StoreError> {
        loop {
            let changes = self.changes_after(*position).await?;
            let Some(last) = changes.last() else { return Ok(()) };
            let (reached, are_all) = (last.position, changes.len() < usize::from(PAGE));
            let evictions: Vec<Eviction> = changes.iter().flat_map(evictions_of).collect();
            self.evict(&evictions).await?;
            *position = reached;
            // Nobody may be watching.
            let _ = self.news.0.send(Arc::new(changes));
            if are_all {
                return Ok(());
            }
        }
    }

    /// Some of the changes after a position, in commit order; none if there are
    /// no more.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn changes_after(&self, position: i64) -> Result<Vec<Announcement>, StoreError> {
        let entries = self.store.view().changes_after(position, PAGE.into()).await?;
        let mut changes = Vec::with_capacity(entries.len());
        for entry in &entries {
            changes.push(announce(&self.store, entry).await?);
        }
        Ok(changes)
    }

    /// Batches of changes from now on, each in commit order.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Vec<Announcement>>> {
        self.news.0.subscribe()
    }
}

async fn announce(store: &Store, entry: &FeedEntry) -> Result<Announcement, StoreError> {
    let id = entry.object_id.as_str();
    let Some(object_type) = entry.object_type else { return Ok(Announcement::of_nothing(entry)) };
    if entry.action == Some(Action::BudgetAlert) {
        return Ok(Announcement { subject: alert(entry), ..Announcement::of_nothing(entry) });
    }
    let subject = match object_type {
        ObjectType::User => Subject::User(UserId::stored(id)),
        ObjectType::Team => Subject::Team(TeamId::stored(id)),
        ObjectType::Organization => Subject::Organization(OrganizationId::stored(id)),
        ObjectType::TeamMember => pair(entry, "team_id")
            .map_or(Subject::Other, |(team, user)| Subject::Member(TeamId::stored(team), UserId::stored(user))),
        ObjectType::OrganizationMember => pair(entry, "organization_id").map_or(Subject::Other, |(group, user)| {
            Subject::OrganizationMember(OrganizationId::stored(group), UserId::stored(user))
        }),
        ObjectType::Key => key(store, entry).await?,
        ObjectType::Prices => Subject::Prices(None),
        ObjectType::Model => Subject::Prices(field(entry, "model_name").map(str::to_owned)),
        ObjectType::ScopeBudget => AccountId::of_audit_id(id).map_or(Subject::Other, Subject::ScopeBudget),
        ObjectType::BudgetMode => Subject::BudgetModes,
        ObjectType::Customer => Subject::Customer(CustomerId::stored(id)),
        ObjectType::Budget => Subject::Tier,
        ObjectType::Invitation | ObjectType::SessionKey | ObjectType::Rollups => Subject::Other,
    };
    let revoked = matches!(entry.action, Some(Action::Delete | Action::Block | Action::RemoveMember));
    Ok(Announcement { position: entry.sequence, at: entry.at, subject, revoked })
}

fn alert(entry: &FeedEntry) -> Subject {
    let fields = entry.after.clone().unwrap_or_default();
    let alert = serde_json::from_value(Value::Object(fields));
    alert.map_or(Subject::Other, |alert| Subject::BudgetAlert(Box::new(alert)))
}

/// A member's ids are in the fields of the change: in the object's id they
/// could not be told apart.
fn pair<'a>(entry: &'a FeedEntry, group: &str) -> Option<(&'a str, &'a str)> {
    Some((field(entry, group)?, field(entry, "user_id")?))
}

fn field<'a>(entry: &'a FeedEntry, name: &str) -> Option<&'a str> {
    let fields: &Fields = entry.after.as_ref().or(entry.before.as_ref())?;
    fields.get(name)?.as_str()
}

async fn key(store: &Store, entry: &FeedEntry) -> Result<Subject, StoreError> {
    let Ok(id) = entry.object_id.parse().map(KeyId) else { return Ok(Subject::Other) };
    // A new key has one hash, which its entry tells; keys may be made by thousands.
    if entry.action == Some(Action::Create)
        && let Some(hash) = field(entry, "key_hash").and_then(|hash| hash.parse().ok())
    {
        return Ok(Subject::Key(id, vec![hash]));
    }
    let Some(key) = store.view().find_key_ever_by_id(id).await? else { return Ok(Subject::Key(id, Vec::new())) };
    let mut hashes: Vec<KeyHash> = key.hashes().collect();
    for hash in hashes_before(entry) {
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    Ok(Subject::Key(id, hashes))
}

/// The hashes that a change took from its key.
fn hashes_before(entry: &FeedEntry) -> Vec<KeyHash> {
    let Some(before) = &entry.before else { return Vec::new() };
    let former = before.get("former_secrets").and_then(Value::as_array).into_iter().flatten();
    let former = former.filter_map(|secret| secret.get("key_hash"));
    let hashes = before.get("key_hash").into_iter().chain(former);
    hashes.filter_map(|hash| hash.as_str()?.parse().ok()).collect()
}

/// What a change makes stale here. What a user may do, and whom its keys count
/// for, depends on its memberships.
fn evictions_of(change: &Announcement) -> Vec<Eviction> {
    match &change.subject {
        Subject::Key(_, hashes) => hashes.iter().copied().map(Eviction::Key).collect(),
        Subject::User(id) => vec![Eviction::User(id.clone())],
        Subject::Team(id) => vec![Eviction::Team(id.clone())],
        Subject::Member(team, user) => {
            vec![Eviction::Member(team.clone(), user.clone()), Eviction::User(user.clone())]
        }
        Subject::Organization(id) => vec![Eviction::Organization(id.clone())],
        Subject::OrganizationMember(organization, user) => {
            vec![Eviction::OrganizationMember(organization.clone(), user.clone()), Eviction::User(user.clone())]
        }
        Subject::Customer(id) => vec![Eviction::Customer(id.clone())],
        Subject::Prices(_) => vec![Eviction::Prices],
        Subject::ScopeBudget(account) => vec![Eviction::ScopeBudget(account.clone())],
        Subject::BudgetModes => vec![Eviction::BudgetModes],
        Subject::Tier => vec![Eviction::Tier],
        Subject::BudgetAlert(_) | Subject::Other => Vec::new(),
    }
}
