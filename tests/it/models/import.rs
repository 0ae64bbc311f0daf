//! `ImportPrices`: a price list, by the API.

use bursar::pb;
use tonic::Code;

use super::{get, import};
use crate::spend::record;
use crate::support::data::real;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn of(catalogue: &str) -> pb::ImportPricesRequest {
    pb::ImportPricesRequest { catalogue: catalogue.into(), ..Default::default() }
}

on_both! {
    async fn an_import_tells_what_it_changes(world: World) {
        let first = import(&world, r#"{
            "sample_spec": {"input_cost_per_token": 0}, "a": {"input_cost_per_token": 1e-06, "mode": "chat"}, "b": {"input_cost_per_token": 5.0000000000000004E-8},
            "dear": {"input_cost_per_token": 2.5}, "odd": {"guardrail_cost_per_unit": {"words": 0.1}}
        }"#).await;
        assert_eq!((first.added, first.changed, first.unchanged, first.rejected), (3, 0, 0, 1));
        assert_eq!((first.rejections[0].model.as_str(), first.not_billed_fields["guardrail_cost_per_unit"]), ("dear", 1));
        assert_eq!(get(&world, "b", "").await.effective_prices["input_cost_per_token"], "0.00000005");
        let list = r#"{"a": {"input_cost_per_token": 2e-06, "mode": "chat"}, "b": {"input_cost_per_token": 5e-08}}"#;
        let dry = world.admin.models().import_prices(pb::ImportPricesRequest { dry_run: true, ..of(list) }).await.answer();
        assert_eq!((dry.added, dry.changed, dry.unchanged, dry.rejected), (0, 1, 1, 0));
        assert_eq!(get(&world, "a", "").await.effective_prices["input_cost_per_token"], "0.000001", "a dry run changes nothing");
        let second = import(&world, list).await;
        assert_eq!(second, dry);
        let change = &second.changes[0];
        let told = format!("{:?} {:?}", change.before, change.after);
        assert!(change.model == "a" && told.contains("0.000001") && told.contains("0.000002") && !told.contains("mode"), "{told}");
        assert!(get(&world, "a", "").await.prices_valid_from.is_some());
    }

    async fn what_is_no_price_list_is_refused(world: World) {
        for text in ["", "[]", "{", "{\"a\": 1, \"a\": 2"] {
            let bad = world.admin.models().import_prices(of(text)).await.bad();
            assert_eq!(bad, [("catalogue".to_owned(), "PRICE_LIST_MALFORMED".to_owned())], "{text}");
        }
        let large = of(&"x".repeat((8 << 20) + 1));
        assert_eq!(world.admin.models().import_prices(large).await.unwrap_err().code(), Code::InvalidArgument);
    }

    async fn prices_may_hold_from_an_earlier_instant(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z").start().await;
        import(&world, r#"{"m": {"input_cost_per_token": 0.001}}"#).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let cost = |id: &'static str, start: &'static str| {
            let event = pb::UsageEvent { model: "m".into(), start_time: crate::spend::at(start), ..crate::spend::event(id, &secret, 1_000) };
            async { record(&world.admin, vec![event]).await.results[0].cost.clone() }
        };
        assert_eq!(cost("a", "2025-06-05T00:00:00Z").await, "1");
        let since = pb::ImportPricesRequest { valid_from: crate::spend::at("2025-06-04T00:00:00Z"), ..of(r#"{"m": {"input_cost_per_token": 0.002}}"#) };
        assert_eq!(world.admin.models().import_prices(since.clone()).await.answer().changed, 1);
        assert_eq!((cost("b", "2025-06-05T00:00:00Z").await, cost("c", "2025-06-03T00:00:00Z").await), ("2".to_owned(), "1".to_owned()));
        assert_eq!(cost("a", "2025-06-05T00:00:00Z").await, "1", "what was recorded stays");
        let other = pb::ImportPricesRequest { catalogue: r#"{"m": {"input_cost_per_token": 0.003}}"#.into(), ..since };
        let answer = world.admin.models().import_prices(other).await.answer();
        assert_eq!((answer.changed, answer.rejected), (0, 1), "one instant has one price");
    }

    async fn the_real_list_is_imported_by_the_api(world: World) {
        let Some(file) = real("model_prices.json") else { return };
        let text = std::fs::read_to_string(file).unwrap();
        let first = import(&world, &text).await;
        assert!(first.added > 2_500 && first.rejected < 20, "{first:?}");
        assert_eq!(first.not_billed_fields.len(), 4, "{:?}", first.not_billed_fields);
        let second = import(&world, &text).await;
        assert_eq!((second.added, second.changed, second.rejected), (0, 0, first.rejected));
    }
}
