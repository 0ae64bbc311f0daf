//! Request ids: the client's own, or one that is made when it is first needed.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;

use crate::domain::ids::new_uuid;

/// The header that carries it, in requests and answers.
pub const REQUEST_ID: &str = "x-request-id";

/// The longest id that a client chooses.
const MAX_CHARS: usize = 128;

/// The id of a request, in its extensions.
///
/// A model call that goes well needs none, so that none is made for it: what
/// fails or changes something has one.
#[derive(Clone, Debug, Default)]
pub struct RequestId(Arc<OnceLock<String>>);

impl RequestId {
    /// The client's id, if it is a plain one; else one that is still to be made.
    pub fn of(headers: &HeaderMap) -> Self {
        let plain = |text: &&str| (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
        Self(Arc::new(sent.map_or_else(OnceLock::new, |text| OnceLock::from(text.to_owned()))))
    }

    /// The id; made now, if there is none.
    pub fn get(&self) -> &str {
        self.0.get_or_init(|| new_uuid().to_string())
    }

    /// The id, if there is one.
    pub fn known(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
