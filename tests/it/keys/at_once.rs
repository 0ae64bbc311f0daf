//! Keys that are made at the same moment: they share a commit, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bursar::pb;
use pb::ErrorReason::{KeyAliasExists, KeyExists, RequestIdReused};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::support::{Answer, Backend, Client, World, on_both, reason_of};

type Made = Result<pb::GenerateKeyResponse, Status>;

async fn all(client: &Client, requests: impl IntoIterator<Item = pb::GenerateKeyRequest>) -> Vec<Made> {
    let mut making = JoinSet::new();
    for request in requests {
        let client = client.clone();
        making.spawn(async move { Ok(client.keys().generate_key(request).await?.into_inner()) });
    }
    making.join_all().await
}

fn alias(name: &str) -> pb::GenerateKeyRequest {
    let key = pb::Key { key_alias: Some(name.to_owned()), ..Default::default() };
    pb::GenerateKeyRequest { key: Some(key), ..Default::default() }
}

/// Makes all writers wait until it is told to stop.
enum Bolt {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Bolt {
    async fn new(world: &World) -> Self {
        let url = &world.database.url;
        match world.backend {
            Backend::Sqlite => {
                let mut connection = SqliteConnection::connect(url).await.unwrap();
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                Self::Sqlite(connection)
            }
            Backend::Postgres => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                connection.execute("BEGIN; UPDATE audit_head SET sequence = sequence").await.unwrap();
                Self::Postgres(connection)
            }
        }
    }

    async fn open(self) {
        match self {
            Self::Sqlite(mut connection) => connection.execute("ROLLBACK").await.map(drop),
            Self::Postgres(mut connection) => connection.execute("ROLLBACK").await.map(drop),
        }
        .unwrap();
    }
}

on_both! {
    async fn a_wrong_one_stops_no_other(world: World) {
        let secret = |text: &str| pb::GenerateKeyRequest { new_secret: Some(text.into()), ..Default::default() };
        let mut requests: Vec<_> = (0..40).map(|number| alias(&format!("alias-{}", number % 10))).collect();
        requests.extend((0..20).map(|_| pb::GenerateKeyRequest::default()));
        requests.extend((0..4).map(|_| secret("sk-the-same-secret-of-four")));
        let made = all(&world.admin, requests).await;
        let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (10 + 20 + 1, 30 + 3));
        let reasons = bad.into_iter().map(|made| made.unwrap_err()).map(|status| (status.code(), reason_of(&status)));
        let mut counts = BTreeMap::new();
        for (code, reason) in reasons {
            assert_eq!(code, Code::AlreadyExists);
            *counts.entry(reason).or_insert(0) += 1;
        }
        let name = |reason: pb::ErrorReason| reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned();
        assert_eq!(counts, [(name(KeyAliasExists), 30), (name(KeyExists), 3)].into());
        // Each is there, works, and has an entry of its own in an unbroken chain.
        let ids: BTreeSet<String> = good.into_iter().map(|made| made.unwrap().key.unwrap().key_id).collect();
        let request = pb::ListKeysRequest { page_size: 100, ..Default::default() };
        let listed = world.admin.keys().list_keys(request).await.answer().keys;
        assert_eq!(listed.into_iter().map(|key| key.key_id).collect::<BTreeSet<_>>(), ids);
        let request = pb::ListAuditEntriesRequest { page_size: 100, rpc: "bursar.v1.KeyService/GenerateKey".into(), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        assert_eq!(entries.len(), ids.len());
        assert_eq!(entries.into_iter().map(|entry| entry.object_id).collect::<BTreeSet<_>>(), ids);
        let verified = world.admin.audit().verify_audit_log(pb::VerifyAuditLogRequest::default()).await.answer();
        assert_eq!(verified.fault(), pb::AuditFault::Unspecified, "{verified:?}");
    }

    async fn each_is_told_of_whoever_made_it(world: World) {
        let mut people = Vec::new();
        for id in ["alice", "bob", "carol"] {
            people.push((id, world.person(id, pb::Role::InternalUser).await));
        }
        let bolt = Bolt::new(&world).await;
        let mut making = JoinSet::new();
        for (id, client) in people.iter().cycle().take(12) {
            let (id, client) = (*id, client.clone());
            making.spawn(async move { (id, client.keys().generate_key(pb::GenerateKeyRequest::default()).await.answer()) });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        bolt.open().await;
        for (id, made) in making.join_all().await {
            let key = made.key.unwrap();
            assert_eq!((key.user_id.as_deref(), key.created_by.as_str()), (Some(id), id));
            let request = pb::ListAuditEntriesRequest { object_id: key.key_id.clone(), ..Default::default() };
            let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
            assert_eq!((entries.len(), entries[0].actor.as_str()), (1, id));
            let own = world.with_key(&made.secret).keys().get_key(pb::GetKeyRequest::default()).await.answer().key.unwrap();
            assert_eq!(own.key_id, key.key_id);
        }
    }

    async fn a_request_that_is_sent_at_once_makes_one_key(world: World) {
        let request = |alias: &str| {
            let key = pb::Key { key_alias: Some(alias.to_owned()), ..Default::default() };
            pb::GenerateKeyRequest { key: Some(key), request_id: "once".into(), ..Default::default() }
        };
        let made = all(&world.admin, (0..12).map(|_| request("a"))).await;
        let answers: BTreeSet<(String, String)> = made.into_iter().map(|made| {
            let made = made.unwrap();
            (made.secret, made.key.unwrap().key_id)
        }).collect();
        assert_eq!(answers.len(), 1);
        let other = world.admin.keys().generate_key(request("b")).await;
        other.refused(Code::AlreadyExists, RequestIdReused);
        assert_eq!(world.admin.keys().list_keys(pb::ListKeysRequest::default()).await.answer().keys.len(), 1);
    }

    async fn they_share_a_commit(world: World) {
        let bolt = Bolt::new(&world).await;
        let before = world.store().statements();
        let client = world.admin.clone();
        let making = tokio::spawn(async move { all(&client, (0..60).map(|_| pb::GenerateKeyRequest::default())).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        bolt.open().await;
        assert!(making.await.unwrap().iter().all(Result::is_ok));
        // One that was first, and the others: five statements each time.
        let made = world.store().statements() - before;
        assert!(made < 60, "60 keys took {made} statements");
    }
}
