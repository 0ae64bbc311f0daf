//! A wire to a database that a test can cut, and mend.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// It carries everything.
    Whole,
    /// Every connection is closed, and new ones are.
    Cut,
    /// Nothing arrives, and nobody is told.
    Silent,
    /// Everything takes so long.
    Slow(Duration),
}

/// A proxy that is the wire.
pub struct Cutter {
    /// The address of what is behind it, through it.
    pub url: String,
    wire: Arc<watch::Sender<Wire>>,
}

impl Cutter {
    /// A whole wire to a database.
    pub async fn new(url: &str) -> Self {
        let (rest, name) = url.rsplit_once('/').unwrap();
        let (user, upstream) = rest.rsplit_once('@').unwrap();
        let Self { url: here, wire } = Self::to(upstream).await;
        Self { url: format!("{user}@{here}/{name}"), wire }
    }

    /// A whole wire to an address.
    pub async fn to(upstream: &str) -> Self {
        let upstream = upstream.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let wire = Arc::new(watch::Sender::new(Wire::Whole));
        let of_listener = Arc::clone(&wire);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (upstream, wire) = (upstream.clone(), of_listener.subscribe());
                tokio::spawn(async move {
                    if *wire.borrow() == Wire::Cut {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(upstream).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let mut cut = wire.clone();
                    tokio::select! {
                        () = pump(from_client, to_server, wire.clone()) => {}
                        () = pump(from_server, to_client, wire) => {}
                        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
                    }
                });
            }
        });
        Self { url: here.to_string(), wire }
    }

    /// Makes the wire as it is to be from now on.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut wire: watch::Receiver<Wire>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let now = *wire.borrow();
        if let Wire::Slow(pause) = now {
            tokio::time::sleep(pause).await;
        }
        if wire.wait_for(|wire| *wire != Wire::Silent).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
