//! Verification: only what the issuer signed, for Bursar, in its time.

use bursar::pb;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pb::ErrorReason::{AudienceMismatch, IssuerUnknown, TokenExpired, TokenInvalid};
use serde_json::json;
use tonic::Code::Unauthenticated;

use super::{holder, knock, knock_with, user, world_of};
use crate::support::issuer::{IdentityProvider, NOON, SigningKey, forged};
use crate::support::{Answer, Backend, on_both};

on_both! {
    async fn whatever_is_wrong_with_a_token_it_is_refused_by_name(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "leeway = \"30s\", algorithms = [\"ES256\"]").await;
        world.user(user("alice")).await;
        knock(&holder(&world, &issuer, "alice")).await.answer();
        for (claims, reason) in [
            (json!({ "sub": "alice", "aud": "another" }), AudienceMismatch),
            (json!({ "sub": "alice", "aud": null }), AudienceMismatch),
            (json!({ "sub": "alice", "iss": "https://idp.example" }), IssuerUnknown),
            (json!({ "sub": "alice", "iss": null }), IssuerUnknown),
            (json!({ "sub": "alice", "iss": format!("{}/", issuer.url) }), IssuerUnknown),
            (json!({ "sub": "alice", "iss": "bursar" }), TokenInvalid),
            (json!({ "sub": "alice", "exp": NOON - 30 }), TokenExpired),
            (json!({ "sub": "alice", "exp": null }), TokenInvalid),
            (json!({ "sub": "alice", "nbf": NOON + 31 }), TokenInvalid),
            (json!({ "sub": "alice", "iat": NOON + 31 }), TokenInvalid),
            (json!({ "sub": "alice", "exp": NOON + 90_000 }), TokenInvalid),
            (json!({ "sub": "" }), TokenInvalid),
            (json!({ "email": "alice@b.c" }), TokenInvalid),
        ] {
            knock_with(&world, &issuer, &claims).await.refused(Unauthenticated, reason);
        }
        for claims in [json!({ "exp": NOON - 29 }), json!({ "nbf": NOON + 30 }), json!({ "aud": ["x", "bursar"] })] {
            let mut claims = claims;
            claims["sub"] = json!("alice");
            knock_with(&world, &issuer, &claims).await.answer();
        }
    }

    async fn a_signature_is_the_issuers_own(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "").await;
        world.user(user("alice")).await;
        let (first, second) = (issuer.key(), SigningKey::new("k2"));
        let for_secrets = SigningKey::new("k3").used_for("enc");
        issuer.publish(&[first.clone(), second.clone(), for_secrets.clone()]);
        let claims = issuer.claims(&json!({ "sub": "alice" }));
        knock(&world.with_key(&second.sign(&claims))).await.answer();

        let header = |alg| Header { kid: Some("k1".to_owned()), ..Header::new(alg) };
        let good = first.sign(&claims);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        let other = first.sign(&issuer.claims(&json!({ "sub": "root" })));
        let payload = other.split('.').nth(1).unwrap();
        let x = first.public()["x"].as_str().unwrap();
        let shared = EncodingKey::from_secret(x.as_bytes());
        let crit = Header { crit: Some(vec!["exp".to_owned()]), ..header(Algorithm::ES256) };
        for token in [
            // Another payload under a good signature.
            format!("{head}.{payload}.{signature}"),
            format!("{signed}."),
            format!("{signed}.{}", &signature[..20]),
            // Nobody's signature.
            forged(&json!({ "alg": "none", "kid": "k1" }), &claims),
            forged(&json!({ "alg": "ES256", "kid": "k1" }), &claims),
            forged(&json!({ "alg": "nonsense", "kid": "k1" }), &claims),
            // A public key is no shared secret.
            jsonwebtoken::encode(&header(Algorithm::HS256), &claims, &shared).unwrap(),
            // A stranger under the issuer's name.
            SigningKey::new("k1").sign(&claims),
            SigningKey::new("k9").sign(&claims),
            // Keys under others' names, or no name while there are several.
            second.sign_with(&header(Algorithm::ES256), &claims),
            first.sign_with(&Header::new(Algorithm::ES256), &claims),
            // A key that does not sign.
            for_secrets.sign(&claims),
            // Something that must be understood, and is not.
            first.sign_with(&crit, &claims),
            "a.b.c".to_owned(),
            "..".to_owned(),
        ] {
            knock(&world.with_key(&token)).await.refused(Unauthenticated, TokenInvalid);
        }
        // The only key needs no name.
        issuer.publish(std::slice::from_ref(&first));
        world.hands().advance(601);
        let unnamed = world.with_key(&first.sign_with(&Header::new(Algorithm::ES256), &claims));
        knock(&unnamed).await.answer();
    }

    async fn a_token_ends_while_it_is_remembered(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "leeway = \"0\"").await;
        world.user(user("alice")).await;
        let alice = holder(&world, &issuer, "alice");
        knock(&alice).await.answer();
        world.hands().advance(3_599);
        knock(&alice).await.answer();
        world.hands().advance(1);
        knock(&alice).await.refused(Unauthenticated, TokenExpired);
    }

    async fn tokens_are_no_credentials_where_no_issuer_is_set(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = crate::support::World::start(backend).await;
        world.user(user("alice")).await;
        knock(&holder(&world, &issuer, "alice")).await.refused(Unauthenticated, IssuerUnknown);
        assert_eq!(issuer.fetches(), 0);
    }
}
