//! Backups: everything that was acknowledged, as one file, and back.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bursar::pb;
use bursar::store::Store;
use tokio::task::JoinSet;

use crate::crash::{Acknowledged, events_of, load};
use crate::gateway::{ask, authorize};
use crate::support::database::{Database, connect_options, fresh_directory, server_binaries};
use crate::support::process::{Process, run, text};
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client};

/// A server under load: who is told what is booked, and a key.
async fn under_load(server: &Process) -> (Arc<Acknowledged>, JoinSet<()>, String) {
    let admin = Client::anonymous(server.connect().await).with_key(MASTER);
    let key = pb::Key { max_budget: Some("1000".into()), ..Default::default() };
    let secret = admin
        .keys()
        .generate_key(pb::GenerateKeyRequest { key: Some(key), ..Default::default() })
        .await
        .answer()
        .secret;
    let told = Arc::new(Acknowledged::default());
    let mut workers = JoinSet::new();
    for worker in 0..4 {
        workers.spawn(load(admin.clone(), secret.clone(), worker, Arc::clone(&told)));
    }
    while told.events.lock().await.len() < 60 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (told, workers, secret)
}

/// Everything that was booked is in a database, which is whole, and serves.
async fn proves(directory: &Path, url: &str, booked: &BTreeSet<String>, secret: &str) {
    let verified = run(directory, &["verify", "--database-url", url]);
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
    let store = Store::connect_existing(&connect_options(url)).await.unwrap();
    let found: BTreeSet<String> = events_of(&store).await.into_iter().collect();
    store.close().await.unwrap();
    assert!(booked.is_subset(&found), "{} of {} are there", booked.intersection(&found).count(), booked.len());
    let server = Process::serve(directory, url, &[("master-key", MASTER)]);
    let client = Client::anonymous(server.connect().await).with_key(secret);
    assert_eq!(authorize(&client, ask("after", "0.5")).await.decision(), pb::Decision::Allow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_server_has_all_that_it_acknowledged() {
    let directory = fresh_directory();
    let url = format!("sqlite://{}?mode=rwc", directory.join("bursar.db").display());
    let server = Process::serve(&directory, &url, &[("master-key", MASTER)]);
    let (told, workers, secret) = under_load(&server).await;
    let booked = told.events.lock().await.clone();
    let made = run(&directory, &["backup", "it's.db", "--database-url", &url]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    told.stop.store(true, Ordering::Relaxed);
    workers.join_all().await;
    let file = directory.join("it's.db");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!directory.join("it's.db.partial").exists());

    // Nothing is overwritten, and no server loses its database.
    let again = run(&directory, &["backup", "it's.db", "--database-url", &url]);
    assert!(
        !again.status.success() && text(&again.stderr).contains("it's.db is there already"),
        "{}",
        text(&again.stderr)
    );
    for (arguments, complaint) in
        [(&[][..], "bursar.db is there already"), (&["--replace"], "bursar.db-wal shows that a server works")]
    {
        let mut all = vec!["restore", "it's.db", "--database-url", &url];
        all.extend(arguments);
        let refused = run(&directory, &all);
        assert!(!refused.status.success() && text(&refused.stderr).contains(complaint), "{}", text(&refused.stderr));
    }
    server.terminate();
    server.wait();

    let elsewhere = format!("sqlite://{}?mode=rwc", directory.join("other.db").display());
    let restored = run(&directory, &["restore", "it's.db", "--database-url", &elsewhere]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    proves(&directory, &elsewhere, &booked, &secret).await;
    let restored = run(&directory, &["restore", "it's.db", "--replace", "--database-url", &url]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert!(directory.join("bursar.db.replaced").exists() && file.exists());
    proves(&directory, &url, &booked, &secret).await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_backup_is_not_restored() {
    let directory = fresh_directory();
    let url = format!("sqlite://{}?mode=rwc", directory.join("bursar.db").display());
    assert!(run(&directory, &["migrate", "--database-url", &url]).status.success());
    assert!(run(&directory, &["backup", "good.db", "--database-url", &url]).status.success());
    let mut damaged = std::fs::read(directory.join("good.db")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(7);
    std::fs::write(directory.join("damaged.db"), damaged).unwrap();
    std::fs::write(directory.join("text.db"), "no database at all").unwrap();
    std::fs::write(directory.join("empty.db"), "").unwrap();
    let before = std::fs::read(directory.join("bursar.db")).unwrap();
    for (file, complaint) in [
        ("damaged.db", "damaged.db is no whole database of Bursar"),
        ("text.db", "text.db is no whole database of Bursar"),
        ("empty.db", "empty.db is no whole database of Bursar: it has no audit log"),
        ("none.db", "none.db: No such file"),
    ] {
        let refused = run(&directory, &["restore", file, "--replace", "--database-url", &url]);
        assert!(
            !refused.status.success() && text(&refused.stderr).contains(complaint),
            "{file}: {}",
            text(&refused.stderr)
        );
        assert_eq!(std::fs::read(directory.join("bursar.db")).unwrap(), before, "{file}");
        assert!(!directory.join("bursar.db.partial").exists() && !directory.join("bursar.db.replaced").exists());
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_postgresql_has_all_that_was_acknowledged() {
    let (database, other) = (Database::empty(Backend::Postgres).await, Database::empty(Backend::Postgres).await);
    let directory = fresh_directory();
    let server = Process::serve(&directory, &database.url, &[("master-key", MASTER)]);
    let (told, workers, secret) = under_load(&server).await;
    let booked = told.events.lock().await.clone();
    // As the README says it.
    let dump = directory.join("bursar.dump").display().to_string();
    let program = |name: &str, arguments: &[&str]| {
        let output = Command::new(server_binaries().join(name)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    };
    program("pg_dump", &["--format=custom", &format!("--file={dump}"), &database.url]);
    told.stop.store(true, Ordering::Relaxed);
    workers.join_all().await;
    program("pg_restore", &["--no-owner", "--exit-on-error", &format!("--dbname={}", other.url), &dump]);
    proves(&directory, &other.url, &booked, &secret).await;
    for command in [&["backup", "x.db"], &["restore", "x.db"]] {
        let refused = run(&directory, &[command[0], command[1], "--database-url", &database.url]);
        assert!(text(&refused.stderr).contains("use pg_dump and pg_restore"), "{}", text(&refused.stderr));
    }
    std::fs::remove_dir_all(directory).unwrap();
}
