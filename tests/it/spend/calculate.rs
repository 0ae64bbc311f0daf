//! `CalculateCost`: what a usage would cost; records nothing.

use bursar::pb;
use pb::ErrorReason;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Code;

use crate::support::world::{MODEL, World};
use crate::support::{Answer, on_both};

/// A JSON object as it travels.
fn object(json: &serde_json::Value) -> Struct {
    fn value(json: &serde_json::Value) -> Value {
        let kind = match json {
            serde_json::Value::Null => Kind::NullValue(0),
            serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
            serde_json::Value::Number(number) => Kind::NumberValue(number.to_string().parse().unwrap()),
            serde_json::Value::String(text) => Kind::StringValue(text.clone()),
            serde_json::Value::Array(items) => {
                Kind::ListValue(prost_types::ListValue { values: items.iter().map(value).collect() })
            }
            serde_json::Value::Object(_) => Kind::StructValue(object(json)),
        };
        Value { kind: Some(kind) }
    }
    let fields = json.as_object().unwrap();
    Struct { fields: fields.iter().map(|(name, json)| (name.clone(), value(json))).collect() }
}

fn body(json: serde_json::Value) -> pb::CalculateCostRequest {
    pb::CalculateCostRequest { completion_response: Some(object(&json)), ..Default::default() }
}

on_both! {
    async fn usage_and_bodies_of_providers_are_priced(world: World) {
        let usage = pb::UsageEvent {
            prompt_tokens: 1_000, completion_tokens: 100, cache_read_tokens: 400, ..Default::default()
        };
        let by_usage = pb::CalculateCostRequest { model: MODEL.into(), usage: Some(usage), ..Default::default() };
        let openai = body(serde_json::json!({"model": MODEL, "usage": {
            "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100, "prompt_tokens_details": {"cached_tokens": 400}}}));
        for request in [by_usage, openai] {
            let answer = world.admin.spend().calculate_cost(request).await.answer();
            let parts = answer.breakdown.unwrap();
            // 600 × 2.5 + 400 × 1.25 + 100 × 10 USD a million.
            assert_eq!((parts.input.as_str(), parts.cache_read.as_str(), parts.output.as_str()), ("0.0015", "0.0005", "0.001"));
            assert_eq!(answer.cost, "0.003");
            assert!(!answer.price_id.is_empty() && answer.unpriced_parts.is_empty() && !answer.usage_inconsistent);
        }
        // Anthropic counts what was cached apart: 100 × 3 + 1,000 × 0.3 + 10 × 15.
        let anthropic = body(serde_json::json!({"model": "claude-sonnet-4-5", "usage": {
            "input_tokens": 100, "cache_read_input_tokens": 1_000, "cache_creation_input_tokens": 0, "output_tokens": 10}}));
        assert_eq!(world.admin.spend().calculate_cost(anthropic).await.answer().cost, "0.00075");
        assert_eq!(world.store().verify().await.unwrap().events, 0);
    }

    async fn tokens_of_messages_are_counted(world: World) {
        let messages = vec![object(&serde_json::json!({"role": "user", "content": "Hello, world!"}))];
        let request = pb::CalculateCostRequest { model: MODEL.into(), messages, ..Default::default() };
        let answer = world.admin.spend().calculate_cost(request).await.answer();
        let counted = answer.token_count.unwrap();
        assert_eq!((counted.encoding.as_str(), counted.prompt_tokens), ("o200k_base", 11));
        assert_eq!(answer.cost, "0.0000275");
    }

    async fn what_cannot_be_priced_is_refused(world: World) {
        let usage = |event: pb::UsageEvent| pb::CalculateCostRequest { model: MODEL.into(), usage: Some(event), ..Default::default() };
        let calculate = |request| { let client = world.admin.clone(); async move { client.spend().calculate_cost(request).await } };
        let nothing = pb::CalculateCostRequest { model: MODEL.into(), ..Default::default() };
        calculate(nothing).await.refused(Code::InvalidArgument, ErrorReason::UsageRequired);
        let unknown = pb::CalculateCostRequest { model: "dream-1".into(), ..usage(pb::UsageEvent::default()) };
        let status = calculate(unknown).await.refused(Code::FailedPrecondition, ErrorReason::ModelNotPriced);
        assert!(status.message().contains("dream-1"), "{}", status.message());
        let strange = usage(pb::UsageEvent { call_type: "telepathy".into(), ..Default::default() });
        calculate(strange).await.refused(Code::FailedPrecondition, ErrorReason::CallTypeNotPriced);
        let speech = usage(pb::UsageEvent { call_type: "speech".into(), input_characters: 5, ..Default::default() });
        calculate(speech).await.refused(Code::FailedPrecondition, ErrorReason::ModelNotPriced);
        assert_eq!(calculate(usage(pb::UsageEvent { prompt_tokens: -1, ..Default::default() })).await.bad()[0].0, "usage.prompt_tokens");
        let broken = body(serde_json::json!({"model": MODEL, "usage": {"prompt_tokens": 1.5}}));
        assert_eq!(calculate(broken).await.bad()[0].0, "completion_response.usage.prompt_tokens");
        let nameless = body(serde_json::json!({"usage": {"prompt_tokens": 1}}));
        assert_eq!(calculate(nameless).await.bad()[0].0, "model");
    }

    async fn everybody_may_ask(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        for client in [world.with_key(&secret), world.sidecar().await, world.person("alice", pb::Role::InternalUserViewer).await] {
            let usage = pb::UsageEvent { model: MODEL.into(), prompt_tokens: 400, ..Default::default() };
            let request = pb::CalculateCostRequest { usage: Some(usage), ..Default::default() };
            assert_eq!(client.spend().calculate_cost(request).await.answer().cost, "0.001");
        }
    }
}
