//! Callouts: services of an installation that have a say.

use std::time::Duration;

use super::policy::Action;
use super::safe_url::SafeUrl;

/// A service that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// Where it is.
    pub url: SafeUrl,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// One that is asked about keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicyRules {
    /// The service.
    pub callout: Callout,
    /// What it is asked about.
    pub actions: Vec<Action>,
    /// Whether its silence counts as a yes.
    pub fails_open: bool,
}
