//! Limits of single models, in the form in which calls are judged by them.

use std::collections::BTreeSet;

use super::Models;
use crate::domain::account::{AccountId, Line};
use crate::domain::customer::Customer;
use crate::domain::ids::KeyId;
use crate::domain::limit::{Budget, ModelRates, Rates};
use crate::domain::model_limit::ModelLimits;
use crate::domain::organization::Organization;
use crate::domain::team::Team;
use crate::domain::user::User;

/// The account of somebody with one model, or with those that a wildcard names.
#[derive(Clone, Debug, PartialEq)]
struct ModelAccount {
    model: Box<str>,
    account: AccountId,
    budget: Budget,
    rates: Rates,
    /// Parts of them, for when another account has the rest.
    tokens: Rates,
    requests: Rates,
}

impl ModelAccount {
    fn new(model: &str, account: AccountId, budget: Budget, rates: Rates) -> Self {
        let tokens = Rates { tpm: rates.tpm, ..Rates::NONE };
        let requests = Rates { rpm: rates.rpm, ..Rates::NONE };
        Self { model: model.into(), account, budget, rates, tokens, requests }
    }

    const fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Money => self.budget.max.is_some(),
            Kind::Tokens => self.rates.tpm.is_some(),
            Kind::Requests => self.rates.rpm.is_some(),
        }
    }

    /// The account with those of its limits that hold.
    fn line(&self, holds: impl Fn(Kind) -> bool) -> Line<'_> {
        let budget_binds = holds(Kind::Money) && self.has(Kind::Money);
        let rates = match (holds(Kind::Tokens), holds(Kind::Requests)) {
            (true, true) => &self.rates,
            (true, false) => &self.tokens,
            (false, true) => &self.requests,
            (false, false) => &Rates::NONE,
        };
        let budget = if budget_binds { &self.budget } else { &Budget::NONE };
        Line { budget_binds, ..Line::new(&self.account, budget, rates) }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Money,
    Tokens,
    Requests,
}

const KINDS: [Kind; 3] = [Kind::Money, Kind::Tokens, Kind::Requests];

/// The accounts of somebody with the models that it has limits of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelAccounts {
    /// By name.
    exact: Box<[ModelAccount]>,
    /// The longest first.
    wildcards: Box<[ModelAccount]>,
}

impl ModelAccounts {
    /// Those of a key.
    #[must_use]
    pub fn of_key(key: KeyId, limits: &ModelLimits, rates: &ModelRates) -> Self {
        Self::new(limits, rates, |model| AccountId::key_model(key, model))
    }

    /// Those of a user.
    #[must_use]
    pub fn of_user(user: &User) -> Self {
        Self::new(&user.model_limits, &ModelRates::default(), |model| AccountId::user_model(&user.user_id, model))
    }

    /// Those of a customer, by its limits in force.
    #[must_use]
    pub fn of_customer(customer: &Customer, limits: &ModelLimits) -> Self {
        let name = |model: &str| AccountId::customer_model(&customer.customer_id, model);
        Self::new(limits, &ModelRates::default(), name)
    }

    /// Those of a team.
    #[must_use]
    pub fn of_team(team: &Team) -> Self {
        let name = |model: &str| AccountId::team_model(&team.team_id, model);
        Self::new(&ModelLimits::new(), &team.model_rates, name)
    }

    /// Those of an organization.
    #[must_use]
    pub fn of_organization(organization: &Organization) -> Self {
        let name = |model: &str| AccountId::organization_model(&organization.organization_id, model);
        Self::new(&ModelLimits::new(), &organization.model_rates, name)
    }

    /// Where both have a limit of a model's calls, the first holds.
    fn new(limits: &ModelLimits, model_rates: &ModelRates, name: impl Fn(&str) -> AccountId) -> Self {
        let names: BTreeSet<&str> = limits.keys().map(String::as_str).chain(model_rates.models()).collect();
        let account = |model: &str| {
            let (limit, rates) = (limits.get(model).copied().unwrap_or_default(), model_rates.of(model));
            let rates = Rates { tpm: limit.tpm.or(rates.tpm), rpm: limit.rpm.or(rates.rpm), ..Rates::NONE };
            ModelAccount::new(model, name(model), limit.budget, rates)
        };
        let (mut wildcards, exact): (Vec<_>, Vec<_>) =
            names.into_iter().map(account).partition(|of| of.model.ends_with('*'));
        wildcards.sort_by_key(|of| std::cmp::Reverse(of.model.len()));
        Self { exact: exact.into(), wildcards: wildcards.into() }
    }

    /// Those of the models that are looked for. Of the one that is called, each
    /// kind of limit is that of the entry which names the model most closely among
    /// those that have one: rates of a model don't lift the budget of a wildcard.
    pub fn lines(&self, models: Models<'_>) -> impl Iterator<Item = Line<'_>> {
        let (called, all) = match models {
            Models::Called(model) => (Some([model, model]), None),
            Models::Used { model, group } => (Some([model, group]), None),
            Models::All => (None, Some(self.exact.iter().chain(&self.wildcards))),
            Models::None => (None, None),
        };
        let all = all.into_iter().flatten().map(|of| of.line(|_| true));
        called.map(|names| self.closest(names)).into_iter().flatten().flatten().chain(all)
    }

    /// A line for each account that has a limit of the model; by its first name, or
    /// else by its second.
    fn closest(&self, names: [&str; 2]) -> [Option<Line<'_>>; 3] {
        if self.exact.is_empty() && self.wildcards.is_empty() {
            return [None; 3];
        }
        let of_kind = |kind| names.iter().find_map(|name| self.closest_with(kind, name));
        let winners = KINDS.map(of_kind);
        std::array::from_fn(|index| {
            let winner = winners[index]?;
            let wins = |at: usize| winners[at].is_some_and(|of| of.account == winner.account);
            // One line for an account, where it wins first.
            let is_first = !(0..index).any(wins);
            let holds = |kind: Kind| (0..KINDS.len()).any(|at| KINDS[at] == kind && wins(at));
            is_first.then(|| winner.line(holds))
        })
    }

    fn closest_with(&self, kind: Kind, model: &str) -> Option<&ModelAccount> {
        let exact = self.exact.binary_search_by(|of| (*of.model).cmp(model)).ok();
        let exact = exact.and_then(|index| self.exact.get(index)).filter(|of| of.has(kind));
        let covers = |of: &&ModelAccount| of.has(kind) && model.starts_with(of.model.trim_end_matches('*'));
        exact.or_else(|| self.wildcards.iter().find(covers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model_limit::ModelLimit;

    fn accounts(names: &[&str]) -> ModelAccounts {
        let limit = |(tpm, name): (usize, &&str)| {
            ((*name).to_owned(), ModelLimit { tpm: i64::try_from(tpm).ok(), ..ModelLimit::default() })
        };
        ModelAccounts::of_key(KeyId::generate(), &names.iter().enumerate().map(limit).collect(), &ModelRates::default())
    }

    #[test]
    fn the_name_goes_before_the_longest_wildcard() {
        let names = ["*", "openai/*", "openai/gpt-4*", "openai/gpt-4o", "b", "a"];
        let accounts = accounts(&names);
        for (model, expected) in [
            ("openai/gpt-4o", "openai/gpt-4o"),
            ("openai/gpt-4o-mini", "openai/gpt-4*"),
            ("openai/o1", "openai/*"),
            ("a", "a"),
            ("ab", "*"),
        ] {
            let lines: Vec<Line<'_>> = accounts.lines(Models::Called(model)).collect();
            let tpm: Vec<&str> = lines
                .iter()
                .map(|line| names[usize::try_from(line.rates.tpm.unwrap_or(9)).expect("a place")])
                .collect();
            assert_eq!(tpm, [expected], "{model}");
        }
        assert_eq!((accounts.lines(Models::All).count(), accounts.lines(Models::None).count()), (6, 0));
    }

    #[test]
    fn each_kind_of_limit_is_that_of_the_closest_that_has_one() {
        let dollar = Budget { max: "1".parse().ok(), ..Budget::NONE };
        let limits = [
            ("gpt-*".to_owned(), ModelLimit { budget: dollar, tpm: Some(7), rpm: Some(3) }),
            ("gpt-4o".to_owned(), ModelLimit { rpm: Some(9), ..ModelLimit::default() }),
        ];
        let accounts = ModelAccounts::of_key(KeyId::generate(), &limits.into(), &ModelRates::default());
        let outline = |models| -> Vec<(bool, Option<i64>, Option<i64>)> {
            accounts.lines(models).map(|line| (line.budget_binds, line.rates.tpm, line.rates.rpm)).collect()
        };
        assert_eq!(outline(Models::Called("gpt-4o")), [(true, Some(7), None), (false, None, Some(9))]);
        assert_eq!(outline(Models::Called("gpt-5")), [(true, Some(7), Some(3))]);
        // What was used may have another name than what was asked for.
        assert_eq!(outline(Models::Used { model: "4o-2024", group: "gpt-5" }), [(true, Some(7), Some(3))]);
        assert_eq!(outline(Models::Used { model: "4o-2024", group: "o1" }), []);
    }

    #[test]
    fn a_model_without_a_limit_has_no_account() {
        assert_eq!(accounts(&["a"]).lines(Models::Called("b")).count(), 0);
    }

    #[test]
    fn each_model_that_is_limited_has_one_account() {
        let limit = ModelLimit { budget: Budget { max: "1".parse().ok(), ..Budget::NONE }, tpm: Some(7), rpm: None };
        let rates = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
        let model_rates = ModelRates { tpm: rates(&[("a", 100), ("b", 200)]), rpm: rates(&[("a", 3)]) };
        let key = KeyId::generate();
        let accounts = ModelAccounts::of_key(key, &[("a".to_owned(), limit)].into(), &model_rates);
        let outline: Vec<_> = accounts
            .lines(Models::All)
            .map(|line| (line.account.object_id(), line.budget_binds, line.rates.tpm, line.rates.rpm))
            .collect();
        assert_eq!(
            outline,
            [(format!("{key}/a"), true, Some(7), Some(3)), (format!("{key}/b"), false, Some(200), None)]
        );
    }
}
