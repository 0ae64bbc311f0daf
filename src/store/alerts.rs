//! Alerts: told in the transaction that moves a balance to a level of its
//! budget, once for each level and window, over all instances.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryResult};

use super::balances::{BalanceKey, OPEN_END};
use super::connect::Store;
use super::dialect::{self, Bulk};
use super::entity::budget_alerts::{self, Column};
use super::error::StoreError;
use super::json::word;
use super::outbox::{OutboxKind, Unsent, insert_entries};
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::alert::{AlertKind, AlertRules, BudgetAlert, Level, UNPRICED};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::rollup::Dimension;
use crate::domain::webhook::{EventType, Message, Webhook};
use crate::domain::window::Window;

/// How many names one query asks for.
const NAMES_AT_ONCE: usize = 1_000;

/// What is told of budgets, and to whom beside the change feed.
#[derive(Debug)]
pub struct Telling {
    /// When something is told.
    pub rules: AlertRules,
    /// Who is told by HTTP.
    pub webhooks: Vec<Arc<Webhook>>,
}

/// A window whose balance grew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grown<'a> {
    pub(super) account: &'a AccountId,
    pub(super) window: Window,
    pub(super) budget: &'a Budget,
    pub(super) before: Usd,
    pub(super) after: Usd,
}

/// A level that a window reached.
pub(super) struct Reached<'a> {
    grown: Grown<'a>,
    level: Level,
}

/// What tells one level of a window from others.
type LevelKey = (BalanceKey, AlertKind, u8);

impl Reached<'_> {
    fn key(&self) -> LevelKey {
        let Self { grown: Grown { account, window, .. }, level } = self;
        (((*account).clone(), window.start), level.kind, level.threshold)
    }
}

/// The levels that balances reached by growing.
pub(super) fn reached<'a>(rules: &AlertRules, grown: impl Iterator<Item = Grown<'a>>) -> Vec<Reached<'a>> {
    let mut reached = Vec::new();
    for grown in grown {
        let Grown { account, budget, before, after, .. } = grown;
        let levels = rules.reached(account.scope(), budget, before, after);
        reached.extend(levels.into_iter().map(|level| Reached { grown, level }));
    }
    reached
}

/// That a model was used without a price on a day.
pub(super) fn unpriced(model: &AccountId, day: Window) -> Reached<'_> {
    let (budget, before, after) = (&Budget::NONE, Usd::ZERO, Usd::ZERO);
    Reached { grown: Grown { account: model, window: day, budget, before, after }, level: UNPRICED }
}

/// Tells of the levels that balances reached, but for what was told before:
/// leaves what webhooks get in the outbox, and returns what the audit log, and so
/// the change feed, is to hold. A few statements, however many there are.
pub(super) async fn tell(
    transaction: &DatabaseTransaction,
    telling: &Telling,
    mut reached: Vec<Reached<'_>>,
    now: Timestamp,
) -> Result<Vec<(AccountId, Change)>, StoreError> {
    if reached.is_empty() {
        return Ok(Vec::new());
    }
    // In one order for all transactions, and the lowest level of each first.
    reached.sort_by_key(Reached::key);
    let news = note(transaction, &reached).await?;
    reached.retain(|of| news.contains(&of.key()));
    let labels = labels(transaction, &reached).await?;
    let (mut changes, mut unsent) = (Vec::with_capacity(reached.len()), Vec::new());
    for Reached { grown: Grown { account, window, budget, after, .. }, level } in reached {
        let mut alert = BudgetAlert::new(account, budget, window, level, after);
        alert.label = labels.get(account).cloned().unwrap_or_default();
        let event = EventType::from(alert.kind);
        for webhook in telling.webhooks.iter().filter(|webhook| webhook.hears(event)) {
            unsent.push(Unsent { subject: webhook.name.to_string(), payload: Message::body(event, now, &alert) });
        }
        changes.push((account.clone(), Change::alerted(account, &alert)));
    }
    insert_entries(transaction, OutboxKind::Webhook, unsent, now).await?;
    Ok(changes)
}

/// Notes that these levels are told; returns those that were not told before, or
/// of a lower budget only.
async fn note(transaction: &DatabaseTransaction, reached: &[Reached<'_>]) -> Result<HashSet<LevelKey>, StoreError> {
    let text = |of: fn(&Reached<'_>) -> String| dialect::Column::Text(reached.iter().map(of).collect());
    let number = |of: fn(&Reached<'_>) -> i64| dialect::Column::Number(reached.iter().map(of).collect());
    let upsert = Bulk {
        table: "budget_alerts",
        columns: vec![
            ("scope", text(|of| of.grown.account.scope().as_str().to_owned())),
            ("name", text(|of| of.grown.account.name().to_owned())),
            ("window_start_at", number(|of| of.grown.window.start.micros())),
            ("kind", text(|of| of.level.kind.as_str().to_owned())),
            ("threshold", number(|of| i64::from(of.level.threshold))),
            ("level_nanos", number(|of| of.level.spend.nanos())),
            ("window_end_at", number(|of| of.grown.window.end.map_or(OPEN_END, Timestamp::micros))),
        ],
        suffix: "ON CONFLICT (scope, name, window_start_at, kind, threshold) DO UPDATE SET \
                 level_nanos = excluded.level_nanos WHERE excluded.level_nanos > budget_alerts.level_nanos \
                 RETURNING scope, name, window_start_at, kind, threshold",
    };
    let key = |row: &QueryResult| -> Result<LevelKey, StoreError> {
        let account =
            AccountId::stored(word(&row.try_get::<String>("", "scope")?)?, row.try_get::<String>("", "name")?);
        let start = Timestamp::from_micros(row.try_get("", "window_start_at")?);
        let threshold = u8::try_from(row.try_get::<i64>("", "threshold")?).unwrap_or_default();
        Ok(((account, start), word(&row.try_get::<String>("", "kind")?)?, threshold))
    };
    upsert.run(transaction).await?.iter().map(key).collect()
}

/// What people call the objects of these accounts, where they call them something.
async fn labels(
    transaction: &DatabaseTransaction,
    reached: &[Reached<'_>],
) -> Result<HashMap<AccountId, String>, StoreError> {
    let mut by_dimension: HashMap<Dimension, Vec<(AccountId, String)>> = HashMap::new();
    for Reached { grown: Grown { account, .. }, .. } in reached {
        let dimension = match account.scope() {
            Scope::Key | Scope::KeyWindow | Scope::KeyModel => Dimension::Key,
            Scope::Team => Dimension::Team,
            Scope::User | Scope::UserPersonal | Scope::UserModel => Dimension::User,
            Scope::Organization => Dimension::Organization,
            // They have no other name, or are named by two ids.
            _ => continue,
        };
        let id = account.part_of_object().map_or_else(|| account.object_id(), |(object, _)| object);
        by_dimension.entry(dimension).or_default().push(((*account).clone(), id));
    }
    let mut labels = HashMap::new();
    for (dimension, accounts) in by_dimension {
        let mut ids: Vec<String> = accounts.iter().map(|(_, id)| id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        for ids in ids.chunks(NAMES_AT_ONCE) {
            let names = View::of_transaction(transaction).names(dimension, ids).await?;
            let of_these =
                accounts.iter().filter_map(|(account, id)| Some((account.clone(), names.get(id)?.alias.clone())));
            labels.extend(of_these);
        }
    }
    Ok(labels)
}

/// Of a window whose spend was set, levels above it are told anew when they are
/// reached.
pub(super) async fn forget_above(
    transaction: &DatabaseTransaction,
    account: &AccountId,
    window: Window,
    spend: Usd,
) -> Result<(), StoreError> {
    budget_alerts::Entity::delete_many()
        .filter(Column::Scope.eq(account.scope().as_str()))
        .filter(Column::Name.eq(account.name()))
        .filter(Column::WindowStartAt.eq(window.start.micros()))
        .filter(Column::LevelNanos.gt(spend.nanos()))
        .exec(transaction)
        .await?;
    Ok(())
}

impl Store {
    /// Forgets what was told of windows that ended before an instant.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_alerts_before(&self, horizon: Timestamp) -> Result<(), StoreError> {
        budget_alerts::Entity::delete_many()
            .filter(Column::WindowEndAt.lt(horizon.micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}
