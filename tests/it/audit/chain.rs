//! `VerifyAuditLog`: an entry that is changed, removed or inserted is found.

use bursar::pb;
use pb::{AuditFault, ErrorReason};
use tonic::Code;

use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

async fn verify(client: &Client, first: Option<i64>, last: Option<i64>) -> (i64, AuditFault, Option<i64>) {
    let request = pb::VerifyAuditLogRequest { first_sequence: first, last_sequence: last };
    let answer = client.audit().verify_audit_log(request).await.answer();
    (answer.verified_count, answer.fault(), answer.fault_sequence)
}

/// Takes away what keeps entries from being changed, as somebody with the
/// rights of the database's owner could.
pub async fn unguard(world: &World) {
    let drops: &[&'static str] = match world.backend {
        Backend::Sqlite => &["DROP TRIGGER audit_entries_no_update", "DROP TRIGGER audit_entries_no_delete"],
        Backend::Postgres => &["DROP TRIGGER audit_entries_append_only ON audit_entries"],
    };
    for drop in drops {
        world.execute(drop).await;
    }
}

const COPY: &str = "INSERT INTO audit_entries (sequence, audit_id, at, actor, actor_key_id, on_behalf_of, action, \
                    object_type, object_id, before, after, request_id, rpc, hash, team_id, organization_id) \
                    SELECT sequence + 1, 'copy', at, actor, actor_key_id, on_behalf_of, action, object_type, \
                    object_id, before, after, request_id, rpc, hash, team_id, organization_id FROM audit_entries \
                    WHERE sequence = (SELECT max(sequence) FROM audit_entries)";

on_both! {
    async fn a_whole_log_is_verified(world: World) {
        for number in 0..5 {
            world.user(pb::User { user_id: format!("u{number}"), ..Default::default() }).await;
        }
        let last = world.store().view().last_audit_sequence().await.unwrap();
        assert_eq!(verify(&world.admin, None, None).await, (last, AuditFault::Unspecified, None));
        assert_eq!(verify(&world.admin, Some(2), Some(4)).await, (3, AuditFault::Unspecified, None));
        assert_eq!(verify(&world.admin, Some(last), None).await.1, AuditFault::Unspecified);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        assert_eq!(verify(&viewer, None, None).await.1, AuditFault::Unspecified);
        let user = world.person("alice", pb::Role::InternalUser).await;
        let request = pb::VerifyAuditLogRequest::default();
        user.audit().verify_audit_log(request).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let reversed = pb::VerifyAuditLogRequest { first_sequence: Some(4), last_sequence: Some(3) };
        assert_eq!(world.admin.audit().verify_audit_log(reversed).await.bad()[0].0, "last_sequence");
        let nothing = pb::VerifyAuditLogRequest { first_sequence: Some(0), last_sequence: None };
        assert_eq!(world.admin.audit().verify_audit_log(nothing).await.bad()[0].0, "first_sequence");
    }

    async fn what_was_done_to_it_is_found(world: World) {
        for number in 0..5 {
            world.user(pb::User { user_id: format!("u{number}"), ..Default::default() }).await;
        }
        let last = world.store().view().last_audit_sequence().await.unwrap();
        unguard(&world).await;
        for (breaking, mending, fault, at) in [
            ("UPDATE audit_entries SET actor = 'x' WHERE sequence = 3", "UPDATE audit_entries SET actor = 'master' WHERE sequence = 3", AuditFault::Changed, 3),
            ("UPDATE audit_entries SET team_id = 'x' WHERE sequence = 3", "UPDATE audit_entries SET team_id = '' WHERE sequence = 3", AuditFault::Changed, 3),
            ("UPDATE audit_entries SET sequence = 99 WHERE sequence = 3", "UPDATE audit_entries SET sequence = 3 WHERE sequence = 99", AuditFault::Gap, 3),
            ("UPDATE audit_head SET sequence = sequence + 1", "UPDATE audit_head SET sequence = sequence - 1", AuditFault::CutOff, last + 1),
            (COPY, "DELETE FROM audit_entries WHERE audit_id = 'copy'", AuditFault::Changed, last + 1),
        ] {
            assert_eq!(world.execute(breaking).await, 1, "{breaking}");
            assert_eq!(verify(&world.admin, None, None).await, (at - 1, fault, Some(at)), "{breaking}");
            assert_eq!(world.execute(mending).await, 1, "{mending}");
            assert_eq!(verify(&world.admin, None, None).await.1, AuditFault::Unspecified, "{mending}");
        }
        world.execute("DELETE FROM audit_entries WHERE sequence > 4").await;
        assert_eq!(verify(&world.admin, None, None).await, (4, AuditFault::CutOff, Some(5)));
        world.execute("DELETE FROM audit_entries WHERE sequence = 1").await;
        assert_eq!(verify(&world.admin, None, None).await, (0, AuditFault::Gap, Some(1)));
    }

    async fn nothing_changes_an_entry_by_accident(backend: Backend) {
        let world = World::start(backend).await;
        let refused = |sql: &'static str| {
            let url = world.database.url.clone();
            async move {
                use sqlx::{Connection, Executor};
                match backend {
                    Backend::Sqlite => sqlx::SqliteConnection::connect(&url).await.unwrap().execute(sql).await.map(drop),
                    Backend::Postgres => sqlx::PgConnection::connect(&url).await.unwrap().execute(sql).await.map(drop),
                }
            }
        };
        for sql in ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"] {
            let error = refused(sql).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }
}
