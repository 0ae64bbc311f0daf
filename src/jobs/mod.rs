//! Background: what happens when nobody calls. No job is needed for a number
//! to be right; without them memory and tables would only grow.

mod retain;
mod tend;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::domain::clock::Clock;
use crate::gate::{Gate, follow_changes};
use crate::store::Store;

/// The jobs; they end when this is dropped.
pub struct Jobs(#[expect(dead_code, reason = "holds the tasks, which end when it is dropped")] JoinSet<()>);

impl Jobs {
    /// Starts every job. `position` is where the change feed stood before
    /// anything was read into memory.
    pub fn start(store: Store, gate: Arc<Gate>, clock: Clock, position: i64) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(tend::tend(Arc::clone(&gate), clock.clone()));
        tasks.spawn(follow_changes(gate, position));
        tasks.spawn(retain::retain(store, clock));
        Self(tasks)
    }
}
