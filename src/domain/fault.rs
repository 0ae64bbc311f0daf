//! Faults: what is wrong with a request, in values that a service can report.

use super::reason::Reason;

/// One field that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `user.max_budget` or `members[3].role`.
    pub field: String,
    /// The rule by name.
    pub reason: Reason,
    /// The rule in words: what the field must be.
    pub description: String,
}

impl Violation {
    /// A violation of a rule that has no name of its own.
    pub fn new(field: impl Into<String>, description: impl ToString) -> Self {
        Self::named(field, Reason::FieldInvalid, description)
    }

    /// A violation of a rule that clients may want to tell from others.
    pub fn named(field: impl Into<String>, reason: Reason, description: impl ToString) -> Self {
        Self { field: field.into(), reason, description: description.to_string() }
    }
}

impl Violation {
    /// The same of a field that is part of another message.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        Self { field: format!("{prefix}{}", self.field), ..self }
    }
}

/// What kind of refusal it is: the gRPC code, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The caller may not do this.
    Denied,
    /// The object does not exist, or the caller may not see it.
    NotFound,
    /// Something with this name exists.
    AlreadyExists,
    /// The state of other objects forbids it.
    Precondition,
    /// Somebody else changed the object in between.
    Aborted,
    /// A quota has no room for it.
    Exhausted,
}

/// A well-formed request that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// Why, by name.
    pub reason: Reason,
    /// Why, in words that help; never a secret.
    pub message: String,
    /// Values that a program may want, under the names of `error_reason.proto`.
    pub metadata: Vec<(&'static str, String)>,
    /// The objects in question, as type and name.
    pub resources: Vec<(&'static str, String)>,
    /// When it may be worth trying again, in seconds from now.
    pub retry_seconds: Option<i64>,
}

impl Refusal {
    fn new(kind: RefusalKind, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), metadata: Vec::new(), resources: Vec::new(), retry_seconds: None }
    }

    /// The caller may not do this.
    pub fn denied(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Denied, reason, message)
    }

    /// The state of other objects forbids it.
    pub fn precondition(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Precondition, reason, message)
    }

    /// A quota, which has this name, has no room for it for so many seconds, or
    /// for ever.
    pub fn exhausted(reason: Reason, message: impl Into<String>, quota: String, retry_seconds: Option<i64>) -> Self {
        let refusal = Self::new(RefusalKind::Exhausted, reason, message);
        Self { resources: vec![("quota", quota)], retry_seconds, ..refusal }
    }

    /// Something with this name exists.
    pub fn exists(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::AlreadyExists, reason, message)
    }

    /// Somebody else changed the object since the caller read it.
    #[must_use]
    pub fn stale(kind: &'static str, name: impl ToString) -> Self {
        let name = name.to_string();
        let message = format!("{kind} {name:?} was changed since it was read; read it again and repeat the change");
        Self::new(RefusalKind::Aborted, Reason::EtagStale, message).about(kind, name)
    }

    /// Objects that do not exist, or that the caller may not see: the two must
    /// read the same.
    pub fn not_found(reason: Reason, kind: &'static str, names: impl IntoIterator<Item = impl ToString>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        let list = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let mut refusal = Self::new(RefusalKind::NotFound, reason, format!("{kind} {list} not found"));
        refusal.resources = names.into_iter().map(|name| (kind, name)).collect();
        refusal
    }

    /// The same in other words.
    #[must_use]
    pub fn saying(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    /// Adds a value for programs.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.metadata.push((name, value.to_string()));
        self
    }

    /// Adds an object in question.
    #[must_use]
    pub fn about(mut self, kind: &'static str, name: impl ToString) -> Self {
        self.resources.push((kind, name.to_string()));
        self
    }
}
