//! The keys of an issuer: read seldom, used while they are good, and found
//! again when they change.

use bursar::pb;
use pb::ErrorReason::{IdpUnavailable, TokenInvalid};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use super::{holder, knock, knock_with, user, world_of};
use crate::support::issuer::{AT_NOON, IdentityProvider, Mood, NOON, SigningKey};
use crate::support::{Answer, Backend, World, on_both};

on_both! {
    async fn keys_are_read_once_for_many(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "").await;
        world.user(user("alice")).await;
        let calls = (0..20).map(|number| {
            let token = issuer.token(&json!({ "sub": "alice", "jti": number }));
            let client = world.with_key(&token);
            async move { knock(&client).await.answer() }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(issuer.fetches(), 1);
    }

    async fn a_new_key_is_good_at_once_and_an_unknown_one_asked_for_seldom(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "").await;
        world.user(user("alice")).await;
        knock(&holder(&world, &issuer, "alice")).await.answer();
        let (old, new) = (issuer.key(), SigningKey::new("k2"));
        issuer.publish(&[new.clone(), old]);
        knock_with(&world, &issuer, &json!({ "sub": "alice" })).await.answer();
        assert_eq!(issuer.fetches(), 2);
        let claims = issuer.claims(&json!({ "sub": "alice" }));
        let storm = (0..50).map(|number| {
            let client = world.with_key(&SigningKey::new(&format!("unknown-{number}")).sign(&claims));
            async move { knock(&client).await.refused(Code::Unauthenticated, TokenInvalid) }
        });
        futures_util::future::join_all(storm).await;
        assert_eq!(issuer.fetches(), 2, "not again within 30 seconds");
        world.hands().advance(30);
        let storm = (0..50).map(|number| {
            let client = world.with_key(&SigningKey::new(&format!("stranger-{number}")).sign(&claims));
            async move { knock(&client).await.refused(Code::Unauthenticated, TokenInvalid) }
        });
        futures_util::future::join_all(storm).await;
        assert_eq!(issuer.fetches(), 3);
    }

    async fn a_key_that_is_withdrawn_ends_its_tokens(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "").await;
        world.user(user("alice")).await;
        let alice = holder(&world, &issuer, "alice");
        knock(&alice).await.answer();
        issuer.publish(&[SigningKey::new("k2")]);
        knock(&alice).await.answer();
        // Ten minutes later the keys are read again, while nobody waits.
        world.hands().advance(600);
        while knock(&alice).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        knock(&alice).await.refused(Code::Unauthenticated, TokenInvalid);
    }

    async fn an_outage_is_survived_for_an_hour(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "max_lifetime = \"24h\"").await;
        world.user(user("alice")).await;
        let long = issuer.token(&json!({ "sub": "alice", "exp": NOON + 80_000 }));
        knock(&world.with_key(&long)).await.answer();
        issuer.be(Mood::Failing);
        world.hands().advance(3_599);
        knock(&world.with_key(&long)).await.answer();
        let another = issuer.token(&json!({ "sub": "alice", "exp": NOON + 80_001 }));
        knock(&world.with_key(&another)).await.answer();
        world.hands().advance(1);
        let status = knock(&world.with_key(&long)).await.refused(Code::Unavailable, IdpUnavailable);
        let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
        assert!((29..=30).contains(&delay.as_secs()), "{delay:?}");
        // Whoever has another credential does not notice.
        knock(&world.admin).await.answer();
        let fetches = issuer.fetches();
        issuer.be(Mood::Well);
        world.hands().advance(20);
        knock(&world.with_key(&long)).await.refused(Code::Unavailable, IdpUnavailable);
        assert_eq!(issuer.fetches(), fetches, "nobody asks for half a minute");
        world.hands().advance(10);
        knock(&world.with_key(&long)).await.answer();
    }

    async fn an_issuer_that_was_never_there_is_unavailable(backend: Backend) {
        for mood in [Mood::Failing, Mood::Garbled, Mood::Endless, Mood::Elsewhere] {
            let issuer = IdentityProvider::start();
            issuer.be(mood);
            let world = world_of(backend, &issuer, "").await;
            world.user(user("alice")).await;
            let alice = holder(&world, &issuer, "alice");
            knock(&alice).await.refused(Code::Unavailable, IdpUnavailable);
            issuer.be(Mood::Well);
            world.hands().advance(30);
            knock(&alice).await.answer();
        }
    }

    async fn keys_are_found_where_the_issuer_says(backend: Backend) {
        let issuer = IdentityProvider::start();
        let setting = format!("{{ issuers = [{{ issuer = \"{}\", audiences = [\"bursar\"] }}] }}", issuer.url);
        let world = World::builder(backend).at(AT_NOON).set("jwt", &setting).start().await;
        world.user(user("alice")).await;
        issuer.call_itself("https://somebody-else.example");
        knock(&holder(&world, &issuer, "alice")).await.refused(Code::Unavailable, IdpUnavailable);
        issuer.call_itself(&issuer.url);
        world.hands().advance(30);
        knock_with(&world, &issuer, &json!({ "sub": "alice" })).await.answer();
        assert_eq!(issuer.fetches(), 1);
    }
}
