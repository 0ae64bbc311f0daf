//! A mail server: takes what it is sent, or refuses it.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mailin_embedded::{Handler, Response, Server, SslConfig, response};

/// A mail as it came.
#[derive(Clone, Debug)]
pub struct Mail {
    pub to: Vec<String>,
    pub text: String,
}

impl Mail {
    /// The token at the end of its link.
    pub fn token(&self) -> String {
        let (_, token) = self.text.split_once("?token=").unwrap();
        token.split_whitespace().next().unwrap().to_owned()
    }
}

/// A mail server, and what it got.
#[derive(Clone, Default)]
pub struct MailServer {
    inbox: Arc<Mutex<Vec<Mail>>>,
    refusals: Arc<Mutex<VecDeque<Response>>>,
    port: u16,
}

impl MailServer {
    /// Starts one that first refuses so many recipients.
    pub fn start(refusals: impl IntoIterator<Item = Response>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let started = Self { port, refusals: Arc::new(Mutex::new(refusals.into_iter().collect())), ..Self::default() };
        let session = Session { server: started.clone(), mail: Mail { to: Vec::new(), text: String::new() } };
        thread::spawn(move || {
            let mut server = Server::new(session);
            server.with_ssl(SslConfig::None).unwrap().with_tcp_listener(listener);
            server.serve().unwrap();
        });
        started
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub fn inbox(&self) -> Vec<Mail> {
        self.inbox.lock().unwrap().clone()
    }

    /// Waits for so many mails.
    pub async fn mails(&self, count: usize) -> Vec<Mail> {
        loop {
            let inbox = self.inbox();
            if inbox.len() >= count {
                return inbox;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[derive(Clone)]
struct Session {
    server: MailServer,
    mail: Mail,
}

impl Handler for Session {
    fn rcpt(&mut self, _to: &str) -> Response {
        self.server.refusals.lock().unwrap().pop_front().unwrap_or(response::OK)
    }

    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, to: &[String]) -> Response {
        self.mail = Mail { to: to.to_vec(), text: String::new() };
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.mail.text.push_str(&String::from_utf8_lossy(line));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        // Quoted-printable, as far as plain English needs it.
        let text = self.mail.text.replace("=\r\n", "").replace("=3D", "=");
        self.server.inbox.lock().unwrap().push(Mail { text, ..self.mail.clone() });
        response::OK
    }
}
