//! `StreamUsage`: acknowledged in order, counted once, and never more than was
//! acknowledged is lost.

use std::time::Duration;

use bursar::pb;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::event;
use crate::support::answer::reason_of;
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

/// A stream of requests that a channel feeds.
fn fed(receiver: mpsc::Receiver<pb::StreamUsageRequest>) -> impl futures_util::Stream<Item = pb::StreamUsageRequest> {
    futures_util::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

async fn open(client: &Client) -> (mpsc::Sender<pb::StreamUsageRequest>, Streaming<pb::StreamUsageResponse>) {
    let (sender, receiver) = mpsc::channel(64);
    let answers = client.spend().stream_usage(fed(receiver)).await.answer();
    (sender, answers)
}

fn message(sequence: u64, events: Vec<pb::UsageEvent>) -> pb::StreamUsageRequest {
    pb::StreamUsageRequest { sequence, events, ..Default::default() }
}

async fn next(answers: &mut Streaming<pb::StreamUsageResponse>) -> Result<Option<pb::StreamUsageResponse>, Status> {
    tokio::time::timeout(Duration::from_secs(20), answers.message()).await.expect("an answer")
}

async fn spent(world: &World) -> String {
    world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer().spend
}

on_both! {
    async fn messages_are_acknowledged_in_their_order(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let (sender, mut answers) = open(&sidecar).await;
        for number in 1..=40_u64 {
            let events = (0..5).map(|index| event(&format!("{number}-{index}"), &secret, 400)).collect();
            sender.send(message(number * 10, events)).await.unwrap();
        }
        // One more that holds what was sent before, and what can't be.
        let more = vec![event("1-0", &secret, 400), event("1-1", &secret, 800), event("x", &"0".repeat(64), 400)];
        sender.send(message(1_000, more)).await.unwrap();
        drop(sender);
        for number in 1..=40 {
            let answer = next(&mut answers).await.unwrap().unwrap();
            assert_eq!((answer.sequence, answer.recorded, answer.results.len()), (number * 10, 5, 5));
            assert_eq!(answer.results[3].request_id, format!("{number}-3"));
        }
        let last = next(&mut answers).await.unwrap().unwrap();
        let statuses: Vec<pb::UsageResult> = last.results.iter().map(pb::RecordUsageResult::status).collect();
        assert_eq!(statuses, [pb::UsageResult::Duplicate, pb::UsageResult::Conflict, pb::UsageResult::Rejected]);
        assert_eq!((last.recorded, last.duplicates), (0, 1));
        assert!(next(&mut answers).await.unwrap().is_none(), "the stream ends when the client has no more");
        assert_eq!(spent(&world).await, "0.2");
    }

    async fn a_bad_message_ends_the_stream_after_those_before_it(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        for (bad, field) in [
            (message(1, vec![event("b", &secret, 400)]), "sequence"),
            (message(2, Vec::new()), "events"),
            (message(2, vec![event("", &secret, 400)]), "events[0].request_id"),
            (message(2, vec![event("b", &secret, -1)]), "events[0].prompt_tokens"),
        ] {
            let (sender, mut answers) = open(&world.admin).await;
            sender.send(message(1, vec![event("a", &secret, 400)])).await.unwrap();
            sender.send(bad).await.unwrap();
            sender.send(message(3, vec![event("c", &secret, 400)])).await.unwrap();
            assert_eq!(next(&mut answers).await.unwrap().unwrap().sequence, 1);
            let status = next(&mut answers).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains(field), "{}", status.message());
        }
        assert_eq!(spent(&world).await, "0.001");
    }

    async fn what_was_not_acknowledged_is_sent_again_and_counts_once(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let batch = |number: u64| (0..50).map(|index| event(&format!("{number}-{index}"), &secret, 400)).collect::<Vec<_>>();
        for _ in 0..3 {
            let (sender, mut answers) = open(&sidecar).await;
            for number in 1..=10 {
                sender.send(message(number, batch(number))).await.unwrap();
            }
            // Gone after the first answer.
            next(&mut answers).await.unwrap().unwrap();
        }
        let (sender, mut answers) = open(&sidecar).await;
        for number in 1..=10 {
            sender.send(message(number, batch(number))).await.unwrap();
        }
        drop(sender);
        while next(&mut answers).await.unwrap().is_some() {}
        assert_eq!(spent(&world).await, "0.5");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_stream_ends_with_its_credential_and_with_the_server(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let gateway = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (credential, _) = world.key(gateway).await;
        let (sender, mut answers) = open(&world.with_key(&credential)).await;
        sender.send(message(1, vec![event("a", &secret, 400)])).await.unwrap();
        next(&mut answers).await.unwrap().unwrap();
        world.admin.keys().block_key(pb::BlockKeyRequest { key: credential, ..Default::default() }).await.answer();
        sender.send(message(2, vec![event("b", &secret, 400)])).await.unwrap();
        let status = next(&mut answers).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status)), (Code::PermissionDenied, "KEY_BLOCKED".to_owned()));
        let (sender, mut answers) = open(&world.admin).await;
        sender.send(message(1, vec![event("c", &secret, 400)])).await.unwrap();
        next(&mut answers).await.unwrap().unwrap();
        let stopped = tokio::spawn(world.stop());
        let status = next(&mut answers).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status)), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
        drop((sender, answers));
        stopped.await.unwrap();
    }
}
