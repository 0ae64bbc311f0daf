//! Session: many calls over one stream.

use std::collections::HashMap;
use std::time::Duration;

use bursar::pb;
use pb::session_call::Call;
use pb::session_result::Result as Outcome;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::ask;
use crate::support::answer::reason_of;
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

/// A stream that is open.
struct Session {
    sender: mpsc::Sender<pb::SessionRequest>,
    results: Streaming<pb::SessionResponse>,
}

impl Session {
    async fn open(client: &Client) -> Self {
        let (sender, receiver) = mpsc::channel(64);
        let fed = futures_util::stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async move {
            Some((receiver.recv().await?, receiver))
        });
        Self { sender, results: client.gateway().session(fed).await.answer() }
    }

    async fn send(&self, calls: Vec<(&str, Call)>) {
        let calls = calls.into_iter().map(|(id, call)| pb::SessionCall { correlation_id: id.into(), call: Some(call) });
        self.sender.send(pb::SessionRequest { calls: calls.collect() }).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<pb::SessionResponse>, Status> {
        tokio::time::timeout(Duration::from_secs(20), self.results.message()).await.expect("an answer")
    }

    /// So many results, in the order in which they come.
    async fn results(&mut self, count: usize) -> Vec<(String, Outcome)> {
        let mut found = Vec::new();
        while found.len() < count {
            let message = self.next().await.unwrap().expect("results");
            assert!(!message.results.is_empty());
            found.extend(message.results.into_iter().map(|result| (result.correlation_id, result.result.unwrap())));
        }
        assert_eq!(found.len(), count);
        found
    }
}

fn authorize(request: pb::AuthorizeRequest) -> Call {
    Call::Authorize(request)
}

fn settle(reservation_id: &str, prompt_tokens: i64) -> Call {
    let usage = Some(pb::UsageEvent { prompt_tokens, ..Default::default() });
    Call::Settle(pb::SettleRequest { reservation_id: reservation_id.into(), usage })
}

fn release(reservation_id: &str) -> Call {
    Call::Release(pb::ReleaseRequest { reservation_id: reservation_id.into() })
}

fn allowed(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Authorize(answer) => {
            assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
            &answer.reservation_id
        }
        other => panic!("{other:?}"),
    }
}

async fn reserve(session: &mut Session, secret: &str, id: &str) -> String {
    session.send(vec![(id, authorize(pb::AuthorizeRequest { key: secret.into(), ..ask(id, "0.5") }))]).await;
    allowed(&session.results(1).await[0].1).to_owned()
}

on_both! {
    async fn thousands_of_calls_are_under_way_at_once(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1000".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let mut session = Session::open(&sidecar).await;
        let names: Vec<String> = (0..2_000).map(|number| format!("call-{number}")).collect();
        for some in names.chunks(500) {
            let call = |id: &String| authorize(pb::AuthorizeRequest { key: secret.clone(), ..ask(id, "0.5") });
            session.send(some.iter().map(|id| (id.as_str(), call(id))).collect()).await;
        }
        let reservations: HashMap<String, String> =
            session.results(2_000).await.into_iter().map(|(id, outcome)| (id, allowed(&outcome).to_owned())).collect();
        assert_eq!(reservations.len(), 2_000, "each name has its own answer");
        let one_more = pb::AuthorizeRequest { key: secret.clone(), ..ask("more", "0.5") };
        session.send(vec![("more", authorize(one_more))]).await;
        match &session.results(1).await[0].1 {
            Outcome::Authorize(answer) => assert_eq!(answer.deny_reason(), pb::DenyReason::BudgetExceeded),
            other => panic!("{other:?}"),
        }
        for some in names.chunks(500) {
            let end = |id: &String| {
                let reservation = &reservations[id];
                if id.ends_with('7') { release(reservation) } else { settle(reservation, 40_000) }
            };
            session.send(some.iter().map(|id| (id.as_str(), end(id))).collect()).await;
        }
        for (id, outcome) in session.results(2_000).await {
            match outcome {
                Outcome::Release(released) => assert!(released.released && id.ends_with('7')),
                Outcome::Settle(settled) => assert_eq!((settled.cost.as_str(), settled.late), ("0.1", false)),
                other => panic!("{other:?}"),
            }
        }
        drop(session.sender);
        assert!(session.results.message().await.unwrap().is_none(), "it ends when there are no more calls");
        let total = world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer().spend;
        assert_eq!(total, "180");
        let status = sidecar.budgets().get_budget_status(pb::GetBudgetStatusRequest {
            subject: Some(pb::get_budget_status_request::Subject::Key(secret)),
        }).await.answer();
        assert_eq!((status.budgets[0].spend.as_str(), status.budgets[0].reserved.as_str()), ("180", "0"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_thousand_calls_may_wait_for_one(world: World) {
        let mut session = Session::open(&world.sidecar().await).await;
        let behind = (0..999).map(|_| ("behind", release("nothing")));
        session.send([("first", settle("nothing", 1))].into_iter().chain(behind).collect()).await;
        let results = session.results(1_000).await;
        assert_eq!(results[0].0, "first");
        for (_, outcome) in results {
            let Outcome::Error(status) = outcome else { panic!("{outcome:?}") };
            assert_eq!(status.code, i32::from(Code::NotFound));
        }
    }

    async fn calls_about_one_reservation_are_done_in_order(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("10".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let mut session = Session::open(&sidecar).await;
        for round in 0..20 {
            let id = reserve(&mut session, &secret, &format!("r{round}")).await;
            let extend = Call::Extend(pb::ExtendRequest { reservation_id: id.clone(), additional_cost: Some("0.1".into()), ..Default::default() });
            session.send(vec![("extend", extend.clone()), ("settle", settle(&id, 400)), ("again", settle(&id, 400))]).await;
            session.send(vec![("release", release(&id)), ("too late", extend)]).await;
            let results = session.results(5).await;
            let order: Vec<&str> = results.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(order, ["extend", "settle", "again", "release", "too late"]);
            assert!(matches!(&results[0].1, Outcome::Extend(_)), "{results:?}");
            match (&results[1].1, &results[2].1) {
                (Outcome::Settle(first), Outcome::Settle(again)) => assert_eq!((&first.cost, &first.request_id), (&again.cost, &again.request_id)),
                other => panic!("{other:?}"),
            }
            assert!(matches!(&results[3].1, Outcome::Release(released) if !released.released));
            assert!(matches!(&results[4].1, Outcome::Error(error) if error.code == Code::FailedPrecondition as i32));
        }
        assert_eq!(world.store().verify().await.unwrap().events, 20);
    }

    async fn what_is_wrong_with_one_call_is_its_result(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let mut session = Session::open(&world.sidecar().await).await;
        let good = || pb::AuthorizeRequest { key: secret.clone(), ..ask("a", "0.5") };
        session.send(vec![
            ("no model", authorize(pb::AuthorizeRequest { model: String::new(), ..good() })),
            ("good", authorize(good())),
            ("unknown", settle("no reservation", 1)),
            ("stranger", authorize(pb::AuthorizeRequest { key: "sk-nobody".into(), ..good() })),
        ]).await;
        let results: HashMap<String, Outcome> = session.results(4).await.into_iter().collect();
        let code = |id: &str| match &results[id] {
            Outcome::Error(error) => (error.code, error.message.is_empty(), error.details.is_empty()),
            other => panic!("{other:?}"),
        };
        assert_eq!(code("no model"), (Code::InvalidArgument as i32, false, false));
        assert_eq!(code("unknown"), (Code::NotFound as i32, false, false));
        allowed(&results["good"]);
        assert!(matches!(&results["stranger"], Outcome::Authorize(answer) if answer.deny_reason() == pb::DenyReason::KeyUnknown));
    }

    async fn a_message_without_calls_is_answered(world: World) {
        let mut session = Session::open(&world.sidecar().await).await;
        for _ in 0..2 {
            session.send(Vec::new()).await;
            assert_eq!(session.next().await.unwrap(), Some(pb::SessionResponse::default()));
        }
    }

    async fn a_lost_stream_is_gone_on_with_by_another(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let mut first = Session::open(&sidecar).await;
        let id = reserve(&mut first, &secret, "once").await;
        drop(first);
        let mut second = Session::open(&sidecar).await;
        assert_eq!(reserve(&mut second, &secret, "once").await, id, "the same request has the same answer");
        second.send(vec![("settle", settle(&id, 40_000))]).await;
        assert!(matches!(&second.results(1).await[0].1, Outcome::Settle(settled) if settled.cost == "0.1"));
    }

    async fn a_message_that_makes_no_sense_ends_the_stream(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let good = || pb::SessionCall { correlation_id: "a".into(), call: Some(authorize(pb::AuthorizeRequest { key: secret.clone(), ..ask("a", "0.5") })) };
        let empty = pb::SessionCall { correlation_id: "b".into(), call: None };
        let long = pb::SessionCall { correlation_id: "x".repeat(257), ..good() };
        for (calls, field) in [(vec![good(), empty], "calls[1].call"), (vec![long], "calls[0].correlation_id"), (vec![good(); 1_001], "calls")] {
            let mut session = Session::open(&sidecar).await;
            session.sender.send(pb::SessionRequest { calls }).await.unwrap();
            let status = session.next().await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(crate::support::answer::bad_fields(&status).iter().any(|(bad, _)| bad == field), "{field}: {status:?}");
        }
        // None of the calls of such a message is made.
        let answer = crate::gateway::authorize(&sidecar, pb::AuthorizeRequest { key: secret, ..ask("a", "0.75") }).await;
        assert_eq!(answer.decision(), pb::Decision::Allow, "the request id was not used");
    }

    async fn a_session_ends_with_its_credential_and_with_the_server(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let gateway = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (credential, _) = world.key(gateway).await;
        let mut session = Session::open(&world.with_key(&credential)).await;
        reserve(&mut session, &secret, "a").await;
        world.admin.keys().block_key(pb::BlockKeyRequest { key: credential, ..Default::default() }).await.answer();
        session.send(vec![("b", authorize(pb::AuthorizeRequest { key: secret.clone(), ..ask("b", "0.5") }))]).await;
        let status = session.next().await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status)), (Code::PermissionDenied, "KEY_BLOCKED".to_owned()));
        // A key asks about itself, as it does by itself.
        let mut own = Session::open(&world.with_key(&secret)).await;
        own.send(vec![("own", authorize(ask("c", "0.5"))), ("other", authorize(pb::AuthorizeRequest { key_hash: "0".repeat(64), ..ask("d", "0.5") }))]).await;
        let results: HashMap<String, Outcome> = own.results(2).await.into_iter().collect();
        allowed(&results["own"]);
        assert!(matches!(&results["other"], Outcome::Error(error) if error.code == Code::PermissionDenied as i32));
        let stopped = tokio::spawn(world.stop());
        let status = own.next().await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status)), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
        drop(own);
        stopped.await.unwrap();
    }
}
