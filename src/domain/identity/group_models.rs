//! What groups allow of single models.

use std::collections::BTreeMap;

use super::Models;
use crate::domain::account::{AccountId, Line};
use crate::domain::limit::{Budget, ModelRates, Rates};

/// The accounts of a team or an organization with the models that it limits the
/// calls of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupModels(BTreeMap<Box<str>, (AccountId, Rates)>);

impl GroupModels {
    /// The accounts of these limits, each under the name that is given to it.
    #[must_use]
    pub fn new(limits: &ModelRates, name: impl Fn(&str) -> AccountId) -> Self {
        Self(limits.models().map(|model| (model.into(), (name(model), limits.of(model)))).collect())
    }

    /// Those of the models that are looked for.
    pub(super) fn lines(&self, models: Models<'_>) -> impl Iterator<Item = Line<'_>> {
        let (called, all) = match models {
            Models::Called(model) => (self.0.get(model), None),
            Models::All => (None, Some(self.0.values())),
            Models::None => (None, None),
        };
        called.into_iter().chain(all.into_iter().flatten()).map(|(account, rates)| Line {
            account,
            budget: &Budget::NONE,
            rates,
            budget_binds: false,
            rates_bind: true,
        })
    }
}
