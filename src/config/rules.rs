//! Rules: the settings that services follow, in the types of the domain.

use std::collections::BTreeSet;

use super::{ConfigError, GenerationParams, SelfServeBudgets, Settings};
use crate::domain::customer::CustomerDefaults;
use crate::domain::decision::{PriceRules, RequiredParams};
use crate::domain::fault::Violation;
use crate::domain::ids::{BudgetId, OrganizationId, TeamId};
use crate::domain::key_rules::{GenerationRules, KeyBounds, KeyDefaults, REQUIRABLE_FIELDS};
use crate::domain::limit::Rates;
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::rotation::{GRACE_MAX_DAYS, RotationRules};
use crate::domain::team::TeamDefaults;
use crate::domain::usage::CostRules;
use crate::domain::user::UserDefaults;
use crate::domain::window::{Calendar, Length};
use crate::gate::{GateRules, LedgerRules};

/// The most that `max_event_cost` may be: beyond it, sums of prices with 22
/// decimals would not be exact.
const MAX_EVENT_COST: Usd = Usd::from_nanos(100_000_000_000_000);

/// The shortest grace, in seconds, of secrets that are delivered by files.
const DELIVERY_GRACE_SECONDS: i64 = 3_600;

/// The settings that services follow.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct Rules {
    pub users: UserDefaults,
    pub available_teams: Vec<TeamId>,
    pub teams: TeamDefaults,
    pub keys: KeyDefaults,
    pub key_bounds: KeyBounds,
    pub generation: GenerationRules,
    pub calendar: Calendar,
    pub allow_custom_keys: bool,
    pub rotation: RotationRules,
    pub allow_user_created_teams: bool,
    pub team_admins_may_delete: bool,
    pub self_serve_budgets: SelfServeBudgets,
    pub policies: Vec<Policy>,
    pub envoy_key_headers: Vec<String>,
}

impl Settings {
    /// The settings that services follow.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        let user = &self.default_internal_user_params;
        let team = &self.default_team_params;
        let key = &self.default_key_generate_params;
        let bound = &self.upperbound_key_generate_params;
        check_limits("default_team_params", &[team.tpm_limit, team.rpm_limit])?;
        check_limits(
            "default_key_generate_params",
            &[key.tpm_limit, key.rpm_limit, key.tpd_limit, key.max_parallel_requests],
        )?;
        check_limits(
            "upperbound_key_generate_params",
            &[bound.tpm_limit, bound.rpm_limit, bound.tpd_limit, bound.max_parallel_requests],
        )?;
        if self.rotation_grace_period.is_some_and(|grace| grace.nominal_seconds() > GRACE_MAX_DAYS * 86_400) {
            return Err(ConfigError(format!("wrong setting: rotation_grace_period must be at most {GRACE_MAX_DAYS}d")));
        }
        if let Some(directory) = self.rotation_directory.as_ref().filter(|directory| !directory.is_dir()) {
            let shown = directory.display();
            return Err(ConfigError(format!("wrong setting: rotation_directory {shown} must be a directory")));
        }
        let grace = self.rotation_grace_period.map_or(0, Length::nominal_seconds);
        if self.rotation_directory.is_some() && grace < DELIVERY_GRACE_SECONDS {
            let rule = "rotation_directory needs a rotation_grace_period of at least 1h: whoever uses a key must have \
                        time to read its file";
            return Err(ConfigError(format!("wrong setting: {rule}")));
        }
        Ok(Rules {
            users: UserDefaults {
                user_role: user.user_role,
                max_budget: user.max_budget,
                budget_duration: user.budget_duration,
                models: models("default_internal_user_params.models", &user.models, ListOwner::UserOrTeam)?,
                team_ids: team_ids("default_internal_user_params.teams", &user.teams)?,
                max_internal_user_budget: self.max_internal_user_budget,
                internal_user_budget_duration: self.internal_user_budget_duration,
            },
            available_teams: team_ids("default_internal_user_params.available_teams", &user.available_teams)?,
            teams: TeamDefaults {
                max_budget: team.max_budget,
                budget_duration: team.budget_duration,
                tpm_limit: team.tpm_limit,
                rpm_limit: team.rpm_limit,
                member_permissions: team
                    .member_permissions
                    .as_ref()
                    .map(|list| list.iter().copied().collect::<BTreeSet<_>>()),
                organization_id: organization_id("default_team_params.organization_id", team.organization_id.as_ref())?,
            },
            keys: KeyDefaults {
                max_budget: key.max_budget,
                budget_duration: key.budget_duration,
                duration: key.duration,
                rates: Rates {
                    tpm: key.tpm_limit,
                    rpm: key.rpm_limit,
                    parallel: key.max_parallel_requests,
                    tpd: key.tpd_limit,
                },
                models: models("default_key_generate_params.models", &key.models, ListOwner::PersonalKey)?,
                metadata: key.metadata.clone(),
            },
            key_bounds: KeyBounds {
                mode: self.upperbound_mode,
                max_budget: bound.max_budget,
                budget_duration: bound.budget_duration,
                duration: bound.duration,
                rates: Rates {
                    tpm: bound.tpm_limit,
                    rpm: bound.rpm_limit,
                    parallel: bound.max_parallel_requests,
                    tpd: bound.tpd_limit,
                },
            },
            generation: generation(&self.key_generation_settings)?,
            calendar: self.calendar(),
            allow_custom_keys: self.allow_custom_keys,
            rotation: RotationRules { grace: self.rotation_grace_period, directory: self.rotation_directory.clone() },
            allow_user_created_teams: self.allow_user_created_teams,
            team_admins_may_delete: self.team_admins_may_delete,
            self_serve_budgets: self.self_serve_budget_policy,
            policies: self.policies()?,
            envoy_key_headers: self.envoy_key_headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        })
    }

    /// The settings that the hot path follows.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn gate_rules(&self) -> Result<GateRules, ConfigError> {
        let wrong = |text: &str| Err(ConfigError(format!("wrong setting: {text}")));
        if !(10..=86_400).contains(&self.reservation_ttl.seconds()) {
            return wrong("reservation_ttl must be between 10s and 24h");
        }
        if !(300..=7 * 86_400).contains(&self.session_ttl.seconds()) {
            return wrong("session_ttl must be between 5m and 7d");
        }
        if self.max_event_cost > MAX_EVENT_COST {
            return wrong("max_event_cost must be at most \"100000\"");
        }
        if self.usage_retention.is_some_and(|kept| kept.seconds() < self.max_event_age.seconds()) {
            return wrong("usage_retention must not be shorter than max_event_age, or usage could count twice");
        }
        if self.default_output_tokens < 0 {
            return wrong("default_output_tokens must not be negative");
        }
        if self.global_max_parallel_requests.is_some_and(|limit| limit < 0) {
            return wrong("global_max_parallel_requests must not be negative");
        }
        if self.directory_capacity == 0 || self.max_concurrent_requests == 0 || self.database_max_connections == 0 {
            return wrong("directory_capacity, max_concurrent_requests and database_max_connections must not be 0");
        }
        Ok(GateRules {
            ledger: LedgerRules {
                calendar: self.calendar(),
                lease_seconds: self.lease_ttl.seconds(),
                reservation_seconds: self.reservation_ttl.seconds(),
                counted_tokens: self.token_rate_limit_type,
                max_parallel: self.global_max_parallel_requests,
            },
            default_output_tokens: self.default_output_tokens,
            unpriced_reserve: self.unpriced_reserve,
            prices: PriceRules {
                deny_unknown_models: self.deny_unknown_models,
                deny_unpriced_models: self.deny_unpriced_models,
            },
            costs: CostRules {
                max_event_cost: self.max_event_cost,
                require_price: self.require_price,
                markups: self.markups()?,
            },
            max_feed_age_seconds: self.max_feed_age.seconds(),
            max_event_age_seconds: self.max_event_age.seconds(),
            user_budget_on_team_keys: self.user_budget_on_team_keys,
            required_params: RequiredParams {
                of_all: self.enforced_params.clone(),
                of_service_accounts: self.service_account_settings.enforced_params.clone(),
            },
            customers: CustomerDefaults {
                budget_id: self.max_end_user_budget_id.as_deref().map(budget_id).transpose()?,
                max: self.max_end_user_budget,
            },
            directory_capacity: self.directory_capacity,
        })
    }

    fn calendar(&self) -> Calendar {
        Calendar { zone: self.time_zone, day_start: self.budget_reset_time, year_start: self.fiscal_year_start }
    }
}

fn check_limits(setting: &str, limits: &[Option<i64>]) -> Result<(), ConfigError> {
    if limits.iter().flatten().any(|limit| *limit < 0) {
        return Err(ConfigError(format!("wrong setting: the limits of {setting} must not be negative")));
    }
    Ok(())
}

fn team_ids(setting: &str, ids: &[String]) -> Result<Vec<TeamId>, ConfigError> {
    let parse = |id: &String| {
        TeamId::parse(id).map_err(|error| ConfigError(format!("wrong setting: {setting}: {id:?} {error}")))
    };
    ids.iter().map(parse).collect()
}

fn budget_id(id: &str) -> Result<BudgetId, ConfigError> {
    BudgetId::parse(id).map_err(|error| ConfigError(format!("wrong setting: max_end_user_budget_id: {id:?} {error}")))
}

fn organization_id(setting: &str, id: Option<&String>) -> Result<Option<OrganizationId>, ConfigError> {
    let wrong = |id: &String, error| ConfigError(format!("wrong setting: {setting}: {id:?} {error}"));
    id.map(|id| OrganizationId::parse(id).map_err(|error| wrong(id, error))).transpose()
}

fn models(setting: &str, names: &[String], owner: ListOwner) -> Result<ModelList, ConfigError> {
    let mut violations: Vec<Violation> = Vec::new();
    let list = ModelList::parse(names, owner, setting, &mut violations);
    match violations.first() {
        None => Ok(list),
        Some(violation) => Err(ConfigError(format!("wrong setting: {} {}", violation.field, violation.description))),
    }
}

fn generation(params: &GenerationParams) -> Result<GenerationRules, ConfigError> {
    let GenerationParams { team_key_generation: team, personal_key_generation: personal } = params;
    let every = team.required_params.iter().chain(&personal.required_params);
    if let Some(name) = every.into_iter().find(|name| !REQUIRABLE_FIELDS.contains(&name.as_str())) {
        let list = REQUIRABLE_FIELDS.join(", ");
        return Err(ConfigError(format!(
            "wrong setting: key_generation_settings requires {name:?}, which is none of {list}"
        )));
    }
    let defaults = GenerationRules::default();
    Ok(GenerationRules {
        team_roles: team.allowed_team_member_roles.clone().unwrap_or(defaults.team_roles),
        team_required: team.required_params.clone(),
        user_roles: personal.allowed_user_roles.clone().unwrap_or(defaults.user_roles),
        personal_required: personal.required_params.clone(),
    })
}
