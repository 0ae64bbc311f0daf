//! Rows of another database, as JSON. What can't be read names its column.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::domain::audit::Fields;
use crate::domain::clock::Timestamp;
use crate::domain::fault::Violation;
use crate::domain::limit::{Budget, Rates};
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::money::Usd;
use crate::domain::window::Length;

/// A row.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(pub(super) Map<String, Value>);

/// What is wrong with a column.
pub(super) type Fault = String;

/// A number, which may have been written as text, exactly.
///
/// # Errors
/// What stands there, if it is none.
pub(super) fn decimal(value: &Value) -> Result<Decimal, String> {
    let text = written(value);
    Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).map_err(|_| text)
}

/// A value as it is written: a text without its quotes.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Row {
    /// What stands in a column; nothing, if there is no such column.
    fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column).filter(|value| !value.is_null())
    }

    /// A text that is not empty.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        self.get(column).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// A text that must be there.
    pub(super) fn name(&self, column: &str) -> Result<String, Fault> {
        self.text(column).ok_or_else(|| format!("{column} is empty"))
    }

    pub(super) fn flag(&self, column: &str) -> bool {
        self.get(column).and_then(Value::as_bool).unwrap_or(false)
    }

    /// An amount, rounded to whole nano-dollars.
    pub(super) fn money(&self, column: &str) -> Result<Option<Usd>, Fault> {
        let Some(value) = self.get(column) else { return Ok(None) };
        let amount = decimal(value).ok().filter(|amount| !amount.is_sign_negative() || amount.is_zero());
        let amount = amount.and_then(|amount| Usd::round_half_even(amount.abs()));
        amount.map(Some).ok_or_else(|| format!("{column} is {}, which is no amount of money", written(value)))
    }

    /// A limit.
    pub(super) fn count(&self, column: &str) -> Result<Option<i64>, Fault> {
        let Some(value) = self.get(column) else { return Ok(None) };
        let count = value.as_i64().filter(|count| *count >= 0);
        count.map(Some).ok_or_else(|| format!("{column} is {value}, which is no limit"))
    }

    /// An instant; without a zone it is one of UTC.
    pub(super) fn instant(&self, column: &str) -> Result<Option<Timestamp>, Fault> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let read = Timestamp::try_from(text.clone()).or_else(|_| Timestamp::try_from(format!("{text}Z")));
        read.map(Some).map_err(|_| format!("{column} is {text}, which is no instant"))
    }

    pub(super) fn length(&self, column: &str) -> Result<Option<Length>, Fault> {
        let Some(text) = self.text(column) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{column} is {text}, which is no length of time"))
    }

    /// The texts of a list.
    pub(super) fn texts(&self, column: &str) -> Vec<String> {
        let list = self.get(column).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// What stands in a column of JSON, which may have been written as text.
    fn json(&self, column: &str) -> Option<Value> {
        match self.get(column)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            value => Some(value.clone()),
        }
    }

    /// The objects of a list.
    pub(super) fn rows(&self, column: &str) -> Vec<Self> {
        let Some(Value::Array(list)) = self.json(column) else { return Vec::new() };
        let object = |value| if let Value::Object(fields) = value { Some(Self(fields)) } else { None };
        list.into_iter().filter_map(object).collect()
    }

    /// An object; nothing is an empty one.
    pub(super) fn fields(&self, column: &str) -> Fields {
        if let Some(Value::Object(fields)) = self.json(column) { fields } else { Fields::new() }
    }

    /// Whether a column has something that is neither empty nor zero.
    pub(super) fn has(&self, column: &str) -> bool {
        match self.get(column) {
            None => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(value) => *value != Value::Bool(false),
        }
    }

    /// Names of models. One that Bursar can't have refuses the row: without it
    /// the list would mean something else.
    pub(super) fn models(&self, owner: ListOwner) -> Result<ModelList, Fault> {
        let mut violations: Vec<Violation> = Vec::new();
        let list = ModelList::parse(&self.texts("models"), owner, "models", &mut violations);
        match violations.first() {
            None => Ok(list),
            Some(violation) => Err(format!("{} {}", violation.field, violation.description)),
        }
    }

    /// The money of whatever has these columns.
    pub(super) fn budget(&self, now: Timestamp) -> Result<Budget, Fault> {
        let budget =
            Budget::new(self.money("max_budget")?, self.money("soft_budget")?, self.length("budget_duration")?, now);
        let mut violations: Vec<Violation> = Vec::new();
        budget.check_new("", &mut violations);
        match violations.first() {
            None => Ok(budget),
            Some(violation) => Err(format!("{} {}", violation.field, violation.description)),
        }
    }

    /// Its calls.
    pub(super) fn rates(&self) -> Result<Rates, Fault> {
        Ok(Rates {
            tpm: self.count("tpm_limit")?,
            rpm: self.count("rpm_limit")?,
            parallel: self.count("max_parallel_requests")?,
            tpd: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Row {
        let value = json!({
            "cheap": 0.1, "dust": 1.5e-9, "half": 5e-10, "whole": 25, "text": "3.5", "debt": -1.0, "wrong": "many",
            "none": null, "empty": "", "limit": 10, "minus": -1, "at": "2024-05-01T12:00:00.25", "zoned": "2024-05-01T12:00:00+02:00",
            "length": "30d", "odd": "30 days", "list": ["a", 1, "b"], "objects": [{ "a": "b" }, 1], "written": "{\"a\": 1}", "no": false, "yes": true,
        });
        Row(value.as_object().expect("an object").clone())
    }

    #[test]
    fn amounts_are_what_is_written() {
        let nanos = |column| row().money(column).map(|amount| amount.map(Usd::nanos));
        for (column, expected) in [
            ("cheap", Some(100_000_000)),
            ("dust", Some(2)),
            ("half", Some(0)),
            ("whole", Some(25_000_000_000)),
            ("text", Some(3_500_000_000)),
            ("none", None),
            ("missing", None),
        ] {
            assert_eq!(nanos(column), Ok(expected), "{column}");
        }
        assert!(nanos("debt").is_err() && nanos("wrong").is_err());
    }

    #[test]
    fn what_can_not_be_read_names_its_column() {
        assert_eq!(row().count("limit"), Ok(Some(10)));
        assert_eq!(row().count("minus"), Err("minus is -1, which is no limit".to_owned()));
        assert_eq!(
            row().instant("at").map(|at| at.map(|at| at.to_string())),
            Ok(Some("2024-05-01T12:00:00.250Z".into()))
        );
        assert_eq!(
            row().instant("zoned").map(|at| at.map(|at| at.to_string())),
            Ok(Some("2024-05-01T10:00:00Z".into()))
        );
        assert!(row().instant("odd").is_err());
        assert_eq!(row().length("length").map(|length| length.is_some()), Ok(true));
        assert_eq!(row().length("odd"), Err("odd is 30 days, which is no length of time".to_owned()));
        assert_eq!(row().name("empty"), Err("empty is empty".to_owned()));
        assert_eq!((row().texts("list"), row().rows("objects").len()), (vec!["a".to_owned(), "b".to_owned()], 1));
        assert_eq!(row().fields("written").get("a"), Some(&json!(1)));
        assert_eq!(
            (row().has("no"), row().has("yes"), row().has("empty"), row().has("list")),
            (false, true, false, true)
        );
    }
}
