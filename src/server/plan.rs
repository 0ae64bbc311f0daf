//! The plan of a start: all that the settings decide by themselves, made before
//! anything is touched. `bursar doctor` makes it, too, and throws it away.

use std::sync::Arc;

use super::tls::Tls;
use super::{ServerError, master_key};
use crate::auth::POLICY;
use crate::callout::{CustomAuth, KeyPolicy};
use crate::config::{ConfigError, Rules, Settings};
use crate::domain::token::Issuer;
use crate::gate::GateRules;
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::services::{self, Receivers};
use crate::shared_counts::{Background, SharedCounts};
use crate::store::Telling;
use crate::traces::Traces;
use crate::webhooks::Courier;

/// What the settings decide.
pub(super) struct Plan {
    pub(super) rules: Rules,
    pub(super) gate_rules: GateRules,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) traces: Option<Arc<Traces>>,
    pub(super) shared: Option<(Arc<SharedCounts>, Background)>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) custom_auth: Option<CustomAuth>,
    pub(super) key_policy: Option<KeyPolicy>,
    pub(super) mailer: Option<Arc<Mailer>>,
    pub(super) webhooks: Receivers,
    pub(super) telling: Telling,
}

impl Plan {
    /// Makes it.
    ///
    /// # Errors
    /// [`ServerError`] that names the setting which is wrong.
    pub(super) fn new(settings: &Settings) -> Result<Self, ServerError> {
        let wrong = |name: &str, error: &dyn std::fmt::Display| ConfigError(format!("wrong setting: {name}: {error}"));
        let rules = settings.rules()?;
        services::rehearse_policies(&rules.policies)?;
        let metrics = Metrics::new(POLICY.iter().map(|rule| rule.rpc));
        let metrics = Arc::new(metrics.map_err(|error| ServerError::Serve(error.to_string()))?);
        let traces = settings.trace_rules()?.map(|rules| Traces::new(&rules).map(Arc::new)).transpose();
        let shared = settings.shared_count_rules()?.map(|rules| SharedCounts::new(&rules)).transpose();
        let shared = shared.map_err(|error| wrong("redis", &error))?;
        let telling = settings.telling()?;
        master_key::check(settings)?;
        let plan = Self {
            gate_rules: settings.gate_rules()?,
            tls: None,
            traces: traces.map_err(|error| wrong("traces", &error))?,
            shared: shared.map(|(shared, background)| (Arc::new(shared), background)),
            issuers: settings.issuers()?,
            custom_auth: settings.custom_auth()?.as_ref().map(CustomAuth::new).transpose()?,
            key_policy: settings.key_policy()?.map(KeyPolicy::new).transpose()?,
            mailer: settings.mailer()?.map(Arc::new),
            webhooks: Receivers { all: telling.webhooks.clone(), courier: Courier::new().map_err(ServerError::Serve)? },
            rules,
            metrics,
            telling,
        };
        // Last: whoever hears that the certificate is wrong knows that the rest is not.
        let tls = settings.tls_rules()?.map(|rules| Tls::new(rules, Arc::clone(&plan.metrics)).map(Arc::new));
        Ok(Self { tls: tls.transpose()?, ..plan })
    }
}

/// Whether a server with these settings would start, as far as they decide it.
///
/// # Errors
/// [`ServerError`] that names the setting which is wrong.
pub fn check(settings: &Settings) -> Result<(), ServerError> {
    Plan::new(settings).map(drop)
}
