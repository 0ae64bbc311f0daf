//! What a team may take of its organization: its own limits must fit, and what
//! is guaranteed to one team is not promised to another.

use std::collections::BTreeMap;

use super::Organization;
use crate::domain::fault::Refusal;
use crate::domain::limit::ModelRates;
use crate::domain::reason::Reason;
use crate::domain::team::{Team, Throughput};

/// Checks that a team's own limits fit into its organization. Absent on either
/// side is no conflict: the organization binds every call anyway.
///
/// # Errors
/// Names the first limit that is larger than the organization's.
pub fn check_team(organization: &Organization, team: &Team) -> Result<(), Refusal> {
    let beyond = organization.models.beyond(&team.models);
    if !beyond.is_empty() {
        return Err(models_refused(Reason::OrgModelNotAllowed, organization, &beyond));
    }
    check_limits(organization, team, [Reason::OrgBudgetExceeded, Reason::OrgTpmExceeded, Reason::OrgRpmExceeded])
}

/// Checks that a team fits into an organization that it moves to. A team that
/// may call everything does not fit into an organization that may not.
///
/// # Errors
/// Names what does not fit.
pub fn check_move(organization: &Organization, team: &Team) -> Result<(), Refusal> {
    if !organization.models.allows_all() && team.models.is_empty() {
        let message = format!(
            "the team may call every model, organization {:?} may not: give the team a list of models first",
            organization.organization_id.as_str()
        );
        return Err(about(organization, Refusal::precondition(Reason::MoveModels, message)));
    }
    let beyond = organization.models.beyond(&team.models);
    if !beyond.is_empty() {
        return Err(models_refused(Reason::MoveModels, organization, &beyond));
    }
    check_limits(organization, team, [Reason::MoveBudget, Reason::MoveTpm, Reason::MoveRpm])
}

fn check_limits(organization: &Organization, team: &Team, reasons: [Reason; 3]) -> Result<(), Refusal> {
    let [budget, tpm, rpm] = reasons;
    check_limit(organization, budget, "max_budget", team.budget.max, organization.budget.max)?;
    check_limit(organization, tpm, "tpm_limit", team.rates.tpm, organization.rates.tpm)?;
    check_limit(organization, rpm, "rpm_limit", team.rates.rpm, organization.rates.rpm)
}

fn check_limit<T: PartialOrd + Copy + ToString>(
    organization: &Organization,
    reason: Reason,
    field: &str,
    asked: Option<T>,
    limit: Option<T>,
) -> Result<(), Refusal> {
    match (asked, limit) {
        (Some(asked), Some(limit)) if asked > limit => {
            let message = format!(
                "the team's {field} {} is larger than that of organization {:?}, {}",
                asked.to_string(),
                organization.organization_id.as_str(),
                limit.to_string()
            );
            let refusal = Refusal::precondition(reason, message).with("requested", asked).with("limit", limit);
            Err(about(organization, refusal))
        }
        _ => Ok(()),
    }
}

fn models_refused(reason: Reason, organization: &Organization, beyond: &[&str]) -> Refusal {
    let allowed: Vec<&str> = organization.models.iter().collect();
    let message = format!(
        "models {} are not among those of organization {:?}: {}",
        beyond.join(", "),
        organization.organization_id.as_str(),
        allowed.join(", ")
    );
    about(organization, Refusal::precondition(reason, message).with("models", beyond.join(",")))
}

fn about(organization: &Organization, refusal: Refusal) -> Refusal {
    let id = &organization.organization_id;
    refusal.with("organization_id", id).about("organization", id)
}

/// What one team takes of the throughput of its organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Tokens a minute.
    pub tpm: Option<i64>,
    /// Calls a minute.
    pub rpm: Option<i64>,
    /// Both by model.
    pub by_model: ModelRates,
    /// Which of them are guaranteed.
    pub throughput: Throughput,
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

    const fn is_guaranteed(self, share: &Share) -> bool {
        match self {
            Self::Tokens => share.throughput.guarantees_tpm(),
            Self::Calls => share.throughput.guarantees_rpm(),
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

    const fn limit(self, organization: &Organization) -> Option<i64> {
        match self {
            Self::Tokens => organization.rates.tpm,
            Self::Calls => organization.rates.rpm,
        }
    }
}

/// Checks that what is guaranteed to a team is there: with the limits of all
/// other teams of the organization, whatever their type, it must not pass the
/// organization's limit.
///
/// # Errors
/// Names the dimension in which too much would be promised.
pub fn check_throughput(organization: &Organization, team: &Team, others: &[Share]) -> Result<(), Refusal> {
    let asked = Share::from(team);
    for dimension in Dimension::BOTH.into_iter().filter(|dimension| dimension.is_guaranteed(&asked)) {
        let others: Vec<&Share> = others.iter().collect();
        check_dimension(organization, dimension, &asked, &others)?;
    }
    Ok(())
}

/// Checks that an organization still has what it guarantees to its teams.
///
/// # Errors
/// Names the dimension in which too much is promised.
pub fn check_shrink(organization: &Organization, shares: &[Share]) -> Result<(), Refusal> {
    for dimension in Dimension::BOTH {
        let guaranteed: Vec<&Share> = shares.iter().filter(|share| dimension.is_guaranteed(share)).collect();
        let mut asked = Share::default();
        for (model, _) in guaranteed.iter().flat_map(|share| dimension.by_model(&share.by_model)) {
            // Nothing more is asked for; the model's own limit is checked.
            match dimension {
                Dimension::Tokens => asked.by_model.tpm.insert(model.clone(), 0),
                Dimension::Calls => asked.by_model.rpm.insert(model.clone(), 0),
            };
        }
        check_dimension(organization, dimension, &asked, &guaranteed)?;
    }
    Ok(())
}

fn check_dimension(
    organization: &Organization,
    dimension: Dimension,
    asked: &Share,
    others: &[&Share],
) -> Result<(), Refusal> {
    let sum = |of: &dyn Fn(&Share) -> i64| others.iter().map(|share| i128::from(of(share))).sum::<i128>();
    for (model, requested) in dimension.by_model(&asked.by_model) {
        let taken = sum(&|share| dimension.by_model(&share.by_model).get(model).copied().unwrap_or(0));
        let of_model = dimension.by_model(&organization.model_rates).get(model).copied();
        for limit in [dimension.limit(organization), of_model].into_iter().flatten() {
            check_sum(organization, dimension, model, taken, *requested, limit)?;
        }
    }
    let taken = sum(&|share| dimension.whole(share).unwrap_or(0));
    match dimension.limit(organization) {
        Some(limit) => check_sum(organization, dimension, "", taken, dimension.whole(asked).unwrap_or(0), limit),
        None => Ok(()),
    }
}

fn check_sum(
    organization: &Organization,
    dimension: Dimension,
    model: &str,
    taken: i128,
    requested: i64,
    limit: i64,
) -> Result<(), Refusal> {
    if taken + i128::from(requested) <= i128::from(limit) {
        return Ok(());
    }
    let of_model = if model.is_empty() { String::new() } else { format!(" for model {model:?}") };
    let message = format!(
        "organization {:?} can't guarantee a {}{of_model} of {requested}: its teams have {taken} of {limit} already",
        organization.organization_id.as_str(),
        dimension.name()
    );
    let refusal = Refusal::precondition(Reason::OrgThroughputOverallocated, message)
        .with("dimension", dimension.name())
        .with("model", model)
        .with("allocated", taken)
        .with("requested", requested)
        .with("limit", limit);
    Err(about(organization, refusal))
}

#[cfg(test)]
mod tests {
    use super::super::tests::organization;
    use super::*;
    use crate::domain::models::ModelList;
    use crate::domain::money::Usd;
    use crate::domain::team::ThroughputType::{BestEffort, Guaranteed};
    use crate::domain::team::tests::team;

    fn models(names: &[&str]) -> ModelList {
        ModelList::stored(names.iter().map(ToString::to_string).collect())
    }

    fn limited() -> Organization {
        let mut limited = organization();
        limited.budget.max = Some(Usd::from_nanos(100));
        limited.rates.tpm = Some(1_000);
        limited.rates.rpm = Some(10);
        limited.models = models(&["a", "b/*"]);
        limited
    }

    fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
        verdict.err().map(|refusal| refusal.reason)
    }

    /// Each rule alone; equal values pass.
    #[test]
    fn a_team_fits_or_the_limit_is_named() {
        let base = || {
            let mut team = team();
            team.models = models(&["a"]);
            team
        };
        for (change, on_write, on_move) in [
            ((|_| ()) as fn(&mut Team), None, None),
            (|team| team.budget.max = Some(Usd::from_nanos(100)), None, None),
            (
                |team| team.budget.max = Some(Usd::from_nanos(101)),
                Some(Reason::OrgBudgetExceeded),
                Some(Reason::MoveBudget),
            ),
            (|team| team.rates.tpm = Some(1_000), None, None),
            (|team| team.rates.tpm = Some(1_001), Some(Reason::OrgTpmExceeded), Some(Reason::MoveTpm)),
            (|team| team.rates.rpm = Some(10), None, None),
            (|team| team.rates.rpm = Some(11), Some(Reason::OrgRpmExceeded), Some(Reason::MoveRpm)),
            (|team| team.models = models(&["b/c"]), None, None),
            (|team| team.models = models(&["c"]), Some(Reason::OrgModelNotAllowed), Some(Reason::MoveModels)),
            (|team| team.models = models(&["no-default-models"]), None, None),
            // In the organization, a team without a list has the organization's.
            (|team| team.models = models(&[]), None, Some(Reason::MoveModels)),
        ] {
            let mut team = base();
            change(&mut team);
            assert_eq!(reason(check_team(&limited(), &team)), on_write, "{team:?}");
            assert_eq!(reason(check_move(&limited(), &team)), on_move, "{team:?}");
            assert_eq!(reason(check_move(&organization(), &team)), None, "an organization without limits");
        }
    }

    fn share(tpm: Option<i64>, kind: Option<crate::domain::team::ThroughputType>) -> Share {
        let throughput = Throughput { tpm_limit_type: kind, rpm_limit_type: None };
        Share { tpm, throughput, ..Share::default() }
    }

    fn guaranteed(tpm: i64) -> Team {
        let mut team = team();
        team.rates.tpm = Some(tpm);
        team.throughput.tpm_limit_type = Some(Guaranteed);
        team
    }

    #[test]
    fn what_is_guaranteed_adds_up_to_the_limit_and_no_further() {
        let others = [share(Some(300), Some(BestEffort)), share(Some(300), None), share(None, None)];
        assert_eq!(reason(check_throughput(&limited(), &guaranteed(400), &others)), None);
        let refused = check_throughput(&limited(), &guaranteed(401), &others).expect_err("too much");
        assert_eq!(refused.reason, Reason::OrgThroughputOverallocated);
        let told: BTreeMap<_, _> = refused.metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!((told["allocated"], told["requested"], told["limit"]), ("600", "401", "1000"));
        // Best effort is promised to nobody; calls are not guaranteed here.
        let mut best_effort = guaranteed(9_000);
        best_effort.throughput.tpm_limit_type = Some(BestEffort);
        best_effort.rates.rpm = Some(9_000);
        assert_eq!(reason(check_throughput(&limited(), &best_effort, &others)), None);
        assert_eq!(reason(check_throughput(&organization(), &guaranteed(i64::MAX), &others)), None);
    }

    #[test]
    fn models_are_shared_out_by_themselves() {
        let mut organization = limited();
        organization.model_rates.tpm.insert("a".to_owned(), 500);
        let with_model = |tpm: i64| {
            let mut team = guaranteed(0);
            team.model_rates.tpm.insert("a".to_owned(), tpm);
            team
        };
        let mut other = share(None, None);
        other.by_model.tpm.insert("a".to_owned(), 200);
        assert_eq!(reason(check_throughput(&organization, &with_model(300), std::slice::from_ref(&other))), None);
        let over = check_throughput(&organization, &with_model(301), std::slice::from_ref(&other));
        assert_eq!(reason(over), Some(Reason::OrgThroughputOverallocated));
        organization.model_rates.tpm.clear();
        assert_eq!(reason(check_throughput(&organization, &with_model(800), std::slice::from_ref(&other))), None);
        assert!(check_throughput(&organization, &with_model(801), &[other]).is_err());
    }

    #[test]
    fn an_organization_does_not_shrink_below_what_it_guarantees() {
        let shares = [share(Some(600), Some(Guaranteed)), share(Some(9_000), Some(BestEffort))];
        let mut organization = limited();
        organization.rates.tpm = Some(600);
        assert_eq!(reason(check_shrink(&organization, &shares)), None);
        organization.rates.tpm = Some(599);
        assert_eq!(reason(check_shrink(&organization, &shares)), Some(Reason::OrgThroughputOverallocated));
        organization.rates.tpm = None;
        assert_eq!(reason(check_shrink(&organization, &shares)), None);
        let mut of_model = share(None, Some(Guaranteed));
        of_model.by_model.tpm.insert("a".to_owned(), 50);
        organization.model_rates.tpm.insert("a".to_owned(), 49);
        assert_eq!(reason(check_shrink(&organization, &[of_model])), Some(Reason::OrgThroughputOverallocated));
    }
}
