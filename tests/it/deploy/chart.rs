//! The chart: what Kubernetes would run starts, and is reached where it says.

use std::path::Path;
use std::process::Command;

use bursar::pb;
use serde_json::Value;

use super::{DEPLOY, output, tool};
use crate::keys::generate;
use crate::support::certificates::{Authority, connect, write};
use crate::support::database::{Database, fresh_directory};
use crate::support::process::{Process, bursar};
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client, on_both};

/// What the chart makes of a file with values, in its order.
fn render(values: &str) -> Vec<Value> {
    let chart = format!("{DEPLOY}/helm/bursar");
    let mut helm = Command::new(tool("helm/helm"));
    let text = output(helm.args(["template", "edge", &chart, "--values", &format!("{chart}/ci/{values}-values.yaml")]));
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind<'a>(rendered: &'a [Value], kind: &str) -> &'a Value {
    rendered.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("{kind} in {rendered:#?}"))
}

/// The variables that the image has of itself.
fn of_image() -> Vec<(String, String)> {
    let file = std::fs::read_to_string(format!("{DEPLOY}/Dockerfile")).unwrap();
    let set = file.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace);
    set.map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The variables of a container, with what its secret has.
fn of_container(container: &Value, secret: &[(&str, &str)]) -> Vec<(String, String)> {
    let of_secret = |variable: &Value| {
        let key = variable["valueFrom"]["secretKeyRef"]["key"].as_str().unwrap();
        secret.iter().find(|(name, _)| *name == key).unwrap_or_else(|| panic!("{key}")).1
    };
    let value =
        |variable: &Value| variable["value"].as_str().map_or_else(|| of_secret(variable).to_owned(), str::to_owned);
    let variables = container["env"].as_array().unwrap().iter();
    variables.map(|variable| (variable["name"].as_str().unwrap().to_owned(), value(variable))).collect()
}

/// Runs a container, at ports that are free here.
fn run(directory: &Path, container: &Value, database_url: &str) -> Process {
    let mut command = bursar(directory);
    command.envs(of_image()).env_remove("BURSAR_HTTP_LISTEN");
    for (name, value) in of_container(container, &[("database-url", database_url), ("master-key", MASTER)]) {
        command.env(name, value.replace("/tls/", &format!("{}/", directory.display())));
    }
    command.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    Process::of(command)
}

on_both! {
    async fn what_the_chart_runs_serves_by_tls(backend: Backend) {
        let (directory, authority, database) = (fresh_directory(), Authority::new(), Database::empty(backend).await);
        let host = authority.sign("localhost");
        for (name, text) in [("tls.crt", &host.certificate), ("tls.key", &host.key), ("ca.crt", &authority.pem)] {
            write(&directory, name, text);
        }
        let rendered = render("mtls");
        let pod = &of_kind(&rendered, "Deployment")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!((&pod["volumes"][0]["secret"]["secretName"], &container["volumeMounts"][0]["mountPath"]), (&"bursar-tls".into(), &"/tls".into()));
        let server = run(&directory, container, &database.url);
        for san in ["spiffe://acme.example/ns/prod/sa/edge", "spare.acme.example"] {
            let shown = authority.sign(san);
            let gateway = Client::anonymous(connect(&server.address, &authority, Some(&shown)).await.unwrap());
            let secret = gateway.with_key(MASTER).keys().generate_key(generate(pb::Key::default())).await.answer().secret;
            let asked = pb::AuthorizeRequest { key: secret, model: "m".into(), ..Default::default() };
            assert_eq!(gateway.gateway().authorize(asked).await.answer().decision(), pb::Decision::Allow, "{san}");
        }
        let _ = std::fs::remove_dir_all(directory);
    }

    async fn it_is_reached_where_the_chart_says(backend: Backend) {
        let (directory, database) = (fresh_directory(), Database::empty(backend).await);
        let rendered = render("one");
        let deployment = of_kind(&rendered, "Deployment");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let server = run(&directory, container, &database.url);
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            let answer = reqwest::get(format!("{}{}", server.http_address, get["path"].as_str().unwrap())).await.unwrap();
            assert_eq!((answer.status().as_u16(), &get["port"]), (200, &"http".into()), "{probe}");
        }
        let _ = std::fs::remove_dir_all(directory);
    }
}

/// The ports of the image, of the container, and of the service that leads there;
/// and who is meant by a selector.
#[test]
fn names_and_ports_fit_together() {
    let rendered = render("mtls");
    let [deployment, service, budget, monitor] =
        ["Deployment", "Service", "PodDisruptionBudget", "ServiceMonitor"].map(|kind| of_kind(&rendered, kind));
    let pod = &deployment["spec"]["template"];
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    for (variable, name) in [("BURSAR_LISTEN", "grpc"), ("BURSAR_HTTP_LISTEN", "http")] {
        let listens = of_image().into_iter().find(|(of, _)| of == variable).unwrap().1;
        let port = ports.iter().find(|port| port["name"] == name).unwrap();
        assert_eq!(listens.rsplit_once(':').unwrap().1, port["containerPort"].to_string(), "{variable}");
        let leads = |port: &Value| port["name"] == name && port["targetPort"] == name;
        assert!(service["spec"]["ports"].as_array().unwrap().iter().any(leads), "{service:#}");
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], "http");
    for (selector, labels) in [
        (&deployment["spec"]["selector"]["matchLabels"], &pod["metadata"]["labels"]),
        (&service["spec"]["selector"], &pod["metadata"]["labels"]),
        (&budget["spec"]["selector"]["matchLabels"], &pod["metadata"]["labels"]),
        (&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]),
    ] {
        let selector = selector.as_object().unwrap();
        assert!(!selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value), "{selector:?}");
    }
    assert!(
        render("one").iter().all(|object| object["kind"] != "PodDisruptionBudget"),
        "one instance must be able to move"
    );
}
