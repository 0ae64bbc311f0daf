//! What calls cost: the worked examples, booked and calculated, and the real
//! price list.

use std::collections::{BTreeMap, BTreeSet};

use bursar::domain::clock::Timestamp;
use bursar::domain::pricing::catalogue;
use bursar::domain::pricing::{Billable, Counts, Markup, Price, PriceRecord, Terms, Unit, Units, price};
use bursar::pb;
use rust_decimal::Decimal;

use super::{event, record};
use crate::prices::import;
use crate::support::data::real;
use crate::support::world::{World, parse_instant};
use crate::support::{Answer, Backend, on_both};

/// The models of the examples.
const LIST: &str = r#"{
    "plain": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05},
    "cached": {"input_cost_per_token": 2.5e-06, "cache_read_input_token_cost": 1.25e-06, "output_cost_per_token": 1e-05},
    "writes": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
               "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06},
    "long": {"input_cost_per_token": 3e-06, "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token": 1.5e-05,
             "output_cost_per_token_above_200k_tokens": 2.25e-05},
    "tiers": {"input_cost_per_token": 1.25e-06, "input_cost_per_token_flex": 6.25e-07, "output_cost_per_token": 1e-05,
              "output_cost_per_token_flex": 5e-06, "cache_read_input_token_cost": 1.25e-07, "cache_read_input_token_cost_flex": 6.25e-08},
    "image": {"output_cost_per_image": 0.04, "mode": "image_generation"},
    "hd/1024-x-1024/image": {"output_cost_per_image": 0.08, "mode": "image_generation"},
    "pixel": {"input_cost_per_pixel": 2.4414e-07},
    "whisper": {"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001, "mode": "audio_transcription"},
    "tts": {"input_cost_per_character": 1.5e-05, "mode": "audio_speech"},
    "rerank": {"input_cost_per_query": 0.002, "input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "mode": "rerank"},
    "video": {"output_cost_per_second": 0.10, "mode": "video_generation"},
    "ocr": {"ocr_cost_per_page": 0.003, "mode": "ocr"},
    "seconds": {"input_cost_per_second": 0.000420},
    "uplift": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "regional_processing_uplift_multiplier_eu": 1.1},
    "search": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
               "search_context_cost_per_query": {"search_context_size_medium": 0.035}},
    "bands": {"tiered_pricing": [{"range": [0, 32000], "input_cost_per_token": 1.2e-06, "output_cost_per_token": 6e-06},
                                 {"range": [32000, 128000], "input_cost_per_token": 2.4e-06, "output_cost_per_token": 1.2e-05}]},
    "night": {"input_cost_per_token": 6e-07, "output_cost_per_token": 1.2e-06, "off_peak_pricing":
              {"hours_utc": "16:30-00:30", "input_cost_per_token": 3e-07, "output_cost_per_token": 6e-07}}
}"#;

fn tokens(model: &str, prompt_tokens: i64, completion_tokens: i64) -> pb::UsageEvent {
    pb::UsageEvent { model: model.into(), prompt_tokens, completion_tokens, ..Default::default() }
}

fn instant(text: &str) -> Option<prost_types::Timestamp> {
    let micros = parse_instant(text).micros();
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap();
    Some(prost_types::Timestamp { seconds: micros / 1_000_000, nanos })
}

/// The examples, and what they cost.
fn examples() -> Vec<(pb::UsageEvent, &'static str)> {
    let of = |model: &str, call_type: &str| pb::UsageEvent {
        model: model.into(),
        call_type: call_type.into(),
        ..Default::default()
    };
    vec![
        (tokens("plain", 1_000, 500), "0.0075"),
        (pb::UsageEvent { cache_read_tokens: 1_920, ..tokens("cached", 2_006, 300) }, "0.005615"),
        (pb::UsageEvent { cache_read_tokens: 1_920, ..tokens("plain", 2_006, 300) }, "0.008015"),
        (
            pb::UsageEvent {
                cache_read_tokens: 17_102,
                cache_write_tokens: 1_500,
                cache_write_1h_tokens: 500,
                usage_style: pb::UsageStyle::Exclusive.into(),
                ..tokens("writes", 9, 200)
            },
            "0.0149076",
        ),
        (tokens("long", 200_000, 1_000), "0.615"),
        (tokens("long", 200_001, 1_000), "1.222506"),
        (
            pb::UsageEvent { cache_read_tokens: 4_000, service_tier: "flex".into(), ..tokens("tiers", 10_000, 2_000) },
            "0.014",
        ),
        (pb::UsageEvent { cache_read_tokens: 20_000, batch: true, ..tokens("cached", 100_000, 20_000) }, "0.2125"),
        (pb::UsageEvent { cache_read_tokens: 150, ..tokens("cached", 100, 10) }, "0.0002875"),
        (pb::UsageEvent { images: 2, ..of("image", "image_generation") }, "0.08"),
        (pb::UsageEvent { images: 2, ..of("image", "") }, "0.08"),
        (
            pb::UsageEvent {
                images: 1,
                image_width: 1_024,
                image_height: 1_024,
                image_quality: "hd".into(),
                ..of("image", "image_edit")
            },
            "0.08",
        ),
        (
            pb::UsageEvent { images: 1, image_width: 256, image_height: 256, ..of("pixel", "image_generation") },
            "0.015999959",
        ),
        (pb::UsageEvent { input_seconds: "60".into(), ..of("whisper", "transcription") }, "0.006"),
        (pb::UsageEvent { input_seconds: "93.4".into(), ..of("whisper", "atranscription") }, "0.00934"),
        (pb::UsageEvent { input_characters: 1_234, ..of("tts", "speech") }, "0.01851"),
        (pb::UsageEvent { queries: 3, ..of("rerank", "rerank") }, "0.006"),
        (pb::UsageEvent { output_seconds: "8".into(), ..of("video", "video_generation") }, "0.8"),
        (pb::UsageEvent { pages: 12, ..of("ocr", "ocr") }, "0.036"),
        (
            pb::UsageEvent {
                start_time: instant("2025-06-01T10:00:00Z"),
                end_time: instant("2025-06-01T10:00:01.37Z"),
                ..of("seconds", "chat")
            },
            "0.0005754",
        ),
        (pb::UsageEvent { region: "eu".into(), ..tokens("uplift", 1_000, 500) }, "0.00825"),
        (pb::UsageEvent { web_searches: 2, ..tokens("search", 1_000, 500) }, "0.0775"),
        (tokens("bands", 40_000, 1_000), "0.108"),
        (tokens("bands", 32_000, 1_000), "0.0444"),
        (pb::UsageEvent { start_time: instant("2025-06-01T00:29:59Z"), ..tokens("night", 1_000, 500) }, "0.0006"),
        (pb::UsageEvent { start_time: instant("2025-06-01T00:30:00Z"), ..tokens("night", 1_000, 500) }, "0.0012"),
        (pb::UsageEvent { additional_cost: Some("0.000000001".into()), ..tokens("plain", 1_000, 500) }, "0.007500001"),
    ]
}

on_both! {
    async fn an_event_shows_what_its_cost_is_made_of(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let list_at = async |price: &str| {
            let catalogue = format!(
                r#"{{"m": {{"input_cost_per_token": {price}, "output_cost_per_token": 0.002, "cache_read_input_token_cost": 0.0001}}}}"#
            );
            world
                .admin
                .models()
                .import_prices(pb::ImportPricesRequest { catalogue, ..Default::default() })
                .await
                .answer();
        };
        list_at("0.001").await;
        let of_m = |id: &str| pb::UsageEvent {
            model: "m".into(),
            completion_tokens: 5,
            cache_read_tokens: 4,
            ..event(id, &secret, 10)
        };
        record(&world.admin, vec![of_m("computed"), pb::UsageEvent { cost: Some("1".into()), ..of_m("told") }]).await;
        world.hands().advance(60);
        // A later price does not change what an earlier call was made of.
        list_at("0.005").await;
        let get = |id: &str| {
            let (request, client) = (pb::GetUsageRequest { request_id: id.into() }, world.admin.clone());
            async move { client.spend().get_usage(request).await.answer() }
        };
        let found = get("computed").await;
        let parts = found.breakdown.unwrap();
        assert_eq!(
            (parts.input.as_str(), parts.cache_read.as_str(), parts.output.as_str(), parts.original.as_str()),
            ("0.006", "0.0004", "0.01", "0.0164")
        );
        assert_eq!(found.event.unwrap().cost.as_deref(), Some("0.0164"));
        assert_eq!(get("told").await.breakdown, None, "nobody knows what a told cost is made of");
    }

    async fn the_worked_examples_cost_what_they_should(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        import(&world, LIST).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let mut events = Vec::new();
        for (number, (usage, expected)) in examples().into_iter().enumerate() {
            let at = usage.start_time;
            let request = pb::CalculateCostRequest { usage: Some(usage.clone()), at, ..Default::default() };
            let answer = world.admin.spend().calculate_cost(request).await.answer();
            assert_eq!(answer.cost, expected, "{usage:?}");
            assert!(answer.unpriced_parts.is_empty() && answer.breakdown.is_some(), "{answer:?}");
            events.push(pb::UsageEvent { request_id: format!("example-{number}"), key: secret.clone(), ..usage });
        }
        let answer = record(&world.admin, events.clone()).await;
        for ((result, (usage, expected)), event) in answer.results.iter().zip(examples()).zip(events) {
            assert_eq!(result.cost, expected, "{usage:?}");
            let shown = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: event.request_id.clone() }).await.answer().event.unwrap();
            assert_eq!((shown.cost_source(), shown.cost.as_deref()), (pb::CostSource::Computed, Some(expected)));
            assert!(!shown.price_id.is_empty());
            let told = |event: &pb::UsageEvent| (event.images, event.input_seconds.clone(), event.region.clone(), event.image_width, event.queries, event.additional_cost.clone(), event.service_tier.clone(), event.batch);
            assert_eq!(told(&shown), told(&event), "what was told is kept");
        }
    }

    async fn discounts_and_margins_are_booked(backend: Backend) {
        let world = World::builder(backend)
            .set("cost_discount_config", r#"{ openai = "0.05" }"#)
            .set("cost_margin_config", r#"{ global = { percentage = "0.1", fixed_amount = "0.0005" } }"#)
            .start().await;
        import(&world, LIST).await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("0.0083374".into()), ..Default::default() }).await;
        let used = || pb::UsageEvent { provider: "openai".into(), ..tokens("plain", 1_000, 500) };
        let request = pb::CalculateCostRequest { usage: Some(used()), ..Default::default() };
        let answer = world.admin.spend().calculate_cost(request).await.answer();
        let parts = answer.breakdown.unwrap();
        assert_eq!((answer.cost.as_str(), parts.original.as_str(), parts.discount.as_str(), parts.margin.as_str()), ("0.0083375", "0.0075", "0.000375", "0.0012125"));
        let event = pb::UsageEvent { request_id: "m".into(), key: secret.clone(), ..used() };
        assert_eq!(record(&world.admin, vec![event]).await.results[0].cost, "0.0083375");
        let shown = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: "m".into() }).await.answer().event.unwrap();
        assert_eq!((shown.cost.as_deref(), shown.list_cost.as_deref()), (Some("0.0083375"), Some("0.0075")));
        // A reservation expects the margin, too: 0.0075 alone would fit.
        let (other, _) = world.key(pb::Key { max_budget: Some("0.0083".into()), ..Default::default() }).await;
        let ask = pb::AuthorizeRequest { model: "plain".into(), estimated_input_tokens: Some(1_000), max_output_tokens: Some(500), ..Default::default() };
        let answer = crate::gateway::authorize(&world.with_key(&other), ask).await;
        assert_eq!(answer.decision(), pb::Decision::Deny, "{answer:?}");
    }

    async fn bad_quantities_are_named(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let event = |request_id: &str| pb::UsageEvent { request_id: request_id.into(), key: secret.clone(), ..tokens("plain", 1, 1) };
        let events = vec![
            pb::UsageEvent { images: -1, ..event("a") },
            pb::UsageEvent { input_seconds: "-1".into(), ..event("b") },
            pb::UsageEvent { output_seconds: "1e3".into(), ..event("c") },
            pb::UsageEvent { input_seconds: "0.0000001".into(), ..event("d") },
            pb::UsageEvent { image_width: 1_000_001, ..event("e") },
            pb::UsageEvent { additional_cost: Some("-1".into()), ..event("f") },
            pb::UsageEvent { resolution: "x".repeat(65), ..event("g") },
        ];
        let bad = world.admin.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await.bad();
        let fields: Vec<&str> = bad.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, [
            "events[0].images", "events[1].input_seconds", "events[2].output_seconds", "events[3].input_seconds",
            "events[4].image_width", "events[5].additional_cost", "events[6].resolution",
        ]);
    }
}

/// Some use of whatever a model of a mode can be used for.
fn typical(mode: &str) -> (Counts, Units) {
    let units = |list: &[Unit]| list.iter().fold(Units::default(), |units, unit| units.with(*unit, 10));
    let tokens = Counts { output_image: 500, cache_read: 100, ..Counts::text(1_000, 1_000) };
    match mode {
        "image_generation" | "image_edit" => (tokens, units(&[Unit::Images])),
        "audio_transcription" => (tokens, units(&[Unit::InputSeconds])),
        "audio_speech" => (tokens, units(&[Unit::InputCharacters, Unit::OutputSeconds, Unit::Images])),
        "video_generation" => (tokens, units(&[Unit::OutputSeconds, Unit::Images])),
        "ocr" => (tokens, units(&[Unit::Pages, Unit::Credits])),
        "rerank" | "search" | "vector_store" => (tokens, units(&[Unit::Queries])),
        "embedding" => (tokens, units(&[Unit::InputImages, Unit::InputSeconds])),
        _ => (tokens, units(&[Unit::Images, Unit::InputCharacters, Unit::CodeSessions])),
    }
}

#[test]
fn every_model_of_the_real_list_has_a_cost_or_says_why_not() {
    let Some(file) = real("model_prices.json") else { return };
    let list = catalogue::parse(&std::fs::read_to_string(file).unwrap(), false).unwrap();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let (mut priced, mut free, mut without) = (0, 0, BTreeSet::new());
    for (model, fields) in list.models {
        let record = PriceRecord { price_id: "p".into(), model: model.clone(), valid_from: Timestamp::EPOCH, fields };
        let found = Price::of(&record);
        for field in &found.not_billed {
            *refused.entry(field.split('.').next().unwrap().to_owned()).or_default() += 1;
        }
        let mode = found.mode.clone().unwrap_or_default();
        let (counts, units) = typical(&mode);
        let terms = Terms { image_width: 512, image_height: 512, max_results: 10, ..Terms::default() };
        let call = Billable {
            counts: &counts,
            units: &units,
            terms: &terms,
            call_type: "",
            at: Timestamp::EPOCH,
            lasted_micros: 5_000_000,
            additional: Decimal::ZERO,
        };
        let cost = price(&found, &call, &Markup::NONE).unwrap_or_else(|error| panic!("{model}: {error}"));
        match cost.exact().unwrap() {
            sum if sum > Decimal::ZERO => priced += 1,
            _ if found.is_zero => free += 1,
            _ if found.is_priced() => drop(without.insert(format!("{mode} {model}"))),
            _ => {}
        }
    }
    // Units that no provider's answer reports, or that Bursar does not know.
    assert_eq!(
        refused.into_iter().collect::<Vec<_>>(),
        [
            ("explicit_cache_read_input_token_cost".to_owned(), 5),
            ("guardrail_cost_per_unit".to_owned(), 8),
            ("input_cost_per_video_per_second_above_15s_interval".to_owned(), 2),
            ("input_cost_per_video_per_second_above_8s_interval".to_owned(), 2),
        ]
    );
    assert!(priced > 4_000 && free > 20, "{priced} priced, {free} free");
    // This one has prices for a tier only.
    assert_eq!(without.into_iter().collect::<Vec<_>>(), ["chat fireworks_ai/accounts/fireworks/models/minimax-m2p7"]);
}
