//! Tokens of a day: what keys and teams used, added up.

use super::error::StoreError;
use super::rollups::UsageFilter;
use super::usage::EventScope;
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::limit::CountedTokens;
use crate::domain::rollup::{Dimension, Interval, Source};

impl View<'_> {
    /// The tokens that each of these accounts used between two instants, those of
    /// answers from a gateway's cache included; of other accounts than those of
    /// keys and teams 0.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn tokens_between(
        &self,
        accounts: &[AccountId],
        (from, until): Interval,
        counted: CountedTokens,
    ) -> Result<Vec<(AccountId, i64)>, StoreError> {
        let mut found = Vec::with_capacity(accounts.len());
        for account in accounts {
            let tokens = match dimension_of(account) {
                Some(dimension) => {
                    let all = UsageFilter::of(Source::Call, EventScope::All);
                    let filter = all.only(dimension, Some(account.name()));
                    let rows = self.usage(&filter, &[from, until], None).await?;
                    rows.iter().map(|row| counted.of(row.prompt_tokens, row.completion_tokens)).sum()
                }
                None => 0,
            };
            found.push((account.clone(), tokens));
        }
        Ok(found)
    }
}

const fn dimension_of(account: &AccountId) -> Option<Dimension> {
    match account.scope() {
        Scope::Key => Some(Dimension::Key),
        Scope::Team => Some(Dimension::Team),
        _ => None,
    }
}
