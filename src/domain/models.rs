//! Model lists: which models a key, team or user may call, and their aliases.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::fault::Violation;
use super::pricing::PriceBook;

/// Every model, also those that are added later.
pub const ALL_PROXY_MODELS: &str = "all-proxy-models";
/// On a key: exactly what its team may call.
pub const ALL_TEAM_MODELS: &str = "all-team-models";
/// On a user or team: no model of its own.
pub const NO_DEFAULT_MODELS: &str = "no-default-models";

/// The most entries of a list, and of a map of aliases.
pub const MODELS_MAX: usize = 1_000;
/// The most bytes of a model's name.
pub const MODEL_NAME_MAX_BYTES: usize = 512;

/// Whose list it is: the special names differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOwner {
    /// A user or a team.
    UserOrTeam,
    /// A key of a team.
    TeamKey,
    /// A key without a team.
    PersonalKey,
}

/// The models that may be called. Empty: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelList(Box<[Box<str>]>);

impl ModelList {
    /// Takes a list from a request: repeats collapse, the order stays.
    pub fn parse(names: &[String], owner: ListOwner, field: &str, violations: &mut Vec<Violation>) -> Self {
        if names.len() > MODELS_MAX {
            violations.push(Violation::new(field, format!("must have at most {MODELS_MAX} entries")));
        }
        let mut seen = HashSet::new();
        let mut list = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if let Err(description) = check_entry(name, owner) {
                violations.push(Violation::new(format!("{field}[{index}]"), description));
            } else if seen.insert(name.as_str()) {
                list.push(name.as_str().into());
            }
        }
        Self(list.into())
    }

    /// Takes a list that was checked when it was stored.
    #[must_use]
    pub fn stored(names: Vec<String>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Whether it has no entry, which means all models.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its entries.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether it lets a model be called.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        self.is_empty() || self.iter().any(|entry| entry_allows(entry, model))
    }

    /// Whether it lets a model be called that is in these access groups.
    #[must_use]
    pub fn allows_in(&self, model: &str, groups: &[Box<str>]) -> bool {
        self.allows(model) || self.iter().any(|entry| groups.iter().any(|group| **group == *entry))
    }

    /// Whether it lets every model be called.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        self.is_empty() || self.iter().any(|entry| entry == ALL_PROXY_MODELS)
    }

    /// The entries of another list that go beyond this one, whatever becomes of
    /// access groups. What names no model goes beyond none.
    pub fn beyond<'a>(&self, other: &'a ModelList) -> Vec<&'a str> {
        not_allowed(other, |entry| self.allows(entry))
    }

    /// The same, with the access groups in which models are now.
    pub fn beyond_in<'a>(&self, other: &'a ModelList, book: &PriceBook) -> Vec<&'a str> {
        not_allowed(other, |entry| self.allows_in(entry, book.groups_of(entry)))
    }

    /// The list with these entries added, each once, in order.
    #[must_use]
    pub fn with(&self, added: &ModelList) -> Self {
        let new = added.iter().filter(|entry| !self.iter().any(|known| known == *entry));
        Self(self.iter().chain(new).map(Into::into).collect())
    }

    /// The list without these entries.
    #[must_use]
    pub fn without(&self, removed: &ModelList) -> Self {
        let stays = |entry: &&str| !removed.iter().any(|name| name == *entry);
        Self(self.iter().filter(stays).map(Into::into).collect())
    }
}

fn not_allowed(list: &ModelList, allows: impl Fn(&str) -> bool) -> Vec<&str> {
    let names_models = |entry: &&str| ![ALL_TEAM_MODELS, NO_DEFAULT_MODELS].contains(entry);
    list.iter().filter(names_models).filter(|entry| !allows(entry)).collect()
}

fn check_entry(name: &str, owner: ListOwner) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    if name.len() > MODEL_NAME_MAX_BYTES {
        return Err(format!("must have at most {MODEL_NAME_MAX_BYTES} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err("must not have control characters".to_owned());
    }
    match (name, owner) {
        (ALL_TEAM_MODELS, ListOwner::PersonalKey) => Err(format!("{ALL_TEAM_MODELS:?} needs a key with a team_id")),
        (ALL_TEAM_MODELS, ListOwner::UserOrTeam) => Err(format!("{ALL_TEAM_MODELS:?} is for keys only")),
        (NO_DEFAULT_MODELS, ListOwner::TeamKey | ListOwner::PersonalKey) => {
            Err(format!("{NO_DEFAULT_MODELS:?} is for users and teams only"))
        }
        _ => Ok(()),
    }
}

/// Whether one entry covers a model, or a narrower wildcard.
fn entry_allows(entry: &str, model: &str) -> bool {
    match entry {
        // The team's list, which is checked by itself, decides.
        ALL_PROXY_MODELS | ALL_TEAM_MODELS => true,
        NO_DEFAULT_MODELS => false,
        _ => match entry.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => entry == model,
        },
    }
}

/// Public model name to the model that is called instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelAliases(BTreeMap<Box<str>, Box<str>>);

impl ModelAliases {
    /// Takes a map from a request.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
        field: &str,
        violations: &mut Vec<Violation>,
    ) -> Self {
        let mut aliases = BTreeMap::new();
        for (name, target) in pairs {
            let path = || format!("{field}[{name:?}]");
            let is_plain = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
            let fits = |text: &str| text.len() <= MODEL_NAME_MAX_BYTES && is_plain(text);
            if !fits(name) || !fits(target) {
                let rule = format!(
                    "name and target must have 1-{MODEL_NAME_MAX_BYTES} bytes, not be blank and have no control characters"
                );
                violations.push(Violation::new(path(), rule));
            } else if name == target {
                violations.push(Violation::new(path(), "must not be its own target"));
            }
            aliases.insert(name.as_str().into(), target.as_str().into());
        }
        if aliases.len() > MODELS_MAX {
            violations.push(Violation::new(field, format!("must have at most {MODELS_MAX} entries")));
        }
        Self(aliases)
    }

    /// The model that is called when this one is asked for, if it has an alias.
    #[must_use]
    pub fn resolve(&self, model: &str) -> Option<&str> {
        self.0.get(model).map(AsRef::as_ref)
    }

    /// Its pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, target)| (name.as_ref(), target.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::domain::pricing::book::tests::book_of_groups;

    fn list(names: &[&str]) -> ModelList {
        ModelList::stored(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_allows_names_wildcards_and_special_names() {
        for (names, model, allowed) in [
            (&[][..], "gpt-4o", true),
            (&["gpt-4o"], "gpt-4o", true),
            (&["gpt-4o"], "gpt-4o-mini", false),
            (&["gpt-4o"], "GPT-4o", false),
            (&["openai/*"], "openai/gpt-4o", true),
            (&["openai/*"], "azure/gpt-4o", false),
            (&["*"], "anything", true),
            (&["all-proxy-models"], "anything", true),
            (&["all-team-models"], "anything", true),
            (&["no-default-models"], "gpt-4o", false),
            (&["no-default-models", "gpt-4o"], "gpt-4o", true),
        ] {
            assert_eq!(list(names).allows(model), allowed, "{names:?} {model}");
        }
        let groups = ["beta".into()];
        assert!(list(&["beta"]).allows_in("gpt-4o", &groups) && list(&["gpt-4o"]).allows_in("gpt-4o", &groups));
        assert!(!list(&["bet", "alpha"]).allows_in("gpt-4o", &groups));
    }

    #[test]
    fn entries_beyond_the_owners_list_are_named() {
        let owner = list(&["gpt-4o", "openai/*"]);
        assert_eq!(
            owner.beyond(&list(&["gpt-4o", "openai/o1", "openai/o*", "azure/x", "*", "all-team-models"])),
            ["azure/x", "*"]
        );
        assert!(list(&[]).beyond(&list(&["anything"])).is_empty());
    }

    #[test]
    fn a_model_is_within_a_list_that_has_its_access_group() {
        let book = book_of_groups(&[("gpt-4o", &["beta"])]);
        let owner = list(&["beta"]);
        let wanted = list(&["gpt-4o", "beta", "o1", "gpt-*"]);
        assert_eq!(owner.beyond_in(&wanted, &book), ["o1", "gpt-*"]);
        assert_eq!(owner.beyond(&wanted), ["gpt-4o", "o1", "gpt-*"], "it may leave the group");
    }

    #[test]
    fn special_names_have_their_place() {
        use ListOwner::{PersonalKey, TeamKey, UserOrTeam};
        let parse = |name: &str, owner| {
            let mut violations = Vec::new();
            ModelList::parse(&[name.to_owned()], owner, "models", &mut violations);
            violations.is_empty()
        };
        for (name, owner, fits) in [
            (ALL_TEAM_MODELS, TeamKey, true),
            (ALL_TEAM_MODELS, PersonalKey, false),
            (ALL_TEAM_MODELS, UserOrTeam, false),
            (NO_DEFAULT_MODELS, UserOrTeam, true),
            (NO_DEFAULT_MODELS, TeamKey, false),
            (ALL_PROXY_MODELS, PersonalKey, true),
            (" ", UserOrTeam, false),
        ] {
            assert_eq!(parse(name, owner), fits, "{name} {owner:?}");
        }
    }

    #[test]
    fn repeats_collapse_and_the_order_stays() {
        let mut violations = Vec::new();
        let names = ["b", "a", "b"].map(str::to_owned);
        let list = ModelList::parse(&names, ListOwner::UserOrTeam, "models", &mut violations);
        assert_eq!(list.iter().collect::<Vec<_>>(), ["b", "a"]);
    }
}
