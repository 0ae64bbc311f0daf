//! Custom authentication: credentials that are neither keys nor JWTs.

use bursar::pb;
use pb::DenyReason::{CallNotAllowed, KeyUnknown, UserDeactivated as UserIsBlocked};
use pb::ErrorReason::{
    CredentialMalformed, CredentialUnknown, CustomAuthUnavailable, RoleNotAllowed, TeamBlocked, UserDeactivated,
    UserUnknown,
};
use pb::policy::AuthenticateResponse;
use tonic::Code;

use crate::gateway::{ask, authorize, denial, settle};
use crate::support::callouts::{Callouts, Mood};
use crate::support::issuer::AT_NOON;
use crate::support::{Answer, Backend, World, on_both};
use crate::tokens::{knock, user};
use crate::users::sessions::change;

async fn world(backend: Backend, callouts: &Callouts) -> World {
    World::builder(backend).at(AT_NOON).set("custom_auth", &callouts.setting("")).start().await
}

fn person(user_id: &str) -> AuthenticateResponse {
    AuthenticateResponse { user_id: Some(user_id.into()), ..Default::default() }
}

fn blocked(user_id: &str, blocked: bool) -> pb::User {
    pb::User { user_id: user_id.into(), blocked: Some(blocked), ..Default::default() }
}

on_both! {
    async fn a_credential_has_the_rights_of_whom_it_stands_for(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts).await;
        world.user(user("alice")).await;
        callouts.know("badge 4711", Some(person("alice")));
        callouts.know("badge 4712", Some(person("nobody")));
        let alice = world.with_key("badge 4711");
        let made = alice.keys().generate_key(pb::GenerateKeyRequest::default()).await.answer();
        assert_eq!(made.key.unwrap().user_id.as_deref(), Some("alice"));
        alice.users().create_user(pb::CreateUserRequest::default()).await.refused(Code::PermissionDenied, RoleNotAllowed);
        knock(&world.with_key("badge 4712")).await.refused(Code::PermissionDenied, UserUnknown);
        knock(&world.with_key("badge 1")).await.refused(Code::Unauthenticated, CredentialUnknown);
        change(&world.admin, blocked("alice", true)).await.answer();
        knock(&alice).await.refused(Code::PermissionDenied, UserDeactivated);
        // One that is a team is refused with it.
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        callouts.know("of red", Some(AuthenticateResponse { team_id: Some("red".into()), ..Default::default() }));
        let red = world.with_key("of red");
        knock(&red).await.answer();
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        knock(&red).await.refused(Code::PermissionDenied, TeamBlocked);
        // Keys and JWTs are none of its business.
        callouts.shown();
        knock(&world.with_key("sk-0123456789abcdef")).await.unwrap_err();
        knock(&world.with_key("a.b.c")).await.unwrap_err();
        knock(&world.admin).await.answer();
        assert_eq!(callouts.shown(), Vec::<String>::new());
    }

    async fn an_answer_holds_for_a_while(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts).await;
        world.user(user("alice")).await;
        let lasting = |seconds| AuthenticateResponse {
            valid_for: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..person("alice")
        };
        for (credential, answer, seconds) in [("a", person("alice"), 60), ("b", lasting(90), 90), ("c", lasting(86_400), 3_600)] {
            callouts.know(credential, Some(answer));
            let client = world.with_key(credential);
            knock(&client).await.answer();
            callouts.know(credential, None);
            world.hands().advance(seconds - 1);
            knock(&client).await.answer();
            assert_eq!(callouts.shown(), [credential]);
            world.hands().advance(1);
            // A refusal holds for a while, too.
            for _ in 0..3 {
                knock(&client).await.refused(Code::Unauthenticated, CredentialUnknown);
            }
            assert_eq!(callouts.shown(), [credential]);
            callouts.know(credential, Some(person("alice")));
            world.hands().advance(5);
            knock(&client).await.answer();
            assert_eq!(callouts.shown(), [credential]);
        }
        callouts.know("d", Some(lasting(0)));
        let client = world.with_key("d");
        knock(&client).await.answer();
        knock(&client).await.answer();
        assert_eq!(callouts.shown(), ["d", "d"]);
    }

    async fn a_sidecar_asks_for_whoever_shows_one(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts).await;
        world.user(pb::User { max_budget: Some("1".into()), ..user("alice") }).await;
        let customer_id = Some("acme".to_owned());
        callouts.know("badge", Some(AuthenticateResponse { customer_id, ..person("alice") }));
        callouts.know("ghost", Some(person("nobody")));
        let sidecar = world.sidecar().await;
        let with = |id: &str, key: &str| pb::AuthorizeRequest { key: key.into(), ..ask(id, "0.5") };
        let answer = authorize(&sidecar, with("a", "badge")).await;
        assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
        let identity = answer.identity.unwrap();
        assert_eq!((identity.user_id.as_str(), identity.customer_id.as_str()), ("alice", "acme"));
        assert_eq!(settle(&sidecar, &answer.reservation_id, 1_000).await.cost, "0.0025");
        assert_eq!(denial(&authorize(&sidecar, with("b", "nothing")).await).0, KeyUnknown);
        assert_eq!(denial(&authorize(&sidecar, with("c", "ghost")).await).0, CallNotAllowed);
        change(&world.admin, blocked("alice", true)).await.answer();
        assert_eq!(denial(&authorize(&sidecar, with("d", "badge")).await).0, UserIsBlocked);
        callouts.be(Mood::Failing);
        sidecar.gateway().authorize(with("e", "new")).await.refused(Code::Unavailable, CustomAuthUnavailable);
    }

    async fn without_an_answer_nobody_comes_in(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts).await;
        world.user(user("alice")).await;
        callouts.know("nameless", Some(AuthenticateResponse::default()));
        knock(&world.with_key("nameless")).await.refused(Code::Unavailable, CustomAuthUnavailable);
        callouts.know("badge", Some(person("alice")));
        for mood in [Mood::Failing, Mood::Silent] {
            callouts.be(mood);
            knock(&world.with_key("badge")).await.refused(Code::Unavailable, CustomAuthUnavailable);
        }
        callouts.be(Mood::Well);
        knock(&world.with_key("badge")).await.answer();
        let long = "x".repeat(17 * 1024);
        knock(&world.with_key(&long)).await.refused(Code::Unauthenticated, CredentialMalformed);
        let sidecar = world.sidecar().await;
        let request = pb::AuthorizeRequest { key: long, ..ask("a", "0.5") };
        assert_eq!(denial(&authorize(&sidecar, request).await).0, KeyUnknown);
        assert_eq!(callouts.shown().into_iter().map(|text| text.len()).max(), Some(8));
    }
}
