//! Routes: the accounts that an event moves, and the windows in which it does.

use std::sync::Arc;

use super::Gate;
use super::ledger::Settling;
use super::record::RecordError;
use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::identity::{Identity, KeyFacts, Models, Payer};
use crate::domain::ids::KeyId;
use crate::domain::key::Key;
use crate::domain::limit::Budget;
use crate::domain::models::ModelList;
use crate::domain::money::Usd;
use crate::domain::secret::KeyHash;
use crate::domain::ticket::Ticket;
use crate::domain::window::Window;
use crate::store::ClosedReservation;

/// The accounts that an event moves, before it is booked.
#[derive(Default)]
pub(super) struct Route {
    pub(super) accounts: Vec<(AccountId, Budget)>,
    pub(super) windows: Vec<(AccountId, Window)>,
    pub(super) settles: Option<uuid::Uuid>,
    pub(super) closes: Option<ClosedReservation>,
    pub(super) late: bool,
    /// The least that a budget set aside for the call, if one did.
    pub(super) held: Option<Usd>,
}

impl Gate {
    /// Whether another run holds room for a reservation: one that crashed, or
    /// one beside this.
    pub(super) fn lives_elsewhere(&self, ticket: &Ticket, now: Timestamp) -> bool {
        ticket.holder != self.holder && now < ticket.expires_at
    }

    /// The windows in which a reservation was authorised.
    pub(super) fn windows_of(&self, ticket: &Ticket, accounts: &[(AccountId, Budget)]) -> Vec<(AccountId, Window)> {
        let window = |budget: &Budget| budget.window(&self.rules().ledger.calendar, ticket.authorized_at);
        accounts.iter().map(|(account, budget)| (account.clone(), window(budget))).collect()
    }

    /// Where the cost of a reserved call goes: to the windows in which it was
    /// authorised, while the reservation counts.
    pub(super) async fn route_by_ticket(
        &self,
        ticket: &Ticket,
        cost: Usd,
        now: Timestamp,
    ) -> Result<(Arc<KeyFacts>, Route), RecordError> {
        // Before the reservation begins to settle: what fails now leaves it alone.
        let budgets = match self.ledger.key_of(ticket.reservation, now) {
            Some(key) => self.budgets_now(&key, ticket, now).await?,
            None => Vec::new(),
        };
        if let Settling::Live { key, held, windows } = self.ledger.begin_settle(ticket.reservation, cost, now) {
            let budget = |account: &AccountId| budgets.iter().find(|(of, _)| of == account).map(|(_, budget)| *budget);
            let of = |(account, _): &(AccountId, Window)| (account.clone(), budget(account).unwrap_or_default());
            let accounts = windows.iter().map(of).collect();
            return Ok((key, Route { accounts, windows, held, settles: Some(ticket.reservation), ..Route::default() }));
        }
        let (key, mut route) = Box::pin(self.route_of(&ticket.payer, &ticket.model, now)).await?;
        route.held = ticket.held.iter().map(|held| held.amount).min();
        route.late = !self.lives_elsewhere(ticket, now);
        // What was set aside for the call it pays, also when it is late.
        route.accounts.extend(self.held_beside(ticket).await?);
        if !route.late {
            route.windows = self.windows_of(ticket, &route.accounts);
            route.closes = Some(closed(ticket, &route.windows));
        }
        Ok((key, route))
    }

    /// The accounts of whoever reserved for a call, with the budgets that hold now.
    async fn budgets_now(
        &self,
        key: &KeyFacts,
        ticket: &Ticket,
        now: Timestamp,
    ) -> Result<Vec<(AccountId, Budget)>, RecordError> {
        let found = match key.hash() {
            Some(hash) => self.route_by_hash(&hash, Models::Called(&ticket.model), now).await,
            None => Box::pin(self.route_of(&ticket.payer, &ticket.model, now)).await,
        };
        let mut accounts = match found {
            Ok((_, route)) => route.accounts,
            // The call was made, and is booked.
            Err(RecordError::KeyUnknown) => Vec::new(),
            Err(error) => return Err(error),
        };
        accounts.extend(self.held_beside(ticket).await?);
        Ok(accounts)
    }

    pub(super) async fn route_of(
        &self,
        payer: &Payer,
        model: &str,
        now: Timestamp,
    ) -> Result<(Arc<KeyFacts>, Route), RecordError> {
        match payer {
            Payer::Key(id) => self.route_by_id(*id, model, now).await,
            // Whoever is gone meanwhile has no account that could be moved.
            Payer::Principal(principal) => {
                let identity = self.directory().principal(principal.clone(), ModelList::default(), now).await?;
                Ok(self.route_along(identity, Models::Called(model)))
            }
        }
    }

    async fn route_by_id(&self, id: KeyId, model: &str, now: Timestamp) -> Result<(Arc<KeyFacts>, Route), RecordError> {
        if let Some(key) = self.store.view().find_key_by_id(id).await? {
            return self.route_by_hash(&key.key_hash, Models::Called(model), now).await;
        }
        let deleted = self.store.view().find_deleted_key_by_id(id).await?.ok_or(RecordError::KeyUnknown)?;
        self.route_of_deleted(deleted.key, Models::Called(model), now).await
    }

    /// The call was made when the secret was good.
    pub(super) async fn route_by_hash(
        &self,
        hash: &KeyHash,
        models: Models<'_>,
        now: Timestamp,
    ) -> Result<(Arc<KeyFacts>, Route), RecordError> {
        if let Some(identity) = self.directory().find_by_any(hash, now).await? {
            return Ok(self.route_along(identity, models));
        }
        let deleted = self.store.view().find_deleted_key(hash).await?.ok_or(RecordError::KeyUnknown)?;
        self.route_of_deleted(deleted.key, models, now).await
    }

    /// The accounts of somebody who called a model.
    fn route_along(&self, identity: Identity, models: Models<'_>) -> (Arc<KeyFacts>, Route) {
        let lines = identity.lines(models, self.rules().user_budget_on_team_keys);
        let accounts = lines.iter().map(|line| (line.account.clone(), *line.budget)).collect();
        (identity.key, Route { accounts, ..Route::default() })
    }

    /// The call was made, so it is booked: on whatever of the key's accounts is
    /// still there, except the key's own.
    async fn route_of_deleted(
        &self,
        key: Key,
        models: Models<'_>,
        now: Timestamp,
    ) -> Result<(Arc<KeyFacts>, Route), RecordError> {
        let identity = self.directory().whose(Arc::new(KeyFacts::new(key, None, 0)), now).await?;
        let (key, mut route) = self.route_along(identity, models);
        route.accounts.retain(|(account, _)| !account.scope().is_of_key());
        Ok((key, route))
    }

    /// The accounts beside the payer's in which a reservation of another run may
    /// be held.
    pub(super) async fn held_beside(&self, ticket: &Ticket) -> Result<Vec<(AccountId, Budget)>, RecordError> {
        let customer = self.customer(&ticket.customer_id).await?;
        let budgets = self.scope_budgets.load();
        let shared = budgets.iter().filter(|(account, _)| ticket.held_in(account).is_some()).cloned();
        let lines = customer.iter().flat_map(|customer| customer.lines(Models::Called(&ticket.model)));
        Ok(shared.chain(lines.map(|line| (line.account.clone(), *line.budget))).collect())
    }
}

/// What another run need not hold any longer: of a call that was not made, unless
/// its tokens are told, too.
pub(super) fn closed(ticket: &Ticket, windows: &[(AccountId, Window)]) -> ClosedReservation {
    let held =
        |(account, window): &(AccountId, Window)| Some(((account.clone(), window.start), ticket.held_in(account)?));
    ClosedReservation {
        reservation: ticket.reservation,
        holder: ticket.holder,
        windows: windows.iter().filter_map(held).collect(),
        expires_at: ticket.expires_at,
        tokens: None,
    }
}
