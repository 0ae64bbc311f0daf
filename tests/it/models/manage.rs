//! Models are made, changed and deleted.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{create, get, import, model};
use crate::audit::entries;
use crate::support::world::{MODEL, World};
use crate::support::{Answer, on_both};

fn update(model: pb::Model, paths: &[&str]) -> pb::UpdateModelRequest {
    let paths = paths.iter().map(ToString::to_string).collect();
    let update_mask = Some(prost_types::FieldMask { paths });
    pb::UpdateModelRequest { model: Some(model), update_mask, ..Default::default() }
}

on_both! {
    async fn a_model_is_kept_as_it_was_sent(world: World) {
        let sent = pb::Model {
            provider: "azure".into(), provider_model: "gpt-4o-2024".into(), base_model: "gpt-4o".into(),
            access_groups: vec!["beta".into(), "fast ones".into()], mode: Some("chat".into()), max_output_tokens: Some(100),
            batch_discount: Some(true), multiplier_excludes_cache: Some(true),
            ..model("house-4o", "eu-1", &[("input_cost_per_token", "0.0000010"), ("search_context_cost_per_query.search_context_size_low", "0.03")])
        };
        let made = create(&world, sent.clone()).await;
        assert_eq!(made, get(&world, "house-4o", "eu-1").await);
        assert_eq!(made, get(&world, "house-4o", "").await, "the only deployment");
        let mut expected = sent;
        expected.prices.insert("input_cost_per_token".into(), "0.000001".into());
        for (field, found, sent) in [
            ("provider", &made.provider, &expected.provider), ("provider_model", &made.provider_model, &expected.provider_model),
            ("base_model", &made.base_model, &expected.base_model),
        ] {
            assert_eq!(found, sent, "{field}");
        }
        assert_eq!((&made.prices, &made.access_groups, made.mode.as_deref(), made.max_output_tokens), (&expected.prices, &expected.access_groups, Some("chat"), Some(100)));
        assert_eq!((made.source(), made.batch_discount, made.multiplier_excludes_cache), (pb::ModelSource::Registered, Some(true), Some(true)));
        // The rest of the prices is the list's.
        assert_eq!(made.effective_prices["input_cost_per_token"], "0.000001");
        assert_eq!(made.effective_prices["output_cost_per_token"], "0.00001");
        assert!(made.price_id.contains('+') && made.prices_valid_from.is_none(), "{made:?}");
    }

    async fn a_model_of_the_price_list_is_one_too(world: World) {
        let found = get(&world, MODEL, "").await;
        assert_eq!((found.source(), found.provider.as_str(), found.mode.as_deref()), (pb::ModelSource::Catalogue, "openai", Some("chat")));
        assert_eq!(found.effective_prices["input_cost_per_token"], "0.0000025");
        assert!(found.prices.is_empty() && found.etag.is_empty());
        let request = update(pb::Model { provider: "x".into(), ..model(MODEL, "", &[]) }, &["provider"]);
        world.admin.models().update_model(request).await.refused(Code::NotFound, ErrorReason::ModelNotFound);
        let elsewhere = pb::GetModelRequest { model_name: MODEL.into(), deployment: "nowhere".into() };
        world.admin.models().get_model(elsewhere).await.refused(Code::NotFound, ErrorReason::ModelNotFound);
    }

    async fn a_name_and_a_deployment_are_one_models(world: World) {
        create(&world, model("m", "a", &[])).await;
        create(&world, model("m", "b", &[])).await;
        let again = pb::CreateModelRequest { model: Some(model("m", "a", &[])), ..Default::default() };
        let status = world.admin.models().create_model(again.clone()).await.refused(Code::AlreadyExists, ErrorReason::ModelExists);
        assert!(status.message().contains("m@a"), "{}", status.message());
        let which = pb::GetModelRequest { model_name: "m".into(), deployment: String::new() };
        world.admin.models().get_model(which).await.refused(Code::NotFound, ErrorReason::ModelNotFound);
        let once = pb::CreateModelRequest { model: Some(model("n", "a", &[])), request_id: "r".into(), ..Default::default() };
        let first = world.admin.models().create_model(once.clone()).await.answer();
        assert_eq!(world.admin.models().create_model(once).await.answer(), first);
        let other = pb::CreateModelRequest { request_id: "r".into(), ..again };
        world.admin.models().create_model(other).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
    }

    async fn an_update_writes_what_its_mask_names(world: World) {
        let made = create(&world, pb::Model {
            provider: "azure".into(), access_groups: vec!["beta".into()], mode: Some("chat".into()),
            ..model("m", "", &[("input_cost_per_token", "0.001"), ("output_cost_per_token", "0.002")])
        }).await;
        let changed = |request| async { world.admin.models().update_model(request).await.answer().model.unwrap() };
        let one_price = update(model("m", "", &[("input_cost_per_token", "0.003")]), &["prices.input_cost_per_token", "prices.output_cost_per_token", "mode"]);
        let after = changed(one_price).await;
        assert_eq!(after.prices.len(), 1);
        assert_eq!((after.prices["input_cost_per_token"].as_str(), after.mode.as_deref(), after.provider.as_str()), ("0.003", None, "azure"));
        let no_mask = pb::UpdateModelRequest { model: Some(pb::Model { provider: "openai".into(), ..model("m", "", &[]) }), ..Default::default() };
        let after = changed(no_mask).await;
        assert_eq!((after.provider.as_str(), after.prices.len(), after.access_groups.len()), ("openai", 1, 1));
        let cleared = changed(update(model("m", "", &[]), &["prices", "access_groups"])).await;
        assert!(cleared.prices.is_empty() && cleared.access_groups.is_empty());
        let stale = update(pb::Model { etag: made.etag, provider: "x".into(), ..model("m", "", &[]) }, &["provider"]);
        world.admin.models().update_model(stale).await.refused(Code::Aborted, ErrorReason::EtagStale);
        let strange = update(model("m", "", &[]), &["model_name"]);
        assert_eq!(world.admin.models().update_model(strange).await.bad()[0].0, "update_mask");
    }

    async fn bad_fields_are_named_all_at_once(world: World) {
        let bad = pb::Model {
            provider: "p".repeat(257), access_groups: vec!["a*".into()], max_output_tokens: Some(0),
            ..model("all-team-models", &"d".repeat(513), &[("input_cost_per_token", "2.5"), ("price", "1"), ("output_cost_per_token", "-1")])
        };
        let request = pb::CreateModelRequest { model: Some(bad), ..Default::default() };
        let mut found = world.admin.models().create_model(request).await.bad();
        found.sort();
        let reasons: Vec<(&str, &str)> = found.iter().map(|(field, reason)| (field.as_str(), reason.as_str())).collect();
        assert_eq!(reasons, [
            ("model.access_groups[0]", "FIELD_INVALID"), ("model.deployment", "FIELD_INVALID"), ("model.max_output_tokens", "FIELD_INVALID"),
            ("model.model_name", "FIELD_INVALID"), ("model.prices[\"input_cost_per_token\"]", "PRICE_IMPLAUSIBLE"),
            ("model.prices[\"output_cost_per_token\"]", "FIELD_INVALID"), ("model.prices[\"price\"]", "FIELD_INVALID"), ("model.provider", "FIELD_INVALID"),
        ]);
        let meant = pb::CreateModelRequest { model: Some(model("m", "", &[("input_cost_per_token", "2.5")])), allow_implausible: true, ..Default::default() };
        world.admin.models().create_model(meant).await.answer();
    }

    async fn models_are_deleted_all_or_none(world: World) {
        create(&world, model("m", "a", &[])).await;
        create(&world, model("m", "b", &[])).await;
        create(&world, model("n", "", &[])).await;
        let delete = |names: &[&str]| {
            let model_names = names.iter().map(ToString::to_string).collect();
            let client = world.admin.clone();
            async move { client.models().delete_models(pb::DeleteModelsRequest { model_names }).await }
        };
        let status = delete(&["m", "x", "y"]).await.refused(Code::NotFound, ErrorReason::ModelNotFound);
        assert!(status.message().contains("\"x\", \"y\""), "{}", status.message());
        assert_eq!(delete(&["m", "n", "m"]).await.answer().deleted_deployments, 3);
        delete(&["m"]).await.refused(Code::NotFound, ErrorReason::ModelNotFound);
        assert_eq!(delete(&[]).await.bad()[0].0, "model_names");
    }

    async fn every_change_of_a_model_is_in_the_audit_log(world: World) {
        create(&world, model("m", "eu", &[("input_cost_per_token", "0.001")])).await;
        let request = update(model("m", "eu", &[("input_cost_per_token", "0.002")]), &["prices"]);
        world.admin.models().update_model(request).await.answer();
        world.admin.models().delete_models(pb::DeleteModelsRequest { model_names: vec!["m".into()] }).await.answer();
        import(&world, r#"{"new": {"input_cost_per_token": 1e-6}}"#).await;
        let about = |object_type: &str| pb::ListAuditEntriesRequest { object_type: object_type.into(), ..crate::audit::oldest_first() };
        let found = entries(&world.admin, about("model")).await;
        let outline: Vec<_> = found.iter().map(|entry| (entry.object_id.as_str(), entry.action())).collect();
        assert_eq!(outline, [("m@eu", pb::AuditAction::Create), ("m@eu", pb::AuditAction::Update), ("m@eu", pb::AuditAction::Delete)]);
        let change = format!("{:?} {:?}", found[1].before, found[1].after);
        assert!(change.contains("0.001") && change.contains("0.002"), "{change}");
        assert_eq!(entries(&world.admin, about("prices")).await.len(), 2, "the starter list, and the new one");
    }
}
