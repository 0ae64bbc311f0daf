//! Chaos: three instances on one PostgreSQL, 48 callers, and instances that are killed,
//! stopped and cut off, and whose clocks are set, at random. No budget is overspent, nothing that was acknowledged
//! is lost or counted twice, and all room comes back.
//!
//! `BURSAR_CHAOS_SECONDS` says how long it goes on; the check gives it fifteen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bursar::pb;
use bursar::store::Store;
use parking_lot::{Mutex, RwLock};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::crash::events_of;
use crate::gateway::ask;
use crate::support::cutter::{Cutter, Wire};
use crate::support::database::{Database, connect_options, fresh_directory};
use crate::support::fake_clock::FakeClock;
use crate::support::process::{Process, bursar};
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client, Dice};

const INSTANCES: usize = 3;
const CALLERS: usize = 48;
/// What a call costs, and its tokens.
const CENT: &str = "0.01";
const TOKENS: i64 = 4_000;
/// For how many calls a key has room.
const ROOM: usize = 20;
/// How many keys are called at a time, and how many new ones a second.
const ACTIVE: usize = 6;
const NEW_KEYS: usize = 3;
/// How long a reservation lives, and for how long a client tries to settle it.
const RESERVATION: Duration = Duration::from_secs(10);
const IN_TIME: Duration = Duration::from_millis(8_500);
/// How long a call may take before the client asks another instance.
const PATIENCE: Duration = Duration::from_millis(800);

/// An instance as its callers know it.
struct Instance {
    process: Mutex<Option<Process>>,
    client: RwLock<Client>,
    cutter: Cutter,
    clock: FakeClock,
}

/// What callers were told.
#[derive(Default)]
struct Told {
    /// The calls of each key that were settled, and acknowledged in time.
    settled: Mutex<BTreeMap<usize, Vec<String>>>,
    /// Those of which nobody said in time whether they were booked.
    doubtful: Mutex<BTreeMap<usize, usize>>,
    denied: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
    newest_key: AtomicUsize,
}

/// Everything.
struct Fleet {
    instances: Vec<Instance>,
    directory: std::path::PathBuf,
    /// The secrets of the keys.
    keys: Vec<String>,
    sidecar: String,
    told: Told,
    number: AtomicU64,
}

fn serve(directory: &std::path::Path, url: &str, clock: &FakeClock) -> Process {
    let settings = [
        ("master-key", MASTER),
        ("reservation-ttl", "10s"),
        ("lease-ttl", "5s"),
        ("max-feed-age", "30s"),
        ("database-acquire-timeout", "1s"),
        ("database-max-connections", "8"),
    ];
    let mut command = bursar(directory);
    command.args(["--listen", "127.0.0.1:0", "--database-url", url]);
    command.args(settings.map(|(name, value)| format!("--{name}={value}")));
    clock.govern(&mut command);
    Process::of(command)
}

impl Fleet {
    async fn start(database: &Database, seconds: usize) -> Self {
        let directory = fresh_directory();
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            let cutter = Cutter::new(&database.url).await;
            let clock = FakeClock::new(&directory);
            let process = serve(&directory, &cutter.url, &clock);
            let client = RwLock::new(Client::anonymous(process.connect().await).with_key(MASTER));
            instances.push(Instance { process: Mutex::new(Some(process)), client, cutter, clock });
        }
        let admin = instances[0].client.read().clone();
        let generate = async |key: pb::Key| {
            let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
            admin.keys().generate_key(request).await.answer().secret
        };
        let sidecar = generate(pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() }).await;
        let mut keys = Vec::new();
        for _ in 0..ACTIVE + NEW_KEYS * (seconds + 2) {
            keys.push(generate(pb::Key { max_budget: Some("0.2".into()), ..Default::default() }).await);
        }
        let told = Told { newest_key: AtomicUsize::new(ACTIVE), ..Told::default() };
        Self { instances, directory, keys, sidecar, told, number: AtomicU64::new(0) }
    }

    fn client(&self, instance: usize) -> Client {
        self.instances[instance].client.read().with_key(&self.sidecar)
    }

    /// Calls with keys until it is told to stop.
    async fn call(self: Arc<Self>, mut dice: Dice) {
        while !self.told.stop.load(Ordering::Relaxed) {
            let key = self.told.newest_key.load(Ordering::Relaxed) - 1 - dice.roll(ACTIVE);
            if let Some((reservation, until)) = self.reserve(key, &mut dice).await {
                match dice.roll(4) {
                    0 => self.release(reservation, &mut dice).await,
                    // Its sidecar went away.
                    1 if dice.roll(4) == 0 => {}
                    _ => self.settle(key, reservation, until, &mut dice).await,
                }
            }
            tokio::time::sleep(Duration::from_millis(dice.roll(20) as u64)).await;
        }
    }

    async fn reserve(&self, key: usize, dice: &mut Dice) -> Option<(String, Instant)> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let asked = pb::AuthorizeRequest { key: self.keys[key].clone(), ..ask(&format!("c{number}"), CENT) };
        let until = Instant::now() + IN_TIME;
        let mut gateway = self.client(dice.roll(INSTANCES)).gateway();
        match tokio::time::timeout(PATIENCE, gateway.authorize(asked)).await {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                if answer.decision() == pb::Decision::Allow {
                    return Some((answer.reservation_id, until));
                }
                assert_eq!(answer.deny_reason(), pb::DenyReason::BudgetExceeded, "{}", answer.message);
                self.told.denied.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(status)) => self.failed(&status),
            Err(_) => drop(self.told.failed.fetch_add(1, Ordering::Relaxed)),
        }
        None
    }

    /// What goes wrong in an outage has a name.
    fn failed(&self, status: &Status) {
        let by_transport = std::error::Error::source(status).is_some();
        let expected = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::ResourceExhausted];
        assert!(by_transport || expected.contains(&status.code()), "{status:?}");
        self.told.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Settles, at one instance after the other, while that is in time.
    async fn settle(&self, key: usize, reservation_id: String, until: Instant, dice: &mut Dice) {
        let usage = Some(pb::UsageEvent { prompt_tokens: TOKENS, ..Default::default() });
        let request = pb::SettleRequest { reservation_id: reservation_id.clone(), usage };
        while Instant::now() < until {
            let mut gateway = self.client(dice.roll(INSTANCES)).gateway();
            match tokio::time::timeout(PATIENCE, gateway.settle(request.clone())).await {
                Ok(Ok(answer)) => {
                    let answer = answer.into_inner();
                    assert_eq!(answer.cost, CENT);
                    if Instant::now() < until && !answer.late {
                        self.told.settled.lock().entry(key).or_default().push(answer.request_id);
                        return;
                    }
                }
                Ok(Err(status)) => self.failed(&status),
                Err(_) => {}
            }
        }
        *self.told.doubtful.lock().entry(key).or_default() += 1;
    }

    async fn release(&self, reservation_id: String, dice: &mut Dice) {
        let mut gateway = self.client(dice.roll(INSTANCES)).gateway();
        let _ = tokio::time::timeout(PATIENCE, gateway.release(pb::ReleaseRequest { reservation_id })).await;
    }

    /// One thing goes wrong, and is mended.
    async fn trouble(&self, dice: &mut Dice) {
        let instance = &self.instances[dice.roll(INSTANCES)];
        let pause = Duration::from_millis(200 + dice.roll(3_000) as u64);
        match dice.roll(5) {
            0 => {
                let killed = instance.process.lock().take();
                drop(killed);
                let process = serve(&self.directory, &instance.cutter.url, &instance.clock);
                let client = Client::anonymous(process.connect().await).with_key(MASTER);
                *instance.client.write() = client;
                *instance.process.lock() = Some(process);
            }
            1 => {
                let signal = |name| instance.process.lock().as_ref().inspect(|process| process.signal(name)).is_some();
                signal("STOP");
                // Longer than a lease, now and then.
                tokio::time::sleep(pause * 4).await;
                signal("CONT");
            }
            2 => {
                // Up to an hour, forwards or backwards; and sometimes right again.
                let seconds = i64::try_from(dice.roll(7_200)).unwrap() - 3_600;
                instance.clock.set(if dice.roll(3) == 0 { 0 } else { seconds });
                tokio::time::sleep(pause).await;
            }
            of => {
                instance.cutter.set(if of == 3 { Wire::Cut } else { Wire::Silent });
                tokio::time::sleep(pause).await;
                instance.cutter.set(Wire::Whole);
            }
        }
    }
}

/// What runs hold of accounts, by the clock of the database.
async fn held(url: &str) -> Vec<(String, i64, i64, i64)> {
    let sql = "SELECT name, holder, held_nanos, expires_at - CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) \
               FROM leases WHERE held_nanos > 0 AND scope = 'key'";
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap()
}

/// How long it goes on.
fn seconds() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test that may run for longer than the others")]
    let given = std::env::var("BURSAR_CHAOS_SECONDS").ok();
    given.map_or(15, |given| given.parse().expect("a number of seconds"))
}

fn usd_cents(text: &str) -> usize {
    let nanos = text.parse::<bursar::domain::money::Usd>().unwrap().nanos();
    assert_eq!(nanos % 10_000_000, 0, "{text}");
    usize::try_from(nanos / 10_000_000).unwrap()
}

#[expect(clippy::print_stdout, reason = "what happened at random is told, for whoever wonders")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_instances_no_budget_is_overspent_and_nothing_is_lost() {
    let seconds = seconds();
    let database = Database::empty(Backend::Postgres).await;
    let fleet = Arc::new(Fleet::start(&database, seconds).await);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(Arc::clone(&fleet).call(Dice(caller as u64)));
    }
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let (began, mut dice) = (Instant::now(), Dice(seed));
    let mut troubles = 0;
    while began.elapsed().as_secs() < seconds as u64 {
        fleet.trouble(&mut dice).await;
        troubles += 1;
        let passed = usize::try_from(began.elapsed().as_secs()).unwrap().min(seconds);
        fleet.told.newest_key.store(ACTIVE + NEW_KEYS * passed, Ordering::Relaxed);
    }
    for instance in &fleet.instances {
        instance.clock.set(0);
    }
    fleet.told.stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    // Until what nobody settled has expired, here and in the database.
    tokio::time::sleep(RESERVATION + Duration::from_secs(9)).await;

    let told = &fleet.told;
    let settled = told.settled.lock().clone();
    let doubtful = told.doubtful.lock().clone();
    let admin = fleet.instances[0].client.read().clone();
    let events = events_of(&Store::connect(&connect_options(&database.url)).await.unwrap()).await;
    let mut spent_of_all = 0;
    for (number, secret) in fleet.keys.iter().enumerate().take(told.newest_key.load(Ordering::Relaxed)) {
        let acknowledged = settled.get(&number).map_or(0, Vec::len);
        let in_doubt = doubtful.get(&number).copied().unwrap_or_default();
        assert!(acknowledged <= ROOM, "key {number}: {acknowledged} settled in time");
        let request = pb::GetKeyRequest { key: secret.clone() };
        let spent = usd_cents(admin.keys().get_key(request).await.answer().key.unwrap().spend());
        assert!(spent >= acknowledged, "key {number}: {spent} spent, {acknowledged} acknowledged");
        assert!(spent <= ROOM.max(acknowledged + in_doubt), "key {number}: {spent} spent, {in_doubt} in doubt");
        spent_of_all += spent;
        // All that is left can be had, at whichever instance, and no more. Of what one
        // holds in advance others hear after a while.
        let (mut left, mut denied) = (0, String::new());
        for attempt in 0..=ROOM {
            let asked = pb::AuthorizeRequest { key: secret.clone(), ..ask(&format!("rest-{number}-{attempt}"), CENT) };
            let answer = fleet.client(number % INSTANCES).gateway().authorize(asked).await.answer();
            left += usize::from(answer.decision() == pb::Decision::Allow);
            denied = answer.message;
        }
        let held = held(&database.url).await;
        assert_eq!(left, ROOM.saturating_sub(spent), "key {number}: {spent} spent, {denied}, held: {held:?}");
    }
    for id in settled.values().flatten() {
        assert_eq!(events.iter().filter(|event| *event == id).count(), 1, "{id}");
    }
    let acknowledged: usize = settled.values().map(Vec::len).sum();
    println!(
        "{troubles} troubles: {} denied, {acknowledged} settled, {} in doubt, {} failed, {spent_of_all} spent",
        told.denied.load(Ordering::Relaxed),
        doubtful.values().sum::<usize>(),
        told.failed.load(Ordering::Relaxed),
    );
    assert!(acknowledged > ROOM * ACTIVE, "{acknowledged}: nobody called");
    let verified = Store::connect(&connect_options(&database.url)).await.unwrap().verify().await.unwrap();
    assert!(verified.discrepancies.is_empty(), "{verified:?}");
    std::fs::remove_dir_all(&fleet.directory).unwrap();
}
