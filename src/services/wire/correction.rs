//! Corrections: setting what an account spent, by an event of the ledger.

use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::ids::{KeyId, OrganizationId, TeamId, UserId, new_uuid};
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::domain::usage::{CostSource, Costing, Event, Posting, REASON, Usage};
use crate::domain::window::Window;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::{BalanceKey, Tx};

/// Whose spend is set.
#[derive(Clone, Debug)]
pub(crate) enum Owner<'a> {
    Key(KeyId),
    User(&'a UserId),
    Team(&'a TeamId),
    Member(&'a TeamId, &'a UserId),
    Organization(&'a OrganizationId),
    OrganizationMember(&'a OrganizationId, &'a UserId),
    /// A key in one window, or with one model.
    KeyPart(KeyId, &'a AccountId),
    /// What calls of all keys share.
    Scope(&'a AccountId),
}

impl Owner<'_> {
    fn accounts(&self) -> Vec<AccountId> {
        match self {
            Self::Key(id) => vec![AccountId::key(*id)],
            // What a user's budget is compared with is set, too.
            Self::User(id) => vec![AccountId::user(id), AccountId::user_personal(id)],
            Self::Team(id) => vec![AccountId::team(id)],
            Self::Member(team, user) => vec![AccountId::team_member(team, user)],
            Self::Organization(id) => vec![AccountId::organization(id)],
            Self::OrganizationMember(organization, user) => vec![AccountId::organization_member(organization, user)],
            Self::KeyPart(_, account) | Self::Scope(account) => vec![(*account).clone()],
        }
    }
}

/// Sets what an object spent in its current window; says whether that is a
/// change. Its usage events stay.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn set_spend(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    budget: &Budget,
    wanted: Usd,
) -> Result<bool, Error> {
    let window = budget.window(&ctx.app.rules.calendar, ctx.now);
    correct(ctx, tx, owner, owner.accounts(), window, wanted).await
}

/// Locks what objects spent in their current windows, all at once: whoever
/// locks one after the other would be in others' way.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn lock_spend<'a>(
    ctx: &Ctx,
    tx: &mut Tx,
    objects: impl Iterator<Item = (Owner<'a>, &'a Budget)>,
) -> Result<(), Error> {
    let windows = objects.flat_map(|(owner, budget)| {
        let window = budget.window(&ctx.app.rules.calendar, ctx.now);
        owner.accounts().into_iter().map(move |account| (account, window))
    });
    Ok(tx.lock_balances(windows).await?)
}

/// Adds to what an object spent in its current window, or takes from it;
/// returns what it is then.
///
/// # Errors
/// `FAILED_PRECONDITION` for a credit that is larger than what was spent.
pub(crate) async fn adjust_spend(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    budget: &Budget,
    amount: Usd,
    reason: &str,
) -> Result<Usd, Error> {
    let window = budget.window(&ctx.app.rules.calendar, ctx.now);
    let mut first = None;
    for account in owner.accounts() {
        let spent = tx.lock_balance(&account, window).await?;
        let after = spent.checked_add(amount).filter(|after| *after >= Usd::ZERO).ok_or_else(|| {
            let message = format!("{account} spent {spent} USD in its current window: {amount} is more than that");
            Refusal::precondition(Reason::CreditExceedsSpend, message).with("spend", spent).with("amount", amount)
        })?;
        let mut event = correction(ctx, owner, &account, window.start, amount);
        event.usage.metadata.insert(REASON.to_owned(), reason.into());
        tx.correct_balance(event, window, spent).await?;
        first.get_or_insert(after);
    }
    Ok(first.unwrap_or_default())
}

/// Keeps the spend of a window that is open for ever from now on, because its
/// length was cleared.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn keep_window(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    before: &Budget,
    after: &Budget,
) -> Result<(), Error> {
    if before.duration.is_some() && after.duration.is_none() {
        let window = after.window(&ctx.app.rules.calendar, ctx.now);
        for account in owner.accounts() {
            tx.lock_balance(&account, window).await?;
        }
    }
    Ok(())
}

/// Closes what former objects of the same ids spent: new ones begin at zero.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn begin_at_zero(ctx: &Ctx, tx: &mut Tx, owners: &[Owner<'_>]) -> Result<(), Error> {
    let keys: Vec<BalanceKey> =
        owners.iter().flat_map(Owner::accounts).map(|account| (account, Window::LIFETIME.start)).collect();
    let mut former = tx.view().balances(&keys).await?;
    former.retain(|_, balance| balance.spent != Usd::ZERO);
    for owner in owners {
        let spent = owner
            .accounts()
            .into_iter()
            .filter(|account| former.contains_key(&(account.clone(), Window::LIFETIME.start)));
        correct(ctx, tx, owner, spent.collect(), Window::LIFETIME, Usd::ZERO).await?;
    }
    Ok(())
}

async fn correct(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    accounts: Vec<AccountId>,
    window: Window,
    wanted: Usd,
) -> Result<bool, Error> {
    let mut changes = false;
    for account in accounts {
        let spent = tx.lock_balance(&account, window).await?;
        let Some(difference) = wanted.checked_sub(spent).filter(|difference| *difference != Usd::ZERO) else {
            continue;
        };
        let event = correction(ctx, owner, &account, window.start, difference);
        tx.correct_balance(event, window, spent).await?;
        changes = true;
    }
    Ok(changes)
}

fn correction(ctx: &Ctx, owner: &Owner<'_>, account: &AccountId, window_start: Timestamp, difference: Usd) -> Event {
    let request_id = format!("adjustment:{}", new_uuid());
    let costing = Costing {
        cost: difference,
        list_cost: None,
        source: CostSource::Adjustment,
        price_id: String::new(),
        provider: String::new(),
        unpriced_parts: Vec::new(),
        inconsistent: false,
    };
    let personal = account.scope() == Scope::UserPersonal;
    Event {
        fingerprint: String::new(),
        key_id: if let Owner::Key(id) | Owner::KeyPart(id, _) = owner { Some(*id) } else { None },
        user_id: match owner {
            Owner::User(id) | Owner::Member(_, id) | Owner::OrganizationMember(_, id) if !personal => {
                Some((*id).clone())
            }
            _ => None,
        },
        team_id: match owner {
            Owner::Team(id) | Owner::Member(id, _) => Some((*id).clone()),
            _ => None,
        },
        organization_id: match owner {
            Owner::Organization(id) | Owner::OrganizationMember(id, _) => Some((*id).clone()),
            _ => None,
        },
        costing,
        started_at: ctx.now,
        ended_at: ctx.now,
        recorded_at: ctx.now,
        reporter: ctx.caller.name(),
        postings: vec![Posting { account: account.clone(), window_start }],
        usage: Usage { request_id, call_type: "adjustment".to_owned(), ..Usage::default() },
    }
}
