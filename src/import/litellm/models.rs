//! Rows of LiteLLM's models, in Bursar's terms.

use std::collections::BTreeMap;

use super::super::row::{Fault, Row, decimal};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Violation;
use crate::domain::model::{self, Model};
use crate::domain::pricing::catalogue;

/// A model at a deployment. What it is called by its provider stands there
/// encrypted: it is told by `base_model`, or by its public name.
pub(super) fn model(row: &Row, now: Timestamp) -> Result<Model, Fault> {
    let name = row.name("model_name")?;
    let (params, info) = (Row(row.fields("litellm_params")), Row(row.fields("model_info")));
    if let Some(team) = info.text("team_id") {
        return Err(format!("it is of team {team} alone, and here a model is for all who may call its name"));
    }
    let mut faults: Vec<Violation> = Vec::new();
    model::check_name("model_name", &name, &mut faults);
    // Its parameters override what is known of it.
    let prices: BTreeMap<String, String> = [&info, &params].into_iter().flat_map(prices).collect();
    let model = Model {
        model_name: name,
        deployment: row.name("model_id")?,
        provider: String::new(),
        provider_model: String::new(),
        base_model: info.text("base_model").unwrap_or_default(),
        access_groups: model::take_groups("access_groups", &info.texts("access_groups"), &mut faults),
        prices: model::take_prices("prices", &prices, false, &mut faults),
        mode: info.text("mode"),
        max_output_tokens: info.count("max_output_tokens")?.filter(|most| *most > 0),
        batch_discount: false,
        multiplier_excludes_cache: false,
        metadata: serde_json::Map::new(),
        created_at: row.instant("created_at")?.unwrap_or(now),
        updated_at: now,
        version: 1,
    };
    match faults.first() {
        None => Ok(model),
        Some(fault) => Err(format!("{} {}", fault.field, fault.description)),
    }
}

/// The prices among some fields, as decimals.
fn prices(fields: &Row) -> Vec<(String, String)> {
    let billed = fields.0.iter().filter(|(name, value)| catalogue::is_billed(name) && !value.is_null());
    // What is none is told where prices are taken.
    let usd = |value| decimal(value).map_or_else(|text| text, |usd| usd.normalize().to_string());
    billed.map(|(name, value)| (name.clone(), usd(value))).collect()
}
