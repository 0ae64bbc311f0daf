//! Predicates: expressions that are true or false.

use std::fmt;
use std::sync::Arc;

use cel::objects::Key;
use cel::{Context, ExecutionError, Program, Value};
use serde_json::{Map, Number, Value as Json};

use super::variables::free_variables;

/// An expression that is true or false of some variables.
#[derive(Clone)]
pub struct Predicate(Arc<Program>);

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

impl Predicate {
    /// An expression over variables with these names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, names: &[&str]) -> Result<Self, String> {
        let program = Program::compile(text).map_err(|error| error.to_string())?;
        let mut used = free_variables(program.expression()).into_iter();
        if let Some(unknown) = used.find(|name| !names.contains(&name.as_str())) {
            return Err(format!("knows no variable {unknown:?}; there are {}", names.join(", ")));
        }
        Ok(Self(Arc::new(program)))
    }

    /// What it comes to.
    pub(super) fn execute(&self, variables: &[(&str, &Json)]) -> Result<Value, ExecutionError> {
        let mut context = Context::default();
        for (name, value) in variables {
            context.add_variable_from_value(*name, value_of(value));
        }
        self.0.execute(&context)
    }

    /// Whether it is true; what can't be worked out is not.
    pub fn holds(&self, variables: &[(&str, &Json)]) -> bool {
        matches!(self.execute(variables), Ok(Value::Bool(true)))
    }
}

/// Numbers are `int`, so that they compare with what is written as `1`.
fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number_of(number),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => Value::from(list.iter().map(value_of).collect::<Vec<_>>()),
        Json::Object(fields) => map_of(fields),
    }
}

fn number_of(number: &Number) -> Value {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Value::Int(whole),
        (None, Some(part)) => Value::Float(part),
        (None, None) => Value::Null,
    }
}

fn map_of(fields: &Map<String, Json>) -> Value {
    let fields = fields.iter().map(|(name, value)| (Key::from(name.as_str()), value_of(value)));
    Value::Map(fields.collect::<std::collections::HashMap<_, _>>().into())
}
