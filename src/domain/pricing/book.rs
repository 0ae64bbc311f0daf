//! The price book: every price by model, and by deployment, through time.

use std::borrow::Cow;
use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt};
use serde_json::Value;

use super::super::clock::Timestamp;
use super::price::{Fields, OwnPrices, Price, PriceRecord};
use super::terms::Terms;

/// A registered model, as far as its price depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPricing {
    /// The public name.
    pub model_name: String,
    /// The gateway's deployment; empty for all that have no entry.
    pub deployment: String,
    /// Such as `openai`; may be empty.
    pub provider: String,
    /// The names under which the price list has the model, the first one first.
    pub names: Vec<String>,
    /// Its access groups.
    pub access_groups: Vec<String>,
    /// Whether jobs of the batch interface pay half of its own prices.
    pub batch_discount: bool,
    /// Its own prices through time.
    pub versions: Vec<OwnVersion>,
}

/// What a model's own prices are from an instant on.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnVersion {
    /// From when on.
    pub valid_from: Timestamp,
    /// Names the version in usage events.
    pub price_id: String,
    /// The prices, as a record has them.
    pub fields: Fields,
}

/// A deployment of a registered model.
#[derive(Clone, Debug, PartialEq)]
struct Deployment {
    name: Box<str>,
    provider: Box<str>,
    /// The names under which the price list has the model.
    names: Vec<String>,
    /// Its prices through time, each with the fields that it is made of.
    history: Vec<(Price, Fields)>,
}

impl Deployment {
    fn at(&self, at: Timestamp) -> Option<&(Price, Fields)> {
        self.history.iter().rev().find(|(price, _)| price.valid_from <= at)
    }
}

/// What is looked for in the price book.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup<'a> {
    /// The provider's model, or whatever else names it.
    pub model: &'a str,
    /// The public name.
    pub model_group: &'a str,
    /// The provider; may be empty.
    pub provider: &'a str,
    /// The gateway's deployment; may be empty.
    pub deployment: &'a str,
    /// The provider's region; may be empty.
    pub region: &'a str,
    /// The size of an image in the words of price lists, such as
    /// `1024-x-1024`, and its quality; may be empty.
    pub image: Option<(&'a str, &'a str)>,
}

/// The size of the images of a call in the words of price lists.
#[must_use]
pub fn image_size(terms: &Terms) -> Option<String> {
    (terms.image_width > 0 && terms.image_height > 0).then(|| format!("{}-x-{}", terms.image_width, terms.image_height))
}

/// The prices at which a model may be called.
#[derive(Clone, Debug, PartialEq)]
pub enum Offers<'a> {
    /// Of each deployment that has one.
    Registered(Vec<&'a Price>),
    /// The one of the price list, if that knows the model.
    Listed(Option<&'a Price>),
}

impl<'a> Offers<'a> {
    /// Whether the model is known at all.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Listed(None))
    }

    /// The prices.
    pub fn iter(&self) -> impl Iterator<Item = &'a Price> {
        let (registered, listed) = match self {
            Self::Registered(prices) => (prices.as_slice(), None),
            Self::Listed(price) => (&[][..], price.filter(|price| price.is_priced())),
        };
        registered.iter().copied().chain(listed)
    }
}

/// Every price by model and by deployment, each one's by time.
#[derive(Clone, Debug, Default)]
pub struct PriceBook {
    by_model: HashMap<Box<str>, Vec<Price>>,
    registered: HashMap<Box<str>, Vec<Deployment>>,
    groups: HashMap<Box<str>, Box<[Box<str>]>>,
}

impl PriceBook {
    /// A book of these records and models, in any order.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = PriceRecord>, models: impl IntoIterator<Item = ModelPricing>) -> Self {
        let mut listed: HashMap<Box<str>, Vec<PriceRecord>> = HashMap::new();
        for record in records {
            listed.entry(record.model.as_str().into()).or_default().push(record);
        }
        let mut book = Self::default();
        for (name, history) in &mut listed {
            history.sort_by_key(|record| record.valid_from);
            book.by_model.insert(name.clone(), history.iter().map(Price::of).collect());
        }
        let mut groups: HashMap<Box<str>, BTreeSet<Box<str>>> = HashMap::new();
        for model in models {
            let of_model = groups.entry(model.model_name.as_str().into()).or_default();
            of_model.extend(model.access_groups.iter().map(|group| group.as_str().into()));
            let deployment = Deployment {
                name: model.deployment.as_str().into(),
                provider: model.provider.as_str().into(),
                history: history(&model, &listed),
                names: model.names,
            };
            book.registered.entry(model.model_name.as_str().into()).or_default().push(deployment);
        }
        book.groups = groups.into_iter().map(|(name, groups)| (name, groups.into_iter().collect())).collect();
        book
    }

    /// How many models the price list has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_model.len()
    }

    /// Whether there is no price and no model.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_model.is_empty() && self.registered.is_empty()
    }

    /// The access groups of a public model.
    #[must_use]
    pub fn groups_of(&self, model: &str) -> &[Box<str>] {
        self.groups.get(model).map_or(&[], |groups| groups)
    }

    /// The price that holds at an instant: the deployment's own, else that of
    /// the first name with a price, else of the first that is known at all.
    /// Names are tried as `provider/region/name`, `provider/name`, `name`, and
    /// `name` without its first path segment, of images first with their size
    /// and quality in front; each exactly, then in lower case.
    #[must_use]
    pub fn find(&self, wanted: &Lookup<'_>, at: Timestamp) -> Option<&Price> {
        if !self.registered.is_empty()
            && let Some(price) = self.of_deployment(wanted, at)
        {
            return Some(price);
        }
        let mut known = None;
        for name in [wanted.model, wanted.model_group] {
            if name.is_empty() {
                continue;
            }
            for candidate in candidates(name, wanted) {
                match self.listed(&candidate, at) {
                    Some(price) if price.is_priced() => return Some(price),
                    other => known = known.or(other),
                }
            }
        }
        known
    }

    /// The prices at which a public model may be called: those of all its
    /// deployments if it is registered, else the one of the price list.
    #[must_use]
    pub fn offers(&self, model: &str, model_group: &str, at: Timestamp) -> Offers<'_> {
        if let Some(deployments) = self.registered.get(model) {
            let prices = deployments.iter().filter_map(|deployment| deployment.at(at)).map(|(price, _)| price);
            return Offers::Registered(prices.filter(|price| price.is_priced()).collect());
        }
        // What most calls name is what the list has.
        let is_plain = !self.registered.contains_key(model_group);
        let exact = self.exact(model, at).filter(|price| is_plain && price.is_priced());
        Offers::Listed(exact.or_else(|| self.find(&Lookup { model, model_group, ..Lookup::default() }, at)))
    }

    /// Who may answer calls of a public model with these offers, each once: the
    /// providers of its deployments if it is registered, else that of the list, else
    /// the first part of a name such as `openai/gpt-4o`.
    #[must_use]
    pub fn providers<'a>(&'a self, model: &'a str, offers: &Offers<'a>) -> Vec<&'a str> {
        let deployments = self.registered.get(model).into_iter().flatten();
        let named = deployments.map(|deployment| &*deployment.provider);
        let priced = offers.iter().filter_map(|price| price.provider.as_deref());
        let mut found = Vec::new();
        for provider in named.chain(priced).filter(|provider| !provider.is_empty()) {
            if !found.contains(&provider) {
                found.push(provider);
            }
        }
        // A model that nobody knows may tell by its name.
        if found.is_empty() {
            found.extend(model.split_once('/').map(|(provider, _)| provider));
        }
        found
    }

    fn of_deployment(&self, wanted: &Lookup<'_>, at: Timestamp) -> Option<&Price> {
        let models = [wanted.model_group, wanted.model].into_iter().filter_map(|name| self.registered.get(name));
        let named = |name: &'static str| models.clone().flatten().find(|it| *it.name == *name);
        let exact = models.clone().flatten().find(|it| *it.name == *wanted.deployment);
        let found = exact.or_else(|| named(""))?;
        let (price, _) = found.at(at)?;
        if !price.has_own && (!wanted.region.is_empty() || wanted.image.is_some()) {
            // The list may have a price for the region, or the size of the image.
            let provider = if found.provider.is_empty() { wanted.provider } else { &found.provider };
            let wanted = Lookup { provider, ..*wanted };
            let mut special = found.names.iter().flat_map(|name| candidates(name, &wanted));
            let price = special.find_map(|name| self.listed(&name, at).filter(|price| price.is_priced()));
            return price.or_else(|| found.at(at).map(|(price, _)| price)).filter(|price| price.is_priced());
        }
        Some(price).filter(|price| price.is_priced())
    }

    /// The price of a registered deployment at an instant, and the fields that it
    /// is made of.
    #[must_use]
    pub fn registered(&self, model: &str, deployment: &str, at: Timestamp) -> Option<(&Price, &Fields)> {
        let deployments = self.registered.get(model)?;
        let found = deployments.iter().find(|it| *it.name == *deployment)?;
        found.at(at).map(|(price, fields)| (price, fields))
    }

    fn listed(&self, name: &str, at: Timestamp) -> Option<&Price> {
        self.exact(name, at).or_else(|| self.exact(&name.to_lowercase(), at))
    }

    /// The price under exactly this name of the price list.
    #[must_use]
    pub fn exact(&self, model: &str, at: Timestamp) -> Option<&Price> {
        valid(self.by_model.get(model)?, at)
    }
}

/// The last one that holds at an instant.
fn valid(history: &[Price], at: Timestamp) -> Option<&Price> {
    history.iter().rev().find(|price| price.valid_from <= at)
}

/// The names under which a price list may have a model.
fn candidates<'a>(name: &'a str, wanted: &Lookup<'_>) -> Vec<Cow<'a, str>> {
    let mut plain: Vec<Cow<'a, str>> = Vec::with_capacity(4);
    if !wanted.provider.is_empty() {
        if !wanted.region.is_empty() {
            plain.push(format!("{}/{}/{name}", wanted.provider, wanted.region).into());
        }
        plain.push(format!("{}/{name}", wanted.provider).into());
    }
    plain.push(name.into());
    if let Some((_, tail)) = name.split_once('/') {
        plain.push(tail.into());
    }
    let Some((size, quality)) = wanted.image else { return plain };
    let mut all = Vec::with_capacity(3 * plain.len());
    for prefix in
        [(!quality.is_empty()).then(|| format!("{quality}/{size}")), Some(size.to_owned())].into_iter().flatten()
    {
        for name in &plain {
            // Some lists have the provider before the size.
            if let Some((provider, model)) = name.split_once('/') {
                all.push(format!("{provider}/{prefix}/{model}").into());
            }
            all.push(format!("{prefix}/{name}").into());
        }
    }
    all.extend(plain);
    all
}

/// The prices of a deployment through time: its own over those of the price
/// list, a piece for each time that either changes.
fn history(model: &ModelPricing, listed: &HashMap<Box<str>, Vec<PriceRecord>>) -> Vec<(Price, Fields)> {
    let wanted = Lookup { provider: &model.provider, ..Lookup::default() };
    let names = model.names.iter().flat_map(|name| candidates(name, &wanted));
    let known: Vec<&Vec<PriceRecord>> =
        names.filter_map(|name| listed.get(&*name).or_else(|| listed.get(&*name.to_lowercase()))).collect();
    let is_priced = |records: &&&Vec<PriceRecord>| records.iter().any(|record| Price::of(record).is_priced());
    let found = known.iter().find(is_priced).or(known.first());
    let records: &[PriceRecord] = found.map_or(&[], |records| records);
    let borders: BTreeSet<Timestamp> = model
        .versions
        .iter()
        .map(|version| version.valid_from)
        .chain(records.iter().map(|record| record.valid_from))
        .collect();
    let pieces = borders.into_iter().map(|from| {
        let own = model.versions.iter().filter(|own| own.valid_from <= from).max_by_key(|own| own.valid_from);
        let record = records.iter().rev().find(|record| record.valid_from <= from);
        piece(model, from, own, record)
    });
    pieces.collect()
}

fn piece(
    model: &ModelPricing,
    from: Timestamp,
    own: Option<&OwnVersion>,
    record: Option<&PriceRecord>,
) -> (Price, Fields) {
    let ids: Vec<&str> = own
        .filter(|own| !own.fields.is_empty())
        .map(|own| own.price_id.as_str())
        .into_iter()
        .chain(record.map(|record| record.price_id.as_str()))
        .collect();
    let base = PriceRecord {
        price_id: ids.join("+"),
        model: record.map_or_else(|| model.model_name.clone(), |record| record.model.clone()),
        valid_from: from,
        fields: record.map(|record| record.fields.clone()).unwrap_or_default(),
    };
    let own = own.map(|own| OwnPrices { fields: &own.fields, batch_discount: model.batch_discount });
    let mut price = Price::with_own(&base, own.as_ref());
    if !model.provider.is_empty() {
        price.provider = Some(model.provider.clone());
    }
    let mut fields = base.fields;
    for (name, value) in own.into_iter().flat_map(|own| own.fields) {
        match (fields.get_mut(name), value) {
            // Of a price with choices the others stay.
            (Some(Value::Object(all)), Value::Object(some)) => {
                all.extend(some.iter().map(|(choice, usd)| (choice.clone(), usd.clone())));
            }
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    (price, fields)
}

#[cfg(test)]
pub(in crate::domain) mod tests {
    use super::*;
    use serde_json::json;

    fn record(model: &str, valid_from: i64, fields: &Value) -> PriceRecord {
        PriceRecord {
            price_id: format!("{model}@{valid_from}"),
            model: model.to_owned(),
            valid_from: Timestamp::from_micros(valid_from),
            fields: fields.as_object().expect("an object").clone(),
        }
    }

    fn priced(model: &str, usd: &str) -> PriceRecord {
        record(model, 0, &json!({"input_cost_per_token": usd}))
    }

    /// A book that knows only which models are in which access groups.
    pub(in crate::domain) fn book_of_groups(models: &[(&str, &[&str])]) -> PriceBook {
        let in_groups = |(name, groups): &(&str, &[&str])| ModelPricing {
            model_name: (*name).to_owned(),
            access_groups: groups.iter().map(ToString::to_string).collect(),
            ..deployment("", &[])
        };
        PriceBook::new([], models.iter().map(in_groups))
    }

    fn deployment(deployment: &str, versions: &[(i64, Value)]) -> ModelPricing {
        let version = |(at, fields): &(i64, Value)| OwnVersion {
            valid_from: Timestamp::from_micros(*at),
            price_id: format!("own@{at}"),
            fields: fields.as_object().expect("an object").clone(),
        };
        ModelPricing {
            model_name: "fast".to_owned(),
            deployment: deployment.to_owned(),
            provider: "azure".to_owned(),
            names: vec!["gpt-x".to_owned()],
            access_groups: vec!["beta".to_owned()],
            batch_discount: false,
            versions: versions.iter().map(version).collect(),
        }
    }

    #[test]
    fn the_first_name_with_a_price_wins() {
        let book = PriceBook::new(
            [
                priced("gpt-x", "1"),
                priced("azure/gpt-x", "2"),
                priced("azure/eu/gpt-x", "4"),
                record("azure/bare", 0, &json!({"mode": "chat"})),
                priced("bare", "3"),
                record("known", 0, &json!({"mode": "chat"})),
                priced("hd/1024-x-1024/dall-e", "5"),
                priced("1024-x-1024/dall-e", "6"),
                priced("azure/hd/1024-x-1024/dall-e", "7"),
            ],
            [],
        );
        let found = |wanted: Lookup<'_>| book.find(&wanted, Timestamp::EPOCH).map(|price| price.model.as_str());
        let named = |model, provider| Lookup { model, provider, ..Lookup::default() };
        assert_eq!(found(named("gpt-x", "")), Some("gpt-x"));
        assert_eq!(found(named("gpt-x", "azure")), Some("azure/gpt-x"));
        assert_eq!(found(Lookup { region: "eu", ..named("gpt-x", "azure") }), Some("azure/eu/gpt-x"));
        assert_eq!(found(Lookup { region: "us", ..named("gpt-x", "azure") }), Some("azure/gpt-x"));
        assert_eq!(found(named("openai/gpt-x", "")), Some("gpt-x"));
        assert_eq!(found(named("GPT-X", "")), Some("gpt-x"));
        assert_eq!(found(named("bare", "azure")), Some("bare"));
        assert_eq!(found(named("known", "")), Some("known"));
        assert_eq!(found(named("gpt", "")), None);
        let image = |quality, provider| Lookup { image: Some(("1024-x-1024", quality)), ..named("dall-e", provider) };
        assert_eq!(found(image("hd", "")), Some("hd/1024-x-1024/dall-e"));
        assert_eq!(found(image("", "")), Some("1024-x-1024/dall-e"));
        assert_eq!(found(image("hd", "azure")), Some("azure/hd/1024-x-1024/dall-e"));
    }

    #[test]
    fn an_event_takes_the_price_of_its_time() {
        let book = PriceBook::new(
            [
                record("m", 100, &json!({"input_cost_per_token": "2"})),
                record("m", 0, &json!({"input_cost_per_token": "1"})),
            ],
            [],
        );
        let wanted = Lookup { model: "m", ..Lookup::default() };
        let id = |at| book.find(&wanted, Timestamp::from_micros(at)).map(|price| price.price_id.as_str());
        assert_eq!((id(0), id(99), id(100)), (Some("m@0"), Some("m@0"), Some("m@100")));
    }

    #[test]
    fn a_registered_model_has_the_prices_of_its_region_and_of_its_images() {
        let records = ["gpt-x", "azure/eu/gpt-x", "hd/8-x-8/gpt-x"].map(|name| priced(name, "1"));
        let own = [(0, json!({"output_cost_per_token": "9"}))];
        let book = PriceBook::new(records, [deployment("list", &[]), deployment("own", &own)]);
        let found = |deployment, region, image| {
            let wanted = Lookup { model_group: "fast", deployment, region, image, ..Lookup::default() };
            book.find(&wanted, Timestamp::EPOCH).map(|price| price.model.as_str())
        };
        assert_eq!(found("list", "", None), Some("gpt-x"));
        assert_eq!(found("list", "eu", None), Some("azure/eu/gpt-x"));
        assert_eq!(found("list", "us", None), Some("gpt-x"));
        assert_eq!(found("list", "", Some(("8-x-8", "hd"))), Some("hd/8-x-8/gpt-x"));
        assert_eq!(found("own", "eu", None), Some("gpt-x"), "its own prices hold everywhere");
    }

    #[test]
    fn a_deployment_has_its_own_prices_over_those_of_the_list_through_time() {
        let records = [
            record("azure/gpt-x", 0, &json!({"input_cost_per_token": "1", "mode": "chat"})),
            record("azure/gpt-x", 200, &json!({"input_cost_per_token": "2", "mode": "chat"})),
        ];
        let models = [
            deployment("eu-1", &[(100, json!({"output_cost_per_token": "9"})), (300, json!({}))]),
            deployment("", &[]),
        ];
        let book = PriceBook::new(records, models);
        let id = |deployment, at| {
            let wanted = Lookup { model: "whatever", model_group: "fast", deployment, ..Lookup::default() };
            book.find(&wanted, Timestamp::from_micros(at)).map(|price| price.price_id.as_str())
        };
        assert_eq!(id("eu-1", 0), Some("azure/gpt-x@0"));
        assert_eq!(id("eu-1", 100), Some("own@100+azure/gpt-x@0"));
        assert_eq!(id("eu-1", 200), Some("own@100+azure/gpt-x@200"));
        assert_eq!(id("eu-1", 300), Some("azure/gpt-x@200"));
        assert_eq!(id("elsewhere", 300), Some("azure/gpt-x@200"), "the entry without a deployment");
        let bare = record("azure/gpt-x", 0, &json!({"mode": "chat"}));
        let book_of_bare = PriceBook::new([bare, priced("gpt-x", "3")], [deployment("", &[])]);
        assert_eq!(book_of_bare.offers("fast", "", Timestamp::EPOCH).iter().count(), 1, "the first name with a price");
        assert_eq!(book.groups_of("fast").iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["beta"]);
        assert_eq!(book.offers("fast", "fast", Timestamp::from_micros(100)).iter().count(), 2);
        assert_eq!(book.offers("azure/gpt-x", "", Timestamp::EPOCH).iter().count(), 1);
        assert!(!book.offers("nobody", "", Timestamp::EPOCH).is_known());
    }
}
