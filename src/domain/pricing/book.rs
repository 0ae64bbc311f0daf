//! The price book: every price record by model, through time.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::super::clock::Timestamp;
use super::off_peak::OffPeak;
use super::rates::Rates;

/// A stretch of prompt lengths with rates of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// For prompts of more than this many tokens.
    pub above: i64,
    /// And at most this many.
    pub up_to: i64,
    /// Its rates.
    pub rates: Rates,
}

/// One price record: what a model costs from an instant on.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Names the record in usage events.
    pub price_id: String,
    /// The model's name in the price list.
    pub model: String,
    /// Such as `openai`.
    pub provider: Option<String>,
    /// What the model does, such as `chat` or `embedding`.
    pub mode: Option<String>,
    /// The most tokens that the model answers.
    pub max_output_tokens: Option<i64>,
    /// The first instant at which it holds.
    pub valid_from: Timestamp,
    /// The prices that Bursar bills by.
    pub rates: Rates,
    /// Rates by prompt length, instead of the plain ones.
    pub bands: Vec<Band>,
    /// Rates at certain hours, instead of the others.
    pub off_peak: Option<(OffPeak, Rates)>,
    /// Prices in units that Bursar can't bill by yet, such as images.
    pub other_units: Vec<String>,
    /// Whether there is a price, and each one is 0.
    pub is_zero: bool,
}

impl Price {
    /// Reads the fields of a record as they are stored: each price a decimal
    /// string.
    #[must_use]
    pub fn from_fields(price_id: String, model: String, valid_from: Timestamp, fields: &Map<String, Value>) -> Self {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut price = Self {
            price_id,
            model,
            provider: text("litellm_provider"),
            mode: text("mode"),
            max_output_tokens: fields.get("max_output_tokens").and_then(Value::as_i64).filter(|max| *max > 0),
            valid_from,
            rates: Rates::default(),
            bands: Vec::new(),
            off_peak: None,
            other_units: Vec::new(),
            is_zero: false,
        };
        let mut seen = Seen::default();
        for (name, value) in fields {
            match name.as_str() {
                "tiered_pricing" => price.bands = bands(value, &mut seen),
                "off_peak_pricing" => {
                    price.off_peak = OffPeak::parse(value).map(|schedule| (schedule, rates_of(value, &mut seen)));
                }
                _ => price.take(name, value, &mut seen),
            }
        }
        price.is_zero = seen.any && !seen.positive;
        price
    }

    fn take(&mut self, name: &str, value: &Value, seen: &mut Seen) {
        if let Some(usd) = seen.decimal(value) {
            if !self.rates.insert(name, usd) {
                self.other_units.push(name.to_owned());
            }
        } else if let Value::Object(nested) = value {
            nested.values().for_each(|value| {
                seen.decimal(value);
            });
        }
    }

    /// Whether anything has a price.
    #[must_use]
    pub fn is_priced(&self) -> bool {
        !self.rates.is_empty() || !self.bands.is_empty() || !self.other_units.is_empty()
    }

    /// Whether tokens have a price.
    #[must_use]
    pub fn prices_tokens(&self) -> bool {
        self.rates.prices_tokens() || self.bands.iter().any(|band| band.rates.prices_tokens())
    }
}

/// Whether any price was seen, and any that is not 0.
#[derive(Default)]
struct Seen {
    any: bool,
    positive: bool,
}

impl Seen {
    fn decimal(&mut self, value: &Value) -> Option<Decimal> {
        let usd: Decimal = value.as_str()?.parse().ok()?;
        self.any = true;
        self.positive |= !usd.is_zero();
        Some(usd)
    }
}

fn rates_of(value: &Value, seen: &mut Seen) -> Rates {
    let mut rates = Rates::default();
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Some(usd) = seen.decimal(value) {
            rates.insert(name, usd);
        }
    }
    rates
}

/// The bands by prompt length, shortest first. Bands by other measures are not
/// billed.
fn bands(value: &Value, seen: &mut Seen) -> Vec<Band> {
    let mut bands: Vec<Band> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|band| {
            let rates = rates_of(band, seen);
            let range = band.get("range")?.as_array()?;
            Some(Band { above: range.first()?.as_i64()?, up_to: range.get(1)?.as_i64()?, rates })
        })
        .collect();
    bands.sort_by_key(|band| band.above);
    bands
}

/// Every price record by model, each model's by time.
#[derive(Clone, Debug, Default)]
pub struct PriceBook {
    by_model: HashMap<Box<str>, Vec<Price>>,
}

impl PriceBook {
    /// A book of these records, in any order.
    #[must_use]
    pub fn new(prices: impl IntoIterator<Item = Price>) -> Self {
        let mut by_model: HashMap<Box<str>, Vec<Price>> = HashMap::new();
        for price in prices {
            by_model.entry(price.model.as_str().into()).or_default().push(price);
        }
        for history in by_model.values_mut() {
            history.sort_by_key(|price| price.valid_from);
        }
        Self { by_model }
    }

    /// How many models have a record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_model.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_model.is_empty()
    }

    /// The record of a model that holds at an instant: the first name with a
    /// price wins, else the first that is known at all. Names are tried as
    /// `provider/name`, `name`, and `name` without its first path segment;
    /// each exactly, then in lower case.
    #[must_use]
    pub fn find(&self, names: &[&str], provider: &str, at: Timestamp) -> Option<&Price> {
        let mut known = None;
        for name in names {
            let with_provider = (!provider.is_empty()).then(|| format!("{provider}/{name}"));
            let tail = name.split_once('/').map(|(_, tail)| tail);
            for candidate in [with_provider.as_deref(), Some(*name), tail].into_iter().flatten() {
                let price = self.exact(candidate, at).or_else(|| self.exact(&candidate.to_lowercase(), at));
                match price {
                    Some(price) if price.is_priced() => return Some(price),
                    other => known = known.or(other),
                }
            }
        }
        known
    }

    /// The record under exactly this name that holds at an instant.
    #[must_use]
    pub fn exact(&self, model: &str, at: Timestamp) -> Option<&Price> {
        self.by_model.get(model)?.iter().rev().find(|price| price.valid_from <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn price(model: &str, valid_from: i64, fields: &Value) -> Price {
        let fields = fields.as_object().expect("an object");
        Price::from_fields(
            format!("{model}@{valid_from}"),
            model.to_owned(),
            Timestamp::from_micros(valid_from),
            fields,
        )
    }

    #[test]
    fn the_first_name_with_a_price_wins() {
        let book = PriceBook::new([
            price("gpt-x", 0, &json!({"input_cost_per_token": "1"})),
            price("azure/gpt-x", 0, &json!({"input_cost_per_token": "2"})),
            price("azure/bare", 0, &json!({"mode": "chat"})),
            price("bare", 0, &json!({"input_cost_per_token": "3"})),
            price("known", 0, &json!({"mode": "chat"})),
        ]);
        let found = |name: &str, provider: &str| {
            book.find(&[name], provider, Timestamp::EPOCH).map(|price| price.model.as_str())
        };
        assert_eq!(found("gpt-x", ""), Some("gpt-x"));
        assert_eq!(found("gpt-x", "azure"), Some("azure/gpt-x"));
        assert_eq!(found("openai/gpt-x", ""), Some("gpt-x"));
        assert_eq!(found("GPT-X", ""), Some("gpt-x"));
        assert_eq!(found("bare", "azure"), Some("bare"));
        assert_eq!(found("known", ""), Some("known"));
        assert_eq!(found("gpt", ""), None);
    }

    #[test]
    fn an_event_takes_the_price_of_its_time() {
        let book = PriceBook::new([
            price("m", 100, &json!({"input_cost_per_token": "2"})),
            price("m", 0, &json!({"input_cost_per_token": "1"})),
        ]);
        let id = |at| book.find(&["m"], "", Timestamp::from_micros(at)).map(|price| price.price_id.as_str());
        assert_eq!((id(0), id(99), id(100)), (Some("m@0"), Some("m@0"), Some("m@100")));
    }

    #[test]
    fn zero_means_that_every_price_is_zero() {
        for (fields, zero) in [
            (json!({"input_cost_per_token": "0", "output_cost_per_token": "0.0"}), true),
            (json!({"input_cost_per_token": "0", "input_cost_per_query": "0.002"}), false),
            (json!({"input_cost_per_token": "0", "search_context_cost_per_query": {"low": "0.01"}}), false),
            (json!({"mode": "chat"}), false),
        ] {
            assert_eq!(price("m", 0, &fields).is_zero, zero, "{fields}");
        }
    }
}
