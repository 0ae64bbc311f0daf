//! What a model call says that goes through Envoy: its headers, what the route
//! adds to them, and its body, if Envoy sends it along.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::pb;
use crate::pb::envoy::service::auth::v3::attribute_context::HttpRequest;

/// The headers in which a call says more than its body.
const MODEL: &str = "x-bursar-model";
const CUSTOMER: &str = "x-bursar-customer-id";
const TAGS: &str = "x-bursar-tags";

/// About how many bytes of JSON are a token.
const BYTES_PER_TOKEN: usize = 4;

/// A call that can't be judged as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// None of the headers has a key.
    NoKey,
    /// Nothing says which model is called.
    NoModel,
    /// The header and the body say different ones.
    TwoModels,
    /// Only the header says it, and the route does not let it.
    HeaderAlone,
}

/// A model call as an authorisation asks about it. `extensions` are those of the
/// route, which nobody but Envoy's operator writes.
pub(super) fn read(
    http: &HttpRequest,
    extensions: &HashMap<String, String>,
    key_headers: &[String],
) -> Result<pb::AuthorizeRequest, Unreadable> {
    let key = key_headers.iter().find_map(|name| key_in(http, name)).ok_or(Unreadable::NoKey)?;
    let body = body_of(http);
    let said = |name: &str| body.as_ref().and_then(|body| body.get(name)).and_then(Value::as_str);
    let header = |name: &str| http.headers.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let extension = |name: &str| extensions.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let route = extension("bursar-model");
    let by_header = extension("bursar-model-header") == Some("true");
    let model = match (route, header(MODEL), said("model")) {
        (Some(route), _, _) => route,
        // Whoever pays for a small model must not be given a large one.
        (None, Some(header), Some(body)) if header != body => return Err(Unreadable::TwoModels),
        (None, _, Some(body)) => body,
        // The upstream may read a body that can't be read here.
        (None, Some(header), None) if by_header => header,
        (None, Some(_), None) => return Err(Unreadable::HeaderAlone),
        (None, None, None) => return Err(Unreadable::NoModel),
    };
    let customer = extension("bursar-customer-id").or_else(|| header(CUSTOMER)).or_else(|| said("user"));
    let tags = [extension("bursar-tags"), header(TAGS)];
    let tags = tags.into_iter().flatten().flat_map(|list| list.split(',')).map(str::trim);
    let tokens = |name: &&str| body.as_ref()?.get(*name)?.as_i64();
    let reserve = extension("bursar-reserve") == Some("true");
    Ok(pb::AuthorizeRequest {
        key: key.to_owned(),
        model: model.to_owned(),
        customer_id: customer.unwrap_or_default().to_owned(),
        tags: tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        estimated_input_tokens: body
            .as_ref()
            .and_then(|_| i64::try_from(bytes_of(http).div_ceil(BYTES_PER_TOKEN)).ok()),
        max_output_tokens: ["max_completion_tokens", "max_tokens", "max_output_tokens"].iter().find_map(tokens),
        reserve,
        // Of each check its own: what a client chose could be another call's.
        request_id: if reserve { crate::domain::ids::new_uuid().to_string() } else { String::new() },
        params: body.as_ref().map(params_of).unwrap_or_default(),
        ..pb::AuthorizeRequest::default()
    })
}

/// The key in a header; in `authorization` it stands behind its scheme.
fn key_in<'a>(http: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let value = http.headers.get(name)?.trim();
    let key = if name == "authorization" {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())?
    } else {
        value
    };
    (!key.is_empty()).then_some(key)
}

fn bytes_of(http: &HttpRequest) -> usize {
    http.body.len().max(http.raw_body.len())
}

/// The body, if it was sent along and is an object of JSON.
fn body_of(http: &HttpRequest) -> Option<Map<String, Value>> {
    let bytes = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
    serde_json::from_slice(bytes).ok()
}

/// The names of a call's parameters, and of its metadata.
fn params_of(body: &Map<String, Value>) -> Vec<String> {
    let metadata = body.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let metadata = metadata.map(|(name, _)| format!("metadata.{name}"));
    body.keys().cloned().chain(metadata).take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(headers: &[(&str, &str)], body: &str) -> HttpRequest {
        HttpRequest {
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.to_owned(),
            ..HttpRequest::default()
        }
    }

    fn read_with(
        headers: &[(&str, &str)],
        body: &str,
        extensions: &[(&str, &str)],
    ) -> Result<pb::AuthorizeRequest, Unreadable> {
        let extensions = extensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&http(headers, body), &extensions, &["authorization".to_owned(), "x-api-key".to_owned()])
    }

    const KEY: (&str, &str) = ("authorization", "Bearer sk-a");

    #[test]
    fn the_first_header_with_a_key_is_it() {
        let body = r#"{"model": "m"}"#;
        for (headers, key) in [
            (&[KEY][..], Some("sk-a")),
            (&[("authorization", "bearer  sk-b ")], Some("sk-b")),
            (&[("authorization", "Basic dXNlcg=="), ("x-api-key", "sk-c")], Some("sk-c")),
            (&[("authorization", "Bearer "), ("x-api-key", " ")], None),
            (&[("other", "sk-d")], None),
        ] {
            let read = read_with(headers, body, &[]).map(|asked| asked.key);
            assert_eq!(read, key.map(str::to_owned).ok_or(Unreadable::NoKey), "{headers:?}");
        }
    }

    #[test]
    fn a_model_is_named_by_the_route_the_header_or_the_body() {
        let (header, body, route) = (("x-bursar-model", "h"), r#"{"model": "b"}"#, ("bursar-model", "r"));
        let by_header = ("bursar-model-header", "true");
        for (headers, body, extensions, model) in [
            (&[KEY][..], body, &[][..], Ok("b")),
            (&[KEY, header], "", &[], Err(Unreadable::HeaderAlone)),
            (&[KEY, header], "not JSON", &[], Err(Unreadable::HeaderAlone)),
            (&[KEY, header], r#"{"model": 7}"#, &[], Err(Unreadable::HeaderAlone)),
            (&[KEY, header], "not JSON", &[by_header], Ok("h")),
            (&[KEY, header], body, &[by_header], Err(Unreadable::TwoModels)),
            (&[KEY, header], body, &[], Err(Unreadable::TwoModels)),
            (&[KEY, ("x-bursar-model", "b")], body, &[], Ok("b")),
            (&[KEY, header], body, &[route], Ok("r")),
            (&[KEY], r#"{"model": 7}"#, &[], Err(Unreadable::NoModel)),
            (&[KEY], "", &[], Err(Unreadable::NoModel)),
        ] {
            let read = read_with(headers, body, extensions).map(|asked| asked.model);
            assert_eq!(read, model.map(str::to_owned), "{headers:?} {body}");
        }
    }

    #[test]
    fn the_rest_is_read_from_where_it_stands() {
        let body = r#"{"model": "m", "user": "u", "max_tokens": 9, "metadata": {"run": 1}, "messages": []}"#;
        let asked = read_with(&[KEY, ("x-bursar-tags", "a, b,,")], body, &[("bursar-tags", "c")]).expect("a call");
        assert_eq!((asked.customer_id.as_str(), asked.max_output_tokens), ("u", Some(9)));
        assert_eq!(asked.tags, ["c", "a", "b"]);
        assert_eq!(asked.estimated_input_tokens, i64::try_from(body.len().div_ceil(4)).ok());
        assert!(asked.params.contains(&"metadata.run".to_owned()) && asked.params.contains(&"messages".to_owned()));
        assert!(!asked.reserve && asked.request_id.is_empty());
        let reserving = read_with(&[KEY, ("x-bursar-customer-id", "c")], body, &[("bursar-reserve", "true")]);
        let reserving = reserving.expect("a call");
        assert_eq!(reserving.customer_id, "c");
        assert!(reserving.reserve && !reserving.request_id.is_empty());
    }
}
