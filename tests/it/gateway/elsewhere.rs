//! Calls that end at another instance than the one that reserved for them.

use std::sync::Arc;
use std::time::Duration;

use bursar::pb;
use pb::{Decision, DenyReason};

use super::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

/// Two instances on one database.
async fn two(backend: Backend) -> [World; 2] {
    let first = World::start(backend).await;
    let second = World::builder(backend).start_on(Arc::clone(&first.database)).await;
    [first, second]
}

/// Asks until it is let through: what became of a call elsewhere is heard of within
/// a second.
async fn reserve_soon(client: &Client, request_id: &str, cost: &str) -> String {
    for _ in 0..200 {
        let answer = authorize(client, ask(request_id, cost)).await;
        if answer.decision() == Decision::Allow {
            return answer.reservation_id;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{cost} USD are never free");
}

async fn release(client: &Client, reservation_id: &str) -> bool {
    let request = pb::ReleaseRequest { reservation_id: reservation_id.to_owned() };
    client.gateway().release(request).await.answer().released
}

on_both! {
    async fn what_they_held_is_free_again_and_no_more(backend: Backend) {
        let [first, second] = two(backend).await;
        let (secret, _) = first.key(pb::Key { max_budget: Some("10".into()), ..Default::default() }).await;
        let (here, there) = (first.with_key(&secret), second.with_key(&secret));
        let (made, not_made) = (reserve(&here, "a", "5").await, reserve(&here, "b", "4").await);
        assert_eq!(denial(&authorize(&here, ask("c", "2")).await).0, DenyReason::BudgetExceeded);
        assert_eq!(settle(&there, &made, 400_000).await.cost, "1");
        assert!(release(&there, &not_made).await);
        assert!(!release(&there, &not_made).await, "a second time it is not live");
        let next = reserve_soon(&here, "d", "9").await;
        // What moved to the balance is not lent once more, at neither of them.
        for (client, id) in [(&here, "e"), (&there, "f")] {
            assert_eq!(denial(&authorize(client, ask(id, "0.1")).await).0, DenyReason::BudgetExceeded, "{id}");
        }
        // Whoever was refused for what another one held hears that it was given back.
        assert!(!release(&here, &not_made).await && release(&here, &next).await);
        let mut last = None;
        for _ in 0..100 {
            first.app().gate.tend(first.app().clock.now());
            tokio::time::sleep(Duration::from_millis(100)).await;
            last = Some(authorize(&there, ask("g", "9")).await);
            if last.as_ref().is_some_and(|answer| answer.decision() == Decision::Allow) {
                break;
            }
        }
        assert_eq!(last.unwrap().message, "");
        assert_eq!(first.store().verify().await.unwrap().discrepancies, []);
    }

    async fn their_places_and_tokens_are_given_back(backend: Backend) {
        let [first, second] = two(backend).await;
        let limits = pb::Key { max_parallel_requests: Some(1), tpm_limit: Some(100_000), ..Default::default() };
        let (secret, _) = first.key(limits).await;
        let (here, there) = (first.with_key(&secret), second.with_key(&secret));
        let reservation = reserve(&here, "a", "0").await;
        assert_eq!(denial(&authorize(&here, ask("b", "0")).await).0, DenyReason::RateLimited);
        settle(&there, &reservation, 1_000).await;
        reserve_soon(&here, "c", "0").await;
        // Counted where the call was let in, and only there.
        let left = |answer: pb::AuthorizeResponse| {
            let of = |limit: &&pb::RateLimitStatus| limit.kind() == pb::RateLimitKind::Tokens;
            answer.rate_limits.iter().find(of).unwrap().remaining
        };
        let unreserved = |id: &str| pb::AuthorizeRequest { reserve: false, ..ask(id, "0") };
        assert_eq!(left(authorize(&there, unreserved("d")).await), 100_000);
    }
}
