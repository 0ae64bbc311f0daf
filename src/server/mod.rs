//! Assembly: the only module that knows the whole. Binds, serves, drains.

mod connections;
mod health;
mod http;
mod layers;
mod master_key;
mod plan;
mod starter;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::Layer;

use self::connections::Connections;
use self::layers::RequestLayer;
use self::plan::Plan;
pub use self::plan::check;
use self::tls::Tls;
pub use self::tls::certificate_end;
use crate::auth::{Allowance, AuthLayer, Authenticator, CallerRules, Sessions, Throttle, Tokens};
use crate::config::{ConfigError, PerMinute, Period, Settings};
use crate::domain::clock::Clock;
use crate::domain::secret::Secret;
use crate::domain::ticket::TicketKey;
use crate::error::Error;
use crate::gate::Gate;
use crate::jobs::{Jobs, KeyRetention, Purger, Rotator};
use crate::pb;
use crate::services::wire::secret::{fresh_secret, random_bytes};
use crate::services::{self, App, Host, Passwords, Receivers, SignIn};
use crate::store::{SealKey, SecretName, Store, StoreError};
use crate::traces::Traces;

/// Why the server does not start, or does not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database does not work.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The address can't be used.
    #[error("can't listen on {address}: {cause}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The files of TLS can't be used.
    #[error("wrong setting: tls: {0}")]
    Tls(String),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(String),
}

impl From<Error> for ServerError {
    fn from(error: Error) -> Self {
        Self::Serve(format!("{error:?}"))
    }
}

/// A server that is bound and ready to serve.
pub struct Server {
    listener: TcpListener,
    http_listener: TcpListener,
    tls: Option<Arc<Tls>>,
    traces: Option<Arc<Traces>>,
    app: Arc<App>,
    authenticator: Authenticator,
    settings: Settings,
    jobs: Jobs,
    batcher: JoinHandle<()>,
    /// The master key that was made at this start, to be shown once.
    pub new_master_key: Option<Secret>,
}

impl Server {
    /// Prepares everything that can fail: settings, tables, memory, address.
    ///
    /// # Errors
    /// [`ServerError`]; then nothing is served.
    pub async fn bind(settings: Settings, clock: Clock) -> Result<Self, ServerError> {
        let plan = Plan::new(&settings)?;
        let Plan {
            rules, gate_rules, metrics, tls, traces, issuers, custom_auth, key_policy, mailer, webhooks, ..
        } = plan;
        let (shared, background) = plan.shared.unzip();
        let store = Store::connect(&settings.connect_options()).await?.telling(plan.telling);
        let store = if clock.is_of_machine() { store.sharing_its_clock() } else { store };
        store.migrate().await?;
        starter::import(&store, clock.now()).await?;
        let tickets = shared_secret(&store, SecretName::Tickets).await?;
        let seals = SealKey::new(&shared_secret(&store, SecretName::Seals).await?);
        let position = store.view().last_audit_sequence().await?;
        if let Some(shared) = &shared {
            // So that the first call knows whether Redis answers.
            shared.beat().await;
        }
        let tickets = TicketKey::new(&tickets);
        let (gate, batcher) = Gate::start(store.clone(), gate_rules, shared.clone(), tickets, clock.clone()).await?;
        let listener = listen(settings.listen).await?;
        let http_listener = listen(settings.http_listen).await?;
        // Last of all: a key that is made must be shown, whatever else fails.
        let (masters, new_master_key) = master_key::accepted(&settings, &store).await?;
        let sessions = Arc::new(Sessions::start(store.clone(), settings.session_ttl.seconds(), clock.now()).await?);
        let tokens = Arc::new(Tokens::new(Arc::clone(&gate), issuers, custom_auth)?);
        let sign_in = SignIn {
            passwords: Passwords::new()?,
            sessions: Arc::clone(&sessions),
            tokens: Arc::clone(&tokens),
            throttle: Throttle::new(Allowance::SIGN_IN),
        };
        let app = Arc::new(App {
            store: store.clone(),
            gate: Arc::clone(&gate),
            rules,
            clock: clock.clone(),
            seals: seals.clone(),
            mailer: mailer.clone(),
            webhooks,
            sign_in,
            key_policy,
            metrics,
        });
        let kept_seconds = settings.usage_retention.map(Period::seconds);
        let mut jobs = Jobs::start(store.clone(), Arc::clone(&gate), clock.clone(), position, kept_seconds);
        jobs.tidy(Arc::clone(&app.metrics));
        jobs.verify(store.clone(), Arc::clone(&app.metrics), clock.clone(), settings.verify_interval.seconds());
        if let (Some(shared), Some(background)) = (shared, background) {
            jobs.share_counts(shared, background);
        }
        let make_secret = || fresh_secret().ok();
        let rotation = app.rules.rotation.clone();
        if let Some(rotator) = Rotator::new(store.clone(), Arc::clone(&gate), clock.clone(), rotation, make_secret) {
            jobs.rotate_keys(rotator);
        }
        let retention = KeyRetention {
            expired_seconds: settings.expired_key_purge_after.map(Period::seconds),
            deleted_seconds: settings.deleted_keys_retention.map(Period::seconds),
        };
        if let Some(purger) = Purger::new(store.clone(), Arc::clone(&gate), clock.clone(), retention) {
            jobs.purge_keys(purger);
        }
        let Receivers { all, courier } = &app.webhooks;
        jobs.send_webhooks(&store, courier, all, &clock);
        if let Some(mailer) = mailer {
            jobs.send_mail(store, mailer, seals, clock);
        }
        Ok(Self {
            listener,
            http_listener,
            tls,
            traces,
            authenticator: Authenticator::new(
                gate,
                masters,
                sessions,
                tokens,
                Box::new(Host(Arc::clone(&app))),
                settings.key_metadata_name.as_ref().map(|name| name.get().clone()),
            ),
            app,
            settings,
            jobs,
            batcher,
            new_master_key,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`ServerError`] if the operating system does not know.
    pub fn address(&self) -> Result<SocketAddr, ServerError> {
        self.listener.local_addr().map_err(|cause| ServerError::Bind { address: self.settings.listen, cause })
    }

    /// Where it listens for HTTP.
    ///
    /// # Errors
    /// [`ServerError`] if the operating system does not know.
    pub fn http_address(&self) -> Result<SocketAddr, ServerError> {
        let address = self.settings.http_listen;
        self.http_listener.local_addr().map_err(|cause| ServerError::Bind { address, cause })
    }

    /// What operations work with: for tests that look behind the wire.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `stop` ends; then takes no new calls, finishes those in
    /// flight, and writes what is still on its way to the database.
    ///
    /// # Errors
    /// [`ServerError`] if serving fails.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServerError> {
        let Self { listener, http_listener, tls, traces, app, authenticator, settings, jobs, batcher, .. } = self;
        let (health, health_service) = health::start().await;
        let watching = tokio::spawn(http::serve(http_listener, Arc::clone(&app)));
        let mut routes = services::routes(&app);
        routes.add_service(health_service);
        add_reflection(&mut routes)?;
        let rules = CallerRules {
            reflection_is_public: settings.reflection_public,
            failures_a_minute: settings.auth_failure_rate.get(),
            requests_a_minute: settings.management_rate.map(PerMinute::get),
        };
        let admission = AuthLayer::new(authenticator, app.clock.clone(), rules);
        let outermost = RequestLayer::new(&settings, Arc::clone(&app.metrics), traces.clone());
        let service = outermost.layer(admission.layer(routes.routes().prepare()));
        let reloading = tls.clone().map(|tls| tokio::spawn(tls.watch()));
        let connections = Connections::new(listener, service, (tls, Arc::clone(&app.metrics)), &settings);
        let (draining, drained) = tokio::sync::oneshot::channel();
        let (stopped_app, stop_delay) = (Arc::clone(&app), settings.stop_delay);
        let drain = async move {
            stop.await;
            health.stop().await;
            if let Some(delay) = stop_delay {
                tracing::info!("stopping soon: whoever spreads calls is told to leave this instance out");
                stopped_app.gate.leave();
                tokio::time::sleep(delay.duration()).await;
            }
            tracing::info!("stopping: no new calls are taken, those in flight are finished");
            stopped_app.gate.begin_stop();
            let _ = draining.send(());
        };
        let patience = async {
            let _ = drained.await;
            tokio::time::sleep(settings.drain_timeout.duration()).await;
        };
        tokio::select! {
            () = connections.serve(drain) => {}
            () = patience => tracing::warn!("calls were still in flight when drain_timeout ended; they are cut off"),
        }
        drop(jobs);
        watching.abort();
        reloading.inspect(JoinHandle::abort);
        if let Some(traces) = traces {
            let sending = tokio::task::spawn_blocking(move || traces.stop());
            let _ = tokio::time::timeout(settings.drain_timeout.duration(), sending).await;
        }
        flush(app, batcher, settings.drain_timeout.duration()).await
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|cause| ServerError::Bind { address, cause })
}

/// Waits until the batcher has written everything that it took. Handlers that
/// were cut off may still live: what they give it now is refused.
async fn flush(app: Arc<App>, batcher: JoinHandle<()>, patience: Duration) -> Result<(), ServerError> {
    app.gate.stop().await;
    if !matches!(tokio::time::timeout(patience, app.gate.write_denials()).await, Ok(Ok(()))) {
        tracing::warn!("the calls that were denied last are not counted");
    }
    if tokio::time::timeout(patience, batcher).await.is_err() {
        return Err(ServerError::Serve(
            "usage was still on its way to the database when drain_timeout ended".to_owned(),
        ));
    }
    app.store.clone().close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// A secret of all instances of one database: made at the first start.
async fn shared_secret(store: &Store, name: SecretName) -> Result<Vec<u8>, ServerError> {
    let fresh = Secret::from_random(&random_bytes()?);
    let (secret, _) = store.secret_or(name, fresh.reveal().to_owned()).await?;
    Ok(secret.into_bytes())
}

fn add_reflection(routes: &mut tonic::service::RoutesBuilder) -> Result<(), ServerError> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |error: tonic_reflection::server::Error| ServerError::Serve(error.to_string());
    routes.add_service(builder().build_v1().map_err(failed)?);
    routes.add_service(builder().build_v1alpha().map_err(failed)?);
    Ok(())
}
