//! Metadata: free objects on the wire and as JSON.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Wire};
use serde_json::{Map, Number, Value};

use super::faults::Faults;
use super::mask::Mask;
use crate::domain::audit::Fields;

/// The most bytes of an object's metadata, as JSON.
pub(crate) const METADATA_MAX_BYTES: usize = 64 * 1024;

/// Takes an object; absent is empty.
pub(crate) fn take(field: &str, object: Option<&Struct>, max_bytes: usize, faults: &mut Faults) -> Fields {
    let Some(fields) = object.map(from_wire) else { return Fields::new() };
    let Some(fields) = fields else {
        faults.add(field, "must not hold numbers that are not finite");
        return Fields::new();
    };
    check_size(field, &fields, max_bytes, faults);
    fields
}

fn check_size(field: &str, fields: &Fields, max_bytes: usize, faults: &mut Faults) {
    if serde_json::to_vec(fields).map_or(usize::MAX, |json| json.len()) > max_bytes {
        faults.add(field, format!("must have at most {max_bytes} bytes as JSON"));
    }
}

/// What an update does to metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetadataPatch {
    whole: Option<Fields>,
    entries: Vec<(String, Option<Value>)>,
}

impl MetadataPatch {
    /// Takes the patch from the mask's `metadata` and `metadata.<key>`.
    pub(crate) fn take(field: &str, mask: &Mask<'_>, object: Option<&Struct>, faults: &mut Faults) -> Self {
        let sent = take(field, object, METADATA_MAX_BYTES, faults);
        let whole = match mask.field("metadata", object) {
            crate::domain::patch::Patch::Keep => None,
            crate::domain::patch::Patch::Clear => Some(Fields::new()),
            crate::domain::patch::Patch::Set(_) => Some(sent.clone()),
        };
        let entries = mask.below("metadata.").map(|key| (key.to_owned(), sent.get(key).cloned())).collect();
        Self { whole, entries }
    }

    /// Changes metadata. Says whether it is still small enough.
    pub(crate) fn apply(self, metadata: &mut Fields) -> bool {
        if let Some(whole) = self.whole {
            *metadata = whole;
        }
        for (key, value) in self.entries {
            match value {
                Some(value) => metadata.insert(key, value),
                None => metadata.remove(&key),
            };
        }
        serde_json::to_vec(metadata).is_ok_and(|json| json.len() <= METADATA_MAX_BYTES)
    }
}

/// An object as JSON; `None` if it holds a number that JSON can't.
pub(crate) fn from_wire(object: &Struct) -> Option<Fields> {
    object.fields.iter().map(|(name, value)| Some((name.clone(), value_from_wire(value)?))).collect()
}

fn value_from_wire(value: &Wire) -> Option<Value> {
    Some(match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::NumberValue(number)) => whole(*number).or_else(|| Number::from_f64(*number)).map(Value::Number)?,
        Some(Kind::StructValue(object)) => Value::Object(from_wire(object)?),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(value_from_wire).collect::<Option<_>>()?),
    })
}

/// A number without a fraction, as people write it.
#[expect(clippy::disallowed_types, reason = "the wire format of free data has no other numbers")]
fn whole(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is in range")]
    let integer = (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64);
    integer.map(Number::from)
}

/// JSON as an object of the wire.
pub(crate) fn to_wire(fields: &Fields) -> Struct {
    Struct { fields: fields.iter().map(|(name, value)| (name.clone(), value_to_wire(value))).collect() }
}

fn value_to_wire(value: &Value) -> Wire {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(list) => Kind::ListValue(ListValue { values: list.iter().map(value_to_wire).collect() }),
        Value::Object(object) => Kind::StructValue(to_wire(object)),
    };
    Wire { kind: Some(kind) }
}

/// An object without entries is absent.
pub(crate) fn to_wire_if_any(fields: &Map<String, Value>) -> Option<Struct> {
    (!fields.is_empty()).then(|| to_wire(fields))
}
