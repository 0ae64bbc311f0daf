//! `AdjustSpend`: a credit or a debit of one account.

use super::accounts::{self, Holder};
use crate::domain::money::Usd;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::correction::adjust_spend;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

/// The longest reason, in bytes.
const REASON_MAX_BYTES: usize = 1_024;

/// The longest id of an account, in bytes: two ids, of which one may be
/// escaped and one be that of a model, and what separates them.
const ACCOUNT_MAX_BYTES: usize = 3 * 256 + 1 + 512;

/// A valid request.
struct Command {
    scope: pb::BudgetScope,
    id: String,
    amount: Usd,
    reason: String,
}

/// Adjusts what an account spent.
pub(super) async fn adjust_spend_of(
    ctx: Ctx,
    request: pb::AdjustSpendRequest,
) -> Result<pb::AdjustSpendResponse, Error> {
    let command = parse(&request)?;
    once(&ctx, &request.request_id, &request, |slot| adjust(&ctx, command, slot)).await
}

fn parse(request: &pb::AdjustSpendRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let scope = accounts::take_scope("scope", request.scope, &mut faults);
    // There is one account of everything, and it has no name.
    if scope != Some(pb::BudgetScope::Global) {
        text::required("id", &request.id, ACCOUNT_MAX_BYTES, &mut faults);
    }
    text::required("reason", &request.reason, REASON_MAX_BYTES, &mut faults);
    text::request_id("request_id", &request.request_id, &mut faults);
    let amount = faults.take("amount", Usd::parse_signed(&request.amount));
    if amount == Some(Usd::ZERO) {
        faults.add("amount", "must not be 0");
    }
    faults.finish()?;
    Ok(Command {
        scope: scope.ok_or_else(|| Error::internal("a scope vanished"))?,
        id: request.id.clone(),
        amount: amount.ok_or_else(|| Error::internal("an amount vanished"))?,
        reason: request.reason.clone(),
    })
}

async fn adjust(ctx: &Ctx, command: Command, slot: Slot) -> Result<pb::AdjustSpendResponse, Error> {
    let Command { scope, id, amount, reason } = command;
    let mut tx = ctx.begin().await?;
    let (holder, budget): (Holder, _) = accounts::named(ctx, tx.view(), scope, &id).await?;
    let spend = adjust_spend(ctx, &mut tx, &holder.owner(), &budget, amount, &reason).await?;
    let answer = pb::AdjustSpendResponse { spend: spend.to_string() };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

impl Answer for pb::AdjustSpendResponse {}
