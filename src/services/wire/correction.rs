//! Corrections: setting what an account spent, by an event of the ledger.

use crate::domain::account::{AccountId, Scope};
use crate::domain::ids::{KeyId, TeamId, UserId, new_uuid};
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::usage::{CostSource, Costing, Event, Posting, Usage};
use crate::error::Error;
use crate::services::Ctx;
use crate::store::Tx;

/// Whose spend is set.
#[derive(Clone, Debug)]
pub(crate) enum Owner<'a> {
    Key(KeyId),
    User(&'a UserId),
    Team(&'a TeamId),
}

impl Owner<'_> {
    fn accounts(&self) -> Vec<AccountId> {
        match self {
            Self::Key(id) => vec![AccountId::key(*id)],
            // What a user's budget is compared with is set, too.
            Self::User(id) => vec![AccountId::user(id), AccountId::user_personal(id)],
            Self::Team(id) => vec![AccountId::team(id)],
        }
    }
}

/// Sets what an object spent in its current window. Its usage events stay.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn set_spend(
    ctx: &Ctx,
    tx: &mut Tx,
    owner: &Owner<'_>,
    budget: &Budget,
    wanted: Usd,
) -> Result<(), Error> {
    let window = budget.window(&ctx.app.rules.calendar, ctx.now);
    for account in owner.accounts() {
        let spent = tx.lock_balance(&account, window).await?;
        let Some(difference) = wanted.checked_sub(spent).filter(|difference| *difference != Usd::ZERO) else {
            continue;
        };
        let event = correction(ctx, owner, &account, window.start, difference);
        tx.correct_balance(event, window).await?;
    }
    Ok(())
}

fn correction(
    ctx: &Ctx,
    owner: &Owner<'_>,
    account: &AccountId,
    window_start: crate::domain::clock::Timestamp,
    difference: Usd,
) -> Event {
    let request_id = format!("adjustment:{}", new_uuid());
    let costing = Costing {
        cost: difference,
        source: CostSource::Adjustment,
        price_id: String::new(),
        provider: String::new(),
        unpriced_parts: Vec::new(),
        inconsistent: false,
    };
    let personal = account.scope() == Scope::UserPersonal;
    Event {
        fingerprint: String::new(),
        key_id: if let Owner::Key(id) = owner { Some(*id) } else { None },
        user_id: if let (Owner::User(id), false) = (owner, personal) { Some((*id).clone()) } else { None },
        team_id: if let Owner::Team(id) = owner { Some((*id).clone()) } else { None },
        costing,
        started_at: ctx.now,
        ended_at: ctx.now,
        recorded_at: ctx.now,
        reporter: ctx.caller.name(),
        postings: vec![Posting { account: account.clone(), window_start }],
        usage: Usage { request_id, call_type: "adjustment".to_owned(), ..Usage::default() },
    }
}
