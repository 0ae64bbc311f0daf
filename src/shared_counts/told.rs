//! What is told about calls that ended.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;

/// How many messages are passed on at once.
pub(super) const BATCH: usize = 1_000;

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Told {
    /// It used so many tokens.
    Settled {
        /// Its reservation.
        id: Uuid,
        /// The tokens that count.
        tokens: i64,
    },
    /// It was not made.
    Released {
        /// Its reservation.
        id: Uuid,
    },
    /// It goes on.
    Extended {
        /// Its reservation.
        id: Uuid,
        /// When it expires.
        expires_at: Timestamp,
        /// When that was decided.
        now: Timestamp,
    },
    /// A call without a reservation used tokens.
    Used {
        /// Its accounts.
        accounts: Vec<AccountId>,
        /// The tokens that count.
        tokens: i64,
        /// When it was booked.
        now: Timestamp,
    },
}

/// The tokens of calls without a reservation, by minute and account.
pub(super) fn used(batch: &[Told]) -> BTreeMap<i64, BTreeMap<String, i64>> {
    let mut minutes: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
    for told in batch {
        if let Told::Used { accounts, tokens, now } = told
            && *tokens != 0
        {
            let minute = minutes.entry(now.utc_minute()).or_default();
            // What calls of all keys share has no rates.
            for account in accounts.iter().filter(|account| !account.scope().is_shared()) {
                let sum = minute.entry(name_of(account)).or_default();
                *sum = sum.saturating_add(*tokens);
            }
        }
    }
    minutes
}

/// The name of an account among all.
pub(super) fn name_of(account: &AccountId) -> String {
    format!("{}:{}", <&str>::from(account.scope()), account.name())
}
