//! The key policy: a service that may refuse what is done to keys.

use std::fmt;

use tonic::Code;
use tonic::transport::Channel;

use super::{connect, in_time, silent, traced};
use crate::domain::callout::KeyPolicyRules;
use crate::domain::fault::Refusal;
use crate::domain::policy::Action;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb::policy::CheckRequest;
use crate::pb::policy::key_policy_client::KeyPolicyClient;
use crate::traces::span;

/// What a refusal names as its policy.
const NAME: &str = "key_policy";

/// What callers read when the service gives no reason.
const NO_REASON: &str = "the key policy of this installation forbids it";

/// What the service is asked.
pub type Question = CheckRequest;

/// A service that may refuse.
pub struct KeyPolicy {
    client: KeyPolicyClient<Channel>,
    rules: KeyPolicyRules,
}

impl KeyPolicy {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// `INTERNAL` if the machine's certificates can't be read.
    pub fn new(rules: KeyPolicyRules) -> Result<Self, Error> {
        Ok(Self { client: KeyPolicyClient::new(connect(&rules.callout)?), rules })
    }

    /// Whether it is asked about this.
    pub fn is_about(&self, action: Action) -> bool {
        self.rules.actions.contains(&action)
    }

    /// Asks it.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` with its message if it says no; `UNAVAILABLE` if it
    /// says nothing, unless that counts as a yes.
    pub async fn ask(&self, question: &Question) -> Result<(), Error> {
        // Boxed, because most installations have none, and it would make every call large.
        let mut client = self.client.clone();
        let asked = async { Box::pin(client.check(traced(question.clone()))).await };
        match span("callout.key_policy", in_time(self.rules.callout.timeout, asked)).await {
            Ok(answer) if answer.allowed => Ok(()),
            Ok(answer) => {
                let message = if answer.message.is_empty() { NO_REASON.to_owned() } else { answer.message };
                Err(Refusal::denied(Reason::PolicyRefused, message).with("policy", NAME).into())
            }
            Err(status) if self.rules.fails_open && is_silence(status.code()) => {
                let cause = format!("{:?}: {}", status.code(), status.message());
                tracing::warn!(cause, "the key policy does not answer, which counts as a yes");
                Ok(())
            }
            Err(status) => Err(silent(Reason::KeyPolicyUnavailable, &status)),
        }
    }
}

/// Whether a failure is none of the service's own making: one that it answers
/// with is no yes, or whoever can make it fail could do everything.
const fn is_silence(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

impl fmt::Debug for KeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPolicy").field("rules", &self.rules).finish_non_exhaustive()
    }
}
