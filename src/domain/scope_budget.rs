//! Scope budgets: limits on what the calls of all keys together spend under a
//! tag, with a provider, on a model, or at all.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::account::{AccountId, Line, Scope};
use super::clock::Timestamp;
use super::limit::Budget;

/// A budget of a scope. Its account counts from when it was set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeBudget {
    /// What it is about: an account of one of [`Scope::SHARED`].
    #[serde(serialize_with = "audit_id")]
    pub account: AccountId,
    /// The limit.
    #[serde(flatten)]
    pub budget: Budget,
    /// When it was set.
    #[serde(skip)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[serde(skip)]
    pub updated_at: Timestamp,
    /// How often it was changed.
    #[serde(skip)]
    pub version: i64,
}

fn audit_id<S: Serializer>(account: &AccountId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&account.audit_id())
}

/// What a call falls under, beside its key.
#[derive(Clone, Debug)]
pub struct CallScopes<'a> {
    /// Its labels and those of its key, in any order.
    pub tags: Vec<&'a str>,
    /// Who may answer it, or did.
    pub providers: &'a [&'a str],
    /// The names of its model: the one asked for, and the one called.
    pub models: [&'a str; 2],
}

/// An account of a scope with its budget.
pub type Shared = (AccountId, Budget);

/// All scope budgets, found by the names that calls have.
#[derive(Clone, Debug, Default)]
pub struct ScopeBudgets(HashMap<Scope, HashMap<Arc<str>, Shared>>);

impl ScopeBudgets {
    /// These budgets.
    #[must_use]
    pub fn new(budgets: Vec<ScopeBudget>) -> Self {
        let mut found = Self::default();
        for ScopeBudget { account, budget, .. } in budgets {
            found.0.entry(account.scope()).or_default().insert(account.name().into(), (account, budget));
        }
        found
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of a call to its other lines, all in the order in which they are
    /// checked. Without any, nobody asks what the call falls under.
    pub fn join<'a, 'c>(&'a self, lines: &mut Vec<Line<'a>>, call: impl FnOnce() -> CallScopes<'c>) {
        if self.is_empty() {
            return;
        }
        lines.extend(self.of_call(call()).into_iter().map(|(account, budget)| Line::of_money(account, budget)));
        lines.sort_by_key(|line| line.account.scope());
    }

    /// Those of a call, in the order in which they are checked. Of a model with
    /// two names both count.
    #[must_use]
    pub fn of_call(&self, call: CallScopes<'_>) -> Vec<&Shared> {
        let mut tags = call.tags;
        tags.sort_unstable();
        tags.dedup();
        let mut found: Vec<&Shared> = tags.into_iter().filter_map(|tag| self.get(Scope::Tag, tag)).collect();
        found.extend(call.providers.iter().filter_map(|provider| self.get(Scope::Provider, provider)));
        let [asked, called] = call.models;
        found.extend(self.get(Scope::Model, asked));
        found.extend(self.get(Scope::Model, called).filter(|_| called != asked));
        found.extend(self.get(Scope::Global, ""));
        found
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Shared> {
        self.0.values().flat_map(HashMap::values)
    }

    fn get(&self, scope: Scope, name: &str) -> Option<&Shared> {
        self.0.get(&scope)?.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(accounts: &[(Scope, &str)]) -> ScopeBudgets {
        let budget = |(scope, name): &(Scope, &str)| ScopeBudget {
            account: AccountId::stored(*scope, *name),
            budget: Budget::default(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        };
        ScopeBudgets::new(accounts.iter().map(budget).collect())
    }

    #[test]
    fn each_budget_stands_where_it_is_checked() {
        let all = budgets(&[(Scope::Global, ""), (Scope::Tag, "b"), (Scope::Tag, "a"), (Scope::Provider, "openai")]);
        let own = [AccountId::stored(Scope::Team, "t"), AccountId::stored(Scope::UserPersonal, "u")];
        let mut lines: Vec<Line<'_>> = own.iter().map(|account| Line::of_money(account, &Budget::NONE)).collect();
        all.join(&mut lines, || CallScopes { tags: vec!["b", "a"], providers: &["openai"], models: ["m", "m"] });
        let found: Vec<String> = lines.iter().map(|line| line.account.to_string()).collect();
        assert_eq!(found, ["team \"t\"", "tag \"a\"", "tag \"b\"", "user \"u\"", "provider \"openai\"", "all keys"]);
    }

    #[test]
    fn a_call_falls_under_the_budgets_that_name_it() {
        let all = budgets(&[
            (Scope::Global, ""),
            (Scope::Tag, "night"),
            (Scope::Tag, "batch"),
            (Scope::Tag, "day"),
            (Scope::Provider, "openai"),
            (Scope::Provider, "azure"),
            (Scope::Model, "gpt-4o"),
            (Scope::Model, "fast"),
        ]);
        let tags = vec!["night", "other", "batch", "night"];
        let found = |providers: &[&str], model: &str| -> Vec<String> {
            let call = CallScopes { tags: tags.clone(), providers, models: ["fast", model] };
            all.of_call(call).iter().map(|(account, _)| account.to_string()).collect()
        };
        assert_eq!(
            found(&["openai"], "gpt-4o"),
            ["tag \"batch\"", "tag \"night\"", "provider \"openai\"", "model \"fast\"", "model \"gpt-4o\"", "all keys"]
        );
        assert_eq!(
            found(&["azure", "openai"], "gpt-4o-2024"),
            [
                "tag \"batch\"",
                "tag \"night\"",
                "provider \"azure\"",
                "provider \"openai\"",
                "model \"fast\"",
                "all keys"
            ]
        );
        let none = CallScopes { tags: tags.clone(), providers: &["openai"], models: ["gpt-4o", "gpt-4o"] };
        assert!(budgets(&[(Scope::Tag, "other tag")]).of_call(none).is_empty());
    }
}
