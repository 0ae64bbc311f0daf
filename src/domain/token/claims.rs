//! Claims: what a token says, by name.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The name of a claim: members of objects, separated by dots. A dot that is
/// part of a name is written `\.`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ClaimPath(Vec<String>);

/// Text that names no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a claim, such as \"sub\", \"realm_access.roles\" or \"https://a\\.example/groups\"")]
pub struct ParseClaimPathError;

impl FromStr for ClaimPath {
    type Err = ParseClaimPathError;

    fn from_str(text: &str) -> Result<Self, ParseClaimPathError> {
        let mut names = vec![String::new()];
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match (c, names.last_mut()) {
                ('.', _) => names.push(String::new()),
                ('\\', Some(name)) => name.push(rest.next().ok_or(ParseClaimPathError)?),
                (c, Some(name)) => name.push(c),
                (_, None) => return Err(ParseClaimPathError),
            }
        }
        if names.iter().any(String::is_empty) { Err(ParseClaimPathError) } else { Ok(Self(names)) }
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = ParseClaimPathError;

    fn try_from(text: String) -> Result<Self, ParseClaimPathError> {
        text.parse()
    }
}

/// A claim that is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoInstant;

/// The claims of a token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// What stands under a name.
    fn get(&self, path: &ClaimPath) -> Option<&Value> {
        let (first, rest) = path.0.split_first()?;
        rest.iter().try_fold(self.0.get(first)?, |value, name| value.get(name))
    }

    /// A text; of a list its first. Numbers are taken as they are written.
    #[must_use]
    pub fn text(&self, path: Option<&ClaimPath>) -> Option<String> {
        self.texts(path).into_iter().next()
    }

    /// All texts of a list; a text is a list of one. What else stands there says
    /// nothing.
    #[must_use]
    pub fn texts(&self, path: Option<&ClaimPath>) -> Vec<String> {
        path.and_then(|path| self.get(path)).map(texts_of).unwrap_or_default()
    }

    /// For whom the token was made.
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        self.0.get("aud").map(texts_of).unwrap_or_default()
    }

    /// Scopes: a list, or a text with spaces between them (RFC 8693, 4.2).
    #[must_use]
    pub fn scopes(&self, path: Option<&ClaimPath>) -> Vec<String> {
        self.texts(path).iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
    }

    /// An instant, in whole seconds since 1970: parts of a second are cut off.
    ///
    /// # Errors
    /// [`NoInstant`] if something else stands there.
    pub fn seconds(&self, name: &str) -> Result<Option<i64>, NoInstant> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let text = value.as_number().map(ToString::to_string).ok_or(NoInstant)?;
        let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
        whole.parse().map(Some).map_err(|_| NoInstant)
    }
}

fn texts_of(value: &Value) -> Vec<String> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    values.iter().filter_map(plain).filter(|text| !text.is_empty()).collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        let value = json!({
            "sub": "alice",
            "number": 17,
            "nothing": null,
            "realm_access": { "roles": ["a", 2, null, "", "b"] },
            "https://x.y/groups": ["g"],
            "scope": "openid models:read  x",
            "scp": ["openid", "a b"],
            "exp": 1.9,
            "iat": "1",
            "nbf": 1e30,
        });
        Claims(value.as_object().expect("an object").clone())
    }

    #[test]
    fn names_nest_by_dots() {
        for (name, expected) in [
            ("sub", vec!["alice"]),
            ("number", vec!["17"]),
            ("nothing", vec![]),
            ("missing", vec![]),
            ("sub.deeper", vec![]),
            ("realm_access.roles", vec!["a", "2", "b"]),
            ("realm_access", vec![]),
            (r"https://x\.y/groups", vec!["g"]),
            ("https://x.y/groups", vec![]),
        ] {
            let path: ClaimPath = name.parse().expect("a name");
            assert_eq!(claims().texts(Some(&path)), expected, "{name}");
            assert_eq!(claims().text(Some(&path)).as_deref(), expected.first().copied(), "{name}");
        }
        assert_eq!(claims().text(None), None);
        for nonsense in ["", ".", "a.", ".a", "a..b", "a\\"] {
            assert_eq!(nonsense.parse::<ClaimPath>(), Err(ParseClaimPathError), "{nonsense:?}");
        }
    }

    #[test]
    fn scopes_are_a_list_or_words() {
        let scopes = |name: &str| claims().scopes(name.parse().ok().as_ref());
        assert_eq!(scopes("scope"), ["openid", "models:read", "x"]);
        assert_eq!(scopes("scp"), ["openid", "a", "b"]);
        assert!(scopes("missing").is_empty());
    }

    #[test]
    fn instants_are_numbers() {
        assert_eq!(claims().seconds("exp"), Ok(Some(1)));
        assert_eq!(claims().seconds("missing"), Ok(None));
        assert_eq!((claims().seconds("iat"), claims().seconds("nbf")), (Err(NoInstant), Err(NoInstant)));
    }

    proptest! {
        #[test]
        fn every_text_is_a_name_or_refused(text in r"[a-z.\\]{0,12}") {
            if let Ok(path) = text.parse::<ClaimPath>() {
                prop_assert!(path.0.iter().all(|name| !name.is_empty()));
            }
        }
    }
}
