//! Text that clients write: labels, tags, names.

use super::faults::Faults;
use crate::domain::ids::{BudgetId, OrganizationId, ParseIdError, TeamId, UserId};

/// The most bytes of a label.
pub(crate) const LABEL_MAX_BYTES: usize = 256;
/// The most tags of one object.
pub(crate) const TAGS_MAX: usize = 100;

/// Takes a label: short, without control characters.
pub(crate) fn label(field: &str, text: Option<&String>, faults: &mut Faults) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    check(field, text, LABEL_MAX_BYTES, faults);
    Some(text.clone())
}

/// Reports text that is too long, or that has control characters, which not
/// every database can keep.
pub(crate) fn check(field: &str, text: &str, max_bytes: usize, faults: &mut Faults) {
    if text.len() > max_bytes {
        faults.add(field, format!("must have at most {max_bytes} bytes"));
    }
    if text.chars().any(char::is_control) {
        faults.add(field, "must not have control characters");
    }
}

/// The most bytes of a part of a name that is looked for.
const PART_MAX_BYTES: usize = 512;

/// Takes a part of a name that is looked for; empty is none.
pub(crate) fn part(field: &str, text: String, faults: &mut Faults) -> String {
    check(field, &text, PART_MAX_BYTES, faults);
    text
}

/// Takes tags: repeats collapse, the order stays.
pub(crate) fn tags(field: &str, tags: &[String], faults: &mut Faults) -> Vec<String> {
    if tags.len() > TAGS_MAX {
        faults.add(field, format!("must have at most {TAGS_MAX} entries"));
    }
    let mut taken: Vec<String> = Vec::with_capacity(tags.len().min(TAGS_MAX));
    for (index, tag) in tags.iter().take(TAGS_MAX).enumerate() {
        let path = format!("{field}[{index}]");
        if tag.trim().is_empty() {
            faults.add(&path, "must not be blank");
        }
        check(&path, tag, LABEL_MAX_BYTES, faults);
        if !taken.contains(tag) {
            taken.push(tag.clone());
        }
    }
    taken
}

/// Reports text that must be there, and may not be long.
pub(crate) fn required(field: &str, text: &str, max_bytes: usize, faults: &mut Faults) {
    if text.is_empty() {
        faults.add(field, "is required");
    }
    check(field, text, max_bytes, faults);
}

/// Takes an id that must be there.
pub(crate) fn required_id<T>(
    field: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
    faults: &mut Faults,
) -> Option<T> {
    if text.is_empty() {
        faults.add(field, "is required");
        return None;
    }
    faults.take(field, parse(text))
}

/// Takes a user's id; empty is absent.
pub(crate) fn user_id(field: &str, text: &str, faults: &mut Faults) -> Option<UserId> {
    let id = if text.is_empty() { None } else { faults.take(field, UserId::parse(text)) };
    if id.as_ref().is_some_and(UserId::is_reserved) {
        faults.add(field, "must not be master, bursar, cli, anonymous or begin with \"key:\", which are reserved");
    }
    id
}

/// Takes a team's id; empty is absent.
pub(crate) fn team_id(field: &str, text: &str, faults: &mut Faults) -> Option<TeamId> {
    if text.is_empty() { None } else { faults.take(field, TeamId::parse(text)) }
}

/// Takes an organization's id; empty is absent.
pub(crate) fn organization_id(field: &str, text: &str, faults: &mut Faults) -> Option<OrganizationId> {
    if text.is_empty() { None } else { faults.take(field, OrganizationId::parse(text)) }
}

/// Takes a budget's id; empty is absent.
pub(crate) fn budget_id(field: &str, text: &str, faults: &mut Faults) -> Option<BudgetId> {
    if text.is_empty() { None } else { faults.take(field, BudgetId::parse(text)) }
}

/// The most objects that one request names.
pub(crate) const BATCH_MAX: usize = 500;

/// Takes the ids of a delete: at least one, repeats count once.
pub(crate) fn ids_to_delete<T: PartialEq>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
    faults: &mut Faults,
) -> Vec<T> {
    if texts.is_empty() || texts.len() > BATCH_MAX {
        faults.add(field, format!("must have 1-{BATCH_MAX} entries"));
        return Vec::new();
    }
    let mut ids = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{field}[{index}]");
        if let Some(id) = required_id(&path, text, &parse, faults)
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    ids
}

/// Takes the ids of a filter: none, or at most as many as a delete takes.
pub(crate) fn ids<T: PartialEq>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
    faults: &mut Faults,
) -> Vec<T> {
    if texts.is_empty() { Vec::new() } else { ids_to_delete(field, texts, parse, faults) }
}

/// Takes the id with which a caller makes its retries safe; empty is none.
pub(crate) fn request_id(field: &str, text: &str, faults: &mut Faults) {
    if !text.is_empty() && !is_request_id(text, REQUEST_ID_MAX) {
        faults.add(field, REQUEST_ID_RULE);
    }
}

/// The longest request id that a client chooses.
pub(crate) const REQUEST_ID_MAX: usize = 255;
/// What a request id looks like.
pub(crate) const REQUEST_ID_RULE: &str = "must be 1-255 printable ASCII characters";

/// Whether text may be a request id.
pub(crate) fn is_request_id(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
