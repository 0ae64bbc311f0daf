//! `Authorization/Check`: what becomes of a request that goes through Envoy.

use std::collections::HashMap;

use auth::attribute_context::{HttpRequest, Request};
use auth::authorization_client::AuthorizationClient;
use auth::check_response::HttpResponse;
use bursar::pb;
use bursar::pb::envoy::service::auth::v3 as auth;
use pb::ErrorReason;
use prost_types::value::Kind;
use tonic::{Code, Response, Status};

use crate::gateway::settle;
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

/// A request with these headers and this body, on a route with these extensions.
fn request(headers: &[(&str, &str)], body: &str, extensions: &[(&str, &str)]) -> auth::CheckRequest {
    let pairs = |of: &[(&str, &str)]| -> HashMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let http = HttpRequest { method: "POST".into(), headers: pairs(headers), body: body.into(), ..Default::default() };
    let attributes =
        auth::AttributeContext { request: Some(Request { http: Some(http) }), context_extensions: pairs(extensions) };
    auth::CheckRequest { attributes: Some(attributes) }
}

async fn ask(client: &Client, request: auth::CheckRequest) -> Result<Response<auth::CheckResponse>, Status> {
    AuthorizationClient::new(client.transport()).check(request).await
}

/// A call of a key for a model.
async fn call(client: &Client, secret: &str, extensions: &[(&str, &str)]) -> auth::CheckResponse {
    let body = format!(r#"{{"model": "{MODEL}", "max_tokens": 1000, "user": "acme"}}"#);
    let bearer = format!("Bearer {secret}");
    ask(client, request(&[("authorization", &bearer)], &body, extensions)).await.answer()
}

/// The HTTP status of a refusal, its code and its headers.
fn refused(answer: &auth::CheckResponse) -> (i32, String, HashMap<String, String>) {
    assert_ne!(answer.status.as_ref().unwrap().code, Code::Ok as i32);
    match answer.http_response.as_ref().unwrap() {
        HttpResponse::DeniedResponse(denied) => {
            let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
            let headers = denied.headers.iter().filter_map(|option| option.header.clone());
            let headers: HashMap<String, String> = headers.map(|header| (header.key, header.value)).collect();
            assert_eq!(headers["content-type"], "application/json");
            (denied.status.unwrap().code, body["error"]["code"].as_str().unwrap().to_owned(), headers)
        }
        goes_on @ HttpResponse::OkResponse(_) => panic!("{goes_on:?}"),
    }
}

/// The headers of a request that goes on.
fn headers(answer: &auth::CheckResponse) -> (HashMap<String, String>, Vec<String>) {
    assert_eq!(answer.status.as_ref().unwrap().code, Code::Ok as i32);
    match answer.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(ok) => {
            let set = ok.headers.iter().filter_map(|option| option.header.clone());
            (set.map(|header| (header.key, header.value)).collect(), ok.headers_to_remove.clone())
        }
        refused @ HttpResponse::DeniedResponse(_) => panic!("{refused:?}"),
    }
}

fn metadata(answer: &auth::CheckResponse, name: &str) -> Option<String> {
    match answer.dynamic_metadata.as_ref()?.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

on_both! {
    async fn a_request_goes_on_with_who_calls_in_its_headers(world: World) {
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key {
            team_id: Some("red".into()), max_budget: Some("1".into()), model_aliases: [("fast".to_owned(), MODEL.to_owned())].into(), ..Default::default()
        }).await;
        let sidecar = world.sidecar().await;
        let spoofed = request(&[("x-api-key", &secret), ("x-bursar-user-id", "root")], r#"{"model": "fast"}"#, &[]);
        let answer = ask(&sidecar, spoofed).await.answer();
        let (set, removed) = headers(&answer);
        assert_eq!((set["x-bursar-key-id"].as_str(), set["x-bursar-team-id"].as_str(), set["x-bursar-model"].as_str()), (key.key_id.as_str(), "red", MODEL));
        assert!(removed.contains(&"x-bursar-user-id".to_owned()), "what the client says of itself does not go on");
        assert_eq!((metadata(&answer, "team_id").as_deref(), metadata(&answer, "reservation_id")), (Some("red"), None));
        let budgets = answer.dynamic_metadata.unwrap().fields["budgets"].clone();
        assert!(matches!(budgets.kind, Some(Kind::ListValue(list)) if list.values.len() == 1));
    }

    async fn a_route_may_reserve_and_a_sidecar_settle(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("0.015".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let reserve = [("bursar-reserve", "true")];
        let first = call(&sidecar, &secret, &reserve).await;
        let reservation = metadata(&first, "reservation_id").unwrap();
        // 1,000 × 10 USD a million are set aside, and there is no room for as much again.
        let (status, code, _) = refused(&call(&sidecar, &secret, &reserve).await);
        assert_eq!((status, code.as_str()), (429, "BUDGET_EXCEEDED"));
        let settled = settle(&sidecar, &reservation, 400).await;
        assert_eq!(settled.cost, "0.001");
        let event = world.admin.spend().get_usage(pb::GetUsageRequest { request_id: reservation }).await.answer().event.unwrap();
        assert_eq!(event.customer_id, "acme", "the body's user");
        headers(&call(&sidecar, &secret, &reserve).await);
    }

    async fn refusals_are_told_as_clients_expect_them(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:30Z").start().await;
        let sidecar = world.sidecar().await;
        let (blocked, _) = world.key(pb::Key { blocked: Some(true), ..Default::default() }).await;
        let (narrow, _) = world.key(pb::Key { models: vec!["claude*".into()], ..Default::default() }).await;
        let (slow, _) = world.key(pb::Key { rpm_limit: Some(1), ..Default::default() }).await;
        headers(&call(&sidecar, &slow, &[]).await);
        for (secret, status, code) in [
            ("sk-nobody", 401, "KEY_UNKNOWN"),
            // A hash is shown in lists and logs: it is no secret.
            (&"0".repeat(64), 401, "KEY_UNKNOWN"),
            (blocked.as_str(), 403, "KEY_BLOCKED"),
            (narrow.as_str(), 403, "MODEL_NOT_ALLOWED"),
            (slow.as_str(), 429, "RATE_LIMITED"),
        ] {
            let answer = call(&sidecar, secret, &[]).await;
            let (found, reason, headers) = refused(&answer);
            assert_eq!((found, reason.as_str()), (status, code));
            assert_eq!(headers.get("retry-after").map(String::as_str), (code == "RATE_LIMITED").then_some("30"));
        }
        let nothing = pb::Budget { max_budget: Some("0".into()), ..Default::default() };
        let everything = pb::SetScopeBudgetRequest { scope: pb::BudgetScope::Global.into(), budget: Some(nothing), ..Default::default() };
        world.admin.budgets().set_scope_budget(everything).await.answer();
        let (secret, _) = world.key(pb::Key::default()).await;
        let told = call(&sidecar, &secret, &[]).await.status.unwrap().message;
        assert_eq!(told, "the budget of all keys has no room for the call", "and not how much all spent");
        let body = format!(r#"{{"model": "{MODEL}"}}"#);
        let bearer = format!("Bearer {slow}");
        for (headers, body, status, code) in [
            (&[][..], body.as_str(), 401, "KEY_MISSING"),
            (&[("authorization", bearer.as_str())][..], "{}", 400, "BAD_REQUEST"),
            (&[("authorization", bearer.as_str()), ("x-bursar-model", "cheap")], body.as_str(), 400, "BAD_REQUEST"),
            (&[("authorization", bearer.as_str()), ("x-bursar-model", "cheap")], r#"{"model": "\ud800"}"#, 400, "BAD_REQUEST"),
        ] {
            let (found, reason, _) = refused(&ask(&sidecar, request(headers, body, &[])).await.answer());
            assert_eq!((found, reason.as_str()), (status, code));
        }
        assert_eq!(ask(&sidecar, auth::CheckRequest::default()).await.bad()[0].0, "attributes.request.http");
    }

    async fn only_sidecars_and_admins_ask(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        headers(&call(&world.admin, &secret, &[]).await);
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let asked = request(&[("x-api-key", &secret)], r#"{"model": "gpt-4o"}"#, &[]);
        ask(&alice, asked.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        ask(&world.with_key(&secret), asked.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        ask(&world.anonymous(), asked).await.refused(Code::Unauthenticated, ErrorReason::CredentialMissing);
    }

    async fn keys_come_in_the_headers_of_the_setting(backend: Backend) {
        let world = World::builder(backend).set("envoy_key_headers", "[\"X-Goog-Api-Key\"]").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let body = r#"{"model": "gpt-4o"}"#;
        headers(&ask(&sidecar, request(&[("x-goog-api-key", &secret)], body, &[])).await.answer());
        assert_eq!(refused(&ask(&sidecar, request(&[("x-api-key", &secret)], body, &[])).await.answer()).0, 401);
    }
}
