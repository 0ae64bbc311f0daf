//! The worked examples, equal to the last digit, and what holds for all costs.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn record(fields: &Value) -> Price {
    let text = fields.to_string();
    let list = format!("{{\"m\": {text}}}");
    let catalogue = super::super::catalogue::parse(&list, false).expect("a price list");
    let fields: &Map<String, Value> = catalogue.models.get("m").expect("an accepted record");
    Price::from_fields("p".to_owned(), "m".to_owned(), Timestamp::EPOCH, fields)
}

fn usd(text: &str) -> Usd {
    text.parse().expect("money")
}

fn booked(fields: &Value, counts: &Counts, terms: &Terms<'_>) -> Usd {
    price(&record(fields), counts, terms).expect("a cost").booked().expect("in range")
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
    let terms = Terms { call_type: "embedding", ..standard };
    assert_eq!(booked(&embedding, &Counts::text(123_457, 0), &terms), usd("0.00246914"));
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
        let terms = Terms { service_tier: tier, ..Terms::default() };
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
        assert_eq!(booked(&prices, &Counts::text(1_000, 500), &Terms { at, ..Terms::default() }), usd(cost), "{time}");
    }
}

#[test]
fn inconsistent_counts_are_cut_and_flagged() {
    let prices = json!({
        "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 1.25e-6,
    });
    let counts = Counts { cache_read: 150, ..Counts::text(100, 10) };
    let cost = price(&record(&prices), &counts, &Terms::default()).expect("a cost");
    assert_eq!((cost.booked(), cost.inconsistent), (Some(usd("0.0002875")), true));
}

#[test]
fn a_reservation_expects_the_most() {
    let at = Timestamp::EPOCH;
    assert_eq!(estimate(&record(&plain()), 1_200, None, 4_096, at), Ok(usd("0.04396")));
    assert_eq!(estimate(&record(&plain()), 1_200, Some(10), 4_096, at), Ok(usd("0.0031")));
    let mut small = plain();
    small["max_output_tokens"] = json!(100);
    assert_eq!(estimate(&record(&small), 1_200, Some(5_000), 4_096, at), Ok(usd("0.004")));
    let embedding = json!({"input_cost_per_token": 2e-8, "mode": "embedding"});
    assert_eq!(estimate(&record(&embedding), 100, None, 4_096, at), Ok(usd("0.000002")));
    let half = json!({"input_cost_per_token": 5e-10, "output_cost_per_token": 0.0});
    assert_eq!(estimate(&record(&half), 1, Some(0), 4_096, at), Ok(Usd::from_nanos(1)), "rounded up");
}

#[test]
fn what_has_no_price_is_named() {
    let input_only = json!({"input_cost_per_token": 1e-6});
    let cost = price(&record(&input_only), &Counts::text(10, 5), &Terms::default()).expect("a cost");
    assert_eq!(cost.unpriced_parts, ["completion_tokens"]);
    let image = json!({"output_cost_per_image": 0.04, "mode": "image_generation"});
    let error = price(&record(&image), &Counts::text(10, 5), &Terms::default());
    assert_eq!(error, Err(PriceError::OtherUnit("output_cost_per_image".to_owned())));
    let terms = Terms { call_type: "image_generation", ..Terms::default() };
    assert!(matches!(price(&record(&plain()), &Counts::text(1, 1), &terms), Err(PriceError::CallType(_))));
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
