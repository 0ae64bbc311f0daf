//! A real Envoy between a client and a small upstream. `.ci/check` installs it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bursar::pb;
use reqwest::{Client as Http, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::database::fresh_directory;
use crate::support::world::{MODEL, World};
use crate::support::{Answer, on_both};

const ENVOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/envoy/bin/envoy");
const BOOTSTRAP: &str = include_str!("bootstrap.yaml");

/// An upstream that answers with the headers that it got.
async fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut buffer) = (Vec::new(), vec![0; 65_536]);
                while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
                        _ => return,
                    }
                }
                let text = String::from_utf8_lossy(&read).into_owned();
                let head = text.split("\r\n\r\n").next().unwrap_or_default();
                let headers: serde_json::Map<String, Value> = head
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_lowercase(), value.into()))
                    .collect();
                let body = Value::Object(headers).to_string();
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

/// An Envoy that is running.
struct Envoy {
    process: Child,
    address: String,
    http: Http,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Envoy {
    async fn start(world: &World) -> Self {
        assert!(Path::new(ENVOY).exists(), "there is no {ENVOY}: .ci/check installs it");
        let gateway = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (sidecar, _) = world.key(gateway).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bursar = world.address.rsplit_once(':').unwrap().1;
        let bootstrap = BOOTSTRAP
            .replace("@listener@", &listener.to_string())
            .replace("@bursar@", bursar)
            .replace("@upstream@", &upstream().await.to_string())
            .replace("@sidecar@", &sidecar);
        let directory = fresh_directory();
        let config = directory.join("envoy.yaml");
        std::fs::write(&config, bootstrap).unwrap();
        let log = directory.join("envoy.log");
        let process = Command::new(ENVOY)
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--log-path"])
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let http = Http::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let envoy = Self { process, address: format!("http://127.0.0.1:{listener}"), http };
        for _ in 0..600 {
            if envoy.http.get(&envoy.address).send().await.is_ok() {
                return envoy;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Envoy does not answer: {}", std::fs::read_to_string(log).unwrap_or_default());
    }

    fn chat(&self, path: &str, secret: &str) -> RequestBuilder {
        let body = json!({ "model": MODEL, "max_tokens": 1000, "user": "acme", "messages": [] });
        let request = self.http.post(format!("{}{path}", self.address)).bearer_auth(secret);
        request.header("content-type", "application/json").body(body.to_string())
    }
}

/// The status of an answer, its headers and its body.
async fn answer(request: RequestBuilder) -> (StatusCode, reqwest::header::HeaderMap, Value) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    (status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

on_both! {
    async fn an_envoy_lets_through_what_bursar_allows(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { user_id: Some("alice".into()), max_budget: Some("0.03".into()), ..Default::default() }).await;
        let envoy = Envoy::start(&world).await;
        let spoofing = envoy.chat("/v1/chat", &secret).header("x-bursar-team-id", "root");
        let (status, _, got) = answer(spoofing).await;
        assert_eq!(status, StatusCode::OK, "{got}");
        assert_eq!((got["x-bursar-key-id"].as_str(), got["x-bursar-user-id"].as_str()), (Some(key.key_id.as_str()), Some("alice")));
        assert_eq!((got["x-bursar-customer-id"].as_str(), got.get("x-bursar-team-id")), (Some("acme"), None), "{got}");

        // What is set aside on this route counts: 0.01 USD and a little a call.
        for _ in 0..2 {
            assert_eq!(answer(envoy.chat("/reserve", &secret)).await.0, StatusCode::OK);
        }
        let (status, headers, got) = answer(envoy.chat("/reserve", &secret)).await;
        assert_eq!((status, got["error"]["code"].as_str()), (StatusCode::TOO_MANY_REQUESTS, Some("BUDGET_EXCEEDED")));
        assert_eq!(headers["content-type"], "application/json");

        for (secret, wanted, code) in [("sk-nobody", StatusCode::UNAUTHORIZED, "KEY_UNKNOWN"), ("", StatusCode::UNAUTHORIZED, "KEY_MISSING")] {
            let (status, _, got) = answer(envoy.chat("/v1/chat", secret)).await;
            assert_eq!((status, got["error"]["code"].as_str()), (wanted, Some(code)), "{got}");
        }
        world.admin.keys().block_key(pb::BlockKeyRequest { key: secret.clone(), ..Default::default() }).await.answer();
        let (status, _, got) = answer(envoy.chat("/v1/chat", &secret)).await;
        assert_eq!((status, got["error"]["code"].as_str()), (StatusCode::FORBIDDEN, Some("KEY_BLOCKED")));

        // Envoy asks about rates as well.
        let (slow, _) = world.key(pb::Key { rpm_limit: Some(0), ..Default::default() }).await;
        let metered = |secret: &str| envoy.chat("/metered", "none").header("x-api-key", secret);
        assert_eq!(answer(metered(&slow)).await.0, StatusCode::TOO_MANY_REQUESTS);
        let (quick, _) = world.key(pb::Key { rpm_limit: Some(10), ..Default::default() }).await;
        assert_eq!(answer(metered(&quick)).await.0, StatusCode::OK);

        // Without Bursar there is no decision, and Envoy says so.
        world.stop().await;
        assert_eq!(answer(envoy.chat("/v1/chat", &quick)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
