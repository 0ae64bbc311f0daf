//! What the benches share: servers in this process, rounds that take turns,
//! and a table of rates and latencies.

#![allow(dead_code, reason = "each bench uses a part")]

pub mod calls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar::config::load_from;
use bursar::domain::clock::Clock;
use bursar::pb;
use bursar::server::Server;
use bursar::services::App;
use pb::gateway_service_client::GatewayServiceClient;
use pb::key_service_client::KeyServiceClient;
use pb::team_service_client::TeamServiceClient;
use pb::user_service_client::UserServiceClient;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// As the server has it; for what it is compared with, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub const MASTER: &str = "sk-master-key-of-the-benches-0123456789";
pub const MODEL: &str = "gpt-4o";

/// A server of Bursar on a socket of its own.
pub struct Bench {
    pub address: String,
    pub app: Arc<App>,
}

impl Bench {
    pub async fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[]).await
    }

    /// The same with more settings.
    pub async fn start_with(database_url: &str, more: &[(&str, String)]) -> Self {
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut flags = vec![
            flag("listen", "127.0.0.1:0"),
            flag("http_listen", "127.0.0.1:0"),
            flag("database_url", database_url),
            flag("master_key", MASTER),
            flag("log_level", "error"),
            // Seeds are merged in larger pieces than a server would.
            flag("statement_timeout", "1h"),
        ];
        flags.extend(more.iter().map(|(name, value)| flag(name, value)));
        let settings = load_from(&flags, None, &[]).expect("settings");
        let server = Server::bind(settings, Clock::system()).await.expect("a server");
        let address = format!("http://{}", server.address().expect("an address"));
        let app = Arc::clone(server.app());
        tokio::spawn(server.serve(std::future::pending()));
        Self { address, app }
    }

    /// A key of a user in a team, so that a call touches four accounts with a
    /// budget each; and a sidecar's key.
    pub async fn key_and_sidecar(&self) -> (String, String) {
        let channel = connect(&self.address).await;
        let budget = Some("1000000".to_owned());
        let user = pb::User { user_id: "alice".into(), max_budget: budget.clone(), ..Default::default() };
        let request = pb::CreateUserRequest { user: Some(user), auto_create_key: Some(false), ..Default::default() };
        UserServiceClient::new(channel.clone()).create_user(with_key(request, MASTER)).await.expect("a user");
        let member =
            pb::TeamMember { user_id: "alice".into(), max_budget_in_team: budget.clone(), ..Default::default() };
        let team =
            pb::Team { team_id: "red".into(), max_budget: budget.clone(), members: vec![member], ..Default::default() };
        let request = pb::CreateTeamRequest { team: Some(team), ..Default::default() };
        TeamServiceClient::new(channel).create_team(with_key(request, MASTER)).await.expect("a team");
        let key = pb::Key {
            user_id: Some("alice".into()),
            team_id: Some("red".into()),
            max_budget: budget,
            rpm_limit: Some(1_000_000_000),
            ..Default::default()
        };
        let sidecar = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        (self.generate(key).await, self.generate(sidecar).await)
    }

    pub async fn generate(&self, key: pb::Key) -> String {
        let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
        let mut keys = KeyServiceClient::new(connect(&self.address).await);
        keys.generate_key(with_key(request, MASTER)).await.expect("a key").into_inner().secret
    }

    pub async fn gateway(&self) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::new(connect(&self.address).await)
    }
}

/// A server in a process of its own, so that its memory can be measured.
pub struct ServerProcess {
    pub address: String,
    process: std::process::Child,
}

impl ServerProcess {
    /// Starts one and waits until it can be reached.
    pub async fn start(database_url: &str) -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let listen = free().to_string();
        let process = std::process::Command::new(env!("CARGO_BIN_EXE_bursar"))
            .env("BURSAR_LISTEN", &listen)
            .env("BURSAR_HTTP_LISTEN", "127.0.0.1:0")
            .env("BURSAR_DATABASE_URL", database_url)
            .env("BURSAR_MASTER_KEY", MASTER)
            .env("BURSAR_LOG_LEVEL", "error")
            .spawn()
            .expect("a server");
        let address = format!("http://{listen}");
        let endpoint = Endpoint::new(address.clone()).expect("an address");
        while endpoint.connect().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { address, process }
    }

    /// The most memory that it had since it was last asked, in MiB.
    pub fn peak_mib(&self) -> u64 {
        let directory = std::path::Path::new("/proc").join(self.process.id().to_string());
        let status = std::fs::read_to_string(directory.join("status")).expect("a status");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        std::fs::write(directory.join("clear_refs"), "5").expect("a reset");
        kib / 1_024
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub async fn connect(address: &str) -> Channel {
    Endpoint::new(address.to_owned()).expect("an address").tcp_nodelay(true).connect().await.expect("a connection")
}

/// A request with a credential.
pub fn with_key<T>(message: T, secret: &str) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {secret}").parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// What a round measured.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub seconds: f64,
    pub latencies: Vec<Duration>,
}

impl Round {
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    /// A latency in milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64) * 1_000.0
    }
}

/// Runs `work` again and again in so many tasks for so long. Each time it
/// returns the latencies of its calls.
pub async fn drive<W, F>(tasks: usize, length: Duration, work: W) -> Round
where
    W: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Vec<Duration>> + Send,
{
    let began = Instant::now();
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let work = work.clone();
        set.spawn(async move {
            let mut latencies = Vec::new();
            let mut number = 0;
            while began.elapsed() < length {
                latencies.extend(work(task, number).await);
                number += 1;
            }
            latencies
        });
    }
    let latencies = set.join_all().await.into_iter().flatten().collect();
    Round { seconds: began.elapsed().as_secs_f64(), latencies }
}

/// The median of numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A database of SQLite in a directory that goes away with it.
pub struct Sqlite(std::path::PathBuf);

impl Sqlite {
    pub fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("bursar_bench_{name}_{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    pub fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.0.join("bursar.db").display())
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
