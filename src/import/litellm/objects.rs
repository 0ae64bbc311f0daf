//! Rows of LiteLLM's organizations, users and teams, in Bursar's terms.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::row::{Fault, Row};
use crate::domain::audit::Fields;
use crate::domain::clock::Timestamp;
use crate::domain::customer::Customer;
use crate::domain::fault::Violation;
use crate::domain::ids::{BudgetId, CustomerId, OrganizationId, TeamId, UserId};
use crate::domain::limit::{Budget, ModelRates, Rates};
use crate::domain::model_limit::{ModelLimit, ModelLimits};
use crate::domain::models::{ListOwner, ModelAliases};
use crate::domain::organization::{Organization, OrganizationMember};
use crate::domain::role::{MemberPermission, OrganizationRole, Role, TeamRole};
use crate::domain::team::{Member, MemberDefaults, MemberLimits, Team};
use crate::domain::throughput::Throughput;
use crate::domain::tier::Tier;
use crate::domain::user::{Email, SessionEpoch, User};

/// The rows of LiteLLM's table of budgets, by their ids: others point to them.
pub(super) type Budgets = BTreeMap<String, Row>;

/// The budget that a row points to; an empty one, if it points to none.
pub(super) fn budget_of(row: &Row, column: &str, budgets: &Budgets) -> Row {
    row.text(column).and_then(|id| budgets.get(&id).cloned()).unwrap_or_default()
}

pub(super) fn organization(row: &Row, budgets: &Budgets, now: Timestamp) -> Result<Organization, Fault> {
    let id = row.name("organization_id")?;
    let budget = budget_of(row, "budget_id", budgets);
    let mut metadata = row.fields("metadata");
    Ok(Organization {
        organization_id: OrganizationId::parse(&id).map_err(|error| format!("organization_id {error}"))?,
        organization_alias: row.text("organization_alias").unwrap_or(id),
        models: row.models(ListOwner::UserOrTeam)?,
        budget: budget.budget(now)?,
        rates: budget.rates()?,
        model_rates: model_rates(&mut metadata)?,
        metadata,
        blocked: false,
        created_at: row.instant("created_at")?.unwrap_or(now),
        updated_at: now,
        version: 1,
    })
}

/// A budget that keys or customers are in.
pub(super) fn tier(row: &Row, now: Timestamp) -> Result<Tier, Fault> {
    let id = row.name("budget_id")?;
    Ok(Tier {
        budget_id: BudgetId::parse(&id).map_err(|error| format!("budget_id {error}"))?,
        budget: Budget { anchor: now, ..row.budget(now)? },
        rates: row.rates()?,
        models: model_limits(row, now)?,
        created_at: now,
        updated_at: now,
        version: 1,
    })
}

pub(super) fn user(row: &Row, now: Timestamp) -> Result<User, Fault> {
    let id = row.name("user_id")?;
    let email = row.text("user_email").map(|email| Email::parse(&email));
    Ok(User {
        user_id: UserId::parse(&id).map_err(|error| format!("user_id {error}"))?,
        user_email: email.transpose().map_err(|error| format!("user_email {error}"))?,
        user_alias: row.text("user_alias"),
        user_role: role(row.text("user_role").as_deref())?,
        models: row.models(ListOwner::UserOrTeam)?,
        budget: row.budget(now)?,
        rates: row.rates()?,
        model_limits: model_limits(row, now)?,
        metadata: row.fields("metadata"),
        blocked: false,
        home_organization_id: None,
        password: None,
        password_set_at: None,
        session_epoch: SessionEpoch::begin(),
        created_at: row.instant("created_at")?.unwrap_or(now),
        updated_at: now,
        version: 1,
    })
}

/// A role; the names of early versions, too.
fn role(name: Option<&str>) -> Result<Role, Fault> {
    match name {
        None | Some("app_owner") => Ok(Role::InternalUser),
        Some("admin") => Ok(Role::ProxyAdmin),
        Some(name) => name.parse().map_err(|_| format!("user_role is {name}, which no user has")),
    }
}

/// A team, with its members as far as they are named by id.
pub(super) fn team(
    row: &Row,
    budgets: &Budgets,
    aliases: &BTreeMap<String, Row>,
    now: Timestamp,
) -> Result<(Team, Vec<(UserId, TeamRole)>), Fault> {
    let id = row.name("team_id")?;
    let mut metadata = row.fields("metadata");
    let organization = row.text("organization_id").map(|id| OrganizationId::parse(&id));
    let defaults = Row(metadata.clone());
    let defaults = budget_of(&defaults, "team_member_budget_id", budgets);
    let budget = defaults.budget(now)?;
    let team = Team {
        team_id: TeamId::parse(&id).map_err(|error| format!("team_id {error}"))?,
        team_alias: row.text("team_alias"),
        organization_id: organization.transpose().map_err(|error| format!("organization_id {error}"))?,
        models: row.models(ListOwner::UserOrTeam)?,
        model_aliases: match row.0.get("model_id").and_then(|id| aliases.get(&id.to_string())) {
            Some(row) => model_aliases(&row.fields("aliases"))?,
            None => ModelAliases::default(),
        },
        budget: row.budget(now)?,
        rates: row.rates()?,
        throughput: throughput(&mut metadata),
        model_rates: model_rates(&mut metadata)?,
        member_defaults: MemberDefaults {
            max: budget.max,
            duration: budget.duration,
            anchor: budget.anchor,
            rpm: defaults.count("rpm_limit")?,
            tpm: defaults.count("tpm_limit")?,
        },
        team_member_key_duration: None,
        member_permissions: permissions(row),
        tags: Row(metadata.clone()).texts("tags"),
        metadata,
        blocked: row.flag("blocked"),
        blocked_by_admin: row.flag("blocked"),
        idp_managed_by: None,
        created_at: row.instant("created_at")?.unwrap_or(now),
        updated_at: now,
        version: 1,
    };
    Ok((team, members(row)))
}

fn members(row: &Row) -> Vec<(UserId, TeamRole)> {
    let named = row.rows("members_with_roles").into_iter().filter_map(|member| {
        let id = UserId::parse(&member.text("user_id")?).ok()?;
        let role = if member.text("role").as_deref() == Some("admin") { TeamRole::Admin } else { TeamRole::User };
        Some((id, role))
    });
    // Named twice, the higher role counts.
    let mut members: BTreeMap<UserId, TeamRole> = BTreeMap::new();
    for (id, role) in named {
        let known = members.entry(id).or_insert(role);
        *known = (*known).min(role);
    }
    members.into_iter().collect()
}

/// What plain members may do: paths there, names here. Others have no meaning
/// here.
fn permissions(row: &Row) -> Option<BTreeSet<MemberPermission>> {
    if !row.has("team_member_permissions") {
        return None;
    }
    let permission = |path: String| match path.as_str() {
        "/key/info" => Some(MemberPermission::KeyInfo),
        "/key/health" => Some(MemberPermission::KeyHealth),
        "/key/list" => Some(MemberPermission::KeyList),
        "/key/generate" => Some(MemberPermission::KeyGenerate),
        "/key/service-account/generate" => Some(MemberPermission::KeyGenerateServiceAccount),
        "/key/update" => Some(MemberPermission::KeyUpdate),
        "/key/delete" => Some(MemberPermission::KeyDelete),
        "/key/regenerate" | "/key/{key_id}/regenerate" => Some(MemberPermission::KeyRegenerate),
        "/key/{key_id}/reset_spend" | "/key/{key}/reset_spend" => Some(MemberPermission::KeyResetSpend),
        "/key/block" => Some(MemberPermission::KeyBlock),
        "/key/unblock" => Some(MemberPermission::KeyUnblock),
        "/team/daily/activity" => Some(MemberPermission::TeamDailyActivity),
        "/spend/logs" => Some(MemberPermission::SpendLogs),
        _ => None,
    };
    Some(row.texts("team_member_permissions").into_iter().filter_map(permission).collect())
}

/// The limits of one member of a team, if it has some of its own.
pub(super) fn member_limits(row: &Row, budgets: &Budgets, now: Timestamp) -> Result<Option<MemberLimits>, Fault> {
    let budget = budget_of(row, "budget_id", budgets);
    if budget.0.is_empty() {
        return Ok(None);
    }
    let Budget { max, duration, anchor, .. } = budget.budget(now)?;
    Ok(Some(MemberLimits { max, duration, anchor, rpm: budget.count("rpm_limit")?, tpm: budget.count("tpm_limit")? }))
}

pub(super) const fn member(team_id: TeamId, user_id: UserId, role: TeamRole, now: Timestamp) -> Member {
    Member { team_id, user_id, user_email: None, role, own_limits: None, added_at: now }
}

/// A plain member of an organization.
pub(super) const fn place(organization_id: OrganizationId, user_id: UserId, now: Timestamp) -> OrganizationMember {
    OrganizationMember {
        organization_id,
        user_id,
        user_email: None,
        role: OrganizationRole::InternalUser,
        max_budget_in_organization: None,
        added_at: now,
    }
}

/// A user in an organization.
pub(super) fn organization_member(row: &Row, budgets: &Budgets, now: Timestamp) -> Result<OrganizationMember, Fault> {
    let role = match row.text("user_role").as_deref() {
        None => OrganizationRole::InternalUser,
        Some(name) => name.parse().map_err(|_| format!("user_role is {name}, which no member has"))?,
    };
    Ok(OrganizationMember {
        organization_id: OrganizationId::parse(&row.name("organization_id")?)
            .map_err(|error| format!("organization_id {error}"))?,
        user_id: UserId::parse(&row.name("user_id")?).map_err(|error| format!("user_id {error}"))?,
        user_email: None,
        role,
        max_budget_in_organization: budget_of(row, "budget_id", budgets).money("max_budget")?,
        added_at: now,
    })
}

/// A customer; its limits are its own, unless its budget is a tier.
pub(super) fn customer(
    row: &Row,
    budgets: &Budgets,
    tiers: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Customer, Fault> {
    let id = CustomerId::parse(&row.name("user_id")?).map_err(|error| format!("user_id {error}"))?;
    let tier = row.text("budget_id").filter(|id| tiers.contains(id));
    let own = if tier.is_some() { Row::default() } else { budget_of(row, "budget_id", budgets) };
    let mut metadata = Fields::new();
    // What the gateway makes of them is its own business.
    for hint in ["default_model", "allowed_model_region"] {
        if let Some(text) = row.text(hint) {
            metadata.insert(hint.to_owned(), text.into());
        }
    }
    let mut budget = own.budget(now)?;
    if tier.is_some() {
        budget.anchor = now;
    }
    Ok(Customer {
        alias: row.text("alias").unwrap_or_default(),
        blocked: row.flag("blocked"),
        budget,
        rates: own.rates()?,
        budget_id: tier.as_deref().map(BudgetId::stored),
        metadata,
        version: Customer::UNTOUCHED + 1,
        ..Customer::unheard_of(id, now)
    })
}

/// Budgets and rates by model.
pub(super) fn model_limits(row: &Row, now: Timestamp) -> Result<ModelLimits, Fault> {
    let mut limits = BTreeMap::new();
    for (model, value) in row.fields("model_max_budget") {
        // Early versions have an amount; later ones an object.
        let of_model = match value {
            Value::Object(fields) => Row(fields),
            amount => Row(Fields::from_iter([("max_budget".to_owned(), amount)])),
        };
        let max = of_model.money("max_budget")?.or(of_model.money("budget_limit")?);
        let duration = of_model.length("budget_duration")?.or(of_model.length("time_period")?);
        let Rates { tpm, rpm, .. } = of_model.rates()?;
        limits.insert(model, ModelLimit { budget: Budget::new(max, None, duration, now), tpm, rpm });
    }
    Ok(limits)
}

/// What may be called instead of models whose budgets are spent.
pub(super) fn fallbacks(row: &Row) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let models = |(model, instead): (String, Value)| {
        let names: Result<Vec<String>, _> = serde_json::from_value(instead);
        names.map(|names| (model, names)).map_err(|_| "budget_fallbacks has what is no list of models".to_owned())
    };
    row.fields("budget_fallbacks").into_iter().map(models).collect()
}

/// Rates by model, which stand in the metadata there.
pub(super) fn model_rates(metadata: &mut Fields) -> Result<ModelRates, Fault> {
    let mut take = |name: &str| {
        let Some(Value::Object(limits)) = metadata.remove(name) else { return Ok(BTreeMap::new()) };
        let limit = |(model, value): (String, Value)| {
            let limit = value.as_i64().filter(|limit| *limit >= 0);
            limit.map(|limit| (model, limit)).ok_or_else(|| format!("{name} has {value}, which is no limit"))
        };
        limits.into_iter().map(limit).collect()
    };
    Ok(ModelRates { tpm: take("model_tpm_limit")?, rpm: take("model_rpm_limit")? })
}

/// What limits are, which stands in the metadata there, too. Words that are
/// none of its own stay there.
pub(super) fn throughput(metadata: &mut Fields) -> Throughput {
    let mut take = |name: &str| {
        let kind = metadata.get(name)?.as_str()?.parse().ok()?;
        metadata.remove(name);
        Some(kind)
    };
    Throughput { tpm_limit_type: take("tpm_limit_type"), rpm_limit_type: take("rpm_limit_type") }
}

pub(super) fn model_aliases(fields: &Fields) -> Result<ModelAliases, Fault> {
    let pairs: Vec<(String, String)> =
        fields.iter().filter_map(|(name, target)| Some((name.clone(), target.as_str()?.to_owned()))).collect();
    let mut violations: Vec<Violation> = Vec::new();
    let aliases = ModelAliases::parse(pairs.iter().map(|(name, to)| (name, to)), "aliases", &mut violations);
    match violations.first() {
        None => Ok(aliases),
        Some(violation) => Err(format!("{} {}", violation.field, violation.description)),
    }
}
