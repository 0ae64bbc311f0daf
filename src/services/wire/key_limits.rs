//! What limits a key beside its budget, on the wire.

use std::collections::BTreeMap;

use super::faults::Faults;
use super::{instant, spend, throughput};
use crate::domain::clock::Timestamp;
use crate::domain::key_limits::{KeyLimits, WINDOWS_MAX};
use crate::domain::limit::{Budget, ModelRates};
use crate::domain::model_limit::{ModelLimit, ModelLimits};
use crate::domain::models::MODELS_MAX;
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::domain::window::Calendar;
use crate::pb;

/// Takes the limits of a key that is to be made or changed. When windows begin
/// is not said here.
pub(crate) fn take(key: &pb::Key, prefix: &str, faults: &mut Faults) -> KeyLimits {
    let field = |name: &str| format!("{prefix}{name}");
    KeyLimits {
        windows: windows(&field("budget_limits"), &key.budget_limits, faults),
        models: models(&field("model_max_budget"), &key.model_max_budget, faults),
        model_rates: ModelRates {
            tpm: faults.limits_by_model(&field("model_tpm_limit"), &key.model_tpm_limit),
            rpm: faults.limits_by_model(&field("model_rpm_limit"), &key.model_rpm_limit),
        },
        throughput: throughput::take(prefix, key.tpm_limit_type, key.rpm_limit_type, faults),
        fallbacks: fallbacks(&field("budget_fallbacks"), &key.budget_fallbacks, faults),
        increase: faults.money(field("temp_budget_increase"), key.temp_budget_increase.as_ref()),
        increase_until: instant::from_wire(
            &field("temp_budget_expires_at"),
            key.temp_budget_expires_at.as_ref(),
            faults,
        ),
    }
}

/// The most models that may be called instead of one.
const FALLBACKS_MAX: usize = 20;

fn fallbacks(
    field: &str,
    sent: &BTreeMap<String, pb::FallbackModels>,
    faults: &mut Faults,
) -> BTreeMap<String, Vec<String>> {
    if sent.len() > MODELS_MAX {
        faults.add(field, format!("must have at most {MODELS_MAX} entries"));
        return BTreeMap::new();
    }
    for (model, instead) in sent {
        let entry = format!("{field}[{model:?}]");
        named(&entry, model, faults);
        if !(1..=FALLBACKS_MAX).contains(&instead.models.len()) {
            faults.add(format!("{entry}.models"), format!("must have 1-{FALLBACKS_MAX} entries"));
        }
        for (index, other) in instead.models.iter().take(FALLBACKS_MAX).enumerate() {
            let path = format!("{entry}.models[{index}]");
            named(&path, other, faults);
            if other == model || instead.models[..index].contains(other) {
                faults.add(path, "must be another model, each once");
            }
        }
    }
    sent.iter().map(|(model, instead)| (model.clone(), instead.models.clone())).collect()
}

/// Reports what is not the name of one model.
fn named(path: &str, model: &str, faults: &mut Faults) {
    faults.model(path, model);
    if model.ends_with('*') {
        faults.add(path, "must be the name of one model");
    }
}

fn windows(field: &str, limits: &[pb::BudgetLimit], faults: &mut Faults) -> Vec<Budget> {
    if limits.len() > WINDOWS_MAX {
        faults.add(field, format!("must have at most {WINDOWS_MAX} entries"));
        return Vec::new();
    }
    let mut taken: Vec<Budget> = Vec::with_capacity(limits.len());
    for (index, limit) in limits.iter().enumerate() {
        let path = |name: &str| format!("{field}[{index}].{name}");
        let max = faults.money(path("max_budget"), Some(&limit.max_budget));
        let duration = faults.length(path("budget_duration"), Some(&limit.budget_duration));
        if duration.is_some() && taken.iter().any(|known| known.duration == duration) {
            faults.add(path("budget_duration"), "must not be that of another entry");
        }
        taken.push(Budget { max, duration, ..Budget::default() });
    }
    taken
}

/// Takes limits by model.
pub(crate) fn models(field: &str, limits: &BTreeMap<String, pb::ModelLimit>, faults: &mut Faults) -> ModelLimits {
    if limits.len() > MODELS_MAX {
        faults.add(field, format!("must have at most {MODELS_MAX} entries"));
        return BTreeMap::new();
    }
    let mut taken = BTreeMap::new();
    for (model, limit) in limits {
        let entry = format!("{field}[{model:?}]");
        faults.model(&entry, model);
        let path = |name: &str| format!("{entry}.{name}");
        let budget = Budget {
            max: faults.money(path("max_budget"), limit.max_budget.as_ref()),
            duration: faults.length(path("budget_duration"), limit.budget_duration.as_ref()),
            ..Budget::default()
        };
        let (tpm, rpm) =
            (faults.limit(path("tpm_limit"), limit.tpm_limit), faults.limit(path("rpm_limit"), limit.rpm_limit));
        if limit.max_budget.is_none() && tpm.is_none() && rpm.is_none() {
            faults.add(entry, "must have a limit");
        }
        taken.insert(model.clone(), ModelLimit { budget, tpm, rpm });
    }
    taken
}

/// Reports an increase that is not whole, or over before it begins.
pub(crate) fn check_increase(limits: &KeyLimits, prefix: &str, now: Timestamp, faults: &mut Faults) {
    let field = format!("{prefix}temp_budget_expires_at");
    if limits.increase == Some(Usd::ZERO) {
        faults.add(format!("{prefix}temp_budget_increase"), "must be larger than 0");
    }
    if !limits.increase_is_complete() {
        let rule = "and temp_budget_increase must be set together, and cleared together";
        faults.add_named(field, Reason::TempBudgetIncomplete, rule);
    } else if limits.increase_until.is_some_and(|until| until <= now) {
        faults.add(field, "must lie in the future");
    }
}

/// Adds the limits to a key on the wire.
pub(crate) fn show(limits: &KeyLimits, key: &mut pb::Key, calendar: &Calendar, now: Timestamp) {
    let resets_at = |budget: &Budget| spend::resets_at(budget, calendar, now);
    let max = |budget: &Budget| budget.max.map(|max| max.to_string());
    let duration = |budget: &Budget| budget.duration.map(|length| length.to_string());
    let window = |budget: &Budget| pb::BudgetLimit {
        max_budget: max(budget).unwrap_or_default(),
        budget_duration: duration(budget).unwrap_or_default(),
        budget_resets_at: resets_at(budget),
    };
    key.budget_limits = limits.windows.iter().map(window).collect();
    key.model_max_budget = models_to_wire(&limits.models, calendar, now);
    key.model_tpm_limit = limits.model_rates.tpm.iter().map(|(name, limit)| (name.clone(), *limit)).collect();
    key.model_rpm_limit = limits.model_rates.rpm.iter().map(|(name, limit)| (name.clone(), *limit)).collect();
    key.tpm_limit_type = throughput::to_wire(limits.throughput.tpm_limit_type);
    key.rpm_limit_type = throughput::to_wire(limits.throughput.rpm_limit_type);
    let instead = |models: &Vec<String>| pb::FallbackModels { models: models.clone() };
    key.budget_fallbacks = limits.fallbacks.iter().map(|(model, models)| (model.clone(), instead(models))).collect();
    key.temp_budget_increase = limits.increase.map(|increase| increase.to_string());
    key.temp_budget_expires_at = limits.increase_until.map(instant::to_wire);
}

/// Limits by model on the wire.
pub(crate) fn models_to_wire(
    limits: &ModelLimits,
    calendar: &Calendar,
    now: Timestamp,
) -> BTreeMap<String, pb::ModelLimit> {
    let model = |limit: &ModelLimit| pb::ModelLimit {
        max_budget: limit.budget.max.map(|max| max.to_string()),
        budget_duration: limit.budget.duration.map(|length| length.to_string()),
        tpm_limit: limit.tpm,
        rpm_limit: limit.rpm,
        budget_resets_at: spend::resets_at(&limit.budget, calendar, now),
    };
    limits.iter().map(|(name, limit)| (name.clone(), model(limit))).collect()
}
