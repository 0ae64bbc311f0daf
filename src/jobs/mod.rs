//! Background: what happens when nobody calls. No job is needed for an amount of
//! money to be right; without them memory and tables would only grow, and denied
//! calls would not be counted.

mod close;
mod denials;
mod follow_clock;
mod listen;
mod merge;
mod purge;
mod rank;
mod rebuild;
mod retain;
mod rotate;
mod send_mail;
mod send_webhooks;
mod share_counts;
mod tend;
mod tidy;
mod verify;

use std::sync::Arc;

use tokio::task::JoinSet;

pub use self::purge::{KeyRetention, Purger};
pub use self::rotate::{MakeSecret, Rotator};
pub use self::verify::verify_if_due;

use crate::domain::clock::Clock;
use crate::domain::webhook::Webhook;
use crate::gate::{Gate, follow_calls, follow_changes, watch_database};
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::shared_counts::{Background, SharedCounts};
use crate::store::{SealKey, Store};
use crate::webhooks::Courier;

/// The jobs; they end when this is dropped.
pub struct Jobs(JoinSet<()>);

impl Jobs {
    /// Starts every job. `position` is where the change feed stood before
    /// anything was read into memory; usage events are kept for
    /// `kept_seconds`, or for ever.
    pub fn start(store: Store, gate: Arc<Gate>, clock: Clock, position: i64, kept_seconds: Option<i64>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_clock::follow_clock(Arc::clone(&gate), clock.clone()));
        tasks.spawn(tend::tend(Arc::clone(&gate), clock.clone()));
        tasks.spawn(denials::write(Arc::clone(&gate)));
        tasks.spawn(listen::listen(store.clone(), Arc::clone(&gate)));
        tasks.spawn(watch_database(Arc::clone(&gate), clock.clone()));
        tasks.spawn(follow_calls(Arc::clone(&gate)));
        tasks.spawn(follow_changes(gate, clock.clone(), position));
        tasks.spawn(merge::merge(store.clone()));
        tasks.spawn(rebuild::rebuild(store.clone(), clock.clone()));
        tasks.spawn(rank::rank(store.clone(), clock.clone()));
        if let Some(kept_seconds) = kept_seconds {
            tasks.spawn(close::close(store.clone(), clock.clone(), kept_seconds));
        }
        tasks.spawn(retain::retain(store, clock));
        Self(tasks)
    }

    /// Also tidies metrics.
    pub fn tidy(&mut self, metrics: Arc<Metrics>) {
        self.0.spawn(tidy::tidy(metrics));
    }

    /// Also shares counts with other instances.
    pub fn share_counts(&mut self, shared: Arc<SharedCounts>, background: Background) {
        self.0.spawn(share_counts::share_counts(shared, background));
    }

    /// Also verifies every counter, every so many seconds.
    pub fn verify(&mut self, store: Store, metrics: Arc<Metrics>, clock: Clock, every_seconds: i64) {
        self.0.spawn(verify::verify(store, metrics, clock, every_seconds));
    }

    /// Also rotates keys whose time has come.
    pub fn rotate_keys(&mut self, rotator: Rotator) {
        self.0.spawn(rotate::rotate(rotator));
    }

    /// Also purges keys that are kept no longer.
    pub fn purge_keys(&mut self, purger: Purger) {
        self.0.spawn(purge::purge(purger));
    }

    /// Also sends what webhooks are to get.
    pub fn send_webhooks(&mut self, store: &Store, courier: &Courier, webhooks: &[Arc<Webhook>], clock: &Clock) {
        for webhook in webhooks {
            let webhook = Arc::clone(webhook);
            self.0.spawn(send_webhooks::send_webhooks(store.clone(), courier.clone(), webhook, clock.clone()));
        }
    }

    /// Also sends what is to be mailed.
    pub fn send_mail(&mut self, store: Store, mailer: Arc<Mailer>, seals: SealKey, clock: Clock) {
        self.0.spawn(send_mail::send_mail(store, mailer, seals, clock));
    }
}
