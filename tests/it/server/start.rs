//! Starting: the first time, with settings, and with wrong ones.

use bursar::pb;

use crate::support::database::{Database, fresh_directory};
use crate::support::process::{Process, bursar, run, text};
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client, on_both};

fn exit_code_and_complaint(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let directory = fresh_directory();
    let output = bursar(&directory).args(arguments).envs(variables.iter().copied()).output().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    (output.status.code(), text(&output.stderr))
}

on_both! {
    async fn the_first_start_shows_a_key_once_that_works_ever_after(backend: Backend) {
        let database = Database::empty(backend).await;
        let directory = fresh_directory();
        let server = Process::serve(&directory, &database.url, &[]);
        let address = server.address.trim_start_matches("http://").to_owned();
        let channel = server.connect().await;
        server.terminate();
        let (code, told) = server.wait();
        assert_eq!(code, Some(0));
        let key = told.lines().map(str::trim).find(|line| line.starts_with("sk-")).unwrap().to_owned();
        assert!(told.contains("grpcurl") && told.contains(&address), "{told}");
        drop(channel);
        let server = Process::serve(&directory, &database.url, &[]);
        let admin = Client::anonymous(server.connect().await).with_key(&key);
        admin.users().list_users(pb::ListUsersRequest::default()).await.answer();
        server.terminate();
        let log = server.log();
        let (code, told) = server.wait();
        assert_eq!((code, told.as_str()), (Some(0), ""), "shown once");
        assert!(!log.contains(&key));
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_setting_it_serves_from_one_file() {
    let directory = fresh_directory();
    let server = Process::serve_with(&directory, &["--listen", "127.0.0.1:0"]);
    let mut files: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    files.sort_unstable();
    assert_eq!(files, ["bursar.db"]);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(directory.join("bursar.db")).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "the file holds hashes: nobody else reads it");
    drop(server);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_wrong_setting_stops_the_start_and_is_named() {
    let cases: [(&[&str], &[(&str, &str)], &[&str]); 14] = [
        (&["--listen", "nowhere"], &[], &["listen"]),
        (&["--drain-timeout", "soon"], &[], &["drain_timeout"]),
        (&["--time-zone", "Mars/Olympus"], &[], &["time_zone", "Mars/Olympus"]),
        (&["--max-event-cost", "-1"], &[], &["max_event_cost"]),
        (&["--upperbound-mode", "maybe"], &[], &["upperbound_mode"]),
        (&["--database-url", "mysql://localhost/x"], &[], &["database_url"]),
        (&["--log-level", "loud=="], &[], &["log_level"]),
        (&["--log-level", "verbose"], &[], &["log_level", "verbose"]),
        (&["--database-url", "sqlite::memory:"], &[], &["database_url"]),
        (&["--drain-timeout", "soon"], &[], &["--drain-timeout"]),
        (&["--listen", "0.0.0.0:0", "--master-key", "sk-1234"], &[], &["master_key", "allow_weak_master_key"]),
        (&["--master-key", "1234"], &[], &["master_key", "sk-"]),
        (&[], &[("BURSAR_LISTEN", "nowhere")], &["BURSAR_LISTEN"]),
        (&[], &[("BURSAR_LISTN", "127.0.0.1:0")], &["BURSAR_LISTN", "listen"]),
    ];
    for (arguments, variables, named) in cases {
        let (code, complaint) = exit_code_and_complaint(arguments, variables);
        assert_eq!(code, Some(1), "{arguments:?} {variables:?}: {complaint}");
        for word in named {
            assert!(complaint.contains(word), "{word} is not in: {complaint}");
        }
        assert!(!complaint.contains("panicked") && !complaint.contains("sk-1234"), "{complaint}");
    }
    let (code, complaint) = exit_code_and_complaint(&["--lisen", "x"], &[]);
    assert!(code == Some(2) && complaint.contains("--lisen"), "{complaint}");
}

#[test]
fn a_file_of_settings_is_read_and_its_mistakes_are_named() {
    let directory = fresh_directory();
    for (file, words) in [
        ("listen = \"nowhere\"", ["listen", "bursar.toml"]),
        ("listne = \"127.0.0.1:0\"", ["listne", "bursar.toml"]),
        ("default_team_params = { max_budgett = \"1\" }", ["max_budgett", "bursar.toml"]),
        ("listen = ", ["bursar.toml", ""]),
    ] {
        std::fs::write(directory.join("bursar.toml"), file).unwrap();
        let output = run(&directory, &[]);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file}: {complaint}");
        assert!(words.iter().all(|word| complaint.contains(word)), "{file}: {complaint}");
    }
    std::fs::write(directory.join("bursar.toml"), "listen = \"127.0.0.1:0\"\nlog_format = \"json\"").unwrap();
    // A flag wins over the file.
    let server = Process::serve_with(&directory, &["--log-format", "text"]);
    assert!(server.log().contains("serving gRPC"));
    drop(server);
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_reached_stops_the_start() {
    let started = std::time::Instant::now();
    let (code, complaint) = exit_code_and_complaint(
        &[
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            "postgres://postgres:hunter2@127.0.0.1:1/none",
            "--database-acquire-timeout",
            "1s",
        ],
        &[],
    );
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("database") && !complaint.contains("hunter2"), "{complaint}");
    assert!(started.elapsed() < std::time::Duration::from_mins(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_stops_the_start_before_a_key_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = fresh_directory();
    let output = run(&directory, &["--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "", "no key was shown, so none may be kept");
    let server = Process::serve_with(&directory, &["--listen", "127.0.0.1:0"]);
    server.terminate();
    assert!(server.wait().1.contains("sk-"), "the next start shows one");
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_key_changes_without_downtime() {
    let directory = fresh_directory();
    let database = Database::new(Backend::Sqlite).await;
    let newer = "sk-the-new-master-key-of-the-tests-42";
    let server = Process::serve(&directory, &database.url, &[("master-key", newer), ("master-key-previous", MASTER)]);
    let channel = server.connect().await;
    for key in [MASTER, newer] {
        let client = Client::anonymous(channel.clone()).with_key(key);
        client.users().list_users(pb::ListUsersRequest::default()).await.answer();
    }
    drop(server);
    std::fs::remove_dir_all(directory).unwrap();
}
