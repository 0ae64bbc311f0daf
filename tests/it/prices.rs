//! Prices: lists into the table, by the command line.

use bursar::pb;

use crate::support::data::real;
use crate::support::database::{Database, fresh_directory};
use crate::support::process::{run, text};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

/// Imports a price list into a running world, as the command does.
pub async fn import(world: &World, prices: &str) {
    let list = bursar::domain::pricing::catalogue::parse(prices, false).unwrap();
    let author = bursar::domain::audit::Author {
        actor: "test".into(),
        actor_key_id: None,
        on_behalf_of: None,
        request_id: String::new(),
        rpc: "test",
    };
    let mut tx = world.store().begin(author, world.app().clock.now()).await.unwrap();
    let now = tx.now();
    tx.import_prices(&list, now).await.unwrap();
    world.app().gate.absorb(&tx.commit().await.unwrap()).await.unwrap();
}

on_both! {
    async fn the_real_list_is_imported_once(backend: Backend) {
        let Some(file) = real("model_prices.json") else { return };
        let file = std::fs::canonicalize(file).unwrap();
        let database = Database::empty(backend).await;
        let directory = fresh_directory();
        let import = |more: &[&str]| {
            let mut arguments = vec!["prices", "import", file.to_str().unwrap(), "--database-url", &database.url];
            arguments.extend(more);
            let output = run(&directory, &arguments);
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        let dry = import(&["--dry-run"]);
        let first = import(&[]);
        assert_eq!(dry, first, "a dry run tells what the import does, and changes nothing");
        let added: u32 = first.split(' ').next().unwrap().parse().unwrap();
        assert!(added > 2_500, "{first}");
        assert_eq!(import(&[]), first.replace(&format!("{added} added"), "0 added").replace("0 unchanged", &format!("{added} unchanged")));
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn running_servers_follow_an_import(world: World) {
        let cost = || async {
            let usage = pb::UsageEvent { model: "brand-new".into(), prompt_tokens: 1_000_000, ..Default::default() };
            let request = pb::CalculateCostRequest { usage: Some(usage), ..Default::default() };
            world.admin.spend().calculate_cost(request).await.map(|answer| answer.into_inner().cost)
        };
        assert!(cost().await.is_err());
        let directory = fresh_directory();
        let file = directory.join("prices.json");
        std::fs::write(&file, r#"{"brand-new": {"input_cost_per_token": 2e-06, "output_cost_per_token": 0.000003}, "bad": 7}"#).unwrap();
        let output = run(&directory, &["prices", "import", "prices.json", "--database-url", &world.database.url]);
        assert_eq!(text(&output.stdout), "1 added, 0 changed, 0 unchanged, 1 rejected\n", "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("rejected bad"), "{}", text(&output.stderr));
        std::fs::remove_dir_all(directory).unwrap();
        for _ in 0..100 {
            if let Ok(cost) = cost().await {
                assert_eq!(cost, "2");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the server does not follow");
    }

    async fn usage_keeps_the_price_of_its_time(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        import(&world, r#"{"m": {"input_cost_per_token": 0.000001, "output_cost_per_token": 0}}"#).await;
        world.hands().set("2025-01-02T00:00:00Z");
        import(&world, r#"{"m": {"input_cost_per_token": 0.000005, "output_cost_per_token": 0}}"#).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let events = ["2024-01-01T00:00:00Z", "2025-01-01T23:59:59Z", "2025-01-02T00:00:00Z"].into_iter().map(|start| {
            let start = crate::support::world::parse_instant(start);
            pb::UsageEvent {
                request_id: start.to_string(),
                key: secret.clone(),
                model: "m".into(),
                prompt_tokens: 1_000_000,
                start_time: Some(prost_types::Timestamp { seconds: start.micros() / 1_000_000, nanos: 0 }),
                ..Default::default()
            }
        });
        let answer = world.admin.spend().record_usage(pb::RecordUsageRequest { events: events.collect(), ..Default::default() }).await.answer();
        let costs: Vec<&str> = answer.results.iter().map(|result| result.cost.as_str()).collect();
        assert_eq!(costs, ["1", "1", "5"]);
    }
}

#[test]
fn a_file_that_is_no_price_list_is_told() {
    let directory = fresh_directory();
    std::fs::write(directory.join("list.json"), "[1, 2]").unwrap();
    for (file, told) in [("list.json", "not a price list"), ("absent.json", "can't read absent.json")] {
        let output = run(&directory, &["prices", "import", file]);
        assert!(!output.status.success() && text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
    std::fs::remove_dir_all(directory).unwrap();
}
