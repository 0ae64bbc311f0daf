//! `envoy.service.auth.v3.Authorization/Check`: may this request go on?

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::json;
use tonic::Code;

use super::http::{self, Unreadable};
use super::undecided;
use crate::domain::fault::Violation;
use crate::error::Error;
use crate::pb;
use crate::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use crate::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use crate::pb::envoy::service::auth::v3::check_response::HttpResponse;
use crate::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use crate::pb::envoy::r#type::v3::HttpStatus;
use crate::services::Ctx;
use crate::services::gateway::authorize::authorize;
use crate::services::wire::budget::scope_name;
use crate::services::wire::denial;

/// A refusal as a client of an LLM understands it.
struct Refused {
    http: i32,
    code: String,
    message: String,
    retry_seconds: Option<i64>,
}

/// Decides about a request.
pub(super) async fn check(ctx: Ctx, request: CheckRequest) -> Result<CheckResponse, Error> {
    let attributes = request.attributes.unwrap_or_default();
    let Some(http) = attributes.request.unwrap_or_default().http else {
        return Err(Error::invalid(Violation::new("attributes.request.http", "is required")));
    };
    let asked = match http::read(&http, &attributes.context_extensions, &ctx.app.rules.envoy_key_headers) {
        Ok(asked) => asked,
        Err(unreadable) => return Ok(denied(of_unreadable(&unreadable))),
    };
    match authorize(ctx, asked).await {
        Ok(answer) if answer.decision() == pb::Decision::Allow => Ok(allowed(answer)),
        Ok(answer) => Ok(denied(of_denial(&answer))),
        // What is wrong was written by the client.
        Err(Error::Invalid(violations)) => {
            let wrong = violations.iter().map(|wrong| format!("{} {}", wrong.field, wrong.description));
            Ok(denied(bad_request(&wrong.collect::<Vec<_>>().join("; "))))
        }
        Err(error) => Err(undecided(error)),
    }
}

fn bad_request(message: &str) -> Refused {
    Refused { http: 400, code: "BAD_REQUEST".to_owned(), message: message.to_owned(), retry_seconds: None }
}

fn of_unreadable(unreadable: &Unreadable) -> Refused {
    match unreadable {
        Unreadable::NoKey => Refused {
            http: 401,
            code: "KEY_MISSING".to_owned(),
            message: "the request has no key: send it as a bearer token".to_owned(),
            retry_seconds: None,
        },
        Unreadable::NoModel => bad_request("the request names no model"),
        Unreadable::HeaderAlone => bad_request(
            "the body names no model that can be read; the header x-bursar-model is enough only on routes with \
             bursar-model-header",
        ),
        Unreadable::TwoModels => bad_request("the header x-bursar-model and the body name different models"),
    }
}

fn of_denial(answer: &pb::AuthorizeResponse) -> Refused {
    use pb::DenyReason::{
        BudgetExceeded, KeyExpired, KeyUnknown, ModelUnknown, PriceUnknown, RateLimited, RequiredParamMissing,
    };
    let http = match answer.deny_reason() {
        KeyUnknown | KeyExpired => 401,
        BudgetExceeded | RateLimited => 429,
        RequiredParamMissing | ModelUnknown | PriceUnknown => 400,
        _ => 403,
    };
    Refused {
        http,
        code: denial::name(answer.deny_reason()).to_owned(),
        message: answer.message.clone(),
        // Whole seconds, and none too few.
        retry_seconds: answer.retry_after.as_ref().map(|wait| wait.seconds + i64::from(wait.nanos > 0)),
    }
}

/// The client gets a body like that of an LLM's own errors.
fn denied(refused: Refused) -> CheckResponse {
    let Refused { http, code, message, retry_seconds } = refused;
    let kind = match http {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        _ => "invalid_request_error",
    };
    let body = json!({ "error": { "message": message, "type": kind, "code": code, "param": null } });
    let mut headers = vec![header("content-type", "application/json")];
    headers.extend(retry_seconds.map(|seconds| header("retry-after", &seconds.to_string())));
    let grpc = match http {
        401 => Code::Unauthenticated,
        429 => Code::ResourceExhausted,
        _ => Code::PermissionDenied,
    };
    CheckResponse {
        status: Some(tonic_types::pb::Status { code: grpc.into(), message, details: Vec::new() }),
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: http }),
            headers,
            body: body.to_string(),
        })),
        dynamic_metadata: None,
    }
}

/// The request goes on, with who calls in its headers: none of them is the
/// client's word.
fn allowed(answer: pb::AuthorizeResponse) -> CheckResponse {
    let identity = answer.identity.unwrap_or_default();
    let told = [
        ("x-bursar-key-id", identity.key_id),
        ("x-bursar-user-id", identity.user_id),
        ("x-bursar-team-id", identity.team_id),
        ("x-bursar-organization-id", identity.organization_id),
        ("x-bursar-customer-id", identity.customer_id),
        ("x-bursar-model", answer.resolved_model),
    ];
    let metadata = told.iter().filter(|(_, value)| !value.is_empty());
    let mut fields: Vec<(String, Value)> =
        metadata.map(|(name, value)| (name.trim_start_matches("x-bursar-").replace('-', "_"), text(value))).collect();
    if !answer.reservation_id.is_empty() {
        fields.push(("reservation_id".to_owned(), text(&answer.reservation_id)));
    }
    let budgets = answer.budgets.iter().map(budget).collect();
    fields.push(("budgets".to_owned(), Value { kind: Some(Kind::ListValue(ListValue { values: budgets })) }));
    let (set, unset): (Vec<_>, Vec<_>) = told.into_iter().partition(|(_, value)| !value.is_empty());
    CheckResponse {
        status: Some(tonic_types::pb::Status::default()),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers: set.iter().map(|(name, value)| header(name, value)).collect(),
            headers_to_remove: unset.into_iter().map(|(name, _)| name.to_owned()).collect(),
            response_headers_to_add: Vec::new(),
        })),
        dynamic_metadata: Some(Struct { fields: fields.into_iter().collect() }),
    }
}

fn budget(standing: &pb::BudgetStatus) -> Value {
    let scope = scope_name(standing.scope());
    let mut fields = vec![("scope", text(scope)), ("id", text(&standing.id)), ("spend", text(&standing.spend))];
    fields.extend(standing.max_budget.as_ref().map(|max| ("max_budget", text(max))));
    fields.extend(standing.remaining.as_ref().map(|left| ("remaining", text(left))));
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}
