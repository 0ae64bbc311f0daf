//! Authorize against a bare echo: hash the key, look it up, check four accounts
//! and the rate limits, reserve, release; against a tonic service on the same
//! runtime that answers messages of the same sizes and does nothing.
//!
//! `cargo bench --bench authorize`

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar::pb;
use pb::gateway_service_client::GatewayServiceClient;
use support::calls::{CONNECTIONS, Callers, IN_FLIGHT, ask, clients, echo_of};
use support::{Bench, MODEL, Round, Sqlite, median, with_key};
use tonic::transport::Channel;

/// Many short rounds in turns, so that both feel the same noise.
const ROUNDS: usize = 41;
const LENGTH: Duration = Duration::from_millis(500);
const CACHED_KEYS: usize = 20_000;

/// The same over sessions: each authorises as many calls as are in flight, all in
/// one message, and then releases them.
async fn session_round(
    clients: &Arc<Vec<GatewayServiceClient<Channel>>>,
    secret: &str,
    sidecar: &str,
    name: usize,
    length: Duration,
) -> Round {
    let began = Instant::now();
    let mut sessions = tokio::task::JoinSet::new();
    for session in 0..CONNECTIONS {
        let (mut client, secret) = (clients[session].clone(), secret.to_owned());
        let sidecar = sidecar.to_owned();
        sessions.spawn(async move {
            let (sender, receiver) = tokio::sync::mpsc::channel(4);
            let fed =
                futures_util::stream::unfold(receiver, |mut receiver: tokio::sync::mpsc::Receiver<_>| async move {
                    Some((receiver.recv().await?, receiver))
                });
            let mut results = client.session(with_key(fed, &sidecar)).await.expect("a stream").into_inner();
            let mut latencies = Vec::new();
            let mut number = 0;
            while began.elapsed() < length {
                let call = |index: usize| {
                    let request = ask(&secret, "", format!("s{name}-{session}-{number}-{index}"));
                    let call = Some(pb::session_call::Call::Authorize(request));
                    pb::SessionCall { correlation_id: index.to_string(), call }
                };
                let mut calls: Vec<pb::SessionCall> = (0..IN_FLIGHT).map(call).collect();
                for _ in 0..2 {
                    let sent = Instant::now();
                    let count = calls.len();
                    sender.send(pb::SessionRequest { calls }).await.expect("a stream");
                    let mut next = Vec::with_capacity(count);
                    while next.len() < count {
                        let message = results.message().await.expect("results").expect("results");
                        latencies.extend(message.results.iter().map(|_| sent.elapsed()));
                        next.extend(message.results.into_iter().map(follow));
                    }
                    calls = next;
                }
                number += 1;
            }
            latencies
        });
    }
    let latencies = sessions.join_all().await.into_iter().flatten().collect();
    Round { seconds: began.elapsed().as_secs_f64(), latencies }
}

/// The call that follows a result: what was authorised is released.
fn follow(result: pb::SessionResult) -> pb::SessionCall {
    use pb::session_result::Result as Outcome;
    let reservation_id = match result.result {
        Some(Outcome::Authorize(answer)) => {
            assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
            answer.reservation_id
        }
        Some(Outcome::Release(_)) => String::new(),
        other => panic!("{other:?}"),
    };
    let call = pb::session_call::Call::Release(pb::ReleaseRequest { reservation_id });
    pb::SessionCall { correlation_id: result.correlation_id, call: Some(call) }
}

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4_096
}

/// What a cached key costs in memory: the growth of the process while it
/// authorises a call for each of many keys.
async fn bytes_per_key(bench: &Bench, sidecar: &str) -> u64 {
    let mut secrets = Vec::with_capacity(CACHED_KEYS);
    for batch in 0..CACHED_KEYS / 200 {
        let keys = (0..200).map(|number| {
            let key = pb::Key { key_alias: Some(format!("k-{batch}-{number}")), ..Default::default() };
            bench.generate(key)
        });
        secrets.extend(futures_util::future::join_all(keys).await);
    }
    let mut client = bench.gateway().await;
    let before = resident();
    for secret in &secrets {
        let request = pb::AuthorizeRequest { key: secret.clone(), model: MODEL.into(), ..Default::default() };
        client.authorize(with_key(request, sidecar)).await.expect("an answer");
    }
    (resident() - before) / CACHED_KEYS as u64
}

#[tokio::main]
async fn main() {
    let database = Sqlite::new("authorize");
    let bench = Bench::start(&database.url()).await;
    let (secret, sidecar) = bench.key_and_sidecar().await;
    let callers = Callers::new(vec![secret.clone()], &sidecar, "");
    let echo = clients(&echo_of(&bench, &callers).await).await;
    let real = clients(&bench.address).await;

    // So that demand is known and code is warm.
    for number in 0..4 {
        callers.round(&echo, 1_000 + number, LENGTH).await;
        callers.round(&real, 1_000 + number, LENGTH).await;
        session_round(&real, &secret, &sidecar, 1_000 + number, LENGTH).await;
    }
    let (mut bare, mut ours, mut streamed) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        bare.push(callers.round(&echo, number, LENGTH).await);
        ours.push(callers.round(&real, number, LENGTH).await);
        streamed.push(session_round(&real, &secret, &sidecar, number, LENGTH).await);
    }
    println!(
        "{IN_FLIGHT} calls in flight on {CONNECTIONS} connections, {ROUNDS} rounds of {LENGTH:?} each, in turns; medians\n"
    );
    println!("| | echo | Bursar | Bursar / echo, round by round | wanted |");
    println!("|---|---|---|---|---|");
    for (name, value, wanted) in [
        ("calls a second", Round::rate as fn(&Round) -> f64, "at least 0.80"),
        ("p50, ms", |round: &Round| round.percentile(0.50), ""),
        ("p99, ms", |round: &Round| round.percentile(0.99), "at most 1.50"),
    ] {
        let of = |rounds: &[Round]| rounds.iter().map(value).collect::<Vec<f64>>();
        let ratios = of(&ours).into_iter().zip(of(&bare)).map(|(ours, bare)| ours / bare);
        let digits = if name == "calls a second" { 0 } else { 2 };
        let [bare, ours] = [median(of(&bare)), median(of(&ours))];
        println!("| {name} | {bare:.digits$} | {ours:.digits$} | {:.2} | {wanted} |", median(ratios.collect()));
    }
    let ratios = streamed.iter().zip(&ours).map(|(streamed, ours)| streamed.rate() / ours.rate());
    let [rate, ratio] = [median(streamed.iter().map(Round::rate).collect()), median(ratios.collect())];
    println!(
        "| calls a second over {CONNECTIONS} sessions | | {rate:.0} | {ratio:.2} of Bursar's unary calls | at least 3 |"
    );
    let bytes = bytes_per_key(&bench, &sidecar).await;
    println!("| bytes per cached key | | {bytes} | | at most 1,024 |");
}
