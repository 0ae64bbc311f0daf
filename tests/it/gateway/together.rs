//! Rate limits that instances count together, in Redis; and alone, while it is
//! away.

use std::sync::Arc;
use std::time::Duration;

use bursar::pb;
use pb::{BudgetScope, DenyReason};
use tokio::task::JoinSet;

use super::rates::tokens;
use super::{ask, authorize, denial, reserve, settle};
use crate::spend::{event, record};
use crate::support::cutter::{Cutter, Wire};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both, redis};

const NOON: &str = "2025-01-01T12:00:10Z";

/// Two instances that share counts behind a wire of their own each, and how the
/// wires are set.
struct Two {
    first: World,
    second: World,
    wires: [Cutter; 2],
}

impl Two {
    async fn start(backend: Backend, settings: &[(&str, &str)]) -> Self {
        let prefix = redis::prefix();
        let wires = [Cutter::to(redis::address()).await, Cutter::to(redis::address()).await];
        let world = |wire: &Cutter| {
            let builder = World::builder(backend).at(NOON).set("redis", &redis::setting(&wire.url, &prefix));
            settings.iter().fold(builder, |builder, (name, value)| builder.set(name, value))
        };
        let first = world(&wires[0]).start().await;
        let second = world(&wires[1]).start_on(Arc::clone(&first.database)).await;
        Self { first, second, wires }
    }

    /// The same caller at both.
    async fn callers(&self, key: pb::Key) -> [Client; 2] {
        let (secret, _) = self.first.key(key).await;
        [self.first.with_key(&secret), self.second.with_key(&secret)]
    }

    /// Both clocks go on.
    fn advance(&self, seconds: i64) {
        self.first.hands().advance(seconds);
        self.second.hands().advance(seconds);
    }
}

fn plain() -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { model: MODEL.into(), ..Default::default() }
}

/// Asks until the answer is what is wanted, as what ends calls is told in the
/// background.
async fn soon(what: &str, mut asked: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if asked().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not soon: {what}");
}

/// What remains of the first rate limit, by the budget status of a key itself.
async fn remaining(client: &Client) -> i64 {
    let status = client.budgets().get_budget_status(pb::GetBudgetStatusRequest::default()).await.answer();
    status.rate_limits[0].remaining
}

on_both! {
    async fn of_many_calls_at_two_instances_as_many_are_allowed_as_the_limit(backend: Backend) {
        let two = Two::start(backend, &[]).await;
        two.first.team(pb::Team { team_id: "red".into(), rpm_limit: Some(10), ..Default::default() }).await;
        let clients = two.callers(pb::Key { team_id: Some("red".into()), rpm_limit: Some(30), ..Default::default() }).await;
        for minute in 0..2 {
            let mut calls = JoinSet::new();
            for number in 0..40 {
                let client = clients[number % 2].clone();
                let request = if number % 4 < 2 { plain() } else { ask(&format!("{minute}/{number}"), "0") };
                calls.spawn(async move { authorize(&client, request).await });
            }
            let answers = calls.join_all().await;
            let (allowed, denied): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.decision() == pb::Decision::Allow);
            assert_eq!(allowed.len(), 10);
            for answer in denied {
                assert_eq!(denial(&answer), (DenyReason::RateLimited, BudgetScope::Team));
                assert_eq!((answer.rate_limits[0].scope(), answer.rate_limits[0].remaining), (BudgetScope::Team, 0));
                assert_eq!(answer.retry_after.unwrap().seconds, if minute == 0 { 50 } else { 60 });
                // What the team refused, the key did not pay.
                let of_key = answer.rate_limits.iter().find(|limit| limit.scope() == BudgetScope::Key).unwrap();
                assert!(of_key.remaining >= 20, "{of_key:?}");
            }
            assert_eq!(remaining(&clients[0]).await, 20);
            two.advance(if minute == 0 { 50 } else { 60 });
        }
    }

    async fn a_call_in_flight_here_is_one_there_until_it_ends(backend: Backend) {
        let two = Two::start(backend, &[("global_max_parallel_requests", "3")]).await;
        let [here, there] = two.callers(pb::Key { max_parallel_requests: Some(2), ..Default::default() }).await;
        let first = reserve(&here, "a", "0").await;
        let second = reserve(&there, "b", "0").await;
        for client in [&here, &there] {
            assert_eq!(denial(&authorize(client, ask("c", "0")).await), (DenyReason::RateLimited, BudgetScope::Key));
        }
        // The same request again is the same call.
        assert_eq!(reserve(&here, "a", "0").await, first);
        settle(&here, &first, 10).await;
        soon("settled", async || authorize(&there, ask("d", "0")).await.decision() == pb::Decision::Allow).await;
        assert_eq!(denial(&authorize(&here, ask("e", "0")).await).0, DenyReason::RateLimited);
        there.gateway().release(pb::ReleaseRequest { reservation_id: second }).await.answer();
        soon("released", async || authorize(&here, ask("f", "0")).await.decision() == pb::Decision::Allow).await;
        // All keys together, over all instances.
        let [other, other_there] = two.callers(pb::Key::default()).await;
        reserve(&other, "g", "0").await;
        assert_eq!(denial(&authorize(&other_there, ask("h", "0")).await), (DenyReason::RateLimited, BudgetScope::Global));
    }

    async fn tokens_are_reserved_and_then_counted_as_used(backend: Backend) {
        let two = Two::start(backend, &[]).await;
        let [here, there] = two.callers(pb::Key { tpm_limit: Some(1_000), ..Default::default() }).await;
        let first = authorize(&here, tokens("a", 300, 500)).await;
        assert_eq!(first.rate_limits[0].remaining, 200);
        assert_eq!(denial(&authorize(&there, tokens("b", 201, 0)).await).0, DenyReason::RateLimited);
        // It used 400 in the end, and was settled where it was not reserved.
        settle(&there, &first.reservation_id, 400).await;
        soon("600 are left", async || remaining(&here).await == 600).await;
        let second = authorize(&here, tokens("c", 600, 0)).await;
        assert_eq!((second.decision(), second.rate_limits[0].remaining), (pb::Decision::Allow, 0));
        here.gateway().release(pb::ReleaseRequest { reservation_id: second.reservation_id }).await.answer();
        soon("600 are left again", async || remaining(&there).await == 600).await;
        // What is recorded without a reservation counts as well.
        let key = here.keys().get_key(pb::GetKeyRequest::default()).await.answer().key.unwrap();
        let sidecar = two.second.sidecar().await;
        record(&sidecar, vec![event("recorded", &key.key_hash, 100)]).await;
        soon("500 are left", async || remaining(&here).await == 500).await;
        // Explained as it would be decided, and nothing is counted by that.
        let explain = pb::ExplainDecisionRequest { model: MODEL.into(), estimated_input_tokens: Some(501), reserve: true, ..Default::default() };
        assert_eq!(here.gateway().explain_decision(explain).await.answer().decision(), pb::Decision::Deny);
        assert_eq!(remaining(&here).await, 500);
    }

    async fn each_instance_has_a_share_while_redis_is_away(backend: Backend) {
        let two = Two::start(backend, &[]).await;
        let [here, there] = two.callers(pb::Key { rpm_limit: Some(10), ..Default::default() }).await;
        // Both know of each other.
        let known = async |world: &World| {
            let page = reqwest::get(format!("{}/metrics", world.http_address)).await.unwrap().text().await.unwrap();
            page.lines().any(|line| line == "bursar_rate_limits_instances 2")
        };
        soon("both are known", async || known(&two.first).await && known(&two.second).await).await;
        for wire in [Wire::Silent, Wire::Cut] {
            for cut in &two.wires {
                cut.set(wire);
            }
            for client in [&here, &there] {
                let answer = authorize(client, plain()).await;
                assert_eq!(answer.decision(), pb::Decision::Allow, "{wire:?}");
                let limit = &answer.rate_limits[0];
                assert_eq!((limit.limit, limit.is_share), (5, true), "{wire:?}");
                let mut allowed = 1;
                while authorize(client, plain()).await.decision() == pb::Decision::Allow {
                    allowed += 1;
                }
                assert_eq!(allowed, limit.remaining + 1, "{wire:?}");
                let denied = authorize(client, plain()).await;
                assert_eq!((denial(&denied).0, denied.rate_limits[0].is_share), (DenyReason::RateLimited, true));
            }
            two.advance(60);
            for cut in &two.wires {
                cut.set(Wire::Whole);
            }
            for client in [&here, &there] {
                soon("they count together again", async || {
                    let answer = authorize(client, plain()).await;
                    !answer.rate_limits[0].is_share && answer.rate_limits[0].limit == 10
                }).await;
            }
            two.advance(60);
        }
    }
}
