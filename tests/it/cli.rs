//! `bursar keys`, `users` and `teams`: the commands of people without grpcurl.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::database::fresh_directory;
use crate::support::on_both;
use crate::support::process::{bursar, run, text};
use crate::support::world::{MASTER, World};

/// Runs a command as the master.
fn call(world: &World, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = bursar(directory);
    command.args(arguments).env("BURSAR_ADDRESS", &world.address).env("BURSAR_KEY", MASTER);
    command.output().unwrap()
}

/// What a command that succeeds tells machines.
fn json(world: &World, directory: &Path, arguments: &[&str]) -> Value {
    let output = call(world, directory, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|thing| thing[field].as_str().unwrap_or_default().to_owned()).collect()
}

on_both! {
    async fn people_manage_teams_users_and_keys(world: World) {
        let directory = fresh_directory();
        let run = |arguments: &[&str]| json(&world, &directory, arguments);
        assert_eq!(run(&["teams", "create", "--id", "red", "--alias", "The reds", "--max-budget", "100"])["team_id"], "red");
        let alice = run(&["users", "create", "--id", "alice", "--email", "alice@example.org", "--role", "internal_user", "--no-key"]);
        assert_eq!((&alice["user_id"], &alice["role"], &alice["secret"]), (&"alice".into(), &"internal_user".into(), &Value::Null));
        let red = run(&["teams", "add-member", "red", "alice", "--role", "admin"]);
        assert_eq!(red["members"][0], "alice(admin)");
        let made = run(&["keys", "create", "--alias", "ci", "--team", "red", "--user", "alice", "--max-budget", "5", "--duration", "90d", "--model", "gpt-4o", "--tag", "x"]);
        let secret = made["secret"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("sk-") && made["expires_at"].as_str().unwrap().starts_with("20"), "{made}");
        for _ in 0..3 {
            run(&["keys", "create", "--team", "red", "--service-account"]);
        }
        assert_eq!(names(&run(&["keys", "list", "--team", "red", "--search", "c"]), "alias"), ["ci"]);
        let some = call(&world, &directory, &["keys", "list", "--team", "red", "--limit", "3"]);
        assert_eq!((text(&some.stdout).lines().count(), text(&some.stderr).trim()), (4, "there are more; see --limit"));
        // By its alias, its hash, its secret, and from standard input.
        let blocked = run(&["keys", "block", "ci", "--reason", "leaked"]);
        assert_eq!((&blocked["state"], &blocked["block_reason"]), (&"blocked".into(), &"leaked".into()));
        assert_eq!(names(&run(&["keys", "list", "--state", "blocked"]), "alias"), ["ci"]);
        assert_eq!(run(&["keys", "unblock", made["key_hash"].as_str().unwrap()])["state"], "active");
        let rotated = run(&["keys", "rotate", &secret, "--grace", "1h"]);
        assert_ne!(rotated["secret"], secret);
        assert_eq!(rotated["key_id"], made["key_id"]);
        assert!(rotated["previous_key_valid_until"].is_string());
        let shown = call(&world, &directory, &["keys", "get", "ci"]);
        let shown = text(&shown.stdout);
        assert!(shown.contains("alias                     ci") && !shown.contains(&secret), "{shown}");
        assert_eq!(run(&["keys", "delete", "ci"])[0]["state"], "deleted");
        assert_eq!(run(&["teams", "block", "red"])["blocked"], true);
        assert_eq!(run(&["teams", "unblock", "red"])["blocked"], false);
        assert_eq!(names(&run(&["teams", "list", "--user", "alice"]), "team_id"), ["red"]);
        assert_eq!(run(&["users", "block", "alice"])["blocked"], true);
        assert_eq!(run(&["users", "unblock", "alice"])["blocked"], false);
        assert_eq!(names(&run(&["users", "list", "--email", "ALICE@"]), "user_id"), ["alice"]);
        assert_eq!(run(&["teams", "remove-member", "red", "alice"])["members"], Value::Array(Vec::new()));
        assert_eq!(run(&["users", "delete", "alice"])["deleted"][0], "alice");
        assert_eq!(run(&["teams", "delete", "red"])["deleted_keys"], 3);
        assert_eq!(text(&call(&world, &directory, &["teams", "list"]).stdout), "none\n");
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn mistakes_are_told_in_words(world: World) {
        let directory = fresh_directory();
        let refused = |arguments: &[&str]| {
            let output = call(&world, &directory, arguments);
            assert!(!output.status.success(), "{}", text(&output.stdout));
            text(&output.stderr)
        };
        let told = refused(&["keys", "create", "--max-budget", "much", "--duration", "soon"]);
        assert!(told.contains("\n  key.max_budget ") && told.contains("\n  duration "), "{told}");
        assert!(refused(&["keys", "get", "nobody"]).contains("no key has the alias \"nobody\""));
        assert!(refused(&["users", "get", "nobody"]).contains("the server refuses: "));
        assert!(refused(&["keys", "create", "--type", "any"]).contains("[possible values: default, llm_api"));
        assert!(refused(&["teams", "add-member", "nowhere", "nobody"]).contains("the server refuses: "));
        assert!(refused(&["keys", "list", "--address", "ftp://here"]).contains("must begin with http:// or https://"));
        let alone = run(&directory, &["keys", "list", "--address", &world.address]);
        assert!(text(&alone.stderr).contains("no key: give --key, the variable BURSAR_KEY or a profile"), "{}", text(&alone.stderr));
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn a_profile_is_for_its_owner_alone(world: World) {
        let directory = fresh_directory();
        let profile = directory.join("bursar/profile.toml");
        std::fs::create_dir_all(profile.parent().unwrap()).unwrap();
        std::fs::write(&profile, format!("address = {:?}\nkey = {MASTER:?}\n", world.address)).unwrap();
        let list = |mode: u32| {
            std::fs::set_permissions(&profile, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut command = bursar(&directory);
            command.args(["users", "list", "--json"]).env("XDG_CONFIG_HOME", &directory);
            command.output().unwrap()
        };
        assert_eq!(text(&list(0o600).stdout), "[]\n");
        let open = list(0o640);
        assert!(!open.status.success() && text(&open.stderr).contains("chmod 600"), "{}", text(&open.stderr));
        std::fs::write(&profile, "password = \"x\"\n").unwrap();
        assert!(text(&list(0o600).stderr).contains("password"));
        let named = run(&directory, &["users", "list", "--profile", "nowhere.toml"]);
        assert!(text(&named.stderr).contains("can't read the profile nowhere.toml"), "{}", text(&named.stderr));
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn shells_complete_it_and_people_read_about_it() {
    let directory = fresh_directory();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&directory, &["completions", shell]);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("restore") && said.contains("http-listen"), "{shell}");
    }
    assert!(!run(&directory, &["completions", "tcsh"]).status.success());
    assert!(run(&directory, &["man", "."]).status.success());
    let page = std::fs::read_to_string(directory.join("bursar-restore.1")).unwrap();
    assert!(page.contains("Make a backup the database of SQLite") && directory.join("bursar.1").exists());
    let nowhere = run(&directory, &["man", "nowhere"]);
    assert!(text(&nowhere.stderr).contains("nowhere: No such file"), "{}", text(&nowhere.stderr));
    std::fs::remove_dir_all(directory).unwrap();
}
