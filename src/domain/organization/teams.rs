//! What a team may have in its organization: its own limits must fit.

use super::Organization;
use crate::domain::fault::Refusal;
use crate::domain::pricing::PriceBook;
use crate::domain::reason::Reason;
use crate::domain::team::Team;

/// Checks that a team's own limits fit into its organization. Absent on either
/// side is no conflict: the organization binds every call anyway. The book knows
/// which models are in which access groups.
///
/// # Errors
/// Names the first limit that is larger than the organization's.
pub fn check_team(organization: &Organization, team: &Team, book: &PriceBook) -> Result<(), Refusal> {
    let beyond = organization.models.beyond_in(&team.models, book);
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
pub fn check_move(organization: &Organization, team: &Team, book: &PriceBook) -> Result<(), Refusal> {
    if !organization.models.allows_all() && team.models.is_empty() {
        let message = format!(
            "the team may call every model, organization {:?} may not: give the team a list of models first",
            organization.organization_id.as_str()
        );
        return Err(about(organization, Refusal::precondition(Reason::MoveModels, message)));
    }
    let beyond = organization.models.beyond_in(&team.models, book);
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

#[cfg(test)]
mod tests {
    use super::super::tests::organization;
    use super::*;
    use crate::domain::models::ModelList;
    use crate::domain::money::Usd;
    use crate::domain::pricing::book::tests::book_of_groups;
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
            let book = PriceBook::default();
            assert_eq!(reason(check_team(&limited(), &team, &book)), on_write, "{team:?}");
            assert_eq!(reason(check_move(&limited(), &team, &book)), on_move, "{team:?}");
            assert_eq!(reason(check_move(&organization(), &team, &book)), None, "an organization without limits");
        }
    }

    #[test]
    fn a_model_of_the_organizations_access_group_fits() {
        let mut team = team();
        team.models = models(&["c"]);
        let book = book_of_groups(&[("c", &["a"])]);
        assert_eq!(reason(check_team(&limited(), &team, &book)), None);
        assert_eq!(reason(check_move(&limited(), &team, &book)), None);
    }
}
