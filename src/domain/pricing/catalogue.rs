//! The catalogue: reading a price list without ever passing through a float.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::clock::Timestamp;
use super::price::{EXCLUDES_CACHE, Fields, Price, PriceRecord};
use super::rates::Base;

/// Significant digits of a price; more are noise of a float that somebody
/// wrote out.
pub const PRICE_DIGITS: u32 = 15;

/// The entry that documents the format.
const SAMPLE: &str = "sample_spec";

/// The dearest token that is believed: 10,000 USD per million.
const TOKEN_PRICE_MAX: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
/// The dearest price in any other unit that is believed.
const OTHER_PRICE_MAX: Decimal = Decimal::from_parts(100, 0, 0, false, 0);

/// The most that a price is multiplied by.
const FACTOR_MAX: Decimal = Decimal::from_parts(1_000, 0, 0, false, 0);

/// What was read of a price list.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The models, each with its fields as they are stored: prices as decimal
    /// strings, everything else as it came.
    pub models: BTreeMap<String, Fields>,
    /// Models that were refused, and why.
    pub rejected: BTreeMap<String, String>,
}

/// Text that is not a price list.
#[derive(Debug, thiserror::Error)]
#[error("not a price list: a JSON object of models is expected: {0}")]
pub struct ParseCatalogueError(#[from] serde_json::Error);

/// Reads a price list.
///
/// # Errors
/// [`ParseCatalogueError`] if the whole is not one JSON object. A bad entry is
/// rejected by itself.
pub fn parse(text: &str, allow_implausible: bool) -> Result<Catalogue, ParseCatalogueError> {
    let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
    let mut catalogue = Catalogue::default();
    for (model, entry) in entries {
        if model == SAMPLE {
            continue;
        }
        match parse_entry(entry, allow_implausible) {
            Ok(fields) => {
                catalogue.models.insert(model, fields);
            }
            Err(why) => {
                catalogue.rejected.insert(model, why);
            }
        }
    }
    Ok(catalogue)
}

/// What an import changes.
#[derive(Debug, Default, PartialEq)]
pub struct Difference {
    /// Models that are new.
    pub added: BTreeMap<String, Fields>,
    /// Models whose fields differ from what is stored: before and after.
    pub changed: BTreeMap<String, (Fields, Fields)>,
    /// How many models are as they are stored.
    pub unchanged: usize,
    /// Models that can't be changed, and why.
    pub rejected: BTreeMap<String, String>,
}

/// Prices as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPrices {
    /// From when on they hold.
    pub valid_from: Timestamp,
    /// Their fields.
    pub fields: Fields,
}

impl Catalogue {
    /// Fields that look like prices and are not billed, with the number of
    /// models that have them.
    #[must_use]
    pub fn not_billed(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (model, fields) in &self.models {
            let (price_id, model) = (String::new(), model.clone());
            let record = PriceRecord { price_id, model, valid_from: Timestamp::EPOCH, fields: fields.clone() };
            let names: BTreeSet<String> = Price::of(&record)
                .not_billed
                .iter()
                .map(|path| path.split('.').next().unwrap_or_default().to_owned())
                .collect();
            for name in names {
                *found.entry(name).or_default() += 1;
            }
        }
        found
    }

    /// What is new against what holds at an instant, from which on changes are
    /// to hold. Models that the list lacks stay.
    #[must_use]
    pub fn difference(&self, stored: &BTreeMap<String, StoredPrices>, from: Timestamp) -> Difference {
        let mut difference = Difference { rejected: self.rejected.clone(), ..Difference::default() };
        for (model, fields) in &self.models {
            match stored.get(model) {
                None => drop(difference.added.insert(model.clone(), fields.clone())),
                Some(known) if known.fields == *fields => difference.unchanged += 1,
                Some(known) if known.valid_from == from => {
                    let rule = format!("other prices hold from {from} on; choose another instant");
                    difference.rejected.insert(model.clone(), rule);
                }
                Some(known) => {
                    difference.changed.insert(model.clone(), (known.fields.clone(), fields.clone()));
                }
            }
        }
        difference
    }
}

fn parse_entry(entry: &RawValue, allow_implausible: bool) -> Result<Map<String, Value>, String> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(entry.get()).map_err(|_| "is not an object".to_owned())?;
    let mut stored = Map::new();
    for (name, raw) in fields {
        let value = parse_field(&name, raw, allow_implausible)?;
        if !value.is_null() {
            stored.insert(name, value);
        }
    }
    Ok(stored)
}

/// Whether a field holds what prices are multiplied by, or such fields.
fn is_factor(name: &str) -> bool {
    name.contains("multiplier") && name != EXCLUDES_CACHE
}

/// Whether a field is a price that is billed, or what prices are multiplied by.
#[must_use]
pub fn is_billed(name: &str) -> bool {
    is_factor(name) || Base::of_field(name).is_some()
}

/// The dearest price of a field that is believed.
#[must_use]
pub fn most_plausible(name: &str) -> Decimal {
    if is_factor(name) {
        FACTOR_MAX
    } else if name.contains("token") && !name.contains("_1k_") {
        TOKEN_PRICE_MAX
    } else {
        OTHER_PRICE_MAX
    }
}

/// An object of words for places and speeds, and what prices are multiplied by.
const FACTORS: &str = "provider_specific_entry";

/// Whether a field holds a price, by its name.
fn is_price(name: &str) -> bool {
    // "Cost" alone is in names of features too, such as `supports_cost_…`.
    (name.contains("cost") || name.contains("price")) && !name.starts_with("supports_")
}

fn parse_field(name: &str, raw: &RawValue, allow_implausible: bool) -> Result<Value, String> {
    let text = raw.get().trim();
    match text.as_bytes().first() {
        Some(b'{') if is_price(name) || name.ends_with("_pricing") => {
            parse_nested(name, raw, allow_implausible).map(Value::Object)
        }
        Some(b'[') if name.ends_with("_pricing") => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let bands = items.into_iter().map(|item| parse_nested(name, item, allow_implausible).map(Value::Object));
            bands.collect::<Result<_, _>>().map(Value::Array)
        }
        Some(b'{') if name == FACTORS => parse_factors(raw).map(Value::Object),
        Some(b'-' | b'0'..=b'9') if is_factor(name) => parse_factor(name, text),
        Some(b'"') if is_factor(name) => Err(format!("{name} is not a number")),
        Some(b'-' | b'0'..=b'9') if is_price(name) => {
            let price = parse_price(text).map_err(|why| format!("{name} {why}"))?;
            let limit = most_plausible(name);
            if price > limit && !allow_implausible {
                return Err(format!("{name} {price} is larger than {limit}, which no model costs"));
            }
            Ok(Value::String(price.to_string()))
        }
        Some(b'"') if is_price(name) => Err(format!("{name} is not a number")),
        _ => serde_json::from_str(text).map_err(|error| error.to_string()),
    }
}

fn parse_nested(outer: &str, raw: &RawValue, allow_implausible: bool) -> Result<Map<String, Value>, String> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| format!("{outer} is not made of objects"))?;
    let mut stored = Map::new();
    for (name, raw) in fields {
        // Fields such as `search_context_size_low` hold a price by their place.
        let numeric = raw.get().trim().starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let value = if name == "range" || name == "max_results_range" {
            parse_range(raw)?
        } else if numeric && is_price(outer) && !outer.ends_with("_pricing") {
            parse_field(&format!("{name}_cost"), raw, allow_implausible)?
        } else {
            parse_field(&name, raw, allow_implausible)?
        };
        stored.insert(name, value);
    }
    Ok(stored)
}

/// Numbers are factors; whatever else is there is kept as it is.
fn parse_factors(raw: &RawValue) -> Result<Map<String, Value>, String> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| format!("{FACTORS} is not an object"))?;
    let parsed = fields.into_iter().map(|(name, raw)| {
        let text = raw.get().trim();
        let numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let other = || serde_json::from_str(text).map_err(|error| error.to_string());
        Ok((name.clone(), if numeric { parse_factor(&name, text)? } else { other()? }))
    });
    parsed.collect()
}

fn parse_factor(name: &str, text: &str) -> Result<Value, String> {
    let factor = parse_price(text).map_err(|why| format!("{name} {why}"))?;
    if factor > FACTOR_MAX {
        return Err(format!("{name} {factor} is larger than {FACTOR_MAX}"));
    }
    Ok(Value::String(factor.to_string()))
}

/// The ends of a range, which some lists write as `256000.0`.
fn parse_range(raw: &RawValue) -> Result<Value, String> {
    let ends: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let end = |raw: &&RawValue| {
        let end = parse_price(raw.get()).map_err(|why| format!("range {why}"))?;
        i64::try_from(end).map(Value::from).map_err(|_| "range is not made of whole numbers".to_owned())
    };
    ends.iter().map(end).collect::<Result<_, _>>().map(Value::Array)
}

/// Reads a price from its text, exactly; noise beyond 15 significant digits is
/// rounded away.
fn parse_price(text: &str) -> Result<Decimal, String> {
    let parsed = if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { text.parse() };
    let price = parsed.map_err(|_| format!("{text} is not a number that can be kept exactly"))?;
    if price.is_sign_negative() && !price.is_zero() {
        return Err(format!("{text} is negative"));
    }
    let rounded = price.round_sf_with_strategy(PRICE_DIGITS, RoundingStrategy::MidpointNearestEven);
    Ok(rounded.unwrap_or(price).normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prices_are_read_from_their_text() {
        for (text, price) in [
            ("2.5e-06", "0.0000025"),
            ("5.0000000000000004E-8", "0.00000005"),
            ("2.384185791015625e-08", "0.0000000238418579101562"),
            ("0.0", "0"),
            ("0", "0"),
            ("1e-7", "0.0000001"),
            ("0.04", "0.04"),
        ] {
            assert_eq!(parse_price(text).expect(text).to_string(), price);
        }
        for text in ["-1e-6", "1e-99", "1e99"] {
            assert!(parse_price(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_entry_is_rejected_and_the_rest_is_kept() {
        let list = json!({
            "sample_spec": {"input_cost_per_token": 0},
            "good": {"input_cost_per_token": 1e-6, "mode": "chat", "max_output_tokens": 5, "supports_x": true},
            "per-million": {"input_cost_per_token": 2.5},
            "negative": {"output_cost_per_token": -1e-6},
            "text": {"output_cost_per_token": "cheap"},
            "list": [],
        });
        let catalogue = parse(&list.to_string(), false).expect("a list");
        assert_eq!(catalogue.models.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(
            Value::from(catalogue.models["good"].clone()),
            json!({"input_cost_per_token": "0.000001", "mode": "chat", "max_output_tokens": 5, "supports_x": true})
        );
        assert_eq!(catalogue.rejected.keys().collect::<Vec<_>>(), ["list", "negative", "per-million", "text"]);
        assert!(parse(&list.to_string(), true).expect("a list").models.contains_key("per-million"));
        assert!(parse("[]", false).is_err());
    }

    #[test]
    fn a_second_import_changes_nothing() {
        let (first, later) = (Timestamp::EPOCH, Timestamp::from_micros(1));
        let list = parse(r#"{"a": {"input_cost_per_token": 1e-6}, "b": {"mode": "chat"}}"#, false).expect("a list");
        let stored = |list: &Catalogue| {
            let of = |fields: &Map<String, Value>| StoredPrices { valid_from: first, fields: fields.clone() };
            list.models.iter().map(|(model, fields)| (model.clone(), of(fields))).collect::<BTreeMap<_, _>>()
        };
        let found = list.difference(&BTreeMap::new(), later);
        assert_eq!((found.added.len(), found.changed.len(), found.unchanged), (2, 0, 0));
        let found = list.difference(&stored(&list), later);
        assert_eq!((found.added.len(), found.changed.len(), found.unchanged), (0, 0, 2));
        let dearer = parse(r#"{"a": {"input_cost_per_token": 2e-6}}"#, false).expect("a list");
        let found = dearer.difference(&stored(&list), later);
        assert_eq!(found.changed.keys().collect::<Vec<_>>(), ["a"]);
        let found = dearer.difference(&stored(&list), first);
        assert!(found.changed.is_empty() && found.rejected.contains_key("a"), "at one instant");
    }

    #[test]
    fn nested_prices_are_exact_too() {
        let list = r#"{"m": {
            "tiered_pricing": [{"range": [0, 256000.0], "input_cost_per_token": 5e-08}],
            "off_peak_pricing": {"hours_utc": "16:30-00:30", "input_cost_per_token": 3e-07},
            "search_context_cost_per_query": {"search_context_size_low": 0.03}
        }}"#;
        let catalogue = parse(list, false).expect("a list");
        assert_eq!(
            Value::from(catalogue.models["m"].clone()),
            json!({
                "tiered_pricing": [{"range": [0, 256_000], "input_cost_per_token": "0.00000005"}],
                "off_peak_pricing": {"hours_utc": "16:30-00:30", "input_cost_per_token": "0.0000003"},
                "search_context_cost_per_query": {"search_context_size_low": "0.03"},
            })
        );
    }
}
