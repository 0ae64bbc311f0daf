//! Things as people read them, in columns, or as machines do, as JSON.

use serde_json::{Map, Value};

use super::super::say;

/// A thing: its fields by name, in the order in which they are shown.
pub(super) type Shown = Vec<(&'static str, Value)>;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For machines.
    Json,
}

impl Format {
    /// Writes a list.
    pub(super) fn list(self, things: Vec<Shown>) {
        match self {
            Self::Table => say(columns(&things).trim_end()),
            Self::Json => say(Value::Array(things.into_iter().map(object).collect())),
        }
    }

    /// Writes one thing.
    pub(super) fn one(self, thing: Shown) {
        match self {
            Self::Table => say(lines(&thing).trim_end()),
            Self::Json => say(object(thing)),
        }
    }
}

/// Text that may be absent.
pub(super) fn text(text: impl Into<String>) -> Value {
    let text = text.into();
    if text.is_empty() { Value::Null } else { Value::String(text) }
}

/// A list of words.
pub(super) fn words<S: AsRef<str>>(list: &[S]) -> Value {
    Value::Array(list.iter().map(|word| Value::from(word.as_ref())).collect())
}

fn object(thing: Shown) -> Value {
    Value::Object(thing.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn columns(things: &[Shown]) -> String {
    let Some(first) = things.first() else { return "none".to_owned() };
    let head: Vec<String> = first.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows = things.iter().map(|thing| thing.iter().map(|(_, value)| cell(value)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..first.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn lines(thing: &Shown) -> String {
    let width = thing.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, Value)| format!("{name:width$}  {}", cell(value));
    thing.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let thing = |name: &str, list: &[&str]| vec![("name", text(name)), ("of", words(list)), ("n", Value::from(7))];
        let things = [thing("zoë", &["a", "b"]), thing("", &[])];
        assert_eq!(columns(&things), "name  of   n\nzoë   a,b  7\n-     -    7");
        assert_eq!(lines(&things[0]), "name  zoë\nof    a,b\nn     7");
        assert_eq!(columns(&[]), "none");
        assert_eq!(object(things[1].clone()).to_string(), r#"{"n":7,"name":null,"of":[]}"#);
    }
}
