//! Leases: what runs hold of accounts' windows for calls in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter};

use super::balances::{Balance, BalanceKey};
use super::connect::Store;
use super::dialect::{Bulk, Column};
use super::entity::leases;
use super::error::StoreError;
use super::json::word;
use super::lease_clock::Ahead;
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::domain::window::Window;

/// What a run wants to hold of an account's window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HoldWrite {
    /// The account and window.
    pub key: BalanceKey,
    /// The window.
    pub window: Window,
    /// What is reserved in it.
    pub reserved: Usd,
    /// What is reserved of that for calls that are settled by an event of the
    /// batch, by the event's id.
    pub settling: Vec<(String, Usd)>,
    /// What should be held in advance, besides.
    pub advance: Usd,
    /// What is held already. It is kept, without what is settled: calls are
    /// granted on it while the batch is written.
    pub held: Usd,
    /// The limit that spent and held together must keep.
    pub limit: Option<Usd>,
    /// Until when it holds it.
    pub expires_at: Timestamp,
}

/// What a run holds of an account's window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The run.
    pub holder: i64,
    /// What it holds.
    pub held: Usd,
    /// Until when.
    pub expires_at: Timestamp,
}

impl HoldWrite {
    /// What is held where there is so much room beside what is spent and what others
    /// hold: what is reserved and in advance, else what is reserved, else what there
    /// is room for; never less than what is kept of before.
    #[must_use]
    pub fn fit(&self, kept: Usd, settled: Usd, room: Usd) -> Usd {
        let needed = self.reserved.saturating_less(settled);
        let wanted = needed.saturating_add(self.advance);
        let fitting = if wanted <= room { wanted } else { needed.min(room) };
        fitting.max(kept.saturating_less(settled))
    }
}

impl Store {
    /// Removes leases that expired some seconds ago.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_expired_leases(&self, seconds: i64, now: Timestamp) -> Result<(), StoreError> {
        let ahead = self.ahead(self.writer(), now).await?;
        leases::Entity::delete_many()
            .filter(leases::Column::ExpiresAt.lt(ahead.shared(now).plus_seconds(-seconds).micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }

    /// The leases on these accounts' windows that have not expired, in the time of
    /// this instance.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn leases(&self, keys: &[BalanceKey], now: Timestamp) -> Result<Vec<(BalanceKey, Lease)>, StoreError> {
        let view = self.view();
        let ahead = self.ahead(&view.executor(), now).await?;
        view.leases(keys, ahead, now).await
    }
}

impl View<'_> {
    async fn leases(
        &self,
        keys: &[BalanceKey],
        ahead: Ahead,
        now: Timestamp,
    ) -> Result<Vec<(BalanceKey, Lease)>, StoreError> {
        let mut found = Vec::new();
        let now = ahead.shared(now).micros();
        for chunk in keys.chunks(300) {
            let wanted = chunk.iter().fold(Condition::any(), |any, (account, start)| any.add(is_on(account, *start)));
            let query = leases::Entity::find().filter(wanted).filter(leases::Column::ExpiresAt.gt(now));
            for row in query.all(&self.executor()).await? {
                let scope: Scope = word(&row.scope)?;
                let key = (AccountId::stored(scope, row.name), Timestamp::from_micros(row.window_start_at));
                let lease = Lease {
                    holder: row.holder,
                    held: Usd::from_nanos(row.held_nanos),
                    expires_at: ahead.own(Timestamp::from_micros(row.expires_at)),
                };
                found.push((key, lease));
            }
        }
        Ok(found)
    }
}

pub(super) fn is_on(account: &AccountId, start: Timestamp) -> Condition {
    Condition::all()
        .add(leases::Column::Scope.eq(account.scope().as_str()))
        .add(leases::Column::Name.eq(account.name()))
        .add(leases::Column::WindowStartAt.eq(start.micros()))
}

/// Holds what fits beside what is spent and what others hold. The balances are
/// locked, so that no two runs can hold the same room. What a run believes to hold
/// is kept only while its lease is alive: one that was away may find its room taken.
pub(super) async fn write_holds(
    transaction: &DatabaseTransaction,
    holds: &[(&HoldWrite, Usd)],
    balances: &BTreeMap<BalanceKey, Balance>,
    holder: i64,
    (ahead, now): (Ahead, Timestamp),
) -> Result<Vec<(BalanceKey, Lease, Vec<Lease>)>, StoreError> {
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    let keys: BTreeSet<BalanceKey> = holds.iter().map(|(hold, _)| hold.key.clone()).collect();
    let keys: Vec<BalanceKey> = keys.into_iter().collect();
    let mut own = HashSet::new();
    let mut others: HashMap<BalanceKey, Vec<Lease>> = HashMap::new();
    for (key, lease) in View::of_transaction(transaction).leases(&keys, ahead, now).await? {
        if lease.holder == holder {
            own.insert(key);
        } else {
            others.entry(key).or_default().push(lease);
        }
    }
    let written: Vec<(BalanceKey, Lease, Vec<Lease>)> = holds
        .iter()
        .map(|(hold, settled)| {
            let others = others.remove(&hold.key).unwrap_or_default();
            let spent = balances.get(&hold.key).map_or(Usd::ZERO, |balance| balance.spent);
            let held = others.iter().fold(spent, |sum, lease| sum.saturating_add(lease.held));
            let room = hold.limit.map_or(Usd::MAX, |limit| limit.saturating_less(held));
            let kept = if own.contains(&hold.key) { hold.held } else { Usd::ZERO };
            let lease = Lease { holder, held: hold.fit(kept, *settled, room), expires_at: hold.expires_at };
            (hold.key.clone(), lease, others)
        })
        .collect();
    let upsert = Bulk {
        table: "leases",
        columns: vec![
            (
                "scope",
                Column::Text(written.iter().map(|((account, _), ..)| account.scope().as_str().to_owned()).collect()),
            ),
            ("name", Column::Text(written.iter().map(|((account, _), ..)| account.name().to_owned()).collect())),
            ("window_start_at", Column::Number(written.iter().map(|((_, start), ..)| start.micros()).collect())),
            ("holder", Column::Number(vec![holder; written.len()])),
            ("held_nanos", Column::Number(written.iter().map(|(_, lease, _)| lease.held.nanos()).collect())),
            (
                "expires_at",
                Column::Number(
                    written.iter().map(|(_, lease, _)| ahead.end_of_lease(lease.expires_at).micros()).collect(),
                ),
            ),
        ],
        suffix: "ON CONFLICT (scope, name, window_start_at, holder) DO UPDATE SET \
                 held_nanos = excluded.held_nanos, expires_at = excluded.expires_at",
    };
    upsert.run(transaction).await?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reserved, advance, kept, what is settled, room; and what is held then.
    #[test]
    fn what_is_held_covers_what_was_granted_meanwhile() {
        for (numbers, held) in [
            // What is needed and in advance, if there is room; else what is needed; else what there is.
            ([10, 5, 0, 0, 100], 15),
            ([10, 5, 0, 0, 12], 10),
            ([10, 5, 0, 0, 7], 7),
            // Calls are granted on surplus while the batch is written.
            ([5, 0, 15, 0, 100], 15),
            ([5, 0, 15, 0, 3], 15),
            // What is settled moves to the balance.
            ([10, 0, 15, 5, 100], 10),
            ([10, 0, 10, 10, 100], 0),
        ] {
            let [reserved, advance, before, settled, room] = numbers.map(Usd::from_nanos);
            let hold = HoldWrite {
                key: (AccountId::stored(Scope::Key, "k"), Timestamp::EPOCH),
                window: Window::LIFETIME,
                reserved,
                settling: Vec::new(),
                advance,
                held: Usd::ZERO,
                limit: None,
                expires_at: Timestamp::EPOCH,
            };
            assert_eq!(hold.fit(before, settled, room).nanos(), held, "{numbers:?}");
        }
    }
}
