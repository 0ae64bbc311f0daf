//! Secrets: each is in one answer, and in nothing else that a run writes.

use std::fmt::Write;

use bursar::pb;

use crate::gateway::{ask, authorize, reserve, settle};
use crate::spend::{event, record};
use crate::support::database::{Database, fresh_directory};
use crate::support::process::Process;
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client};

/// Secrets that were shown, and what was answered after.
struct Run {
    secrets: Vec<String>,
    told: String,
}

impl Run {
    /// Takes note of an answer, or of a refusal.
    fn hear<T: std::fmt::Debug>(&mut self, answer: Result<tonic::Response<T>, tonic::Status>) {
        match answer {
            Ok(answer) => write!(self.told, "{answer:?}").unwrap(),
            Err(status) => {
                // Details are bytes in a status; what they say is text.
                write!(self.told, "{status:?} {}", String::from_utf8_lossy(status.details())).unwrap();
            }
        }
    }
}

/// Uses a secret in every way, right and wrong.
async fn use_it(run: &mut Run, admin: &Client, secret: &str, guessed: &str) {
    let client = admin.with_key(secret);
    let reservation = reserve(&client, secret.get(3..9).unwrap(), "0.1").await;
    run.hear(Ok(tonic::Response::new(settle(&client, &reservation, 10).await)));
    run.hear(Ok(tonic::Response::new(
        authorize(admin, pb::AuthorizeRequest { key: secret.to_owned(), reserve: false, ..ask("", "0") }).await,
    )));
    run.hear(Ok(tonic::Response::new(record(admin, vec![event(&format!("of {}", &secret[3..9]), secret, 5)]).await)));
    run.hear(client.keys().get_key(pb::GetKeyRequest::default()).await);
    run.hear(admin.keys().get_key(pb::GetKeyRequest { key: secret.to_owned() }).await);
    run.hear(
        admin
            .keys()
            .batch_get_keys(pb::BatchGetKeysRequest {
                keys: vec![secret.to_owned(), guessed.to_owned()],
                ..Default::default()
            })
            .await,
    );
    run.hear(admin.keys().block_key(pb::BlockKeyRequest { key: secret.to_owned(), reason: "test".into() }).await);
    run.hear(client.keys().get_key(pb::GetKeyRequest::default()).await);
    run.hear(admin.keys().unblock_key(pb::UnblockKeyRequest { key: secret.to_owned() }).await);
    // In fields where no secret belongs, and of keys that are not there.
    run.hear(admin.keys().list_keys(pb::ListKeysRequest { key: guessed.to_owned(), ..Default::default() }).await);
    run.hear(
        admin
            .keys()
            .generate_key(pb::GenerateKeyRequest { new_secret: Some(secret.to_owned()), ..Default::default() })
            .await,
    );
    run.hear(
        admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![guessed.to_owned()], ..Default::default() }).await,
    );
    run.hear(admin.with_key(guessed).keys().get_key(pb::GetKeyRequest::default()).await);
    run.hear(admin.spend().list_usage(pb::ListUsageRequest { key: secret.to_owned(), ..Default::default() }).await);
}

/// Everything that was written, and where.
fn written(told: String, log: String, database: &Database) -> Vec<(String, Vec<u8>)> {
    let mut written = vec![("an answer".to_owned(), told.into_bytes()), ("the log".to_owned(), log.into_bytes())];
    let file = database.url.trim_start_matches("sqlite://").split('?').next().unwrap().to_owned();
    for suffix in ["", "-wal"] {
        if let Ok(bytes) = std::fs::read(format!("{file}{suffix}")) {
            written.push((format!("the database{suffix}"), bytes));
        }
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_run_writes_holds_a_secret() {
    let directory = fresh_directory();
    let database = Database::new(Backend::Sqlite).await;
    let settings = [("master-key", MASTER), ("log-level", "trace"), ("allow-custom-keys", "true")];
    let mut server = Process::serve(&directory, &database.url, &settings);
    let admin = Client::anonymous(server.connect().await).with_key(MASTER);
    let mut run = Run { secrets: vec![MASTER.to_owned()], told: String::new() };

    let user = pb::User { user_id: "alice".into(), user_email: Some("alice@example.org".into()), ..Default::default() };
    let request =
        pb::CreateUserRequest { user: Some(user), send_invitation: true, request_id: "u".into(), ..Default::default() };
    let made = admin.users().create_user(request).await.answer();
    let password = "correct horse battery staple".to_owned();
    let accept = pb::AcceptInvitationRequest {
        token: made.invitation_token.clone(),
        password: password.clone(),
        ..Default::default()
    };
    let session = admin.users().accept_invitation(accept).await.answer().session_token;
    let generate = pb::GenerateKeyRequest { request_id: "g".into(), ..Default::default() };
    let first = admin.keys().generate_key(generate).await.answer().secret;
    let own =
        pb::GenerateKeyRequest { new_secret: Some("sk-chosen-by-somebody-0123456789".into()), ..Default::default() };
    let chosen = admin.keys().generate_key(own).await.answer().secret;
    let rotate = pb::RegenerateKeyRequest {
        key: first.clone(),
        grace_period: Some("1h".into()),
        request_id: "r".into(),
        ..Default::default()
    };
    let second = admin.keys().regenerate_key(rotate).await.answer().secret;
    let guessed = format!("{second}-guessed");
    run.secrets.extend([
        made.secret,
        made.invitation_token,
        password.clone(),
        session.clone(),
        first.clone(),
        chosen.clone(),
        second.clone(),
        guessed.clone(),
    ]);

    for secret in [&first, &second, &chosen] {
        Box::pin(use_it(&mut run, &admin, secret, &guessed)).await;
    }
    let wrong =
        pb::LoginRequest { user_email: "alice@example.org".into(), password: guessed.clone(), ..Default::default() };
    run.hear(admin.users().login(wrong).await);
    run.hear(admin.with_key(&session).users().get_user(pb::GetUserRequest::default()).await);
    run.hear(admin.keys().list_keys(pb::ListKeysRequest::default()).await);
    run.hear(admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![first], ..Default::default() }).await);
    run.hear(
        admin
            .keys()
            .list_keys(pb::ListKeysRequest { status: pb::KeyState::Deleted.into(), ..Default::default() })
            .await,
    );
    run.hear(admin.audit().list_audit_entries(pb::ListAuditEntriesRequest::default()).await);
    run.hear(admin.spend().list_usage(pb::ListUsageRequest::default()).await);
    run.hear(admin.spend().list_key_spend(pb::ListKeySpendRequest::default()).await);

    server.terminate();
    let log = server.finish();
    let written = written(run.told, log, &database);
    assert!(written.len() >= 3 && written.iter().all(|(_, bytes)| bytes.len() > 1_000), "all of it is looked at");
    for (place, bytes) in written {
        for (index, secret) in run.secrets.iter().enumerate() {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "secret {index} is in {place}");
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}
