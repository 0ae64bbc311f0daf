//! Modes of budgets: whether one denies calls, and what a call is thought to cost
//! under it. They are set beside the budgets, so that any of any kind has one.

use std::collections::HashMap;

use serde::Serialize;

use super::account::{AccountId, Scope};
use super::clock::Timestamp;

/// How a budget is applied to calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mode {
    /// It is compared and told, but denies nothing.
    pub shadow: bool,
    /// A call is taken for what such calls use, not for the most that it may.
    #[serde(rename = "learned_estimates")]
    pub learns: bool,
}

impl Mode {
    /// The mode of a budget of which nothing else is said.
    pub const ENFORCED: Self = Self { shadow: false, learns: false };
}

/// The mode of one budget, or of all of a scope that have none of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetMode {
    /// The kind of its account.
    #[serde(skip)]
    pub scope: Scope,
    /// The id of its object, as [`AccountId::object_id`] has it; empty: all.
    #[serde(skip)]
    pub id: String,
    /// How it is applied.
    #[serde(flatten)]
    pub mode: Mode,
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

impl BudgetMode {
    /// Its name in the audit log, such as `team/blue`.
    #[must_use]
    pub fn audit_id(&self) -> String {
        format!("{}/{}", self.scope.as_str(), self.id)
    }
}

/// The modes of all budgets.
#[derive(Clone, Debug, Default)]
pub struct BudgetModes {
    of_scopes: HashMap<Scope, Mode>,
    of_accounts: HashMap<AccountId, Mode>,
    learn: bool,
}

impl BudgetModes {
    /// These modes; all other budgets are enforced.
    #[must_use]
    pub fn new(modes: Vec<BudgetMode>) -> Self {
        let mut all = Self::default();
        for BudgetMode { scope, id, mode, .. } in modes {
            all.learn |= mode.learns;
            for scope in accounts_of(scope) {
                if id.is_empty() {
                    all.of_scopes.insert(scope, mode);
                } else {
                    let accounts = AccountId::of_object_id(scope, &id);
                    all.of_accounts.extend(accounts.into_iter().map(|account| (account, mode)));
                }
            }
        }
        all
    }

    /// Whether every budget is enforced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of_scopes.is_empty() && self.of_accounts.is_empty()
    }

    /// Whether any budget learns what calls use.
    #[must_use]
    pub const fn learn(&self) -> bool {
        self.learn
    }

    /// The mode of an account's budget: its own, else that of its scope.
    #[must_use]
    pub fn of(&self, account: &AccountId) -> Mode {
        let found = self.of_accounts.get(account).or_else(|| self.of_scopes.get(&account.scope()));
        found.copied().unwrap_or_default()
    }
}

/// The accounts with which a budget may be compared: of a user's, one or the
/// other, by a setting.
fn accounts_of(scope: Scope) -> impl Iterator<Item = Scope> {
    std::iter::once(scope).chain((scope == Scope::User).then_some(Scope::UserPersonal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{TeamId, UserId};

    #[test]
    fn a_budget_has_its_own_mode_else_that_of_its_scope() {
        let shadow = Mode { shadow: true, learns: false };
        let learning = Mode { shadow: false, learns: true };
        let set = |scope, id: &str, mode| BudgetMode {
            scope,
            id: id.to_owned(),
            mode,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        };
        let modes = BudgetModes::new(vec![
            set(Scope::Team, "", shadow),
            set(Scope::Team, "blue", Mode::ENFORCED),
            set(Scope::User, "alice", learning),
            set(Scope::TeamMember, "red/alice", shadow),
        ]);
        let (red, blue) = (TeamId::stored("red"), TeamId::stored("blue"));
        let (alice, bob) = (UserId::stored("alice"), UserId::stored("bob"));
        for (account, mode) in [
            (AccountId::team(&red), shadow),
            (AccountId::team(&blue), Mode::ENFORCED),
            (AccountId::user(&alice), learning),
            (AccountId::user_personal(&alice), learning),
            (AccountId::user_personal(&bob), Mode::ENFORCED),
            (AccountId::team_member(&red, &alice), shadow),
            (AccountId::team_member(&blue, &alice), Mode::ENFORCED),
        ] {
            assert_eq!(modes.of(&account), mode, "{account}");
        }
        assert!(modes.learn() && !modes.is_empty() && BudgetModes::default().is_empty());
    }
}
