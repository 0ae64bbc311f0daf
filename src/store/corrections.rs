//! Corrections: balances that management changes, by events of the ledger.

use std::collections::{BTreeMap, HashMap};

use super::alerts::{self, Grown};
use super::error::StoreError;
use super::event_rows::EventRows;
use super::ledger::{Counted, LedgerBatch, locks, move_balances, placed, take_ids, write_balances};
use super::partitions::{self, Known};
use super::tx::Tx;
use crate::domain::account::{AccountId, Scope};
use crate::domain::audit::{Change, ObjectType};
use crate::domain::correction::Owner;
use crate::domain::money::Usd;
use crate::domain::usage::{Event, REASON};
use crate::domain::window::Window;

/// What becomes of what an account ever spent, when that of its window is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It changes with it: of an account that begins.
    Changes,
    /// It stays.
    Stays,
}

/// Why what an account ever spent is corrected.
const STAYS: &str = "what was ever spent stays";

impl Tx {
    /// Locks what an account spent in a window, until the end of the
    /// transaction, and reads it.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_balance(&mut self, account: &AccountId, window: Window) -> Result<Usd, StoreError> {
        let locked = write_balances(&self.inner, &locks([(account.clone(), window)].into_iter())).await?;
        let key = (account.clone(), window.start);
        Ok(locked.get(&key).map_or(Usd::ZERO, |balance| balance.spent))
    }

    /// Locks what accounts spent in windows, in the order of all who write
    /// balances.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_balances(
        &mut self,
        windows: impl Iterator<Item = (AccountId, Window)>,
    ) -> Result<(), StoreError> {
        write_balances(&self.inner, &locks(windows)).await.map(drop)
    }

    /// Sets what accounts of an owner spent in a window, by events in the name of
    /// whoever makes the change; says whether that is a change. What they ever spent
    /// changes with it, or stays; where the window is all there is, both are one.
    /// Levels of the budget above it are told anew when they are reached.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn set_spent(
        &mut self,
        owner: &Owner<'_>,
        accounts: Vec<AccountId>,
        counted: Counted,
        (wanted, life): (Usd, Life),
    ) -> Result<bool, StoreError> {
        let mut changes = false;
        for account in accounts {
            let spent = self.lock_balance(&account, counted.window).await?;
            alerts::forget_above(&self.inner, &account, counted.window, wanted).await?;
            let Some(difference) = wanted.checked_sub(spent).filter(|difference| *difference != Usd::ZERO) else {
                continue;
            };
            let by = (self.author().actor.clone(), self.now());
            let event = owner.correction(&account, counted.window.start, difference, by.clone());
            let gives_back = life == Life::Stays && counted.window.start != Window::LIFETIME.start;
            let back = gives_back.then(|| {
                let opposite = Usd::from_nanos(-difference.nanos());
                let mut back = owner.correction(&account, Window::LIFETIME.start, opposite, by);
                back.usage.metadata.insert(REASON.to_owned(), STAYS.into());
                back
            });
            self.correct_balance(event, back, counted, spent).await?;
            changes = true;
        }
        Ok(changes)
    }

    /// Changes what an account spent in a window, by an event that corrects it
    /// from what `lock_balance` told; and perhaps by another one what it ever spent.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn correct_balance(
        &mut self,
        correction: Event,
        of_life: Option<Event>,
        counted: Counted,
        from: Usd,
    ) -> Result<(), StoreError> {
        let account = correction.postings.first().map(|posting| posting.account.clone());
        let account = account.ok_or_else(|| StoreError::Broken("a correction of nothing".to_owned()))?;
        self.record_spend(&account, from, &correction);
        let windows = HashMap::from([((account.clone(), counted.window.start), counted)]);
        let batch = LedgerBatch { windows, ..LedgerBatch::default() };
        // After the lock of the balance, so without one of its own: there is a
        // partition for today, but for the first moments of a span.
        let instants = std::iter::once(correction.started_at);
        partitions::ensure(&self.inner, &Known::default(), instants, self.now()).await?;
        let events: Vec<&Event> = std::iter::once(&correction).chain(&of_life).collect();
        let rows = EventRows::new(&events)?;
        take_ids(&self.inner, &events, rows.ids).await?;
        rows.new.write(&self.inner).await?;
        let (_, balances) = move_balances(&self.inner, &batch, &events, self.now()).await?;
        if let Some(telling) = self.told() {
            let Counted { window, budget } = counted;
            let after = balances.get(&(account.clone(), window.start)).map_or(from, |balance| balance.spent);
            let grown = Grown { account: &account, window, budget: &budget, before: from, after };
            let reached = alerts::reached(&telling.rules, std::iter::once(grown));
            for (_, change) in alerts::tell(&self.inner, &telling, reached, self.now()).await? {
                self.record(placed(change, account.scope(), &correction));
            }
        }
        self.moved(balances);
        Ok(())
    }

    /// What is shown of an object's spend is set by nobody without a trace, and
    /// with the reason that was given.
    fn record_spend(&mut self, account: &AccountId, from: Usd, correction: &Event) {
        // The first follows the user's; the others have no budget.
        if matches!(account.scope(), Scope::UserPersonal | Scope::TeamModel | Scope::OrganizationModel) {
            return;
        }
        let object = ObjectType::of_account(account.scope());
        let spent = |spend: Usd| BTreeMap::from([("spend", spend)]);
        let to = from.saturating_add(correction.costing.cost);
        // A part of an object is found in the log of the object.
        let (object_id, part) = match account.part_of_object() {
            Some((object, part)) => (object, Some(part)),
            None => (account.audit_id(), None),
        };
        let change = Change::updated(object, object_id, &spent(from), &spent(to));
        if let Some(mut change) = change {
            if let Some(part) = part {
                change = change.naming(&[("part", part)]);
            }
            let placed =
                change.of_organization(correction.organization_id.as_ref()).of_team(correction.team_id.as_ref());
            self.record(placed.because(correction.usage.metadata.get(REASON)));
        }
    }
}
