//! Prices: what a model costs from an instant on, ready to be applied.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::super::clock::Timestamp;
use super::off_peak::OffPeak;
use super::rates::{Base, Rates};

/// The fields of a price record, as in a price list.
pub type Fields = Map<String, Value>;

/// A price record as it is kept: its fields as in a price list, each price a
/// decimal string.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceRecord {
    /// Names the record in usage events.
    pub price_id: String,
    /// The model's name in the price list.
    pub model: String,
    /// The first instant at which it holds.
    pub valid_from: Timestamp,
    /// Its fields.
    pub fields: Fields,
}

/// Prices of one's own, which go before those of a record, field by field.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnPrices<'a> {
    /// The prices, as a record has them.
    pub fields: &'a Fields,
    /// Whether jobs of the batch interface pay half of them.
    pub batch_discount: bool,
}

/// A stretch of something that a call has, such as the length of its prompt,
/// with rates of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// From here on; see [`Price::bands`] and [`Price::query_bands`].
    pub from: i64,
    /// Up to this, included.
    pub up_to: i64,
    /// Its rates.
    pub rates: Rates,
}

/// What the base price is multiplied by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multipliers {
    /// For calls that are processed in a region.
    pub by_region: BTreeMap<Box<str>, Decimal>,
    /// For calls to the endpoint of any region but `global`.
    pub regional_endpoint: Option<Decimal>,
    /// For calls with a `geo` or a `speed` of this name.
    pub by_word: BTreeMap<Box<str>, Decimal>,
    /// Whether they leave the cache out.
    pub exclude_cache: bool,
}

/// What a model costs from an instant on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    /// Names the record in usage events; of prices of one's own over a record
    /// both, as `own+record`.
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
    /// The prices.
    pub rates: Rates,
    /// Rates by prompt length, instead of the plain ones: for prompts of more
    /// than `from` tokens and at most `up_to`.
    pub bands: Vec<Band>,
    /// Rates of a query by the most results that it may have: `from` to `up_to`.
    pub query_bands: Vec<Band>,
    /// Rates at certain hours, instead of the others.
    pub off_peak: Option<(OffPeak, Rates)>,
    /// What the base price is multiplied by.
    pub multipliers: Multipliers,
    /// Prices that Bursar does not bill, such as those of guardrails.
    pub not_billed: Vec<String>,
    /// Whether there is a price, and each one is 0.
    pub is_zero: bool,
    /// Whether some of it are prices of one's own.
    pub has_own: bool,
}

/// Fields of a record that look like prices and are information only.
const INFORMATION: [&str; 2] = ["input_dbu_cost_per_token", "output_dbu_cost_per_token"];

/// What the name of a region's multiplier begins with.
const REGION: &str = "regional_processing_uplift_multiplier_";

/// A field of a model: its multipliers leave out what is read from or written
/// to a cache.
pub const EXCLUDES_CACHE: &str = "multiplier_excludes_cache";

impl Price {
    /// Applies a record.
    #[must_use]
    pub fn of(record: &PriceRecord) -> Self {
        Self::with_own(record, None)
    }

    /// Applies a record, and prices of one's own before it.
    #[must_use]
    pub fn with_own(record: &PriceRecord, own: Option<&OwnPrices<'_>>) -> Self {
        let empty = Map::new();
        let own_fields = own.map_or(&empty, |own| own.fields);
        let field = |name: &str| own_fields.get(name).or_else(|| record.fields.get(name));
        let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
        let mut price = Self {
            price_id: record.price_id.clone(),
            model: record.model.clone(),
            provider: text("litellm_provider"),
            mode: text("mode"),
            max_output_tokens: field("max_output_tokens").and_then(Value::as_i64).filter(|max| *max > 0),
            valid_from: record.valid_from,
            ..Self::default()
        };
        price.multipliers.exclude_cache = field(EXCLUDES_CACHE).and_then(Value::as_bool).unwrap_or_default();
        let mut seen = Seen::default();
        // Of a price with choices, those are inherited that are not one's own.
        let is_inherited = |name: &String, value: &Value| !own_fields.contains_key(name) || value.is_object();
        let inherited = record.fields.iter().filter(|(name, value)| is_inherited(name, value));
        let own_halves = own.is_some_and(|own| own.batch_discount);
        let fields = own_fields.iter().map(|field| (field, own_halves)).chain(inherited.map(|field| (field, true)));
        for ((name, value), halves) in fields {
            price.take(name, value, halves, &mut seen);
        }
        if own.is_some() {
            price.put_own_first(own_fields);
            price.has_own = own_fields.keys().any(|name| Base::of_field(name).is_some());
            seen = Seen::of(&price);
        }
        price.is_zero = seen.any && !seen.positive;
        price
    }

    /// One's own prices hold at all hours and for prompts of any length.
    fn put_own_first(&mut self, own_fields: &Fields) {
        let bases: Vec<Base> = own_fields.keys().filter_map(|name| Base::of_field(name)).collect();
        let off_peak = self.off_peak.iter_mut().map(|(_, rates)| rates);
        for rates in self.bands.iter_mut().map(|band| &mut band.rates).chain(off_peak) {
            rates.replace(&bases, &self.rates);
        }
        if bases.contains(&Base::Query) {
            self.query_bands.clear();
        }
    }

    fn take(&mut self, name: &str, value: &Value, halves: bool, seen: &mut Seen) {
        match name {
            "tiered_pricing" => {
                self.bands = bands(value, "range", seen);
                self.query_bands = bands(value, "max_results_range", seen);
            }
            "off_peak_pricing" => {
                self.off_peak = OffPeak::parse(value).map(|schedule| (schedule, rates_of(value, seen)));
            }
            "provider_specific_entry" => {
                for (word, factor) in value.as_object().into_iter().flatten() {
                    if let Some(factor) = decimal(factor) {
                        self.multipliers.by_word.insert(word.as_str().into(), factor);
                    }
                }
            }
            "regional_endpoint_uplift_multiplier" => self.multipliers.regional_endpoint = decimal(value),
            _ => self.take_price(name, value, halves, seen),
        }
    }

    fn take_price(&mut self, name: &str, value: &Value, halves: bool, seen: &mut Seen) {
        if let Some(region) = name.strip_prefix(REGION) {
            if let Some(factor) = decimal(value) {
                self.multipliers.by_region.insert(region.into(), factor);
            }
        } else if let Value::Object(choices) = value {
            let base = Base::of_field(name);
            for (choice, usd) in choices {
                let Some(usd) = seen.decimal(usd) else { continue };
                match base {
                    Some(base) => {
                        let size = choice.strip_prefix("search_context_size_").unwrap_or(choice);
                        self.rates.insert_choice(base, size, usd);
                    }
                    None => self.not_billed.push(format!("{name}.{choice}")),
                }
            }
        } else if !INFORMATION.contains(&name)
            && let Some(usd) = seen.decimal(value)
            && !self.rates.insert(name, usd, halves)
        {
            self.not_billed.push(name.to_owned());
        }
    }

    /// Whether anything that is billed has a price.
    #[must_use]
    pub fn is_priced(&self) -> bool {
        !self.rates.is_empty() || !self.bands.is_empty() || !self.query_bands.is_empty()
    }

    /// Whether tokens have a price that is not 0.
    #[must_use]
    pub fn bills_tokens(&self) -> bool {
        let off_peak = self.off_peak.as_ref().is_some_and(|(_, rates)| rates.bills_tokens());
        self.rates.bills_tokens() || off_peak || self.bands.iter().any(|band| band.rates.bills_tokens())
    }
}

/// Whether any price was seen, and any that is not 0.
#[derive(Default)]
struct Seen {
    any: bool,
    positive: bool,
}

impl Seen {
    /// Of what a price has in the end.
    fn of(price: &Price) -> Self {
        let bands = price.bands.iter().chain(&price.query_bands).map(|band| &band.rates);
        let every = bands.chain(price.off_peak.iter().map(|(_, rates)| rates)).chain([&price.rates]);
        let (mut any, mut positive) = (false, false);
        for rates in every {
            any |= !rates.is_empty();
            positive |= rates.has_positive();
        }
        Self { any, positive }
    }

    fn decimal(&mut self, value: &Value) -> Option<Decimal> {
        let usd = decimal(value)?;
        self.any = true;
        self.positive |= !usd.is_zero();
        Some(usd)
    }
}

fn decimal(value: &Value) -> Option<Decimal> {
    value.as_str()?.parse().ok()
}

fn rates_of(value: &Value, seen: &mut Seen) -> Rates {
    let mut rates = Rates::default();
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Some(usd) = seen.decimal(value) {
            rates.insert(name, usd, true);
        }
    }
    rates
}

/// The bands by one measure, the lowest first.
fn bands(value: &Value, measure: &str, seen: &mut Seen) -> Vec<Band> {
    let items = value.as_array().into_iter().flatten();
    let mut bands: Vec<Band> = items
        .filter_map(|band| {
            let range = band.get(measure)?.as_array()?;
            let (from, up_to) = (range.first()?.as_i64()?, range.get(1)?.as_i64()?);
            Some(Band { from, up_to, rates: rates_of(band, seen) })
        })
        .collect();
    bands.sort_by_key(|band| band.from);
    bands
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(fields: &Value) -> PriceRecord {
        let fields = fields.as_object().expect("an object").clone();
        PriceRecord { price_id: "p".to_owned(), model: "m".to_owned(), valid_from: Timestamp::EPOCH, fields }
    }

    #[test]
    fn zero_means_that_every_price_is_zero() {
        for (fields, zero) in [
            (json!({"input_cost_per_token": "0", "output_cost_per_token": "0.0"}), true),
            (json!({"input_cost_per_token": "0", "input_cost_per_query": "0.002"}), false),
            (json!({"input_cost_per_token": "0", "search_context_cost_per_query": {"low": "0.01"}}), false),
            (json!({"input_cost_per_token": "0", "provider_specific_entry": {"us": "1.1"}}), true),
            (json!({"tiered_pricing": [{"range": [0, 5], "input_cost_per_token": "0"}]}), true),
            (json!({"mode": "chat"}), false),
        ] {
            assert_eq!(Price::of(&record(&fields)).is_zero, zero, "{fields}");
        }
    }

    #[test]
    fn prices_of_ones_own_go_first_field_by_field() {
        let record = record(&json!({"input_cost_per_token": "2", "output_cost_per_token": "4", "mode": "chat"}));
        let own = json!({"input_cost_per_token": "1", "mode": "embedding"});
        let own = OwnPrices { fields: own.as_object().expect("an object"), batch_discount: false };
        let price = Price::with_own(&record, Some(&own));
        let batch = super::super::rates::Selector { batch: true, ..Default::default() };
        assert_eq!(price.rates.select(Base::Input, &batch), Some(Decimal::ONE), "not halved");
        assert_eq!(price.rates.select(Base::Output, &batch), Some(Decimal::TWO), "halved");
        assert_eq!(price.mode.as_deref(), Some("embedding"));
        let halved = Price::with_own(&record, Some(&OwnPrices { batch_discount: true, ..own }));
        assert_eq!(halved.rates.select(Base::Input, &batch), Some(Decimal::new(5, 1)));
    }

    #[test]
    fn prices_of_ones_own_hold_in_bands_and_at_night_and_for_their_choice() {
        let record = record(&json!({
            "input_cost_per_token": "2", "output_cost_per_token": "4",
            "tiered_pricing": [{"range": [0, 5], "input_cost_per_token": "8", "output_cost_per_token": "9"}],
            "off_peak_pricing": {"hours_utc": "00:00-00:00", "input_cost_per_token": "7"},
            "search_context_cost_per_query": {"search_context_size_low": "5", "search_context_size_high": "6"},
        }));
        let own =
            json!({"input_cost_per_token": "1", "search_context_cost_per_query": {"search_context_size_low": "3"}});
        let own = OwnPrices { fields: own.as_object().expect("an object"), batch_discount: false };
        let price = Price::with_own(&record, Some(&own));
        let plain = super::super::rates::Selector::default();
        let of = |rates: &Rates, base| rates.select(base, &plain).map(|usd| usd.to_string());
        assert_eq!(of(&price.bands[0].rates, Base::Input).as_deref(), Some("1"));
        assert_eq!(of(&price.bands[0].rates, Base::Output).as_deref(), Some("9"));
        assert_eq!(of(&price.off_peak.as_ref().expect("hours").1, Base::Input).as_deref(), Some("1"));
        let choice = |size| price.rates.choice(Base::WebSearch, size).map(|usd| usd.to_string());
        assert_eq!((choice("low").as_deref(), choice("high").as_deref()), (Some("3"), Some("6")));
        let free = json!({"input_cost_per_token": "0", "output_cost_per_token": "0"});
        let listed = record_with_bands();
        let free = Price::with_own(
            &listed,
            Some(&OwnPrices { fields: free.as_object().expect("an object"), batch_discount: false }),
        );
        assert!(free.is_zero, "the prices of the list are not its own");
    }

    fn record_with_bands() -> PriceRecord {
        record(&json!({
            "tiered_pricing": [{"range": [0, 5], "input_cost_per_token": "8", "output_cost_per_token": "9"}],
        }))
    }

    #[test]
    fn what_is_not_billed_is_named() {
        let price = Price::of(&record(&json!({
            "guardrail_cost_per_unit": {"words": "0.1"}, "some_new_cost": "1", "input_dbu_cost_per_token": "2",
        })));
        assert_eq!(price.not_billed, ["guardrail_cost_per_unit.words", "some_new_cost"]);
        assert!(!price.is_priced());
    }
}
