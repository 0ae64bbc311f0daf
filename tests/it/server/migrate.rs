//! `bursar migrate`: alone, twice, and by two at once.

use std::process::Stdio;

use crate::support::database::{Database, connect_options, fresh_directory};
use crate::support::process::{Process, bursar, run, text};
use crate::support::world::MASTER;
use crate::support::{Backend, on_both};

on_both! {
    async fn tables_are_made_once_by_however_many(backend: Backend) {
        let database = Database::empty(backend).await;
        let directory = fresh_directory();
        let several: Vec<_> = (0..4)
            .map(|_| {
                let mut command = bursar(&directory);
                command.args(["migrate", "--database-url", &database.url]).stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for child in several {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert!(text(&output.stdout).contains("up to date"));
        }
        let store = bursar::store::Store::connect(&connect_options(&database.url)).await.unwrap();
        assert_eq!(store.verify().await.unwrap().events, 0);
        let again = run(&directory, &["migrate", "--database-url", &database.url]);
        assert!(again.status.success());
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn servers_that_start_together_share_one_database(backend: Backend) {
        // Several processes on one file of SQLite are not how it is run.
        let instances = if backend == Backend::Sqlite { 1 } else { 3 };
        let database = Database::empty(backend).await;
        let directory = fresh_directory();
        let url = database.url.clone();
        let starting: Vec<_> = (0..instances)
            .map(|_| {
                let (directory, url) = (directory.clone(), url.clone());
                std::thread::spawn(move || Process::serve(&directory, &url, &[("master-key", MASTER)]))
            })
            .collect();
        let servers: Vec<Process> = starting.into_iter().map(|thread| thread.join().unwrap()).collect();
        for server in servers {
            server.terminate();
            assert_eq!(server.wait().0, Some(0));
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
