//! TLS: who gets in, as whom, and how certificates are replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bursar::pb;
use tonic::Code;

use crate::gateway::{ask, reserve, settle};
use crate::support::certificates::{Authority, Signed, connect, write};
use crate::support::database::{Database, fresh_directory};
use crate::support::process::{Process, bursar, run, text};
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client, on_both, reason_of};

/// The id of a workload, as SPIFFE has it.
const EDGE: &str = "spiffe://acme.example/ns/prod/sa/edge";

/// An installation with an authority of its own.
struct Site {
    directory: PathBuf,
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let site = Self { directory: fresh_directory(), authority: Authority::new() };
        write(&site.directory, "ca.pem", &site.authority.pem);
        site.replace(&site.authority.sign("localhost"));
        site
    }

    fn replace(&self, Signed { certificate, key }: &Signed) {
        write(&self.directory, "tls.crt", certificate);
        write(&self.directory, "tls.key", key);
    }

    fn serve(&self, url: &str, more: &str) -> Process {
        let tls = format!("{{ certificate = \"tls.crt\", key = \"tls.key\"{more} }}");
        Process::serve(&self.directory, url, &[("master-key", MASTER), ("tls", &tls)])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn lists_keys(client: &Client) {
    client.keys().list_keys(pb::ListKeysRequest::default()).await.answer();
}

on_both! {
    async fn a_gateway_is_known_by_its_certificate(backend: Backend) {
        let site = Site::new();
        let database = Database::empty(backend).await;
        let gateways = format!(", client_ca = \"ca.pem\", gateways = [{{ san = \"{EDGE}\", name = \"edge\" }}]");
        let server = site.serve(&database.url, &gateways);
        let bare = Client::anonymous(connect(&server.address, &site.authority, None).await.unwrap());
        let admin = bare.with_key(MASTER);
        let key = pb::Key { max_budget: Some("1".into()), ..Default::default() };
        let made = admin.keys().generate_key(pb::GenerateKeyRequest { key: Some(key), ..Default::default() }).await.answer();
        let shown = site.authority.sign(EDGE);
        let edge = Client::anonymous(connect(&server.address, &site.authority, Some(&shown)).await.unwrap());
        let asked = pb::AuthorizeRequest { key: made.secret.clone(), ..ask("a", "0.1") };
        let granted = edge.gateway().authorize(asked.clone()).await.answer();
        assert_eq!(granted.decision(), pb::Decision::Allow, "{}", granted.message);
        settle(&edge, &granted.reservation_id, 400).await;
        let usage = admin.spend().list_usage(pb::ListUsageRequest::default()).await.answer().events;
        assert_eq!(usage.iter().map(|event| event.request_id.as_str()).collect::<Vec<_>>(), [&*granted.reservation_id]);

        // A gateway's rights, no others; and a key that it shows goes before.
        let refused = edge.users().list_users(pb::ListUsersRequest::default()).await.unwrap_err();
        assert_eq!((refused.code(), reason_of(&refused)), (Code::PermissionDenied, "ROLE_NOT_ALLOWED".to_owned()));
        let of_itself = edge.gateway().authorize(ask("b", "0.1")).await.unwrap_err();
        assert_eq!(of_itself.code(), Code::InvalidArgument);
        lists_keys(&edge.with_key(MASTER)).await;
        let wrong = edge.with_key("sk-nobody").gateway().authorize(asked.clone()).await.unwrap_err();
        assert_eq!(wrong.code(), Code::Unauthenticated);

        // Another gateway may not settle what this one reserved; a stranger is nobody.
        let other = site.authority.sign("spiffe://acme.example/ns/prod/sa/other");
        let other = Client::anonymous(connect(&server.address, &site.authority, Some(&other)).await.unwrap());
        let nobody = other.gateway().authorize(asked.clone()).await.unwrap_err();
        assert_eq!((nobody.code(), reason_of(&nobody)), (Code::Unauthenticated, "CREDENTIAL_MISSING".to_owned()));
        let nobody = bare.gateway().authorize(asked.clone()).await.unwrap_err();
        assert_eq!(nobody.code(), Code::Unauthenticated);
        let forged = Authority::new().sign(EDGE);
        let forged = connect(&server.address, &site.authority, Some(&forged)).await;
        let refused = match forged {
            // TLS 1.3 tells a client of its certificate after it has begun.
            Ok(channel) => Client::anonymous(channel).gateway().authorize(asked).await.is_err(),
            Err(_) => true,
        };
        assert!(refused && server.metric("bursar_tls_handshakes_failed_total").await >= 1);
    }

    async fn a_certificate_that_is_replaced_is_shown_from_then_on(backend: Backend) {
        let site = Site::new();
        let database = Database::empty(backend).await;
        let server = site.serve(&database.url, "");
        let before = Client::anonymous(connect(&server.address, &site.authority, None).await.unwrap()).with_key(MASTER);
        lists_keys(&before).await;
        // The key of another certificate: the former ones stay in use.
        write(&site.directory, "tls.key", &site.authority.sign("localhost").key);
        let patience = tokio::time::Instant::now() + Duration::from_secs(30);
        while !server.log().contains("the former ones are") {
            assert!(tokio::time::Instant::now() < patience, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        connect(&server.address, &site.authority, None).await.unwrap();
        let next = Authority::new();
        assert!(connect(&server.address, &next, None).await.is_err());
        site.replace(&next.sign("localhost"));
        let after = loop {
            if let Ok(channel) = connect(&server.address, &next, None).await {
                break Client::anonymous(channel).with_key(MASTER);
            }
            assert!(tokio::time::Instant::now() < patience, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        lists_keys(&after).await;
        lists_keys(&before).await;
        assert!(connect(&server.address, &site.authority, None).await.is_err());
        assert!(server.metric("bursar_tls_certificate_expires_at_seconds").await > 1_700_000_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_show_a_certificate_and_has_none_stays_outside() {
    let site = Site::new();
    let database = Database::empty(Backend::Sqlite).await;
    let server = site.serve(&database.url, ", client_ca = \"ca.pem\", require_client_certificate = true");
    let outside = match connect(&server.address, &site.authority, None).await {
        Ok(channel) => {
            let client = Client::anonymous(channel).with_key(MASTER);
            client.keys().list_keys(pb::ListKeysRequest::default()).await.is_err()
        }
        Err(_) => true,
    };
    assert!(outside);
    let person = site.authority.sign("admin.acme.example");
    let channel = connect(&server.address, &site.authority, Some(&person)).await.unwrap();
    lists_keys(&Client::anonymous(channel).with_key(MASTER)).await;

    // The same from a terminal.
    write(&site.directory, "me.crt", &person.certificate);
    write(&site.directory, "me.key", &person.key);
    let address = server.address.replacen("http://127.0.0.1", "https://localhost", 1);
    let list = |more: &[&str]| {
        let base = ["keys", "list", "--address", &address, "--key", MASTER, "--ca", "ca.pem"];
        let output = run(&site.directory, &[&base[..], more].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, complaint) = list(&["--certificate", "me.crt", "--certificate-key", "me.key"]);
    assert_eq!(code, Some(0), "{told}{complaint}");
    assert_eq!(list(&[]).0, Some(1));
    let (code, _, complaint) = list(&["--certificate", "me.crt"]);
    assert!(code == Some(1) && complaint.contains("go together"), "{complaint}");
    let (code, _, complaint) = list(&["--certificate", "gone.crt", "--certificate-key", "me.key"]);
    assert!(code == Some(1) && complaint.contains("gone.crt"), "{complaint}");
}

#[test]
fn files_that_can_not_be_used_stop_the_start_and_are_named() {
    let site = Site::new();
    let complaint = |tls: &str| {
        let output = bursar(&site.directory).args(["--listen", "127.0.0.1:0", "--tls", tls]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{tls}");
        text(&output.stderr)
    };
    write(&site.directory, "empty.pem", "");
    write(&site.directory, "other.key", &site.authority.sign("localhost").key);
    for (tls, named) in [
        (r#"{ certificate = "gone.crt", key = "tls.key" }"#, "gone.crt"),
        (r#"{ certificate = "empty.pem", key = "tls.key" }"#, "empty.pem"),
        (r#"{ certificate = "tls.crt", key = "empty.pem" }"#, "empty.pem"),
        (r#"{ certificate = "tls.crt", key = "other.key" }"#, "tls.crt"),
        (r#"{ certificate = "tls.crt", key = "tls.key", client_ca = "empty.pem" }"#, "empty.pem"),
        (r#"{ certificate = "tls.crt", key = "tls.key", require_client_certificate = true }"#, "client_ca"),
    ] {
        let told = complaint(tls);
        assert!(told.contains("tls") && told.contains(named), "{tls}: {told}");
    }
    assert!(!Path::exists(&site.directory.join("bursar.db")), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_settles_what_it_reserved_itself() {
    let site = Site::new();
    let database = Database::empty(Backend::Sqlite).await;
    let gateways = ", client_ca = \"ca.pem\", gateways = [{ san = \"a.example\", name = \"a\" }, { san = \"b.example\", name = \"b\" }]";
    let server = site.serve(&database.url, gateways);
    let gateway = async |name: &str| {
        let shown = site.authority.sign(name);
        Client::anonymous(connect(&server.address, &site.authority, Some(&shown)).await.unwrap())
    };
    let (a, b) = (gateway("a.example").await, gateway("b.example").await);
    let admin = a.with_key(MASTER);
    let request = pb::GenerateKeyRequest { key: Some(pb::Key::default()), ..Default::default() };
    let secret = admin.keys().generate_key(request).await.answer().secret;
    let asked = pb::AuthorizeRequest { key: secret.clone(), ..ask("a", "0.1") };
    let reservation_id = a.gateway().authorize(asked).await.answer().reservation_id;
    let release = pb::ReleaseRequest { reservation_id: reservation_id.clone() };
    let refused = b.gateway().release(release.clone()).await.unwrap_err();
    assert_eq!((refused.code(), reason_of(&refused)), (Code::NotFound, "RESERVATION_NOT_FOUND".to_owned()));
    assert!(a.gateway().release(release).await.answer().released);
    // Keys ask for themselves, over TLS as without.
    reserve(&a.with_key(&secret), "b", "0.1").await;
}
