//! A receiver of webhooks: an HTTP server that answers as it is told to, and
//! verifies what it gets by itself.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The bytes that it shares with Bursar.
const SECRET: [u8; 32] = [7; 32];

/// A message that it got.
#[derive(Clone, Debug)]
pub struct Got {
    pub id: String,
    pub timestamp: i64,
    pub signatures: Vec<String>,
    pub body: String,
}

impl Got {
    /// The message, whose signature must be good.
    pub fn verified(&self) -> Value {
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(tag));
        assert!(self.signatures.contains(&expected), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

struct State {
    /// What it answers next; then always 204.
    answers: VecDeque<&'static str>,
    got: Vec<Got>,
}

/// A receiver.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Starts one that answers with these status lines, and more lines of header,
    /// first.
    pub fn start(answers: impl IntoIterator<Item = &'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook/of-a-secret-path", listener.local_addr().unwrap());
        let state = State { answers: answers.into_iter().collect(), got: Vec::new() };
        let started = Self { url, state: Arc::new(Mutex::new(state)) };
        let serving = started.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream.unwrap()));
            }
        });
        started
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(got) = read(&mut stream) else { return };
        let answer = {
            let mut state = self.state.lock().unwrap();
            state.got.push(got);
            state.answers.pop_front().unwrap_or("204 No Content")
        };
        if answer == "silence" {
            thread::sleep(Duration::from_secs(3));
            return;
        }
        let _ =
            stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
    }

    /// The setting `webhooks` for it, under a name.
    pub fn setting(&self, name: &str, more: &str) -> String {
        let secret = STANDARD.encode(SECRET);
        format!("[{{ name = '{name}', url = '{}', secret = 'whsec_{secret}' {more} }}]", self.url)
    }

    /// What it got so far.
    pub fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().got.clone()
    }

    /// Waits until it has got so many messages.
    pub async fn gets(&self, count: usize) -> Vec<Got> {
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut text = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&buffer[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        if body.len() < header("content-length")?.parse().unwrap() {
            continue;
        }
        assert!(head.starts_with("POST /hook/of-a-secret-path "), "{head}");
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        let signatures = header("webhook-signature")?;
        return Some(Got {
            id: header("webhook-id")?,
            timestamp: header("webhook-timestamp")?.parse().unwrap(),
            signatures: signatures.split(' ').map(str::to_owned).collect(),
            body: body.to_owned(),
        });
    }
}
