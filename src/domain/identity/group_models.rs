//! What groups allow of single models.

use std::collections::BTreeMap;

use super::Models;
use crate::domain::account::{AccountId, Line};
use crate::domain::limit::{ModelRates, Rates};
use crate::domain::organization::Organization;
use crate::domain::team::Team;

/// The accounts of a team or an organization with the models that it limits the
/// calls of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupModels(BTreeMap<Box<str>, (AccountId, Rates)>);

impl GroupModels {
    /// Those of a team.
    #[must_use]
    pub fn of_team(team: &Team) -> Self {
        Self::new(&team.model_rates, |model| AccountId::team_model(&team.team_id, model))
    }

    /// Those of an organization.
    #[must_use]
    pub fn of_organization(organization: &Organization) -> Self {
        let name = |model: &str| AccountId::organization_model(&organization.organization_id, model);
        Self::new(&organization.model_rates, name)
    }

    fn new(limits: &ModelRates, name: impl Fn(&str) -> AccountId) -> Self {
        Self(limits.models().map(|model| (model.into(), (name(model), limits.of(model)))).collect())
    }

    /// Those of the models that are looked for.
    pub fn lines(&self, models: Models<'_>) -> impl Iterator<Item = Line<'_>> {
        let (called, all) = match models {
            Models::Called(model) => (self.0.get(model), None),
            Models::All => (None, Some(self.0.values())),
            Models::None => (None, None),
        };
        called.into_iter().chain(all.into_iter().flatten()).map(|(account, rates)| Line::of_rates(account, rates))
    }
}
