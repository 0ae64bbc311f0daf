//! Models: what clients ask for, where it runs, and prices of its own.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::audit::Fields;
use super::clock::Timestamp;
use super::fault::Violation;
use super::models::{ALL_PROXY_MODELS, ALL_TEAM_MODELS, MODEL_NAME_MAX_BYTES, NO_DEFAULT_MODELS};
use super::pricing::catalogue;
use super::pricing::price::EXCLUDES_CACHE;
use super::reason::Reason;

/// The most access groups of a model.
pub const GROUPS_MAX: usize = 100;
/// The most bytes of the name of an access group.
pub const GROUP_MAX_BYTES: usize = 256;
/// The most prices of its own that a model has.
pub const PRICES_MAX: usize = 200;

/// Prices of a model's own: the field of a price list, a dot and a choice if
/// its price depends on one, and the decimal.
pub type OwnPrices = BTreeMap<String, String>;

/// A model at one deployment, as an admin registered it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "model.proto documents each under the same name")]
pub struct Model {
    pub model_name: String,
    pub deployment: String,
    pub provider: String,
    pub provider_model: String,
    pub base_model: String,
    pub access_groups: Vec<String>,
    pub prices: OwnPrices,
    pub mode: Option<String>,
    pub max_output_tokens: Option<i64>,
    pub batch_discount: bool,
    pub multiplier_excludes_cache: bool,
    pub metadata: Fields,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Grows with every change.
    pub version: i64,
}

impl Model {
    /// Its name in the audit log.
    #[must_use]
    pub fn object_id(&self) -> String {
        if self.deployment.is_empty() {
            self.model_name.clone()
        } else {
            format!("{}@{}", self.model_name, self.deployment)
        }
    }

    /// Its own fields as a price record has them.
    #[must_use]
    pub fn price_fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        for (path, usd) in &self.prices {
            let usd = Value::from(usd.as_str());
            match path.split_once('.') {
                None => drop(fields.insert(path.clone(), usd)),
                Some((name, choice)) => {
                    let choices = fields.entry(name).or_insert_with(|| Map::new().into());
                    if let Value::Object(choices) = choices {
                        choices.insert(choice.to_owned(), usd);
                    }
                }
            }
        }
        if let Some(mode) = &self.mode {
            fields.insert("mode".to_owned(), mode.as_str().into());
        }
        if let Some(most) = self.max_output_tokens {
            fields.insert("max_output_tokens".to_owned(), most.into());
        }
        if self.multiplier_excludes_cache {
            fields.insert(EXCLUDES_CACHE.to_owned(), true.into());
        }
        fields
    }

    /// The names under which a price list may have it, the first one first.
    #[must_use]
    pub fn list_names(&self) -> Vec<String> {
        let names = [&self.base_model, &self.provider_model, &self.model_name];
        names.into_iter().filter(|name| !name.is_empty()).cloned().collect()
    }
}

/// Reports what is wrong with a public name.
pub fn check_name(field: &str, name: &str, violations: &mut Vec<Violation>) {
    if name.trim().is_empty() || name.len() > MODEL_NAME_MAX_BYTES || name.chars().any(char::is_control) {
        let rule = format!("must have 1-{MODEL_NAME_MAX_BYTES} bytes, and no control characters");
        violations.push(Violation::new(field, rule));
    } else if name.contains('*') || [ALL_PROXY_MODELS, ALL_TEAM_MODELS, NO_DEFAULT_MODELS].contains(&name) {
        let rule = "must not have \"*\" and not be all-proxy-models, all-team-models or no-default-models";
        violations.push(Violation::new(field, rule));
    }
}

/// Takes the names of access groups; repeats collapse, the order stays.
pub fn take_groups(field: &str, names: &[String], violations: &mut Vec<Violation>) -> Vec<String> {
    if names.len() > GROUPS_MAX {
        violations.push(Violation::new(field, format!("must have at most {GROUPS_MAX} entries")));
    }
    let mut taken: Vec<String> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let bad = |c: char| c.is_control() || matches!(c, '"' | '\\' | '*');
        if name.trim().is_empty() || name.len() > GROUP_MAX_BYTES || name.contains(bad) {
            let rule = format!("must have 1-{GROUP_MAX_BYTES} bytes, without quotes, \"\\\" and \"*\"");
            violations.push(Violation::new(format!("{field}[{index}]"), rule));
        } else if !taken.contains(name) {
            taken.push(name.clone());
        }
    }
    taken
}

/// Takes prices of a model's own, each in its shortest form.
pub fn take_prices<'a>(
    field: &str,
    prices: impl IntoIterator<Item = (&'a String, &'a String)>,
    allow_implausible: bool,
    violations: &mut Vec<Violation>,
) -> OwnPrices {
    let mut taken = OwnPrices::new();
    for (name, text) in prices {
        match take_price(name, text, allow_implausible) {
            Ok(usd) => drop(taken.insert(name.clone(), usd)),
            Err((reason, rule)) => violations.push(Violation::named(format!("{field}[{name:?}]"), reason, rule)),
        }
    }
    let with_choices = taken.keys().filter_map(|path| path.split_once('.')).map(|(name, _)| name);
    for name in with_choices.filter(|name| taken.contains_key(*name)) {
        let rule = "must not stand beside prices by a choice of the same field";
        violations.push(Violation::new(format!("{field}[{name:?}]"), rule));
    }
    if taken.len() > PRICES_MAX {
        violations.push(Violation::new(field, format!("must have at most {PRICES_MAX} entries")));
    }
    taken
}

fn take_price(path: &str, text: &str, allow_implausible: bool) -> Result<String, (Reason, String)> {
    let invalid = |rule: String| (Reason::FieldInvalid, rule);
    let (name, choice) = path.split_once('.').unwrap_or((path, ""));
    let bad_choice = choice.contains('.') || path.ends_with('.');
    if !catalogue::is_billed(name) || path.len() > 256 || bad_choice {
        return Err(invalid(format!("{name:?} is no price that Bursar bills; see the fields of price lists")));
    }
    let usd = Some(text).filter(|text| text.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let usd = usd.and_then(|text| Decimal::from_str_exact(text).ok()).map(|usd| usd.normalize());
    let usd = usd.ok_or_else(|| invalid("must be a decimal such as \"0.0000025\"".to_owned()))?;
    if usd.mantissa().unsigned_abs().to_string().len() > catalogue::PRICE_DIGITS as usize || usd.scale() > 22 {
        return Err(invalid("must have at most 15 significant digits, and 22 after the point".to_owned()));
    }
    let most = catalogue::most_plausible(name);
    if usd > most && !allow_implausible {
        let rule = format!("is larger than {most}, which no model costs; set allow_implausible if it is meant");
        return Err((Reason::PriceImplausible, rule));
    }
    Ok(usd.to_string())
}

/// The prices of a record as a flat map; schedules are left out.
#[must_use]
pub fn shown_prices(fields: &Map<String, Value>) -> OwnPrices {
    let mut shown = OwnPrices::new();
    for (name, value) in fields.iter().filter(|(name, _)| catalogue::is_billed(name)) {
        match value {
            Value::String(usd) => drop(shown.insert(name.clone(), usd.clone())),
            Value::Object(choices) => {
                let prices = choices.iter().filter_map(|(choice, usd)| Some((choice, usd.as_str()?)));
                shown.extend(prices.map(|(choice, usd)| (format!("{name}.{choice}"), usd.to_owned())));
            }
            _ => {}
        }
    }
    shown
}

/// A model of the price list, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedModel {
    /// Its name in the list.
    pub model_name: String,
    /// Its fields.
    pub fields: Map<String, Value>,
    /// When it was imported.
    pub created_at: Timestamp,
}

/// A model, wherever it comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyModel {
    /// An admin registered it.
    Registered(Box<Model>),
    /// The price list has it.
    Listed(ListedModel),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model(prices: &[(&str, &str)]) -> Model {
        Model {
            model_name: "fast".to_owned(),
            deployment: String::new(),
            provider: String::new(),
            provider_model: "gpt-x".to_owned(),
            base_model: String::new(),
            access_groups: Vec::new(),
            prices: prices.iter().map(|(name, usd)| ((*name).to_owned(), (*usd).to_owned())).collect(),
            mode: Some("chat".to_owned()),
            max_output_tokens: Some(5),
            batch_discount: false,
            multiplier_excludes_cache: true,
            metadata: Fields::new(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    #[test]
    fn prices_by_a_choice_are_nested() {
        let model = model(&[("input_cost_per_token", "0.1"), ("search_context_cost_per_query.low", "0.2")]);
        assert_eq!(
            Value::from(model.price_fields()),
            json!({
                "input_cost_per_token": "0.1", "search_context_cost_per_query": {"low": "0.2"}, "mode": "chat",
                "max_output_tokens": 5, "multiplier_excludes_cache": true,
            })
        );
        assert_eq!(shown_prices(&model.price_fields()), model.prices);
        assert_eq!(model.list_names(), ["gpt-x", "fast"]);
    }

    #[test]
    fn prices_are_small_exact_decimals_of_fields_that_are_billed() {
        for (name, text, reason) in [
            ("input_cost_per_token", "0.0000025", None),
            ("output_cost_per_token_above_200k_tokens_batches", "0", None),
            ("search_context_cost_per_query.search_context_size_low", "0.03", None),
            ("regional_endpoint_uplift_multiplier", "1.1", None),
            ("input_cost_per_token", "0.0000000000000000000000001", Some(Reason::FieldInvalid)),
            ("input_cost_per_token", "0.0012345678901234567", Some(Reason::FieldInvalid)),
            ("input_cost_per_token", "1e-6", Some(Reason::FieldInvalid)),
            ("input_cost_per_token", "-1", Some(Reason::FieldInvalid)),
            ("input_cost_per_token", "", Some(Reason::FieldInvalid)),
            ("input_cost_per_token", "2.5", Some(Reason::PriceImplausible)),
            ("output_cost_per_image", "2.5", None),
            ("output_cost_per_image", "100.5", Some(Reason::PriceImplausible)),
            ("price", "1", Some(Reason::FieldInvalid)),
            ("tiered_pricing", "1", Some(Reason::FieldInvalid)),
            ("input_cost_per_token.", "1", Some(Reason::FieldInvalid)),
        ] {
            let found = take_price(name, text, false).err().map(|(reason, _)| reason);
            assert_eq!(found, reason, "{name} {text}");
        }
        assert_eq!(take_price("input_cost_per_token", "2.50", true), Ok("2.5".to_owned()));
    }

    #[test]
    fn names_and_groups_are_plain() {
        let mut violations = Vec::new();
        for name in ["gpt-4o", "openai/gpt-4o", "", "a*", "all-team-models", "a\nb"] {
            check_name(name, name, &mut violations);
        }
        assert_eq!(violations.len(), 4, "{violations:?}");
        let groups = ["beta", "beta", "a\"b", ""].map(str::to_owned);
        let mut violations = Vec::new();
        assert_eq!(take_groups("g", &groups, &mut violations), ["beta"]);
        assert_eq!(violations.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), ["g[2]", "g[3]"]);
    }
}
