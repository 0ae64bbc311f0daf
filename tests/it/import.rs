//! `bursar import litellm`: a LiteLLM proxy's database, made here, taken over.

use bursar::pb;
use pb::DenyReason::{BudgetExceeded, KeyBlocked, ModelNotAllowed};
use sqlx::{Connection, Executor, PgConnection};

use crate::gateway::{ask, authorize, denial};
use crate::support::database::{Database, fresh_directory};
use crate::support::process::{bursar, run, text};
use crate::support::{Answer, Backend, World, on_both};

/// Tables as `schema.prisma` of the proxy has them, as far as they are read and
/// a few columns more; and what a company may have in them.
const SOURCE: &str = include_str!("data/litellm.sql");

async fn source() -> Database {
    let database = Database::empty(Backend::Postgres).await;
    PgConnection::connect(&database.url).await.unwrap().execute(SOURCE).await.unwrap();
    database
}

/// Runs the command against a world's database; returns what it printed.
fn import(world: &World, source: &Database, more: &[&str]) -> String {
    let directory = fresh_directory();
    let mut arguments =
        vec!["import", "litellm", "--from", &source.url, "--database-url", &world.database.url, "--log-level", "error"];
    arguments.extend(more);
    let output = run(&directory, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The numbers of a line: read, new, known, not taken over.
fn counts(printed: &str, kind: &str) -> Vec<u64> {
    let line = printed.lines().find(|line| line.starts_with(&format!("{kind} "))).unwrap();
    line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect()
}

const KINDS: [(&str, [u64; 4]); 9] = [
    ("organization", [2, 2, 0, 0]),
    ("budget", [2, 2, 0, 0]),
    ("user", [5, 4, 0, 1]),
    ("team", [3, 2, 0, 1]),
    ("organization-member", [2, 1, 0, 1]),
    ("team-member", [4, 3, 0, 1]),
    ("key", [11, 7, 0, 4]),
    ("customer", [5, 4, 0, 1]),
    ("model", [5, 2, 0, 3]),
];

on_both! {
    async fn secrets_and_limits_go_on_working(world: World) {
        let source = source().await;
        let printed = import(&world, &source, &[]);
        for (kind, expected) in KINDS {
            assert_eq!(counts(&printed, kind), expected, "{kind}: {printed}");
        }
        let sidecar = world.sidecar().await;
        let call = async |secret: &str, model: &str| {
            let request = pb::AuthorizeRequest { key: secret.into(), model: model.into(), ..ask(&format!("{secret}/{model}"), "0.5") };
            authorize(&sidecar, request).await
        };
        // Alice's own key: its aliases, models and tags are there.
        let personal = call("sk-alice", "small").await;
        assert_eq!((personal.decision(), personal.resolved_model.as_str()), (pb::Decision::Allow, "gpt-4o-mini"), "{}", personal.message);
        assert_eq!(personal.identity.unwrap().user_id, "alice");
        assert_eq!(denial(&call("sk-alice", "o1").await).0, ModelNotAllowed);
        // The budget of its tier, less what was spent of it.
        assert_eq!(denial(&call("sk-tier", "gpt-4o").await).0, BudgetExceeded);
        assert_eq!(denial(&call("sk-blocked", "gpt-4o").await).0, KeyBlocked);
        // Bob was not among the members of the team whose key he has.
        let in_team = call("sk-bob", "gpt-4o").await;
        assert_eq!(in_team.decision(), pb::Decision::Allow, "{}", in_team.message);
        assert_eq!(in_team.identity.unwrap().organization_id, "acme");
        assert!(printed.contains("its owner was not in its team, and joined it (bob-key)"), "{printed}");
        assert_eq!(call("sk-robot", "gpt-4o").await.decision(), pb::Decision::Allow);

        let get = async |key: &str| {
            let request = pb::GetKeyRequest { key: key.into(), ..Default::default() };
            world.admin.keys().get_key(request).await.answer().key.unwrap()
        };
        let tier = get("sk-tier").await;
        assert_eq!((tier.budget_id.as_deref(), tier.spend.as_deref(), tier.lifetime_spend.as_str()), (Some("small-budget"), Some("4.75"), "4.75"));
        let alice = get("sk-alice").await;
        assert_eq!((alice.rpm_limit_type(), alice.tpm_limit_type()), (pb::LimitType::GuaranteedThroughput, pb::LimitType::Unspecified));
        assert_eq!((alice.tags, alice.model_rpm_limit["gpt-4o"]), (vec!["research".to_owned()], 60));
        let kept: Vec<String> = alice.metadata.unwrap().fields.into_keys().collect();
        assert_eq!(kept, ["tpm_limit_type"], "what says nothing here stays");
        let team = world.admin.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer().team.unwrap();
        assert_eq!((team.organization_id.as_deref(), team.spend.as_deref(), team.team_member_budget.as_deref()), (Some("acme"), Some("20.125"), Some("5")));
        let request = pb::GetUserRequest { user_id: "alice".into(), ..Default::default() };
        let user = world.admin.users().get_user(request).await.answer().user.unwrap();
        assert_eq!((user.max_budget.as_deref(), user.spend.as_deref(), user.user_role()), (Some("100.1"), Some("0.000000002"), pb::Role::InternalUser));

        // Counters and audit log agree with their events.
        let verified = run(&fresh_directory(), &["verify", "--database-url", &world.database.url, "--log-level", "error"]);
        assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));

        // Again: nothing is new, and what was changed since stays.
        let rename = pb::Team { team_id: "red".into(), team_alias: Some("Crimson".into()), ..Default::default() };
        world.admin.teams().update_team(pb::UpdateTeamRequest { team: Some(rename), ..Default::default() }).await.answer();
        let printed = import(&world, &source, &[]);
        for (kind, [read, new, _, refused]) in KINDS {
            assert_eq!(counts(&printed, kind), [read, 0, new, refused], "{kind}: {printed}");
        }
        let team = world.admin.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer().team.unwrap();
        assert_eq!((team.team_alias.as_deref(), team.spend.as_deref()), (Some("Crimson"), Some("20.125")));
    }

    async fn customers_keep_their_limits_and_what_they_spent(world: World) {
        let source = source().await;
        // Who was known here by its usage alone is taken over.
        let (secret, _) = world.key(pb::Key::default()).await;
        let used = pb::UsageEvent { customer_id: "shopper".into(), cost: Some("9".into()), ..crate::spend::event("early", &secret, 1) };
        crate::spend::record(&world.admin, vec![used]).await;
        import(&world, &source, &[]);
        let known = async |id: &str| crate::customers::known(&world, id).await;
        let shopper = known("shopper").await;
        assert_eq!(
            (shopper.alias.as_str(), shopper.max_budget.as_deref(), shopper.budget_duration.as_deref(), shopper.rpm_limit, shopper.spend.as_deref()),
            ("Shopper", Some("2"), Some("30d"), Some(30), Some("0.75"))
        );
        assert_eq!(shopper.metadata.unwrap().fields.keys().collect::<Vec<_>>(), ["default_model"]);
        let member = known("member-1").await;
        assert_eq!((member.max_budget, member.budget_id.as_deref(), member.spend.as_deref()), (None, Some("plan-budget"), Some("2.5")));
        let sidecar = world.sidecar().await;
        let call = async |customer_id: &str, cost: &str| {
            let request = pb::AuthorizeRequest { key: secret.clone(), customer_id: customer_id.into(), ..ask(customer_id, cost) };
            authorize(&sidecar, request).await
        };
        assert_eq!(denial(&call("member-1", "1").await).0, BudgetExceeded);
        assert_eq!(call("member-2", "1").await.decision(), pb::Decision::Allow);
        assert_eq!(denial(&call("banned", "0").await).0, pb::DenyReason::CustomerBlocked);
    }

    async fn models_come_with_their_own_prices(world: World) {
        let source = source().await;
        import(&world, &source, &[]);
        let get = async |deployment: &str| {
            let request = pb::GetModelRequest { model_name: "house-4o".into(), deployment: deployment.into(), ..Default::default() };
            world.admin.models().get_model(request).await.answer().model.unwrap()
        };
        let first = get("dep-1").await;
        assert_eq!((first.base_model.as_str(), first.mode.as_deref(), first.max_output_tokens), ("gpt-4o", Some("chat"), Some(4_096)));
        assert_eq!(first.access_groups, ["beta"]);
        let prices = [("input_cost_per_token", "0.000000421"), ("output_cost_per_token", "0.00000152")];
        assert_eq!(first.prices, prices.map(|(name, usd)| (name.to_owned(), usd.to_owned())).into());
        assert!(!format!("{first:?}").contains("aG9oaG8"), "no secret comes over");
        assert!(get("dep-2").await.prices.is_empty());
        // The server learns of them as of what another instance does.
        while get("dep-2").await.effective_prices.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn what_is_not_taken_over_is_told(world: World) {
        let source = source().await;
        let printed = import(&world, &source, &[]);
        for told in [
            "1 × model: not taken over: model_name must not have",
            "1 × customer: not taken over: user_id must be 1-256 bytes",
            "1 × model: not taken over: it is of team red alone",
            "1 × model: not taken over: prices[\"input_cost_per_token\"] is larger than",
            "1 × user: not taken over: user_role is customer, which no user has (erin)",
            "2 × user: passwords are not taken over: invite people, or let an identity provider sign them in (root, alice)",
            "1 × user: user_email is another user's, too: left out",
            "1 × team: not taken over: budget_duration is monthly, which is no length of time (broken)",
            "1 × organization-member: not taken over: user \"ghost\" is not there (ghost in acme)",
            "1 × team-member: not taken over: user \"ghost\" is not there (ghost in red)",
            "1 × key: not taken over: it is a session of the dashboard, and no key",
            "1 × key: not taken over: allowed_routes are /chat/completions: paths of the proxy, which are none here",
            "1 × key: not taken over: team \"broken\" is not there",
            "1 × key: not taken over: token is no SHA-256 hash",
            "1 × key: its owner is not there: it belongs to nobody",
            "1 × key: permissions is not taken over",
        ] {
            assert!(printed.contains(told), "{told}\n{printed}");
        }
        assert!(!printed.contains("postgres://"), "{printed}");
    }

    async fn a_dry_run_changes_nothing(world: World) {
        let source = source().await;
        let before = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest::default()).await.answer().entries.len();
        let printed = import(&world, &source, &["--dry-run"]);
        assert!(printed.contains("would be new"), "{printed}");
        for (kind, expected) in KINDS {
            assert_eq!(counts(&printed, kind), expected, "{kind}: {printed}");
        }
        let after = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest::default()).await.answer().entries.len();
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn another_database_is_refused() {
    let (other, target) = (Database::empty(Backend::Postgres).await, Database::new(Backend::Sqlite).await);
    let output = run(
        &fresh_directory(),
        &["import", "litellm", "--from", &other.url, "--database-url", &target.url, "--log-level", "error"],
    );
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("it is no database of LiteLLM"), "{}", text(&output.stderr));
    let output = run(&fresh_directory(), &["import", "litellm", "--from", "sqlite://x"]);
    assert!(text(&output.stderr).contains("must begin with postgres://"));
    // A password is better kept off the command line.
    let from_variable = |url: &str| {
        bursar(&fresh_directory()).args(["import", "litellm"]).env("BURSAR_IMPORT_FROM", url).output().unwrap()
    };
    assert!(text(&from_variable("sqlite://x").stderr).contains("must begin with postgres://"));
    let none = from_variable("");
    assert!(!none.status.success() && text(&none.stderr).contains("BURSAR_IMPORT_FROM"), "{}", text(&none.stderr));
}
