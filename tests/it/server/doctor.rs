//! `bursar doctor`: what it finds, and what it says is to be done.

use std::path::Path;

use sqlx::Connection;

use crate::support::Backend;
use crate::support::certificates::{Authority, write};
use crate::support::database::{Database, fresh_directory};
use crate::support::process::{Process, run, text};
use crate::support::redis;

fn doctor(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(directory, &[&["doctor"], arguments].concat());
    assert_eq!(text(&output.stderr), "");
    (output.status.code(), text(&output.stdout))
}

#[tokio::test]
async fn it_says_what_is_to_be_done() {
    let directory = fresh_directory();
    let (code, told) = doctor(&directory, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("ok    settings") && told.contains("warn  database: bursar.db is not there yet"), "{told}");
    assert!(!directory.join("bursar.db").exists(), "looking changes nothing");
    drop(Process::serve_with(&directory, &["--listen", "127.0.0.1:0"]));
    let (code, told) = doctor(&directory, &[]);
    assert!(code == Some(0) && told.contains("ok    database: SQLite 3."), "{told}");

    let authority = Authority::new();
    let signed = authority.sign("localhost");
    write(&directory, "tls.crt", &signed.certificate);
    write(&directory, "tls.key", &signed.key);
    let tls = r#"{ certificate = "tls.crt", key = "tls.key" }"#;
    assert!(doctor(&directory, &["--tls", tls]).1.contains("ok    certificate: it is good for"));
    write(&directory, "tls.key", &authority.sign("localhost").key);
    let (code, told) = doctor(&directory, &["--tls", tls]);
    assert!(code == Some(1) && told.contains("FAIL  certificate: tls.crt"), "{told}");

    let (code, told) = doctor(&directory, &["--listen", "0.0.0.0:50051"]);
    assert!(code == Some(0) && told.contains("warn  settings: others can reach 0.0.0.0:50051"), "{told}");
    // What would stop a start.
    for (arguments, reason) in [
        (["--log-level", "loud"], "log_level"),
        (["--master-key", "sk-short key"], "master_key"),
        (["--database-url", "sqlite://none.db"], "none.db is not there, and no start makes it"),
        (["--database-url", "sqlite://no/such/directory/a.db?mode=rwc"], "can't be made"),
        (
            ["--policies", r#"[{ name = "p", on = ["generate_key"], allow = "nobody.knows", message = "no" }]"#],
            "policies",
        ),
    ] {
        let (code, told) = doctor(&directory, &arguments);
        assert!(code == Some(1) && told.contains("FAIL  ") && told.contains(reason), "{arguments:?} {told}");
    }
    let (code, told) = doctor(&directory, &["--redis", &redis::setting(redis::address(), "doctor")]);
    assert!(code == Some(0) && (told.contains("ok    redis: ") || told.contains("warn  redis: it is")), "{told}");
    let (code, told) = doctor(&directory, &["--redis", &redis::setting("127.0.0.1:1", "doctor")]);
    assert!(code == Some(1) && told.contains("FAIL  redis: ") && told.contains("share"), "{told}");
    let (code, told) = doctor(
        &directory,
        &["--database-url", "postgres://nobody@127.0.0.1:1/none", "--database-acquire-timeout", "1s"],
    );
    assert!(code == Some(1) && told.contains("FAIL  database") && told.contains("database_url"), "{told}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn it_knows_postgresql() {
    let directory = fresh_directory();
    let database = Database::empty(Backend::Postgres).await;
    let (_, told) = doctor(&directory, &["--database-url", &database.url]);
    assert!(told.contains("warn  database: its tables are"), "{told}");
    let made = "SELECT count(*) FROM pg_class WHERE relname = 'seaql_migrations'";
    let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
    assert_eq!(
        sqlx::query_scalar::<_, i64>(made).fetch_one(&mut connection).await.unwrap(),
        0,
        "looking changes nothing"
    );
    drop(connection);
    assert!(run(&directory, &["migrate", "--database-url", &database.url]).status.success());
    let (code, told) = doctor(&directory, &["--database-url", &database.url]);
    assert!(!told.contains("steps behind"), "{told}");
    // The private server of the tests is told to forget; another one need not be.
    let forgets = told.contains("FAIL  database: fsync is off");
    assert_eq!(code, Some(i32::from(forgets)), "{told}");
    assert!(forgets || told.contains("ok    database: PostgreSQL "), "{told}");
    std::fs::remove_dir_all(directory).unwrap();
}
