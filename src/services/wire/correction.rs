//! Corrections: setting what an account spent, by an event of the ledger.

pub(crate) use crate::domain::correction::Owner;
use crate::domain::fault::Refusal;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::domain::usage::REASON;
use crate::domain::window::Window;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::{BalanceKey, Counted, Life, Tx};

/// Sets what an object spent in its current window; says whether that is a
/// change. Its usage events stay, and so does what it ever spent.
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
    set(ctx, tx, owner, budget, (wanted, Life::Stays)).await
}

/// Lets a new object begin with what it has spent elsewhere.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn begin_with(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    budget: &Budget,
    spent: Usd,
) -> Result<(), Error> {
    set(ctx, tx, owner, budget, (spent, Life::Changes)).await.map(drop)
}

async fn set(ctx: &Ctx, tx: &mut Tx, owner: &Owner<'_>, budget: &Budget, wanted: (Usd, Life)) -> Result<bool, Error> {
    let window = budget.window(&ctx.app.rules.calendar, ctx.now);
    let counted = Counted { window, budget: *budget };
    Ok(tx.set_spent(owner, owner.accounts(), counted, wanted).await?)
}

/// Refuses to set what an object spent to more than that.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) async fn check_lower(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    budget: &Budget,
    wanted: Usd,
) -> Result<(), Error> {
    let window = budget.window(&ctx.app.rules.calendar, ctx.now);
    for account in owner.accounts() {
        let spent = tx.lock_balance(&account, window).await?;
        if wanted > spent {
            let message = format!("spend is {spent} USD; only a proxy admin sets it to more");
            let refusal = Refusal::denied(Reason::FieldNotAllowed, message);
            return Err(refusal.with("field", "spend").with("requested", wanted).with("limit", spent).into());
        }
    }
    Ok(())
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
/// returns what it is then. Of a user's two accounts that of its own keys gives
/// back at most what these spent.
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
        let amount = if first.is_none() { amount } else { amount.max(Usd::from_nanos(-spent.nanos())) };
        if amount == Usd::ZERO {
            continue;
        }
        let after = spent.checked_add(amount).filter(|after| *after >= Usd::ZERO).ok_or_else(|| {
            let message = format!("{account} spent {spent} USD in its current window: {amount} is more than that");
            Refusal::precondition(Reason::CreditExceedsSpend, message).with("spend", spent).with("amount", amount)
        })?;
        let reporter = (tx.author().actor.clone(), tx.now());
        let mut event = owner.correction(&account, window.start, amount, reporter);
        event.usage.metadata.insert(REASON.to_owned(), reason.into());
        tx.correct_balance(event, None, Counted { window, budget: *budget }, spent).await?;
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
pub(crate) async fn begin_at_zero(tx: &mut Tx, owners: &[Owner<'_>]) -> Result<(), Error> {
    let keys: Vec<BalanceKey> =
        owners.iter().flat_map(Owner::accounts).map(|account| (account, Window::LIFETIME.start)).collect();
    let mut former = tx.view().balances(&keys).await?;
    former.retain(|_, balance| balance.spent != Usd::ZERO);
    for owner in owners {
        let spent = owner
            .accounts()
            .into_iter()
            .filter(|account| former.contains_key(&(account.clone(), Window::LIFETIME.start)));
        let counted = Counted { window: Window::LIFETIME, budget: Budget::NONE };
        tx.set_spent(owner, spent.collect(), counted, (Usd::ZERO, Life::Changes)).await?;
    }
    Ok(())
}
