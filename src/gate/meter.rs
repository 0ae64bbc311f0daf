//! Metering: tokens of whoever is named, where no call is authorised.

use super::Gate;
use super::standing::RateStanding;
use crate::domain::account::Line;
use crate::domain::clock::Timestamp;
use crate::domain::identity::Models;
use crate::domain::ids::{CustomerId, TeamId, UserId};
use crate::domain::secret::KeyHash;
use crate::domain::shared_counts::Counting;
use crate::store::StoreError;

/// Who is named; together, if several are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// A key: its own limits, and those of its owner, team and organization.
    pub key: Option<KeyHash>,
    /// A user.
    pub user_id: Option<UserId>,
    /// A team.
    pub team_id: Option<TeamId>,
    /// An end user.
    pub customer_id: Option<CustomerId>,
    /// The model of which a key, a team or a customer has limits.
    pub model: Option<String>,
}

impl Gate {
    /// Adds tokens to the accounts of whoever is named, if every rate limit of
    /// theirs has room for them. Says whether, and how the limits stand then. Who
    /// is not known has no limits.
    ///
    /// # Errors
    /// [`StoreError`] if somebody is not in memory and the database fails.
    pub async fn meter(
        &self,
        named: &Metered,
        tokens: i64,
        now: Timestamp,
    ) -> Result<(bool, Vec<RateStanding>), StoreError> {
        let directory = self.directory();
        let identity = match &named.key {
            Some(hash) => directory.find(hash, now).await?,
            None => None,
        };
        let user = match &named.user_id {
            Some(id) => directory.user(id).await?,
            None => None,
        };
        let team = match &named.team_id {
            Some(id) => directory.team(id).await?,
            None => None,
        };
        let customer = match &named.customer_id {
            Some(id) => Some(directory.customer(id).await?),
            None => None,
        };
        let models = named.model.as_deref().map_or(Models::None, Models::Called);
        let mut lines = identity.as_ref().map_or_else(Vec::new, |identity| self.binding_lines(identity, models));
        let others = [
            user.as_ref().map(|user| Line::of_rates(&user.account, &user.rates)),
            team.as_ref().map(|team| Line { relaxed: team.dynamic, ..Line::of_rates(&team.account, &team.rates) }),
        ];
        let of_team = team
            .iter()
            .flat_map(|team| team.group_models.lines(models).map(|line| Line { relaxed: team.dynamic, ..line }));
        let of_customer = customer.iter().flat_map(|customer| customer.lines(models));
        for other in others.into_iter().flatten().chain(of_team).chain(of_customer) {
            if lines.iter().all(|line| line.account != other.account) {
                lines.push(other);
            }
        }
        if let Some(model) = &named.model {
            self.tighten(&mut lines, model, now);
        }
        let mut counting = self.counting_of_call();
        loop {
            let (has_room, mut rates) = match self.ledger.add_if_room(&lines, counting, tokens, now) {
                Ok(answer) => answer,
                Err(missing) => {
                    self.ledger.load(&missing, &self.store, self.holder, now).await?;
                    continue;
                }
            };
            if counting != Counting::Together || !has_room {
                return Ok((has_room, rates));
            }
            match self.meter_together(&mut rates, tokens, now).await {
                Some(has_room) => return Ok((has_room, rates)),
                None => counting = self.counting_alone(),
            }
        }
    }
}
