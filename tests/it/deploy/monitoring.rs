//! Dashboard and alerts: what they ask for is there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bursar::pb;
use serde_json::Value;

use super::{DEPLOY, output, tool};
use crate::gateway::{ask, authorize, reserve, settle};
use crate::support::database::fresh_directory;
use crate::support::on_both;
use crate::support::world::World;

/// What is told only with TLS, with Redis, and once it was verified; see their tests.
const SELDOM: [&str; 4] = [
    "bursar_tls_certificate_expires_at_seconds",
    "bursar_rate_limits_shared",
    "bursar_reconciliation_differences",
    "bursar_reconciliation_timestamp_seconds",
];

/// A Prometheus that looks at one server, under the name that the alerts expect.
struct Prometheus {
    process: Child,
    address: String,
    directory: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Prometheus {
    fn start(of: &str) -> Self {
        let directory = fresh_directory();
        let target = of.trim_start_matches("http://");
        let config = format!(
            "scrape_configs: [{{ job_name: bursar, scrape_interval: 200ms, scrape_timeout: 200ms, \
             static_configs: [{{ targets: ['{target}'] }}] }}]\n\
             rule_files: ['{DEPLOY}/prometheus/bursar.rules.yaml']\n"
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new(tool("prometheus/usr/bin/prometheus"))
            .current_dir(&directory)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address: format!("http://{address}"), directory }
    }

    /// The samples that an expression finds now; an error of its own text.
    async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.address), [("query", expression)]);
        let answer = reqwest::get(url.unwrap()).await.map_err(|error| error.to_string())?;
        let answer = answer.text().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer.to_string())
    }

    /// Waits until an expression finds something that is a number.
    async fn finds(&self, expression: &str) {
        let mut last = Ok(Vec::new());
        for _ in 0..150 {
            last = self.query(expression).await;
            let is_number = |sample: &Value| sample["value"][1].as_str().is_some_and(|value| value != "NaN");
            if last.as_ref().is_ok_and(|samples| samples.iter().any(is_number)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{expression} finds {last:?}");
    }
}

/// What the panels of the dashboard show.
fn shown() -> Vec<String> {
    let dashboard = std::fs::read_to_string(format!("{DEPLOY}/grafana/bursar.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn every_panel_shows_something(world: World) {
        let prometheus = Prometheus::start(&world.http_address);
        prometheus.finds("bursar_accounts").await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        for number in 0..10 {
            let reservation = reserve(&client, &format!("r{number}"), "0.0001").await;
            settle(&client, &reservation, 2_000).await;
            authorize(&client, ask(&format!("d{number}"), "10")).await;
            world.admin.teams().get_team(pb::GetTeamRequest { team_id: "none".into(), ..Default::default() }).await.unwrap_err();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let expressions = shown();
        assert!(expressions.len() > 15, "{expressions:?}");
        for expression in expressions.iter().filter(|expression| !SELDOM.iter().any(|name| expression.contains(name))) {
            prometheus.finds(&expression.replace("$__rate_interval", "1m")).await;
        }
    }

    async fn alerts_look_at_what_there_is(world: World) {
        let client = world.with_key(&world.key(pb::Key::default()).await.0);
        let reservation = reserve(&client, "a", "0").await;
        settle(&client, &reservation, 1).await;
        let metrics = reqwest::get(format!("{}/metrics", world.http_address)).await.unwrap().text().await.unwrap();
        let there: BTreeSet<String> = metrics.lines().filter(|line| !line.starts_with('#')).map(shape).collect();
        let tests = std::fs::read_to_string(format!("{DEPLOY}/prometheus/bursar.tests.yaml")).unwrap();
        let tests: Value = serde_saphyr::from_str(&tests).unwrap();
        let series = tests["tests"].as_array().unwrap().iter().flat_map(|test| test["input_series"].as_array().unwrap());
        let series: BTreeSet<String> = series.map(|series| shape(series["series"].as_str().unwrap())).collect();
        let missing: Vec<&String> = series.iter().filter(|shape| !there.contains(*shape)).collect();
        let expected = ["up".to_owned()].into_iter().chain(SELDOM.map(str::to_owned));
        assert_eq!(missing.into_iter().cloned().collect::<BTreeSet<_>>(), expected.collect(), "{there:#?}");
    }
}

/// The name of a series with the names of its labels, without those that are of
/// whoever reads it.
fn shape(line: &str) -> String {
    let (name, rest) = line.split_once(['{', ' ']).unwrap_or((line, ""));
    let labels = rest.split('}').next().unwrap_or_default().split(',').filter_map(|label| label.split_once('='));
    let labels = labels.map(|(label, _)| label.trim()).filter(|label| !["instance", "job"].contains(label));
    let labels: BTreeSet<&str> = labels.collect();
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name} {}", labels.into_iter().collect::<Vec<_>>().join(","))
    }
}

/// Each alert fires when it must and is quiet when not, and asks for nothing that
/// its tests do not bring.
#[test]
fn alerts_fire_when_they_must() {
    let promtool = tool("prometheus/usr/bin/promtool");
    let rules = format!("{DEPLOY}/prometheus/bursar.rules.yaml");
    let tests = format!("{DEPLOY}/prometheus/bursar.tests.yaml");
    output(Command::new(&promtool).args(["check", "rules", &rules]));
    output(Command::new(&promtool).args(["test", "rules", &tests]));
    let (rules, tests) = (std::fs::read_to_string(rules).unwrap(), std::fs::read_to_string(tests).unwrap());
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(
        alerts.len() > 5 && alerts.iter().all(|alert| tests.contains(&format!("alertname: {alert}\n"))),
        "{alerts:?}"
    );
}
