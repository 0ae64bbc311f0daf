//! Worlds: a server and what is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bursar::config::load_from;
use bursar::domain::clock::{Clock, Timestamp};
use bursar::pb;
use bursar::server::Server;
use bursar::services::App;
use bursar::store::Store;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use super::database::Database;
use super::{Answer, Backend, Client};

/// The master key of every world.
pub const MASTER: &str = "sk-master-key-of-the-tests-0123456789";

/// A model of the starter list: 2.5 USD and 10 USD per million tokens.
pub const MODEL: &str = "gpt-4o";

/// What `on_both!` can hand to a test.
pub trait ForBackend {
    async fn for_backend(backend: Backend) -> Self;
}

impl ForBackend for Backend {
    async fn for_backend(backend: Backend) -> Self {
        backend
    }
}

impl ForBackend for World {
    async fn for_backend(backend: Backend) -> Self {
        Self::start(backend).await
    }
}

/// A clock that a test moves.
#[derive(Clone)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub fn set(&self, instant: &str) {
        self.0.store(parse_instant(instant).micros(), Ordering::SeqCst);
    }
}

/// An instant from its RFC 3339 form.
pub fn parse_instant(text: &str) -> Timestamp {
    Timestamp::try_from(text.to_owned()).unwrap()
}

/// How a world begins.
pub struct Builder {
    backend: Backend,
    settings: Vec<(String, String)>,
    hands: Option<Hands>,
}

impl Builder {
    /// With a setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// At an instant; the clock then stands until the test moves it.
    pub fn at(mut self, instant: &str) -> Self {
        self.hands = Some(Hands(Arc::new(AtomicI64::new(parse_instant(instant).micros()))));
        self
    }

    pub async fn start(self) -> World {
        let database = Database::new(self.backend).await;
        self.start_on(Arc::new(database)).await
    }

    /// Starts another server on the same database.
    pub async fn start_on(self, database: Arc<Database>) -> World {
        let mut flags = vec![
            ("listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("http_listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("database_url".to_owned(), database.url.clone()),
            ("master_key".to_owned(), MASTER.to_owned()),
            ("database_max_connections".to_owned(), "8".to_owned()),
        ];
        flags.extend(self.settings);
        let settings = load_from(&flags, None, &[]).unwrap();
        let clock = match self.hands.clone() {
            Some(hands) => Clock::from_fn(move || hands.now()),
            None => Clock::system(),
        };
        let server = Box::pin(Server::bind(settings, clock)).await.unwrap();
        let address = format!("http://{}", server.address().unwrap());
        let http_address = format!("http://{}", server.http_address().unwrap());
        let app = Arc::clone(server.app());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            server.serve(async { stopped.await.unwrap_or_default() }).await.unwrap();
        });
        let channel = Endpoint::new(address.clone()).unwrap().connect().await.unwrap();
        let admin = Client::anonymous(channel).with_key(MASTER);
        World {
            backend: self.backend,
            database,
            address,
            http_address,
            admin,
            hands: self.hands,
            app: Some(app),
            stop,
            serving,
        }
    }
}

/// A running server with a database of its own.
pub struct World {
    pub backend: Backend,
    pub database: Arc<Database>,
    pub address: String,
    /// Where it tells how it is.
    pub http_address: String,
    /// Who calls with the master key.
    pub admin: Client,
    hands: Option<Hands>,
    app: Option<Arc<App>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl World {
    pub fn builder(backend: Backend) -> Builder {
        Builder { backend, settings: Vec::new(), hands: None }
    }

    pub async fn start(backend: Backend) -> Self {
        Self::builder(backend).start().await
    }

    /// The clock of a world that was started at an instant.
    pub fn hands(&self) -> &Hands {
        self.hands.as_ref().expect("a world that was started at an instant")
    }

    /// What the server works with.
    pub fn app(&self) -> &Arc<App> {
        self.app.as_ref().unwrap()
    }

    /// The server's own store.
    pub fn store(&self) -> &Store {
        &self.app().store
    }

    /// Runs SQL behind the server's back; returns how many rows it touched.
    pub async fn execute(&self, sql: &'static str) -> u64 {
        let url = &self.database.url;
        match self.backend {
            Backend::Sqlite => {
                SqliteConnection::connect(url).await.unwrap().execute(sql).await.unwrap().rows_affected()
            }
            Backend::Postgres => PgConnection::connect(url).await.unwrap().execute(sql).await.unwrap().rows_affected(),
        }
    }

    /// Another connection to the server.
    pub async fn connect(&self) -> Channel {
        Endpoint::new(self.address.clone()).unwrap().connect().await.unwrap()
    }

    /// Nobody in particular.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(self.admin.channel.clone())
    }

    /// Somebody with a secret.
    pub fn with_key(&self, secret: &str) -> Client {
        self.admin.with_key(secret)
    }

    /// Stops the server as SIGTERM does, and waits until it has ended.
    pub async fn stop(mut self) -> Arc<Database> {
        self.app = None;
        let _ = self.stop.send(());
        self.serving.await.unwrap();
        self.database
    }

    /// Makes a user.
    pub async fn user(&self, user: pb::User) -> pb::User {
        let request = pb::CreateUserRequest { user: Some(user), auto_create_key: Some(false), ..Default::default() };
        self.admin.users().create_user(request).await.answer().user.unwrap()
    }

    /// Makes a user with a role and a management key of its own; returns who
    /// calls with it.
    pub async fn person(&self, user_id: &str, role: pb::Role) -> Client {
        self.with_key(&self.person_secret(user_id, role).await)
    }

    /// Makes a user with a role; returns the secret of a management key of it.
    pub async fn person_secret(&self, user_id: &str, role: pb::Role) -> String {
        let user = pb::User { user_id: user_id.into(), user_role: role.into(), ..Default::default() };
        let request = pb::CreateUserRequest { user: Some(user), ..Default::default() };
        self.admin.users().create_user(request).await.answer().secret
    }

    /// Makes a team.
    pub async fn team(&self, team: pb::Team) -> pb::Team {
        let request = pb::CreateTeamRequest { team: Some(team), ..Default::default() };
        self.admin.teams().create_team(request).await.answer().team.unwrap()
    }

    /// Makes an organization.
    pub async fn organization(&self, organization: pb::Organization) -> pb::Organization {
        let alias = organization.organization_id.clone();
        let organization = pb::Organization { organization_alias: alias, ..organization };
        let request = pb::CreateOrganizationRequest { organization: Some(organization), ..Default::default() };
        self.admin.organizations().create_organization(request).await.answer().organization.unwrap()
    }

    /// Makes a key; returns its secret, too.
    pub async fn key(&self, key: pb::Key) -> (String, pb::Key) {
        let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
        let answer = self.admin.keys().generate_key(request).await.answer();
        (answer.secret, answer.key.unwrap())
    }

    /// Makes a sidecar.
    pub async fn sidecar(&self) -> Client {
        let key = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (secret, _) = self.key(key).await;
        self.with_key(&secret)
    }
}
