//! Rolling upgrade: one instance after the other is replaced under load, and no call
//! fails that a client with the published service config repeats.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bursar::pb;
use bursar::store::Store;
use parking_lot::RwLock;
use prost::Message;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};

use crate::crash::events_of;
use crate::gateway::ask;
use crate::support::database::{Database, connect_options, fresh_directory};
use crate::support::process::Process;
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client};

const CALLERS: usize = 12;
const REPLACEMENTS: usize = 4;

fn service_config() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/service-config.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The retry policy that clients are told to follow.
struct RetryPolicy {
    attempts: usize,
    backoff: Duration,
    longest: Duration,
    codes: Vec<Code>,
}

impl RetryPolicy {
    fn published() -> Self {
        let config = service_config();
        let policy = &config["methodConfig"][0]["retryPolicy"];
        let seconds = |name: &str| {
            let text = policy[name].as_str().unwrap().strip_suffix('s').unwrap();
            Duration::try_from_secs_f32(text.parse().unwrap()).unwrap()
        };
        let codes = policy["retryableStatusCodes"].as_array().unwrap();
        assert_eq!(codes, &["UNAVAILABLE"], "no other code says that nothing was done");
        Self {
            attempts: usize::try_from(policy["maxAttempts"].as_u64().unwrap()).unwrap(),
            backoff: seconds("initialBackoff"),
            longest: seconds("maxBackoff"),
            codes: vec![Code::Unavailable],
        }
    }
}

/// The instances that take calls, as a load balancer knows them.
#[derive(Default)]
struct Balancer {
    instances: RwLock<Vec<Client>>,
    next: AtomicUsize,
}

impl Balancer {
    fn pick(&self) -> Client {
        let instances = self.instances.read();
        instances[self.next.fetch_add(1, Ordering::Relaxed) % instances.len()].clone()
    }

    /// A call, repeated as the policy says. What a connection that closes gives up
    /// counts as UNAVAILABLE: gRPC's own clients say so.
    async fn call<T, F>(&self, policy: &RetryPolicy, attempt: impl Fn(Client) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = policy.backoff;
        for _ in 1..policy.attempts {
            match attempt(self.pick()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => {
                    let by_transport = std::error::Error::source(&status).is_some();
                    if !by_transport && !policy.codes.contains(&status.code()) {
                        return Err(status);
                    }
                }
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(policy.longest);
        }
        attempt(self.pick()).await.map(Response::into_inner)
    }
}

/// Calls, settles and records until it is told to stop; returns what was acknowledged.
async fn call(balancer: Arc<Balancer>, stop: Arc<AtomicBool>, secret: String, caller: usize) -> Vec<String> {
    let policy = RetryPolicy::published();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = pb::AuthorizeRequest { key: secret.clone(), ..ask(&format!("c-{caller}-{number}"), "0.001") };
        let answer = balancer
            .call(&policy, |client| {
                let asked = asked.clone();
                async move { client.gateway().authorize(asked).await }
            })
            .await;
        let answer = answer.expect("a decision");
        assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
        let usage = Some(pb::UsageEvent { prompt_tokens: 100, ..Default::default() });
        let request = pb::SettleRequest { reservation_id: answer.reservation_id, usage };
        let settled = balancer
            .call(&policy, |client| {
                let request = request.clone();
                async move { client.gateway().settle(request).await }
            })
            .await;
        acknowledged.push(settled.expect("booked").request_id);
        let listed = balancer
            .call(&policy, |client| async move { client.keys().list_keys(pb::ListKeysRequest::default()).await })
            .await;
        listed.expect("a list");
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_replaced_under_load_and_nobody_notices() {
    let database = Database::empty(Backend::Postgres).await;
    let directory = fresh_directory();
    let start = async || {
        let process = Process::serve(&directory, &database.url, &[("master-key", MASTER)]);
        let client = Client::anonymous(process.connect().await).with_key(MASTER);
        (process, client)
    };
    let (first, client) = start().await;
    let (second, other) = start().await;
    let key = pb::Key { max_budget: Some("1000".into()), ..Default::default() };
    let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
    let secret = client.keys().generate_key(request).await.answer().secret;
    let balancer = Arc::new(Balancer { instances: RwLock::new(vec![client, other]), next: AtomicUsize::default() });
    let stop = Arc::new(AtomicBool::default());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(Arc::clone(&balancer), Arc::clone(&stop), secret.clone(), caller));
    }
    let mut running = vec![first, second];
    for _ in 0..REPLACEMENTS {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // The new one first, then the old one goes.
        let (process, client) = start().await;
        balancer.instances.write().push(client);
        running.push(process);
        let old = running.remove(0);
        old.terminate();
        let ended = tokio::task::spawn_blocking(move || old.wait());
        // A balancer learns of it a little late.
        tokio::time::sleep(Duration::from_millis(50)).await;
        balancer.instances.write().remove(0);
        assert_eq!(ended.await.unwrap().0, Some(0));
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<String> = callers.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() > CALLERS * REPLACEMENTS, "{}", acknowledged.len());
    let store = Store::connect(&connect_options(&database.url)).await.unwrap();
    let verified = store.verify().await.unwrap();
    assert!(verified.discrepancies.is_empty(), "{verified:?}");
    let events: BTreeSet<String> = events_of(&store).await.into_iter().collect();
    assert!(acknowledged.iter().all(|id| events.contains(id)));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn every_service_has_a_retry_policy() {
    let named: BTreeSet<String> = service_config()["methodConfig"][0]["name"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name["service"].as_str().unwrap().to_owned())
        .collect();
    let files = prost_types::FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let ours = files.file.iter().filter(|file| file.package() == "bursar.v1").flat_map(|file| &file.service);
    let declared: BTreeSet<String> = ours.map(|service| format!("bursar.v1.{}", service.name())).collect();
    assert_eq!(named, declared);
}
