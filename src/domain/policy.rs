//! Policies: what an installation forbids beyond Bursar's own rules, written as
//! expressions in the Common Expression Language (cel.dev).

mod predicate;
mod variables;

use cel::{ExecutionError, Value};
use serde_json::Value as Json;
use strum::{EnumString, IntoStaticStr};

pub use self::predicate::Predicate;
use super::fault::Refusal;
use super::reason::Reason;

/// What a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// A key is made, by itself or with a user.
    GenerateKey,
    /// A key is changed.
    UpdateKey,
    /// A key gets another secret, and perhaps other values.
    RegenerateKey,
    /// A team is made.
    CreateTeam,
}

/// What a policy sees.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Who asks.
    pub caller: Json,
    /// What for: the message, without secrets.
    pub request: Json,
    /// The object before; null if it is made.
    pub before: Json,
    /// The object as it would be.
    pub after: Json,
}

/// The names of what a policy sees.
const NAMES: [&str; 5] = ["action", "caller", "request", "before", "after"];

/// An expression that must be true.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    actions: Vec<Action>,
    allow: Predicate,
    message: String,
}

impl Policy {
    /// A policy that lets through what the expression `allow` is true of, and
    /// refuses all else with a message.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn new(name: &str, actions: Vec<Action>, allow: &str, message: &str) -> Result<Self, String> {
        let allow = Predicate::new(allow, &NAMES)?;
        Ok(Self { name: name.to_owned(), actions, allow, message: message.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tries the policy on made-up facts: a field that does not exist, a function
    /// that nobody knows, or an answer that is neither true nor false is wrong
    /// whatever the facts are.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn rehearse(&self, action: Action, facts: &Facts) -> Result<(), String> {
        if !self.actions.contains(&action) {
            return Ok(());
        }
        match self.execute(action, facts) {
            Ok(Value::Bool(_)) => Ok(()),
            Ok(value) => Err(format!("must be true or false, and is a {} for {}", value.type_of(), name(action))),
            Err(error @ (ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_))) => {
                Err(format!("for {}: {error}", name(action)))
            }
            // What is null here may be something in earnest.
            Err(_) => Ok(()),
        }
    }

    /// Asks whether something may be done.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` with the policy's own message if not; also if the
    /// expression can't be worked out.
    pub fn check(&self, action: Action, facts: &Facts) -> Result<(), Refusal> {
        if !self.actions.contains(&action) {
            return Ok(());
        }
        let refused = |message: String| Refusal::denied(Reason::PolicyRefused, message).with("policy", &self.name);
        match self.execute(action, facts) {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(_) => Err(refused(self.message.clone())),
            Err(error) => Err(refused(format!("{} ({error})", self.message))),
        }
    }

    fn execute(&self, action: Action, facts: &Facts) -> Result<Value, ExecutionError> {
        let Facts { caller, request, before, after } = facts;
        let values = [&Json::from(name(action)), caller, request, before, after];
        let variables: Vec<(&str, &Json)> = NAMES.into_iter().zip(values).collect();
        self.allow.execute(&variables)
    }
}

/// Asks all policies, in their order.
///
/// # Errors
/// The refusal of the first that refuses.
pub fn check_all(policies: &[Policy], action: Action, facts: impl FnOnce() -> Facts) -> Result<(), Refusal> {
    if !policies.iter().any(|policy| policy.actions.contains(&action)) {
        return Ok(());
    }
    let facts = facts();
    policies.iter().try_for_each(|policy| policy.check(action, &facts))
}

fn name(action: Action) -> &'static str {
    action.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(allow: &str) -> Result<Policy, String> {
        Policy::new("p", vec![Action::GenerateKey], allow, "no")
    }

    fn facts() -> Facts {
        Facts {
            caller: json!({ "user_id": "alice", "is_proxy_admin": false, "role": "internal_user" }),
            request: json!({ "key": { "tags": ["a"] } }),
            before: Json::Null,
            after: json!({
                "max_budget": "12.5", "team_id": null, "tags": ["a", "b"], "tpm_limit": 10, "metadata": { "x": 1.5 },
                "expires_at": "2025-03-01T00:00:00Z",
            }),
        }
    }

    #[test]
    fn an_expression_decides() {
        for (allow, expected) in [
            ("true", true),
            ("caller.is_proxy_admin", false),
            ("action == 'generate_key' && before == null", true),
            ("after.max_budget != null && double(after.max_budget) <= 20.0", true),
            ("double(after.max_budget) <= 12.0", false),
            ("after.team_id == null && after.tpm_limit <= 10", true),
            ("'b' in after.tags && !('b' in request.key.tags)", true),
            ("after.tags.exists(tag, tag.startsWith('cost-'))", false),
            ("has(after.metadata.x) && after.metadata.x > 1.0", true),
            ("timestamp(after.expires_at) < timestamp('2025-04-01T00:00:00Z')", true),
            ("caller.user_id.matches('^al')", true),
            // What can't be worked out is refused.
            ("double(after.team_id) > 1.0", false),
            ("after.metadata.y == 1", false),
            ("1", false),
        ] {
            let verdict = policy(allow).expect(allow).check(Action::GenerateKey, &facts());
            assert_eq!(verdict.is_ok(), expected, "{allow}: {verdict:?}");
            if let Err(refusal) = verdict {
                assert_eq!((refusal.reason, refusal.message.starts_with("no")), (Reason::PolicyRefused, true));
            }
        }
        let other = policy("false").expect("valid").check(Action::UpdateKey, &facts());
        assert_eq!(other, Ok(()), "it is not about that");
    }

    #[test]
    fn the_first_policy_that_refuses_speaks() {
        let named = |name: &str, allow: &str| Policy::new(name, vec![Action::CreateTeam], allow, name).expect("valid");
        let policies = [named("a", "true"), named("b", "false"), named("c", "false")];
        let refusal = check_all(&policies, Action::CreateTeam, facts).expect_err("refused");
        assert_eq!(refusal.message, "b");
        let mut asked = false;
        let facts = || {
            asked = true;
            facts()
        };
        assert_eq!(check_all(&policies, Action::GenerateKey, facts), Ok(()));
        assert!(!asked, "what nobody asks about is not worked out");
    }

    #[test]
    fn a_broken_expression_is_known_before_anybody_asks() {
        for (allow, told) in [
            ("after.", "ERROR"),
            ("key.tags == []", "no variable \"key\""),
            ("after.tag == []", "No such key: tag"),
            ("nonsense(after)", "Undeclared reference to 'nonsense'"),
            ("after.tags", "must be true or false"),
        ] {
            let broken = policy(allow).and_then(|policy| policy.rehearse(Action::GenerateKey, &facts()));
            let error = broken.expect_err(allow);
            assert!(error.contains(told), "{allow}: {error}");
        }
        let fine = policy("double(after.team_id) < 1.0").expect("valid");
        assert_eq!(fine.rehearse(Action::GenerateKey, &facts()), Ok(()));
    }
}
