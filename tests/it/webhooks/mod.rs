//! Webhooks: what a real receiver gets, and what becomes of what it does not
//! take.

use std::time::Duration;

use bursar::pb;
use pb::{ErrorReason, WebhookDeliveryState};
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::gateway::{reserve, settle};
use crate::support::receiver::Receiver;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

const NOON: &str = "2025-03-10T12:00:00Z";

async fn started(backend: Backend, setting: &str) -> World {
    World::builder(backend).at(NOON).set("webhooks", setting).start().await
}

/// A call of a new key that spends so much of its dollar, in cents.
async fn spend(world: &World, cents: i64) -> pb::Key {
    let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
    let client = world.with_key(&secret);
    let id = reserve(&client, "a", "0").await;
    settle(&client, &id, cents * 4_000).await;
    key
}

async fn deliveries(world: &World) -> Vec<pb::WebhookDelivery> {
    let request = pb::ListWebhookDeliveriesRequest::default();
    world.admin.webhooks().list_webhook_deliveries(request).await.answer().deliveries
}

/// Waits until the one delivery looks like this.
async fn until(world: &World, fits: impl Fn(&pb::WebhookDelivery) -> bool) -> pb::WebhookDelivery {
    loop {
        if let [delivery] = &deliveries(world).await[..]
            && fits(delivery)
        {
            return delivery.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_all_arrived(world: &World) {
    while !deliveries(world).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

type Retried = Result<Response<pb::RetryWebhookDeliveriesResponse>, Status>;

async fn retry(world: &World, ids: &[&str], webhook: &str) -> Retried {
    let delivery_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let request = pb::RetryWebhookDeliveriesRequest { delivery_ids, webhook: webhook.into() };
    world.admin.webhooks().retry_webhook_deliveries(request).await
}

on_both! {
    async fn a_receiver_gets_signed_json(backend: Backend) {
        let receiver = Receiver::start([]);
        let world = started(backend, &receiver.setting("ops", "")).await;
        let key = spend(&world, 50).await;
        let got = receiver.gets(1).await.remove(0);
        let message = got.verified();
        let alert_id = message["data"]["alert_id"].as_str().unwrap();
        assert_eq!(message, json!({
            "type": "threshold_crossed", "timestamp": NOON,
            "data": {"alert_id": alert_id, "kind": "threshold_crossed", "threshold": 50, "scope": "key", "id": key.key_id, "spend": "0.5", "max_budget": "1"},
        }));
        assert_eq!(got.timestamp, world.hands().now().to_utc().timestamp());
        until_all_arrived(&world).await;
        assert_eq!(receiver.got().len(), 1);
    }

    async fn a_receiver_that_fails_at_first_gets_it_later(backend: Backend) {
        let receiver = Receiver::start(["500 Oops", "302 Found\r\nlocation: http://localhost:1/", "429 Slow\r\nretry-after: 77"]);
        let world = started(backend, &receiver.setting("ops", "")).await;
        spend(&world, 50).await;
        let mut last = None;
        for (attempts, error, pause) in [(1, "answers 500", 5), (2, "redirects are not followed", 30), (3, "answers 429", 120)] {
            let failed = until(&world, |delivery| delivery.attempts == attempts && delivery.error.contains(error)).await;
            assert_eq!((failed.state(), failed.webhook.as_str()), (WebhookDeliveryState::Waiting, "ops"));
            let due_at = failed.due_at.unwrap().seconds;
            assert_eq!(due_at - world.hands().now().to_utc().timestamp(), pause, "{attempts}");
            // Not a second too early.
            world.hands().advance(pause - 1);
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            assert_eq!(i64::try_from(receiver.got().len()).unwrap(), attempts);
            world.hands().advance(1);
            last = Some(failed);
        }
        until_all_arrived(&world).await;
        let got = receiver.gets(4).await;
        assert!(got.iter().all(|got| got.id == last.as_ref().unwrap().delivery_id), "the same message each time");
        assert!(got.windows(2).all(|pair| pair[0].body == pair[1].body && pair[0].timestamp < pair[1].timestamp));
        got[3].verified();
    }

    async fn what_is_given_up_is_a_dead_letter_that_can_be_sent_again(backend: Backend) {
        let receiver = Receiver::start(["410 Gone"]);
        let world = started(backend, &receiver.setting("ops", ", events = ['budget_crossed']")).await;
        spend(&world, 120).await;
        let dead = until(&world, |delivery| delivery.state() == WebhookDeliveryState::Dead).await;
        assert!(dead.body.contains(r#""type":"budget_crossed""#) && dead.due_at.is_none(), "{dead:?}");
        assert!(dead.error.contains("410") && !dead.error.contains("secret-path"), "{}", dead.error);
        let webhooks = world.admin.webhooks().list_webhooks(pb::ListWebhooksRequest {}).await.answer().webhooks;
        let [webhook] = &webhooks[..] else { panic!("{webhooks:?}") };
        assert_eq!((webhook.name.as_str(), webhook.waiting_count, webhook.dead_count), ("ops", 0, 1));
        assert!(webhook.host.starts_with("127.0.0.1:") && !webhook.host.contains('/'), "{}", webhook.host);
        world.hands().advance(86_400);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(receiver.got().len(), 1, "it stays dead");
        retry(&world, &[&dead.delivery_id, "nothing"], "").await.refused(Code::NotFound, ErrorReason::WebhookDeliveryNotFound);
        assert_eq!(receiver.got().len(), 1, "all or none");
        assert_eq!(retry(&world, &[], "ops").await.answer().retried_count, 1);
        until_all_arrived(&world).await;
        assert_eq!(receiver.got()[1].id, dead.delivery_id);
        // What arrived is not there to be sent again.
        retry(&world, &[&dead.delivery_id], "").await.refused(Code::NotFound, ErrorReason::WebhookDeliveryNotFound);
    }

    async fn messages_survive_a_restart_and_a_receiver_that_is_away(backend: Backend) {
        let receiver = Receiver::start([]);
        let away = receiver.setting("ops", "").replace(&receiver.url, "http://127.0.0.1:1/");
        let world = started(backend, &away).await;
        spend(&world, 85).await;
        while deliveries(&world).await.iter().filter(|delivery| !delivery.error.is_empty()).count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let database = world.stop().await;
        let setting = receiver.setting("ops", "");
        let again = World::builder(backend).at("2025-03-10T12:01:00Z").set("webhooks", &setting).start_on(database).await;
        let mut got = receiver.gets(2).await;
        got.sort_by_key(|got| got.verified()["data"]["threshold"].as_i64());
        assert!(got[0].body.contains("\"threshold\":50") && got[1].body.contains("\"threshold\":80"), "{got:?}");
        until_all_arrived(&again).await;
    }

    async fn a_slow_receiver_is_in_nobodys_way(backend: Backend) {
        let (slow, quick) = (Receiver::start(["silence"]), Receiver::start([]));
        let (one, other) = (slow.setting("slow", ", timeout = '2s'"), quick.setting("quick", ""));
        let both = format!("{}, {}", one.trim_end_matches(']'), other.trim_start_matches('['));
        let world = started(backend, &both).await;
        spend(&world, 50).await;
        slow.gets(1).await;
        quick.gets(1).await;
        assert!(deliveries(&world).await.iter().any(|of| of.webhook == "slow" && of.error.is_empty()), "it is still being waited for");
        let failed = until(&world, |delivery| delivery.attempts == 1 && !delivery.error.is_empty()).await;
        assert_eq!((failed.webhook.as_str(), slow.got().len()), ("slow", 1));
        world.hands().advance(5);
        until_all_arrived(&world).await;
    }

    async fn a_receiver_can_be_tried_out(backend: Backend) {
        let receiver = Receiver::start(["204 No Content", "403 Forbidden"]);
        let previous = ", previous_secret = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', events = ['budget_crossed']";
        let world = started(backend, &receiver.setting("ops", previous)).await;
        let test = |webhook: &str| pb::TestWebhookRequest { webhook: webhook.into() };
        let sent = world.admin.webhooks().test_webhook(test("ops")).await.answer();
        assert!(sent.delivered && sent.error.is_empty(), "{sent:?}");
        let got = receiver.got().remove(0);
        assert_eq!((got.signatures.len(), got.verified()), (2, json!({"type": "test", "timestamp": NOON, "data": {}})));
        let refused = world.admin.webhooks().test_webhook(test("ops")).await.answer();
        assert!(!refused.delivered && refused.error.contains("403"), "{refused:?}");
        assert!(deliveries(&world).await.is_empty(), "it is not sent again");
        world.admin.webhooks().test_webhook(test("other")).await.refused(Code::NotFound, ErrorReason::WebhookNotFound);
        world.admin.webhooks().test_webhook(test("Ops!")).await.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
    }

    async fn mistakes_are_named(world: World) {
        let both = retry(&world, &["x"], "ops").await.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
        assert!(both.message().contains("webhook"), "{}", both.message());
        retry(&world, &[], "").await.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
        let many: Vec<String> = (0..501).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        retry(&world, &many, "").await.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
        let request = pb::ListWebhookDeliveriesRequest { state: 9, ..Default::default() };
        world.admin.webhooks().list_webhook_deliveries(request).await.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
        assert_eq!(retry(&world, &[], "nobody").await.answer().retried_count, 0);
    }

    async fn what_has_not_arrived_is_listed_page_by_page(backend: Backend) {
        let receiver = Receiver::start(["410 Gone"; 5]);
        let world = started(backend, &receiver.setting("ops", "")).await;
        spend(&world, 120).await;
        world.hands().advance(1);
        spend(&world, 50).await;
        while deliveries(&world).await.iter().any(|delivery| delivery.state() != WebhookDeliveryState::Dead) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut request = pb::ListWebhookDeliveriesRequest { page_size: 2, include_total: true, webhook: "ops".into(), state: WebhookDeliveryState::Dead.into(), ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = world.admin.webhooks().list_webhook_deliveries(request.clone()).await.answer();
            assert_eq!(page.total_size, Some(5));
            all.extend(page.deliveries);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(all, deliveries(&world).await);
        assert!(all.windows(2).all(|pair| pair[0].created_at.unwrap().seconds >= pair[1].created_at.unwrap().seconds));
        request.state = WebhookDeliveryState::Waiting.into();
        assert!(world.admin.webhooks().list_webhook_deliveries(request).await.answer().deliveries.is_empty());
    }
}
