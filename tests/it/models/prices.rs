//! Prices of one's own: by deployment, by time, and where they bind.

use bursar::pb;

use super::{create, get, import, model};
use crate::gateway::{ask, authorize, denial};
use crate::spend::record;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

/// What a call of a thousand tokens costs that is recorded now.
async fn cost(world: &World, id: &str, model: &str, deployment: &str, secret: &str, start: &str) -> String {
    let event = pb::UsageEvent {
        request_id: id.into(),
        key: secret.into(),
        model: "whatever-the-provider-calls-it".into(),
        model_group: model.into(),
        deployment: deployment.into(),
        prompt_tokens: 1_000,
        start_time: crate::spend::at(start),
        ..Default::default()
    };
    record(&world.admin, vec![event]).await.results[0].cost.clone()
}

async fn set_price(world: &World, usd: &str) {
    let request = pb::UpdateModelRequest {
        model: Some(model("m", "eu", &[("input_cost_per_token", usd)])),
        ..Default::default()
    };
    world.admin.models().update_model(request).await.answer();
}

on_both! {
    async fn a_price_of_a_deployment_is_its_own(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        create(&world, model("m", "eu", &[("input_cost_per_token", "0.001")])).await;
        create(&world, model("m", "", &[("input_cost_per_token", "0.002")])).await;
        let start = "2025-06-01T11:00:00Z";
        assert_eq!(cost(&world, "a", "m", "eu", &secret, start).await, "1");
        assert_eq!(cost(&world, "b", "m", "elsewhere", &secret, start).await, "2", "the entry for all others");
        assert_eq!(cost(&world, "c", "n", "eu", &secret, start).await, "0", "another model at the same deployment");
    }

    async fn a_change_never_changes_the_past(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        create(&world, model("m", "eu", &[("input_cost_per_token", "0.001")])).await;
        assert_eq!(cost(&world, "a", "m", "eu", &secret, "2025-05-01T00:00:00Z").await, "1", "the first price holds since ever");
        world.hands().set("2025-06-02T00:00:00Z");
        set_price(&world, "0.003").await;
        assert_eq!(cost(&world, "b", "m", "eu", &secret, "2025-06-01T23:59:59Z").await, "1");
        assert_eq!(cost(&world, "c", "m", "eu", &secret, "2025-06-02T00:00:00Z").await, "3");
        let event = |id: &str| { let request = pb::GetUsageRequest { request_id: id.into() }; async { world.admin.spend().get_usage(request).await.answer().event.unwrap() } };
        assert_eq!(event("a").await.cost.as_deref(), Some("1"));
        assert_ne!(event("a").await.price_id, event("c").await.price_id);
        // Made anew, a model has new prices from then on.
        world.admin.models().delete_models(pb::DeleteModelsRequest { model_names: vec!["m".into()] }).await.answer();
        world.hands().set("2025-06-03T00:00:00Z");
        create(&world, model("m", "eu", &[("input_cost_per_token", "0.005")])).await;
        assert_eq!(cost(&world, "d", "m", "eu", &secret, "2025-06-02T12:00:00Z").await, "3");
        assert_eq!(cost(&world, "e", "m", "eu", &secret, "2025-06-03T00:00:00Z").await, "5");
    }

    async fn a_new_list_price_reaches_the_fields_that_a_model_does_not_set(world: World) {
        import(&world, r#"{"base": {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}}"#).await;
        let named = pb::Model { base_model: "base".into(), ..model("m", "", &[("output_cost_per_token", "0.009")]) };
        create(&world, named).await;
        import(&world, r#"{"base": {"input_cost_per_token": 0.004, "output_cost_per_token": 0.005}}"#).await;
        let shown = get(&world, "m", "").await;
        assert_eq!((shown.effective_prices["input_cost_per_token"].as_str(), shown.effective_prices["output_cost_per_token"].as_str()), ("0.004", "0.009"));
        let usage = pb::UsageEvent { model: "m".into(), prompt_tokens: 1, completion_tokens: 1, ..Default::default() };
        let request = pb::CalculateCostRequest { usage: Some(usage), ..Default::default() };
        let answer = world.admin.spend().calculate_cost(request).await.answer();
        assert_eq!((answer.cost, answer.price_id), ("0.013".to_owned(), shown.price_id));
    }

    async fn a_reservation_covers_the_dearest_deployment(world: World) {
        create(&world, model("m", "cheap", &[("input_cost_per_token", "0.001")])).await;
        create(&world, model("m", "dear", &[("input_cost_per_token", "0.002")])).await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1.5".into()), ..Default::default() }).await;
        let call = |tokens| pb::AuthorizeRequest {
            model: "m".into(), estimated_cost: None, estimated_input_tokens: Some(tokens), max_output_tokens: Some(0), reserve: false, request_id: String::new(), ..ask("", "0")
        };
        let caller = world.with_key(&secret);
        assert_eq!(authorize(&caller, call(750)).await.decision(), pb::Decision::Allow);
        assert_eq!(denial(&authorize(&caller, call(751)).await).0, pb::DenyReason::BudgetExceeded);
    }

    async fn budgets_do_not_bind_a_model_that_is_free_by_its_own_prices(world: World) {
        import(&world, r#"{"paid": {"input_cost_per_token": 0.001, "output_cost_per_token": 0.001}}"#).await;
        let free = [("input_cost_per_token", "0"), ("output_cost_per_token", "0")];
        create(&world, pb::Model { base_model: "paid".into(), ..model("house", "", &free) }).await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("0".into()), ..Default::default() }).await;
        let caller = world.with_key(&secret);
        let call = |name: &str| pb::AuthorizeRequest { model: name.into(), estimated_cost: None, reserve: false, request_id: String::new(), ..ask("", "0") };
        assert_eq!(authorize(&caller, call("house")).await.decision(), pb::Decision::Allow);
        assert_eq!(authorize(&caller, call("paid")).await.decision(), pb::Decision::Deny);
    }

    async fn a_list_may_name_an_access_group(backend: Backend) {
        let world = World::builder(backend).set("deny_unknown_models", "true").start().await;
        create(&world, pb::Model { access_groups: vec!["beta".into()], ..model("new", "", &[]) }).await;
        let (secret, _) = world.key(pb::Key { models: vec!["beta".into()], ..Default::default() }).await;
        let caller = world.with_key(&secret);
        let call = |name: &str| pb::AuthorizeRequest { model: name.into(), ..ask(&format!("call of {name}"), "0") };
        assert_eq!(authorize(&caller, call("new")).await.decision(), pb::Decision::Allow);
        assert_eq!(denial(&authorize(&caller, call("gpt-4o")).await).0, pb::DenyReason::ModelNotAllowed);
        assert_eq!(denial(&authorize(&caller, call("beta")).await).0, pb::DenyReason::ModelUnknown, "a group is no model");
        // A model that joins later is in, at once; one that leaves is out.
        create(&world, pb::Model { access_groups: vec!["beta".into()], ..model("newer", "", &[]) }).await;
        assert_eq!(authorize(&caller, call("newer")).await.decision(), pb::Decision::Allow);
        let request = pb::UpdateModelRequest {
            model: Some(model("new", "", &[])), update_mask: Some(prost_types::FieldMask { paths: vec!["access_groups".into()] }), ..Default::default()
        };
        world.admin.models().update_model(request).await.answer();
        let again = pb::AuthorizeRequest { request_id: "again".into(), ..call("new") };
        assert_eq!(denial(&authorize(&caller, again).await).0, pb::DenyReason::ModelNotAllowed);
    }
}
