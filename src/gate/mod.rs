//! The hot path: what sidecars ask, answered from memory.
//!
//! All shared mutable state of the process is here. It can be lost at any
//! moment: what must survive is in the store before anybody is told.

mod authorize;
mod batcher;
mod denials;
mod directory;
mod elsewhere;
mod exhausted;
mod explain;
mod extend;
mod fall_back;
mod feed;
mod learned;
mod ledger;
mod meter;
mod rates;
mod record;
mod route;
mod shared;
mod standing;
mod status;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use self::authorize::{AuthorizeError, Call, Calling, Decision, Estimate};
use self::batcher::Batcher;
pub use self::batcher::BookingError;
use self::denials::Denials;
pub use self::directory::Directory;
pub use self::elsewhere::follow_calls;
pub use self::explain::{Explained, Step};
pub use self::extend::{ExtendError, Extended, More};
use self::feed::News;
pub use self::feed::{Announcement, Subject, follow_changes, watch_database};
use self::learned::Learned;
pub use self::ledger::{Ledger, LedgerRules};
pub use self::meter::Metered;
pub use self::record::{RecordError, Recorded, Report, Reporter, Settled};
pub use self::standing::{BudgetStanding, RateKind, RateStanding};
pub use self::status::{Batches, GateStatus, SharingStatus};
use self::trouble::Trouble;
use crate::domain::account::{AccountId, Line};
use crate::domain::budget_mode::BudgetModes;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::customer::CustomerDefaults;
use crate::domain::decision::{PriceRules, RequiredParams};
use crate::domain::identity::{Identity, Models, TeamFacts};
use crate::domain::limit::Dynamic;
use crate::domain::money::Usd;
use crate::domain::pricing::PriceBook;
use crate::domain::scope_budget::ScopeBudgets;
use crate::domain::ticket::TicketKey;
use crate::domain::usage::CostRules;
use crate::shared_counts::SharedCounts;
use crate::store::{Committed, Eviction, Store, StoreError};

/// The settings that the hot path follows.
#[derive(Clone, Debug)]
pub struct GateRules {
    /// Windows, leases, reservations.
    pub ledger: LedgerRules,
    /// Output tokens that are expected of a call that names no maximum.
    pub default_output_tokens: i64,
    /// What is reserved for a model without a price.
    pub unpriced_reserve: Usd,
    /// Which models are denied for want of a price.
    pub prices: PriceRules,
    /// What parameters calls must have.
    pub required_params: RequiredParams,
    /// How events are costed.
    pub costs: CostRules,
    /// How old an event may be that is not an import, in seconds.
    pub max_event_age_seconds: i64,
    /// Whether a user's budget binds its keys in teams.
    pub user_budget_on_team_keys: bool,
    /// The limits of customers without their own.
    pub customers: CustomerDefaults,
    /// How many keys are kept in memory.
    pub directory_capacity: usize,
    /// For how many seconds who is known is decided about while nobody can tell
    /// whether it was blocked.
    pub max_feed_age_seconds: i64,
}

/// The hot path.
pub struct Gate {
    rules: GateRules,
    store: Store,
    directory: Directory,
    ledger: Arc<Ledger>,
    batcher: Batcher,
    prices: ArcSwap<PriceBook>,
    scope_budgets: ArcSwap<ScopeBudgets>,
    budget_modes: ArcSwap<BudgetModes>,
    learned: Learned,
    trouble: Trouble,
    /// Held by whoever reads prices, scope budgets or modes anew.
    reloading: tokio::sync::Mutex<()>,
    denials: Denials,
    /// Rates of all instances, if they count them together.
    shared: Option<Arc<SharedCounts>>,
    tickets: TicketKey,
    holder: i64,
    /// Told when this process changed something.
    changed: Arc<Notify>,
    /// Told when another one did.
    heard: Notify,
    /// When the change feed was last read to its end, in microseconds.
    feed_read_at: AtomicI64,
    news: News,
    leaving: AtomicBool,
    stopping: watch::Sender<bool>,
}

impl Gate {
    /// Whether a team may call a model, by its own list.
    pub fn lets_call(&self, team: &TeamFacts, model: &str) -> bool {
        let resolved = team.aliases.resolve(model).unwrap_or(model);
        team.models.allows_in(resolved, self.prices.load().groups_of(resolved))
    }

    /// Starts the hot path of one run: numbers the run, reads the price book,
    /// starts the batcher, whose task ends after [`Gate::stop`].
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn start(
        store: Store,
        rules: GateRules,
        shared: Option<Arc<SharedCounts>>,
        tickets: TicketKey,
        clock: Clock,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        let holder = store.new_holder(clock.now()).await?;
        let ledger = Arc::new(Ledger::new(rules.ledger, clock.clone()));
        let changed = Arc::new(Notify::new());
        let began = clock.now();
        let (batcher, task) = Batcher::start(
            store.clone(),
            (Arc::clone(&ledger), shared.clone()),
            holder,
            rules.ledger,
            clock,
            Arc::clone(&changed),
        );
        let gate = Self {
            directory: Directory::new(store.clone(), rules.directory_capacity, rules.customers.clone()),
            prices: ArcSwap::from_pointee(store.view().price_book().await?),
            scope_budgets: ArcSwap::from_pointee(store.view().scope_budgets().await?),
            budget_modes: ArcSwap::from_pointee(store.view().budget_modes().await?),
            learned: Learned::default(),
            trouble: Trouble::default(),
            reloading: tokio::sync::Mutex::default(),
            denials: Denials::default(),
            shared,
            rules,
            store,
            ledger,
            batcher,
            tickets,
            holder,
            changed,
            heard: Notify::new(),
            feed_read_at: AtomicI64::new(began.micros()),
            news: News::default(),
            leaving: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        };
        Ok((Arc::new(gate), task))
    }

    /// Who keys are.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The settings that it follows.
    pub fn rules(&self) -> &GateRules {
        &self.rules
    }

    /// The price book as it is now.
    pub fn prices(&self) -> Arc<PriceBook> {
        self.prices.load_full()
    }

    /// The budgets that calls of all keys share, as they are now.
    pub fn scope_budgets(&self) -> Arc<ScopeBudgets> {
        self.scope_budgets.load_full()
    }

    /// Forgets what a committed change made stale. To be called before the
    /// caller is answered.
    ///
    /// # Errors
    /// [`StoreError`] if prices changed and can't be read.
    pub async fn absorb(&self, committed: &Committed) -> Result<(), StoreError> {
        self.evict(&committed.evictions).await?;
        self.ledger.apply_balances(&committed.balances);
        self.changed.notify_one();
        Ok(())
    }

    async fn evict(&self, evictions: &[Eviction]) -> Result<(), StoreError> {
        self.directory.evict(evictions);
        let budgets: Vec<&AccountId> = evictions
            .iter()
            .filter_map(|eviction| if let Eviction::ScopeBudget(account) = eviction { Some(account) } else { None })
            .collect();
        let prices = evictions.contains(&Eviction::Prices);
        let modes = evictions.contains(&Eviction::BudgetModes);
        if !prices && !modes && budgets.is_empty() {
            return Ok(());
        }
        // One after the other, so that what was read first is not stored last.
        let _reloading = self.reloading.lock().await;
        if prices {
            self.prices.store(Arc::new(self.store.view().price_book().await?));
        }
        if modes {
            self.budget_modes.store(Arc::new(self.store.view().budget_modes().await?));
        }
        if !budgets.is_empty() {
            self.scope_budgets.store(Arc::new(self.store.view().scope_budgets().await?));
            // One that was made anew, or corrected, elsewhere has another balance.
            self.ledger.read_again(budgets.into_iter());
        }
        Ok(())
    }

    /// How every budget and rate limit of these accounts stands, those that
    /// instances count together as well.
    ///
    /// # Errors
    /// [`StoreError`] if they are not in memory and the database fails.
    pub async fn all_standings(
        &self,
        lines: &[Line<'_>],
        now: Timestamp,
    ) -> Result<(Vec<BudgetStanding>, Vec<RateStanding>), StoreError> {
        let (budgets, mut rates) = self.standings(lines, now).await?;
        self.look_together(&mut rates, now).await;
        Ok((budgets, rates))
    }

    /// How every budget of these accounts stands, and the rate limits as far as
    /// this instance knows.
    ///
    /// # Errors
    /// [`StoreError`] if they are not in memory and the database fails.
    pub async fn standings(
        &self,
        lines: &[Line<'_>],
        now: Timestamp,
    ) -> Result<(Vec<BudgetStanding>, Vec<RateStanding>), StoreError> {
        let mut lines = lines.to_vec();
        self.set_modes(&mut lines);
        loop {
            match self.ledger.standings(&lines, self.counting(), now) {
                Ok(standings) => return Ok(standings),
                Err(missing) => self.ledger.load(&missing, &self.store, self.holder, now).await?,
            }
        }
    }

    /// Tells each budget how it is applied.
    fn set_modes(&self, lines: &mut [Line<'_>]) {
        let modes = self.budget_modes.load();
        if !modes.is_empty() {
            for line in lines {
                line.mode = modes.of(line.account);
            }
        }
    }

    /// Has limits hold that are for bad times, if the model has such.
    fn tighten(&self, lines: &mut [Line<'_>], model: &str, now: Timestamp) {
        let is_dynamic = lines.iter().any(|line| line.relaxed != Dynamic::NONE);
        if is_dynamic && self.trouble.has(model, now) {
            for line in lines {
                line.relaxed = Dynamic::NONE;
            }
        }
    }

    /// The accounts of a key whose limits can deny a call.
    pub fn binding_lines<'a>(&self, identity: &'a Identity, models: Models<'_>) -> Vec<Line<'a>> {
        let mut lines = identity.lines(models, self.rules.user_budget_on_team_keys);
        lines.retain(|line| line.budget_binds || line.rates_bind);
        lines
    }

    /// Tends what nobody asks about: gives back room that is held without
    /// need, and forgets idle accounts.
    pub fn tend(&self, now: Timestamp) {
        self.batcher.keep_up();
        self.ledger.forget_idle(now);
    }

    /// Moves the clock along by so many microseconds. If it was set, what is reserved
    /// lives as long as it would have.
    pub fn follow_clock(&self, micros: i64) {
        self.ledger.follow_clock(micros);
    }

    /// Forgets what calls used of those who no longer call; it looks at all of them.
    pub fn forget_callers(&self, now: Timestamp) {
        self.learned.forget_idle(now);
    }

    /// The server is about to stop, and still takes calls.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the server stops, or is about to.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Tells whoever streams that the server stops.
    pub fn begin_stop(&self) {
        self.leave();
        self.stopping.send_replace(true);
    }

    /// Changes when the server begins to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Takes no more usage; what was taken before is still written, and room
    /// that is held in advance is given back. Then the batcher's task ends.
    pub async fn stop(&self) {
        self.batcher.stop().await;
    }

    /// How many reservations are in memory.
    pub fn live_reservations(&self) -> usize {
        self.ledger.live_reservations()
    }
}
