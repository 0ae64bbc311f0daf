//! The key policy: asked before keys are made and changed.

use bursar::pb;
use pb::ErrorReason::{KeyPolicyUnavailable, PolicyRefused, UserNotFound};
use pb::policy::check_request::Request as Asked;
use pb::policy::{CheckRequest, KeyAction};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::callouts::{Callouts, Mood};
use crate::support::{Answer, Backend, Client, World, on_both};

async fn world(backend: Backend, callouts: &Callouts, more: &str) -> World {
    World::builder(backend).set("key_policy", &callouts.setting(more)).start().await
}

fn alias(name: &str) -> pb::Key {
    pb::Key { key_alias: Some(name.into()), ..Default::default() }
}

async fn generate(client: &Client, key: pb::Key) -> Result<tonic::Response<pb::GenerateKeyResponse>, Status> {
    client.keys().generate_key(pb::GenerateKeyRequest { key: Some(key), ..Default::default() }).await
}

async fn update(
    client: &Client,
    hash: &str,
    change: pb::Key,
) -> Result<tonic::Response<pb::UpdateKeyResponse>, Status> {
    let key = pb::Key { key_hash: hash.to_owned(), ..change };
    client.keys().update_key(pb::UpdateKeyRequest { key: Some(key), ..Default::default() }).await
}

async fn regenerate(client: &Client, hash: &str) -> Result<tonic::Response<pb::RegenerateKeyResponse>, Status> {
    client.keys().regenerate_key(pb::RegenerateKeyRequest { key: hash.to_owned(), ..Default::default() }).await
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>, message: &str) {
    let status = answer.refused(Code::PermissionDenied, PolicyRefused);
    assert_eq!(status.message(), message);
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["policy"], "key_policy");
}

/// The only question that was asked.
#[track_caller]
fn only(questions: Vec<CheckRequest>) -> CheckRequest {
    assert_eq!(questions.len(), 1, "{questions:#?}");
    questions.into_iter().next().unwrap()
}

on_both! {
    async fn it_refuses_in_its_own_words(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts, "").await;
        let made = generate(&world.admin, alias("a")).await.answer().key.unwrap();
        callouts.refuse(Some("no more keys in November"));
        refused(generate(&world.admin, alias("b")).await, "no more keys in November");
        refused(update(&world.admin, &made.key_hash, alias("b")).await, "no more keys in November");
        refused(regenerate(&world.admin, &made.key_hash).await, "no more keys in November");
        let user = pb::User { user_id: "alice".into(), ..Default::default() };
        let with_key = pb::CreateUserRequest { user: Some(user), ..Default::default() };
        refused(world.admin.users().create_user(with_key.clone()).await, "no more keys in November");
        let request = pb::GetUserRequest { user_id: "alice".into(), ..Default::default() };
        world.admin.users().get_user(request).await.refused(Code::NotFound, UserNotFound);
        let change = pb::Key { key_hash: made.key_hash.clone(), ..alias("b") };
        let requests = vec![pb::UpdateKeyRequest { key: Some(change), ..Default::default() }];
        let batch = world.admin.keys().batch_update_keys(pb::BatchUpdateKeysRequest { requests, ..Default::default() }).await.answer();
        assert_eq!(batch.results[0].error.as_ref().unwrap().message, "no more keys in November");
        callouts.refuse(Some(""));
        refused(generate(&world.admin, alias("b")).await, "the key policy of this installation forbids it");
        let keys = world.admin.keys().list_keys(pb::ListKeysRequest::default()).await.answer().keys;
        assert_eq!(keys, std::slice::from_ref(&made));
        // It is about keys, and about what it is asked to be.
        let without_key = pb::CreateUserRequest { auto_create_key: Some(false), ..with_key };
        world.admin.users().create_user(without_key).await.answer();
        let block = pb::BlockKeyRequest { key: made.key_hash, ..Default::default() };
        world.admin.keys().block_key(block).await.answer();
    }

    async fn it_sees_what_is_asked_and_what_would_be(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts, "").await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        callouts.questions();
        let request = pb::GenerateKeyRequest {
            key: Some(alias("a")),
            new_secret: Some("sk-a-secret-that-nobody-is-told".into()),
            request_id: "once".into(),
            ..Default::default()
        };
        let made = world.admin.keys().generate_key(request.clone()).await.answer().key.unwrap();
        let question = only(callouts.questions());
        assert_eq!((question.action(), question.existing), (KeyAction::Generate, None));
        assert_eq!(question.request, Some(Asked::GenerateKey(pb::GenerateKeyRequest { new_secret: None, ..request.clone() })));
        assert!(question.caller.unwrap().is_proxy_admin);
        let resulting = question.resulting.unwrap();
        assert_eq!((resulting.key_id.as_str(), resulting.key_hash.as_str(), resulting.key_name.as_str()), ("", "", ""));
        assert_eq!((resulting.key_alias.as_deref(), resulting.created_at), (Some("a"), made.created_at));
        // The answer to the same request is kept: nobody is asked again.
        assert_eq!(world.admin.keys().generate_key(request).await.answer().key.unwrap().key_id, made.key_id);
        assert_eq!(callouts.questions(), []);

        // Named by its secret, too, which nobody is told.
        let changed = update(&world.admin, "sk-a-secret-that-nobody-is-told", alias("b")).await.answer().key.unwrap();
        let question = only(callouts.questions());
        assert!(!format!("{question:?}").contains("sk-a-secret"), "{question:#?}");
        assert_eq!((question.action(), question.existing.unwrap().key_alias), (KeyAction::Update, made.key_alias));
        assert_eq!(question.resulting.unwrap().key_alias, changed.key_alias);
        regenerate(&world.admin, &made.key_hash).await.answer();
        let question = only(callouts.questions());
        assert_eq!((question.action(), question.existing.unwrap().key_alias), (KeyAction::Regenerate, changed.key_alias));

        generate(&alice, alias("c")).await.answer();
        let caller = only(callouts.questions()).caller.unwrap();
        assert_eq!((caller.user_id.as_deref(), caller.role(), caller.is_proxy_admin), (Some("alice"), pb::Role::InternalUser, false));
        let new = pb::CreateUserRequest::default();
        let created = world.admin.users().create_user(new.clone()).await.answer();
        let question = only(callouts.questions());
        assert_eq!((question.action(), question.request), (KeyAction::Generate, Some(Asked::CreateUser(new))));
        assert_eq!(question.resulting.unwrap().user_id, Some(created.user.unwrap().user_id));
        // What would be refused anyway is not asked about.
        generate(&alice, pb::Key { allowed_routes: vec!["llm_api_routes".into()], ..alias("d") }).await.unwrap_err();
        assert_eq!(callouts.questions(), []);
    }

    async fn without_an_answer_nothing_is_done(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts, ", on = [\"generate_key\"]").await;
        for mood in [Mood::Failing, Mood::Silent] {
            callouts.be(mood);
            let status = generate(&world.admin, alias("a")).await.refused(Code::Unavailable, KeyPolicyUnavailable);
            assert!(status.get_error_details().retry_info().is_some());
        }
        callouts.be(Mood::Well);
        let made = generate(&world.admin, alias("a")).await.answer().key.unwrap();
        callouts.be(Mood::Failing);
        update(&world.admin, &made.key_hash, alias("b")).await.answer();
        regenerate(&world.admin, &made.key_hash).await.answer();
    }

    async fn its_silence_may_count_as_a_yes(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts, ", without_answer = \"allow\"").await;
        callouts.be(Mood::Silent);
        generate(&world.admin, alias("a")).await.answer();
        // A service that answers with an error does answer.
        callouts.be(Mood::Failing);
        generate(&world.admin, alias("b")).await.refused(Code::Unavailable, KeyPolicyUnavailable);
        callouts.be(Mood::Well);
        callouts.refuse(Some("no"));
        refused(generate(&world.admin, alias("b")).await, "no");
    }

    async fn what_changes_meanwhile_is_asked_about_again(backend: Backend) {
        let callouts = Callouts::start().await;
        let world = world(backend, &callouts, ", on = [\"update_key\"]").await;
        let made = generate(&world.admin, alias("a")).await.answer().key.unwrap();
        // Another change while it thinks: nothing is locked, and both happen.
        let (other, hash) = (world.admin.clone(), made.key_hash.clone());
        callouts.first(async move {
            let tagged = pb::Key { tags: vec!["meanwhile".into()], ..Default::default() };
            update(&other, &hash, tagged).await.answer();
        });
        let changed = update(&world.admin, &made.key_hash, alias("b")).await.answer().key.unwrap();
        assert_eq!((changed.key_alias.as_deref(), changed.tags), (Some("b"), vec!["meanwhile".to_owned()]));
        let tags: Vec<_> = callouts.questions().into_iter().map(|asked| (asked.existing.unwrap().tags, asked.resulting.unwrap().key_alias)).collect();
        let (none, some, b) = (Vec::new(), vec!["meanwhile".to_owned()], Some("b".to_owned()));
        let a = Some("a".to_owned());
        assert_eq!(tags, [(none.clone(), b.clone()), (none, a), (some, b)]);
    }
}

#[tokio::test]
async fn a_key_policy_that_is_gone_refuses() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("{{ url = \"http://{}\" }}", listener.local_addr().unwrap());
    drop(listener);
    let world = World::builder(Backend::Sqlite).set("key_policy", &nobody).start().await;
    generate(&world.admin, alias("a")).await.refused(Code::Unavailable, KeyPolicyUnavailable);
}
