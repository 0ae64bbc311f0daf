//! Guaranteed throughput: calls and tokens a minute that one has, and promises
//! to another. What is promised to one is not given to others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::fault::Refusal;
use super::key::Key;
use super::limit::{Dynamic, ModelRates, Rates};
use super::organization::Organization;
use super::reason::Reason;
use super::team::Team;
use super::tier::Tier;

/// What a limit is: a promise, a limit, or one for bad times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
pub enum ThroughputType {
    /// It is there, and promised to nobody else.
    #[serde(rename = "guaranteed_throughput")]
    #[strum(serialize = "guaranteed_throughput")]
    Guaranteed,
    /// All together may have more than there is.
    #[serde(rename = "best_effort_throughput")]
    #[strum(serialize = "best_effort_throughput")]
    BestEffort,
    /// The limit holds only while the model that is called has trouble.
    #[serde(rename = "dynamic")]
    #[strum(serialize = "dynamic")]
    Dynamic,
}

impl ThroughputType {
    /// Whether somebody who is no proxy admin gives it to a key. What a team has is
    /// given away by its admins; a limit for bad times only is none in good ones, and
    /// so no way around the bounds of keys.
    #[must_use]
    pub const fn is_given(self, by_admin_of_team: bool) -> bool {
        match self {
            Self::BestEffort => true,
            Self::Guaranteed => by_admin_of_team,
            Self::Dynamic => false,
        }
    }
}

/// Which limits of a team or a key are guaranteed. Absent: best effort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of Team and Key")]
pub struct Throughput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_limit_type: Option<ThroughputType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm_limit_type: Option<ThroughputType>,
}

impl Throughput {
    /// The names of the fields, each with what it is.
    #[must_use]
    pub const fn fields(&self) -> [(&'static str, Option<ThroughputType>); 2] {
        [("tpm_limit_type", self.tpm_limit_type), ("rpm_limit_type", self.rpm_limit_type)]
    }

    /// Whether any limit is guaranteed.
    #[must_use]
    pub const fn guarantees_any(&self) -> bool {
        self.guarantees(Dimension::Tokens) || self.guarantees(Dimension::Calls)
    }

    const fn guarantees(self, dimension: Dimension) -> bool {
        let kind = match dimension {
            Dimension::Tokens => self.tpm_limit_type,
            Dimension::Calls => self.rpm_limit_type,
        };
        matches!(kind, Some(ThroughputType::Guaranteed))
    }

    /// The limits that hold only while a model has trouble.
    #[must_use]
    pub fn dynamic(&self) -> Dynamic {
        let is_dynamic = |kind: Option<ThroughputType>| kind == Some(ThroughputType::Dynamic);
        Dynamic { tokens: is_dynamic(self.tpm_limit_type), requests: is_dynamic(self.rpm_limit_type) }
    }
}

/// What a team takes of its organization, or a key of its team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Tokens a minute.
    tpm: Option<i64>,
    /// Calls a minute.
    rpm: Option<i64>,
    /// Both by model.
    by_model: ModelRates,
    /// Which of them are guaranteed.
    throughput: Throughput,
}

impl From<&Team> for Share {
    fn from(team: &Team) -> Self {
        Self {
            tpm: team.rates.tpm,
            rpm: team.rates.rpm,
            by_model: team.model_rates.clone(),
            throughput: team.throughput,
        }
    }
}

impl Share {
    /// What a key takes, that may be in a tier.
    #[must_use]
    pub fn of_key(key: &Key, tier: Option<&Tier>) -> Self {
        let rates = tier.map_or(key.rates, |tier| tier.rates_of(&key.rates));
        let limits = tier.map_or_else(|| key.limits.clone(), |tier| tier.limits_of(key.limits.clone()));
        let mut by_model = limits.model_rates;
        for (model, limit) in limits.models {
            by_model.tpm.extend(limit.tpm.map(|tpm| (model.clone(), tpm)));
            by_model.rpm.extend(limit.rpm.map(|rpm| (model, rpm)));
        }
        Self { tpm: rates.tpm, rpm: rates.rpm, by_model, throughput: limits.throughput }
    }

    /// Whether any of it is guaranteed.
    #[must_use]
    pub const fn is_guaranteed(&self) -> bool {
        self.throughput.guarantees_any()
    }
}

/// What can be shared out, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    owner: &'static str,
    id: &'a str,
    rates: &'a Rates,
    by_model: &'a ModelRates,
    sharers: &'static str,
    reason: Reason,
}

impl<'a> Pool<'a> {
    /// What an organization shares out to its teams.
    #[must_use]
    pub fn to_teams(organization: &'a Organization) -> Self {
        Self {
            owner: "organization",
            id: organization.organization_id.as_str(),
            rates: &organization.rates,
            by_model: &organization.model_rates,
            sharers: "teams",
            reason: Reason::OrgThroughputOverallocated,
        }
    }

    /// What an organization has for the keys of its teams.
    #[must_use]
    pub fn to_keys_of_teams(organization: &'a Organization) -> Self {
        Self { sharers: "keys", reason: Reason::ThroughputOverallocated, ..Self::to_teams(organization) }
    }

    /// What a team shares out to its keys.
    #[must_use]
    pub fn to_keys(team: &'a Team) -> Self {
        Self {
            owner: "team",
            id: team.team_id.as_str(),
            rates: &team.rates,
            by_model: &team.model_rates,
            sharers: "keys",
            reason: Reason::ThroughputOverallocated,
        }
    }

    /// Checks that what is guaranteed is there: with what all others take,
    /// whatever their type, it must not pass the limit.
    ///
    /// # Errors
    /// Names the dimension in which too much would be promised.
    pub fn check(&self, asked: &Share, others: &[Share]) -> Result<(), Refusal> {
        let others: Vec<&Share> = others.iter().collect();
        for dimension in Dimension::BOTH.into_iter().filter(|dimension| asked.throughput.guarantees(*dimension)) {
            self.check_dimension(dimension, asked, &others)?;
        }
        Ok(())
    }

    /// Checks that there still is what is guaranteed to all of these.
    ///
    /// # Errors
    /// Names the dimension in which too much is promised.
    pub fn check_shrink(&self, shares: &[Share]) -> Result<(), Refusal> {
        for dimension in Dimension::BOTH {
            let guaranteed: Vec<&Share> =
                shares.iter().filter(|share| share.throughput.guarantees(dimension)).collect();
            let mut nothing = Share::default();
            // Nothing more is asked for; the model's own limit is checked.
            let models = guaranteed.iter().flat_map(|share| dimension.by_model(&share.by_model));
            let none = models.map(|(model, _)| (model.clone(), 0)).collect();
            match dimension {
                Dimension::Tokens => nothing.by_model.tpm = none,
                Dimension::Calls => nothing.by_model.rpm = none,
            }
            self.check_dimension(dimension, &nothing, &guaranteed)?;
        }
        Ok(())
    }

    fn check_dimension(&self, dimension: Dimension, asked: &Share, others: &[&Share]) -> Result<(), Refusal> {
        let sum = |of: &dyn Fn(&Share) -> i64| others.iter().map(|share| i128::from(of(share))).sum::<i128>();
        let limit = dimension.limit(self.rates);
        for (model, requested) in dimension.by_model(&asked.by_model) {
            let taken = sum(&|share| dimension.by_model(&share.by_model).get(model).copied().unwrap_or(0));
            let of_model = dimension.by_model(self.by_model).get(model).copied();
            for limit in [limit, of_model].into_iter().flatten() {
                self.check_sum(dimension, model, taken, *requested, limit)?;
            }
        }
        let Some(limit) = limit else { return Ok(()) };
        let taken = sum(&|share| dimension.whole(share).unwrap_or(0));
        self.check_sum(dimension, "", taken, dimension.whole(asked).unwrap_or(0), limit)
    }

    fn check_sum(
        &self,
        dimension: Dimension,
        model: &str,
        taken: i128,
        requested: i64,
        limit: i64,
    ) -> Result<(), Refusal> {
        if taken + i128::from(requested) <= i128::from(limit) {
            return Ok(());
        }
        let Self { owner, id, sharers, .. } = self;
        let of_model = if model.is_empty() { String::new() } else { format!(" for model {model:?}") };
        let message = format!(
            "{owner} {id:?} can't guarantee a {}{of_model} of {requested}: its {sharers} have {taken} of {limit} already",
            dimension.name()
        );
        let refusal = Refusal::precondition(self.reason, message)
            .with("dimension", dimension.name())
            .with("model", model)
            .with("allocated", taken)
            .with("requested", requested)
            .with("limit", limit)
            .about(owner, id);
        let name = if *owner == "team" { "team_id" } else { "organization_id" };
        Err(refusal.with(name, id))
    }
}

/// Tokens or calls: each is guaranteed by itself.
#[derive(Clone, Copy)]
enum Dimension {
    Tokens,
    Calls,
}

impl Dimension {
    const BOTH: [Self; 2] = [Self::Tokens, Self::Calls];

    const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tpm_limit",
            Self::Calls => "rpm_limit",
        }
    }

    const fn whole(self, share: &Share) -> Option<i64> {
        match self {
            Self::Tokens => share.tpm,
            Self::Calls => share.rpm,
        }
    }

    const fn by_model(self, rates: &ModelRates) -> &BTreeMap<String, i64> {
        match self {
            Self::Tokens => &rates.tpm,
            Self::Calls => &rates.rpm,
        }
    }

    const fn limit(self, rates: &Rates) -> Option<i64> {
        match self {
            Self::Tokens => rates.tpm,
            Self::Calls => rates.rpm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::tests::key;
    use crate::domain::model_limit::ModelLimit;
    use crate::domain::organization::tests::organization;
    use crate::domain::team::tests::team;
    use crate::domain::throughput::ThroughputType::{BestEffort, Guaranteed};
    use crate::domain::tier::tests::tier;

    fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
        verdict.err().map(|refusal| refusal.reason)
    }

    fn limited() -> Organization {
        let mut limited = organization();
        limited.rates.tpm = Some(1_000);
        limited.rates.rpm = Some(10);
        limited
    }

    fn share(tpm: Option<i64>, kind: Option<ThroughputType>) -> Share {
        let throughput = Throughput { tpm_limit_type: kind, rpm_limit_type: None };
        Share { tpm, throughput, ..Share::default() }
    }

    fn guaranteed(tpm: i64) -> Share {
        share(Some(tpm), Some(Guaranteed))
    }

    fn check(organization: &Organization, asked: &Share, others: &[Share]) -> Option<Reason> {
        reason(Pool::to_teams(organization).check(asked, others))
    }

    #[test]
    fn what_is_guaranteed_adds_up_to_the_limit_and_no_further() {
        let others = [share(Some(300), Some(BestEffort)), share(Some(300), None), share(None, None)];
        assert_eq!(check(&limited(), &guaranteed(400), &others), None);
        let refused = Pool::to_teams(&limited()).check(&guaranteed(401), &others).expect_err("too much");
        assert_eq!(refused.reason, Reason::OrgThroughputOverallocated);
        let told: BTreeMap<_, _> = refused.metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!((told["allocated"], told["requested"], told["limit"]), ("600", "401", "1000"));
        // Best effort is promised to nobody; calls are not guaranteed here.
        let best_effort = Share { rpm: Some(9_000), ..share(Some(9_000), Some(BestEffort)) };
        assert_eq!(check(&limited(), &best_effort, &others), None);
        let only_tokens = Share { rpm: Some(9_000), ..guaranteed(400) };
        assert_eq!(check(&limited(), &only_tokens, &others), None);
        assert_eq!(check(&organization(), &guaranteed(i64::MAX), &others), None);
    }

    #[test]
    fn models_are_shared_out_by_themselves() {
        let mut organization = limited();
        organization.model_rates.tpm.insert("a".to_owned(), 500);
        let with_model = |tpm: i64| {
            let mut share = guaranteed(0);
            share.by_model.tpm.insert("a".to_owned(), tpm);
            share
        };
        let mut other = share(None, None);
        other.by_model.tpm.insert("a".to_owned(), 200);
        let others = [other];
        assert_eq!(check(&organization, &with_model(300), &others), None);
        assert_eq!(check(&organization, &with_model(301), &others), Some(Reason::OrgThroughputOverallocated));
        organization.model_rates.tpm.clear();
        assert_eq!(check(&organization, &with_model(800), &others), None);
        assert!(check(&organization, &with_model(801), &others).is_some());
    }

    #[test]
    fn nobody_shrinks_below_what_is_guaranteed() {
        let shares = [guaranteed(600), share(Some(9_000), Some(BestEffort))];
        let shrink =
            |organization: &Organization, shares: &[Share]| reason(Pool::to_teams(organization).check_shrink(shares));
        let mut organization = limited();
        organization.rates.tpm = Some(600);
        assert_eq!(shrink(&organization, &shares), None);
        organization.rates.tpm = Some(599);
        assert_eq!(shrink(&organization, &shares), Some(Reason::OrgThroughputOverallocated));
        organization.rates.tpm = None;
        assert_eq!(shrink(&organization, &shares), None);
        let mut of_model = share(None, Some(Guaranteed));
        of_model.by_model.tpm.insert("a".to_owned(), 50);
        organization.model_rates.tpm.insert("a".to_owned(), 49);
        assert_eq!(shrink(&organization, &[of_model]), Some(Reason::OrgThroughputOverallocated));
    }

    #[test]
    fn a_key_takes_what_is_in_force_for_it() {
        let mut key = key();
        key.rates.rpm = Some(5);
        key.limits.throughput.rpm_limit_type = Some(Guaranteed);
        key.limits.model_rates.tpm = [("m".to_owned(), 7), ("n".to_owned(), 8)].into();
        let alone = Share::of_key(&key, None);
        assert_eq!((alone.tpm, alone.rpm, alone.by_model.tpm["m"]), (None, Some(5), 7));
        assert!(alone.is_guaranteed());
        // Of the tier what the key has not; a limit of a model before a rate of it.
        key.limits.models = [("m".to_owned(), ModelLimit { tpm: Some(3), ..ModelLimit::default() })].into();
        let in_tier = Share::of_key(&key, Some(&tier()));
        assert_eq!((in_tier.tpm, in_tier.rpm), (Some(1_000), Some(5)));
        assert_eq!(in_tier.by_model.tpm, [("m".to_owned(), 3), ("n".to_owned(), 8)].into());
    }

    #[test]
    fn a_team_and_its_organization_share_out_to_keys() {
        let mut team = team();
        team.rates.tpm = Some(100);
        let refused = Pool::to_keys(&team).check(&guaranteed(60), &[guaranteed(41)]).expect_err("too much");
        assert_eq!(refused.reason, Reason::ThroughputOverallocated);
        assert!(refused.message.contains("its keys have 41 of 100 already"), "{}", refused.message);
        assert_eq!(reason(Pool::to_keys(&team).check(&guaranteed(60), &[guaranteed(40)])), None);
        let organization = limited();
        let of_all = Pool::to_keys_of_teams(&organization);
        assert_eq!(reason(of_all.check(&guaranteed(60), &[guaranteed(941)])), Some(Reason::ThroughputOverallocated));
    }
}
