//! The worked examples, equal to the last digit, and what holds for all costs.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::markup::Markup;
use super::super::price::PriceRecord;
use super::*;

fn record(fields: &Value) -> Price {
    let text = fields.to_string();
    let list = format!("{{\"m\": {text}}}");
    let catalogue = super::super::catalogue::parse(&list, false).expect("a price list");
    let fields: &Map<String, Value> = catalogue.models.get("m").expect("an accepted record");
    let (price_id, model) = ("p".to_owned(), "m".to_owned());
    Price::of(&PriceRecord { price_id, model, valid_from: Timestamp::EPOCH, fields: fields.clone() })
}

fn usd(text: &str) -> Usd {
    text.parse().expect("money")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// A call of a test.
#[derive(Clone, Debug, Default)]
struct Call {
    counts: Counts,
    kind: &'static str,
    units: Units,
    terms: Terms,
    at: Timestamp,
    lasted_micros: i64,
    additional: Decimal,
}

impl Call {
    fn of(counts: Counts) -> Self {
        Self { counts, ..Self::default() }
    }

    fn of_units(kind: &'static str, units: Units) -> Self {
        Self { kind, units, ..Self::default() }
    }

    fn cost(&self, fields: &Value, markup: &Markup) -> Result<Cost, PriceError> {
        let call = Billable {
            counts: &self.counts,
            units: &self.units,
            terms: &self.terms,
            call_type: self.kind,
            at: self.at,
            lasted_micros: self.lasted_micros,
            additional: self.additional,
        };
        price(&record(fields), &call, markup)
    }

    fn booked(&self, fields: &Value) -> Usd {
        self.cost(fields, &Markup::NONE).expect("a cost").booked().expect("in range")
    }
}

fn booked(fields: &Value, counts: &Counts, terms: &Terms) -> Usd {
    Call { terms: terms.clone(), ..Call::of(*counts) }.booked(fields)
}

fn one(unit: Unit, quantity: &str) -> Units {
    Units::default().with(unit, decimal(quantity))
}

fn plain() -> Value {
    json!({"input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5})
}

#[test]
fn text_is_billed_by_the_token() {
    let standard = Terms::default();
    assert_eq!(booked(&plain(), &Counts::text(1_000, 500), &standard), usd("0.0075"));
    let small = json!({"input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7});
    assert_eq!(booked(&small, &Counts::text(37, 9), &standard), usd("0.00001095"));
    let custom = json!({"input_cost_per_token": 0.000_006, "output_cost_per_token": 0.000_03});
    assert_eq!(booked(&custom, &Counts::text(1_000, 200), &standard), usd("0.012"));
    let embedding = json!({"input_cost_per_token": 2e-8, "mode": "embedding"});
    let call = Call { kind: "embedding", ..Call::of(Counts::text(123_457, 0)) };
    assert_eq!(call.booked(&embedding), usd("0.00246914"));
    let per_request =
        json!({"input_cost_per_request": 0.005, "input_cost_per_token": 0.0, "output_cost_per_token": 2.8e-6});
    assert_eq!(booked(&per_request, &Counts::text(10, 1_000), &standard), usd("0.0078"));
}

#[test]
fn cached_tokens_are_billed_once() {
    let cached = json!({
        "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 1.25e-6,
    });
    let counts = Counts { cache_read: 1_920, ..Counts::text(2_006, 300) };
    assert_eq!(booked(&cached, &counts, &Terms::default()), usd("0.005615"));
    assert_eq!(booked(&plain(), &counts, &Terms::default()), usd("0.008015"), "without a read price: the input price");

    let counts = Counts { cache_read: 257_955, ..Counts::text(262_960, 1_744) };
    let prices = json!({
        "input_cost_per_token": 1.25e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 6.25e-7,
    });
    assert_eq!(booked(&prices, &counts, &Terms::default()), usd("0.184918125"));

    let counts = Counts { cache_read: 27_146, ..Counts::text(27_147, 351) };
    let prices = json!({
        "input_cost_per_token": 1.4e-6, "output_cost_per_token": 4.4e-6, "cache_read_input_token_cost": 2.6e-7,
    });
    assert_eq!(booked(&prices, &counts, &Terms::default()), usd("0.00860376"));
}

#[test]
fn cache_writes_cost_by_their_life() {
    let mut prices = json!({
        "input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5, "cache_read_input_token_cost": 3e-7,
        "cache_creation_input_token_cost": 3.75e-6, "cache_creation_input_token_cost_above_1hr": 6e-6,
    });
    let counts = Counts { cache_read: 17_102, cache_write: 1_500, cache_write_1h: 500, ..Counts::text(9, 200) };
    let counts = counts.with_cache_in_prompt();
    assert_eq!(counts.prompt, 18_611);
    assert_eq!(booked(&prices, &counts, &Terms::default()), usd("0.0149076"));
    prices.as_object_mut().expect("an object").remove("cache_creation_input_token_cost_above_1hr");
    assert_eq!(booked(&prices, &counts, &Terms::default()), usd("0.0137826"));
}

#[test]
fn a_long_prompt_changes_the_price_of_the_whole_request() {
    let prices = json!({
        "input_cost_per_token": 3e-6, "input_cost_per_token_above_200k_tokens": 6e-6,
        "output_cost_per_token": 1.5e-5, "output_cost_per_token_above_200k_tokens": 2.25e-5,
        "cache_read_input_token_cost": 3e-7, "cache_read_input_token_cost_above_200k_tokens": 6e-7,
    });
    let standard = Terms::default();
    let counts = Counts { cache_read: 50_000, ..Counts::text(250_000, 1_000) };
    assert_eq!(booked(&prices, &counts, &standard), usd("1.2525"));
    assert_eq!(booked(&prices, &Counts::text(200_000, 1_000), &standard), usd("0.615"));
    assert_eq!(booked(&prices, &Counts::text(200_001, 1_000), &standard), usd("1.222506"));
}

#[test]
fn reasoning_audio_and_images_have_rates_of_their_own() {
    let standard = Terms::default();
    let prices = json!({"input_cost_per_token": 1.1e-6, "output_cost_per_token": 4.4e-6});
    let counts = Counts { reasoning: 1_024, ..Counts::text(500, 1_200) };
    assert_eq!(booked(&prices, &counts, &standard), usd("0.00583"));
    let prices = json!({
        "input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7, "output_cost_per_reasoning_token": 3.5e-6,
    });
    let counts = Counts { reasoning: 700, ..Counts::text(1_000, 900) };
    assert_eq!(booked(&prices, &counts, &standard), usd("0.00272"));
    let prices = json!({
        "input_cost_per_token": 2.5e-6, "input_cost_per_audio_token": 4e-5,
        "output_cost_per_token": 1e-5, "output_cost_per_audio_token": 8e-5,
    });
    let counts = Counts { input_audio: 1_000, output_audio: 500, ..Counts::text(1_500, 600) };
    assert_eq!(booked(&prices, &counts, &standard), usd("0.08225"));
    let prices = json!({
        "input_cost_per_token": 5e-6, "input_cost_per_image_token": 1e-5, "output_cost_per_image_token": 4e-5,
    });
    let counts = Counts { input_image: 323, output_image: 1_056, ..Counts::text(523, 1_056) };
    assert_eq!(booked(&prices, &counts, &standard), usd("0.04647"));
}

#[test]
fn batches_pay_their_own_price_or_half() {
    let batch = Terms { batch: true, ..Terms::default() };
    let own = json!({
        "input_cost_per_token": 9e-6, "output_cost_per_token": 9e-6,
        "input_cost_per_token_batches": 1.25e-6, "output_cost_per_token_batches": 5e-6,
    });
    assert_eq!(booked(&own, &Counts::text(100_000, 20_000), &batch), usd("0.225"));
    let halved = json!({
        "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 1.25e-6,
    });
    let counts = Counts { cache_read: 20_000, ..Counts::text(100_000, 20_000) };
    assert_eq!(booked(&halved, &counts, &batch), usd("0.2125"));
    let above = json!({
        "input_cost_per_token": 9e-6, "output_cost_per_token": 9e-6,
        "input_cost_per_token_above_200k_tokens_batches": 1.25e-6,
        "output_cost_per_token_above_200k_tokens_batches": 7.5e-6,
    });
    assert_eq!(booked(&above, &Counts::text(300_000, 1_000), &batch), usd("0.3825"));
}

#[test]
fn costs_are_rounded_once_half_to_even() {
    let half = json!({"input_cost_per_token": 5e-10, "output_cost_per_token": 5e-10});
    let standard = Terms::default();
    for (tokens, nanos) in [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)] {
        assert_eq!(booked(&half, &Counts::text(tokens, 0), &standard), Usd::from_nanos(nanos), "{tokens} tokens");
    }
    assert_eq!(booked(&half, &Counts::text(1, 1), &standard), Usd::from_nanos(1), "not once per part");
    let fine = json!({"input_cost_per_token": 3.625e-9});
    assert_eq!(booked(&fine, &Counts::text(1, 0), &standard), usd("0.000000004"));
    let noise: Value = serde_json::from_str(r#"{"input_cost_per_token": 5.0000000000000004E-8}"#).expect("JSON");
    assert_eq!(booked(&noise, &Counts::text(1_000_000, 0), &standard), usd("0.05"));
}

#[test]
fn service_tiers_have_their_prices() {
    let prices = json!({
        "input_cost_per_token": 1.25e-6, "input_cost_per_token_flex": 6.25e-7, "input_cost_per_token_priority": 2.5e-6,
        "output_cost_per_token": 1e-5, "output_cost_per_token_flex": 5e-6, "output_cost_per_token_priority": 2e-5,
        "cache_read_input_token_cost": 1.25e-7, "cache_read_input_token_cost_flex": 6.25e-8,
        "cache_read_input_token_cost_priority": 2.5e-7,
    });
    let counts = Counts { cache_read: 4_000, ..Counts::text(10_000, 2_000) };
    for (tier, cost) in [
        ("", "0.028"),
        ("auto", "0.028"),
        ("standard", "0.028"),
        ("flex", "0.014"),
        ("FLEX", "0.014"),
        ("priority", "0.056"),
        ("fast", "0.056"),
        ("unheard-of", "0.028"),
    ] {
        let terms = Terms { service_tier: tier.to_owned(), ..Terms::default() };
        assert_eq!(booked(&prices, &counts, &terms), usd(cost), "{tier}");
    }
}

#[test]
fn bands_price_by_the_length_of_the_prompt() {
    let prices = json!({"tiered_pricing": [
        {"range": [0, 32_000], "input_cost_per_token": 1.2e-6, "output_cost_per_token": 6e-6},
        {"range": [32_000, 128_000], "input_cost_per_token": 2.4e-6, "output_cost_per_token": 1.2e-5},
    ]});
    for (prompt, cost) in [(40_000, "0.108"), (32_000, "0.0444"), (200_000, "0.492"), (0, "0.006")] {
        assert_eq!(booked(&prices, &Counts::text(prompt, 1_000), &Terms::default()), usd(cost), "{prompt}");
    }
}

#[test]
fn off_peak_hours_are_cheaper() {
    let prices = json!({
        "input_cost_per_token": 6e-7, "output_cost_per_token": 1.2e-6,
        "off_peak_pricing": {"hours_utc": "16:30-00:30", "input_cost_per_token": 3e-7, "output_cost_per_token": 6e-7},
    });
    for (time, cost) in [("16:30:00", "0.0006"), ("00:29:59", "0.0006"), ("16:29:59", "0.0012"), ("00:30:00", "0.0012")]
    {
        let at = Timestamp::try_from(format!("2025-03-05T{time}Z")).expect("an instant");
        assert_eq!(Call { at, ..Call::of(Counts::text(1_000, 500)) }.booked(&prices), usd(cost), "{time}");
    }
}

#[test]
fn inconsistent_counts_are_cut_and_flagged() {
    let prices = json!({
        "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 1.25e-6,
    });
    let counts = Counts { cache_read: 150, ..Counts::text(100, 10) };
    let cost = Call::of(counts).cost(&prices, &Markup::NONE).expect("a cost");
    assert_eq!((cost.booked(), cost.inconsistent), (Some(usd("0.0002875")), true));
}

#[test]
fn a_reservation_expects_the_most() {
    let expected = |fields: &Value, input, output| {
        estimate(&record(fields), input, output, 4_096, Timestamp::EPOCH, &Markup::NONE).expect("an estimate")
    };
    assert_eq!(expected(&plain(), 1_200, None), Some(usd("0.04396")));
    assert_eq!(expected(&plain(), 1_200, Some(10)), Some(usd("0.0031")));
    let mut small = plain();
    small["max_output_tokens"] = json!(100);
    assert_eq!(expected(&small, 1_200, Some(5_000)), Some(usd("0.004")));
    let embedding = json!({"input_cost_per_token": 2e-8, "mode": "embedding"});
    assert_eq!(expected(&embedding, 100, None), Some(usd("0.000002")));
    let half = json!({"input_cost_per_token": 5e-10, "output_cost_per_token": 0.0});
    assert_eq!(expected(&half, 1, Some(0)), Some(Usd::from_nanos(1)), "rounded up");
    let image = json!({"output_cost_per_image": 0.04, "mode": "image_generation"});
    assert_eq!(expected(&image, 10, None), Some(usd("0.04")), "one image");
    let rerank = json!({"input_cost_per_query": 0.002, "mode": "rerank"});
    assert_eq!(expected(&rerank, 10, None), Some(usd("0.002")), "one query");
    let speech = json!({"input_cost_per_character": 0.002, "mode": "audio_speech"});
    assert_eq!(expected(&speech, 10, None), None, "nobody knows how much it will say");
}

#[test]
fn what_has_no_price_is_named() {
    let input_only = json!({"input_cost_per_token": 1e-6});
    let cost = Call::of(Counts::text(10, 5)).cost(&input_only, &Markup::NONE).expect("a cost");
    assert_eq!((cost.unpriced_parts.as_slice(), cost.priced), (&["completion_tokens"][..], true));
    let image = json!({"output_cost_per_image": 0.04, "mode": "image_generation"});
    let cost = Call { kind: "chat", ..Call::of(Counts::text(10, 5)) }.cost(&image, &Markup::NONE).expect("a cost");
    assert_eq!((cost.unpriced_parts.as_slice(), cost.priced), (&["prompt_tokens", "completion_tokens"][..], false));
    let cost =
        Call::of_units("image_generation", one(Unit::Images, "2")).cost(&plain(), &Markup::NONE).expect("a cost");
    assert_eq!((cost.unpriced_parts.as_slice(), cost.priced), (&["images"][..], false));
    let searched = Call { units: one(Unit::WebSearches, "2"), ..Call::of(Counts::text(1_000, 500)) };
    let cost = searched.cost(&plain(), &Markup::NONE).expect("a cost");
    assert_eq!((cost.unpriced_parts.as_slice(), cost.booked()), (&["web_searches"][..], Some(usd("0.0075"))));
    let strange = Call { kind: "telepathy", ..Call::default() };
    assert_eq!(strange.cost(&plain(), &Markup::NONE), Err(PriceError::CallType("telepathy".to_owned())));
}

#[test]
fn images_are_billed_by_the_image_or_by_the_pixel() {
    let two = || Call::of_units("image_generation", one(Unit::Images, "2"));
    assert_eq!(two().booked(&json!({"output_cost_per_image": 0.04})), usd("0.08"));
    assert_eq!(two().booked(&json!({"input_cost_per_image": 0.04, "output_cost_per_image": 0.0})), usd("0.08"));
    let sized = |side, quality: &str| Call {
        units: one(Unit::Images, "1"),
        terms: Terms { image_width: side, image_height: side, image_quality: quality.to_owned(), ..Terms::default() },
        ..two()
    };
    let pixels = json!({"input_cost_per_pixel": 2.4414e-7, "output_cost_per_pixel": 0.0});
    assert_eq!(sized(256, "").booked(&pixels), usd("0.015999959"));
    assert_eq!(sized(1_024, "").booked(&json!({"input_cost_per_pixel": 8.39233e-8})), usd("0.087999958"));
    let by_size =
        json!({"output_cost_per_image": 0.1, "output_cost_per_image_2K": 0.15, "output_cost_per_image_512": 0.05});
    for (side, cost) in [(2_048, "0.15"), (512, "0.05"), (1_024, "0.1")] {
        assert_eq!(sized(side, "").booked(&by_size), usd(cost), "{side}");
    }
    let of_resolution = Call { terms: Terms { resolution: "2K".to_owned(), ..Terms::default() }, ..two() };
    assert_eq!(of_resolution.booked(&by_size), usd("0.3"));
    // A price per image and one per token: one of them.
    let both =
        json!({"input_cost_per_token": 5e-6, "output_cost_per_image": 0.04, "output_cost_per_image_token": 4e-5});
    let counts = Counts { output_image: 1_056, ..Counts::text(200, 1_056) };
    let with_tokens = Call { counts, ..two() };
    assert_eq!(with_tokens.booked(&both), usd("0.04324"));
    assert_eq!(Call { counts: Counts::text(200, 0), ..two() }.booked(&both), usd("0.08"));
}

#[test]
fn sound_is_billed_by_the_second_the_token_or_the_character() {
    let heard = |seconds: &str| Call::of_units("transcription", one(Unit::InputSeconds, seconds));
    assert_eq!(heard("93.4").booked(&json!({"input_cost_per_second": 0.0001})), usd("0.00934"));
    let both = json!({"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001});
    assert_eq!(heard("60").booked(&both), usd("0.006"), "once");
    let zero_output = json!({"input_cost_per_second": 0.000_033_33, "output_cost_per_second": 0.0});
    assert_eq!(heard("120").booked(&zero_output), usd("0.0039996"));
    let output_only = json!({"output_cost_per_second": 0.0001});
    assert_eq!(heard("60").booked(&output_only), usd("0.006"));
    let tokens =
        json!({"input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5, "input_cost_per_second": 0.0001});
    assert_eq!(Call { counts: Counts::text(600, 80), ..heard("60") }.booked(&tokens), usd("0.0023"));
    assert_eq!(heard("60").booked(&tokens), usd("0.006"), "no tokens were reported");
    let said = Call::of_units("speech", one(Unit::InputCharacters, "1234"));
    assert_eq!(said.booked(&json!({"input_cost_per_character": 1.5e-5})), usd("0.01851"));
    let speech = Call::of_units("aspeech", one(Unit::OutputSeconds, "2.5"));
    assert_eq!(speech.booked(&json!({"output_cost_per_second": 0.02})), usd("0.05"));
}

#[test]
fn video_is_billed_by_the_second_of_its_resolution() {
    let prices = json!({"output_cost_per_second": 0.1, "output_cost_per_second_1080p": 0.3});
    let seconds = Call::of_units("video_generation", one(Unit::OutputSeconds, "8"));
    assert_eq!(seconds.booked(&prices), usd("0.8"));
    for (resolution, cost) in [("1080P", "2.4"), ("720p", "0.8")] {
        let terms = Terms { resolution: resolution.to_owned(), ..Terms::default() };
        assert_eq!(Call { terms, ..seconds.clone() }.booked(&prices), usd(cost));
    }
    assert_eq!(seconds.booked(&json!({"output_cost_per_video_per_second": 0.2})), usd("1.6"));
}

#[test]
fn queries_and_pages_are_billed_by_their_number() {
    let rerank = json!({"input_cost_per_query": 0.002, "input_cost_per_token": 0.0, "output_cost_per_token": 0.0});
    assert_eq!(Call::of_units("rerank", one(Unit::Queries, "3")).booked(&rerank), usd("0.006"));
    assert_eq!(Call::of_units("rerank", Units::default()).booked(&rerank), usd("0.002"), "a call asks at least one");
    assert!(!record(&rerank).is_zero);
    let bands = json!({"mode": "search", "tiered_pricing": [
        {"max_results_range": [0, 25], "input_cost_per_query": 0.005},
        {"max_results_range": [26, 100], "input_cost_per_query": 0.025},
    ]});
    for (max_results, cost) in [(0, "0.01"), (25, "0.01"), (26, "0.05"), (500, "0.05")] {
        let terms = Terms { max_results, ..Terms::default() };
        assert_eq!(Call { terms, ..Call::of_units("search", one(Unit::Queries, "2")) }.booked(&bands), usd(cost));
    }
    let ocr = json!({"ocr_cost_per_page": 0.003, "annotation_cost_per_page": 0.01, "ocr_cost_per_page_batches": 0.001});
    let pages = Call::of_units("ocr", one(Unit::Pages, "12"));
    assert_eq!(pages.booked(&ocr), usd("0.036"));
    let batch = Terms { batch: true, ..Terms::default() };
    assert_eq!(Call { terms: batch, ..pages.clone() }.booked(&ocr), usd("0.012"));
    let annotated =
        Call { units: pages.units.with(Unit::AnnotationPages, 2), ..Call::of_units("ocr", Units::default()) };
    assert_eq!(annotated.booked(&ocr), usd("0.056"));
}

#[test]
fn a_model_without_prices_for_tokens_is_billed_by_the_second() {
    let call = Call { lasted_micros: 1_370_000, ..Call::of(Counts::text(10, 5)) };
    assert_eq!(call.booked(&json!({"input_cost_per_second": 0.000_420})), usd("0.0005754"));
    let both = json!({"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0002});
    assert_eq!(call.booked(&both), usd("0.000411"));
    let tokens = json!({"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "input_cost_per_second": 0.01});
    assert_eq!(call.booked(&tokens), usd("0.000015"));
    let failed = Call { lasted_micros: 1_000_000, ..Call::default() };
    assert_eq!(failed.booked(&tokens), Usd::ZERO, "a call without tokens costs none");
}

#[test]
fn media_are_embedded_beside_text() {
    let prices = json!({
        "mode": "embedding", "input_cost_per_token": 1e-6, "input_cost_per_image": 0.0001,
        "input_cost_per_audio_per_second": 0.001, "input_cost_per_video_per_second": 0.002,
    });
    let units = one(Unit::InputImages, "3").with(Unit::InputSeconds, 10);
    let call = Call { counts: Counts::text(100, 0), ..Call::of_units("embedding", units) };
    assert_eq!(call.booked(&prices), usd("0.0104"));
    let video = Call { terms: Terms { resolution: "720p".to_owned(), ..Terms::default() }, ..call };
    assert_eq!(video.booked(&prices), usd("0.0204"));
}

#[test]
fn tools_are_added_and_not_multiplied() {
    let mut prices = plain();
    prices["search_context_cost_per_query"] =
        json!({"search_context_size_low": 0.03, "search_context_size_medium": 0.035, "search_context_size_high": 0.05});
    prices["regional_processing_uplift_multiplier_eu"] = json!(1.1);
    prices["file_search_cost_per_1k_calls"] = json!(2.5);
    let call = Call { units: one(Unit::WebSearches, "2"), ..Call::of(Counts::text(1_000, 500)) };
    assert_eq!(call.booked(&prices), usd("0.0775"));
    let high = Terms { search_context_size: "high".to_owned(), ..Terms::default() };
    assert_eq!(Call { terms: high, ..call.clone() }.booked(&prices), usd("0.1075"));
    let eu = Terms { region: "eu".to_owned(), ..Terms::default() };
    assert_eq!(Call { terms: eu, ..call.clone() }.booked(&prices), usd("0.07825"));
    let calls = Call { units: one(Unit::FileSearchCalls, "3"), ..call.clone() };
    assert_eq!(calls.booked(&prices), usd("0.015"));
    let added = Call { additional: decimal("0.01"), ..call };
    assert_eq!(added.booked(&prices), usd("0.0875"));
}

#[test]
fn region_place_and_speed_multiply() {
    let call = |terms| Call { terms, ..Call::of(Counts::text(1_000, 500)) };
    let mut prices = plain();
    prices["regional_processing_uplift_multiplier_eu"] = json!(1.10);
    let region = |region: &str| Terms { region: region.to_owned(), ..Terms::default() };
    assert_eq!(call(region("eu")).booked(&prices), usd("0.00825"));
    assert_eq!(call(region("us")).booked(&prices), usd("0.0075"));
    let mut endpoint = plain();
    endpoint["regional_endpoint_uplift_multiplier"] = json!(1.1);
    for (name, cost) in [("", "0.0075"), ("global", "0.0075"), ("europe-west1", "0.00825")] {
        assert_eq!(call(region(name)).booked(&endpoint), usd(cost), "{name}");
    }
    let mut geo = json!({
        "input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5, "cache_read_input_token_cost": 3e-7,
        "provider_specific_entry": {"us": 1.1, "fast": 2, "schema": "v2"},
    });
    let terms = Terms { geo: "us".to_owned(), ..Terms::default() };
    let cached = Call { terms, ..Call::of(Counts { cache_read: 17_102, ..Counts::text(17_111, 200) }) };
    assert_eq!(cached.booked(&geo), usd("0.00897336"));
    let fast = Terms { geo: "us".to_owned(), speed: "fast".to_owned(), ..Terms::default() };
    assert_eq!(Call { terms: fast, ..cached.clone() }.booked(&geo), usd("0.01794672"));
    geo["multiplier_excludes_cache"] = json!(true);
    assert_eq!(cached.booked(&geo), usd("0.0084603"));
}

#[test]
fn discount_comes_before_margin() {
    let markup = Markup { discount: decimal("0.05"), margin: decimal("0.1"), fixed: decimal("0.0005") };
    let cost = Call::of(Counts::text(1_000, 500)).cost(&plain(), &markup).expect("a cost");
    assert_eq!((cost.original(), cost.booked()), (Some(decimal("0.0075")), Some(usd("0.0083375"))));
    assert_eq!((cost.discount, cost.margin), (decimal("0.000375"), decimal("0.0012125")));
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let count = || 0_i64..300_000;
    (count(), count(), count(), count(), count()).prop_map(
        |(prompt, completion, cache_read, cache_write, reasoning)| Counts {
            cache_read,
            cache_write,
            reasoning,
            ..Counts::text(prompt, completion)
        },
    )
}

proptest! {
    #[test]
    fn a_cost_is_never_negative(counts in any_counts()) {
        prop_assert!(booked(&plain(), &counts, &Terms::default()) >= Usd::ZERO);
    }

    #[test]
    fn one_more_token_never_costs_less(counts in any_counts()) {
        let more = Counts { completion: counts.completion + 1, prompt: counts.prompt + 1, ..counts };
        prop_assert!(booked(&plain(), &more, &Terms::default()) >= booked(&plain(), &counts, &Terms::default()));
    }

    #[test]
    fn caching_at_the_input_price_changes_nothing(prompt in 0_i64..300_000, permille in 0_i64..=1_000) {
        let cache_read = prompt * permille / 1_000;
        let counts = Counts { cache_read, ..Counts::text(prompt, 7) };
        prop_assert_eq!(
            booked(&plain(), &counts, &Terms::default()),
            booked(&plain(), &Counts::text(prompt, 7), &Terms::default())
        );
    }
}
