//! An identity provider: serves its keys over HTTP, and signs tokens.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// With an error.
    Failing,
    /// With what is no key set.
    Garbled,
    /// With more than anybody should read.
    Endless,
    /// By sending whoever asks to another host.
    Elsewhere,
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    pub id: String,
    key: EncodingKey,
    public: Value,
}

impl SigningKey {
    /// A new key of the curve P-256.
    pub fn new(id: &str) -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EncodingKey::from_ec_der(document.as_ref());
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        Self { id: id.to_owned(), key, public }
    }

    /// The same key, published for another use.
    pub fn used_for(mut self, purpose: &str) -> Self {
        self.public["use"] = json!(purpose);
        self
    }

    /// Its public half, as it is published.
    pub fn public(&self) -> &Value {
        &self.public
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        self.sign_with(&header, claims)
    }

    /// The same with another header.
    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

/// A token with a header that no library writes, and no good signature.
pub fn forged(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode("x"))
}

struct State {
    keys: Vec<SigningKey>,
    mood: Mood,
    fetches: usize,
    /// What it calls itself, if that is not its address.
    name: Option<String>,
}

/// An identity provider.
#[derive(Clone)]
pub struct IdentityProvider {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl IdentityProvider {
    /// Starts one with one key, `k1`.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State { keys: vec![SigningKey::new("k1")], mood: Mood::Well, fetches: 0, name: None };
        let started = Self { url, state: Arc::new(Mutex::new(state)) };
        let serving = started.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0_u8; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let path = String::from_utf8_lossy(&request[..read]);
                let path = path.split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = stream.write_all(serving.answer(&path).as_bytes());
            }
        });
        started
    }

    fn answer(&self, path: &str) -> String {
        let mut state = self.state.lock().unwrap();
        let body = if path == "/keys" {
            state.fetches += 1;
            let keys: Vec<&Value> = state.keys.iter().map(SigningKey::public).collect();
            // Other keys must not matter.
            json!({ "keys": keys, "more": [1] }).to_string()
        } else {
            let name = state.name.clone().unwrap_or_else(|| self.url.clone());
            json!({ "issuer": name, "jwks_uri": format!("{}/keys", self.url) }).to_string()
        };
        let (status, body) = match state.mood {
            Mood::Well => ("200 OK", body),
            Mood::Failing => ("503 Service Unavailable", body),
            Mood::Garbled => ("200 OK", "{".to_owned()),
            Mood::Endless => ("200 OK", format!("{{\"keys\": [\"{}\"]}}", "x".repeat(2 * 1024 * 1024))),
            Mood::Elsewhere => ("302 Found\r\nlocation: http://localhost:1/keys", String::new()),
        };
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    pub fn be(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub fn call_itself(&self, name: &str) {
        self.state.lock().unwrap().name = Some(name.to_owned());
    }

    /// How often its keys were read.
    pub fn fetches(&self) -> usize {
        self.state.lock().unwrap().fetches
    }

    pub fn publish(&self, keys: &[SigningKey]) {
        self.state.lock().unwrap().keys = keys.to_vec();
    }

    /// The key that it began with, or what it publishes first.
    pub fn key(&self) -> SigningKey {
        self.state.lock().unwrap().keys[0].clone()
    }

    /// A setting `jwt` with it as the only issuer, and these other settings.
    pub fn setting(&self, more: &str) -> String {
        let url = &self.url;
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        format!("{{ issuers = [{{ issuer = \"{url}\", jwks_url = \"{url}/keys\", audiences = [\"bursar\"]{more} }}] }}")
    }

    /// A token with these claims, and those that every good one has: from the
    /// start of 2025-03-01 for an hour.
    pub fn token(&self, claims: &Value) -> String {
        self.key().sign(&self.claims(claims))
    }

    /// Claims of a good token, with these.
    pub fn claims(&self, claims: &Value) -> Value {
        let mut all = json!({ "iss": self.url, "aud": "bursar", "iat": NOON, "exp": NOON + 3_600 });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    }
}

/// When the worlds of tokens begin: 2025-03-01T12:00:00Z.
pub const NOON: i64 = 1_740_830_400;
pub const AT_NOON: &str = "2025-03-01T12:00:00Z";
