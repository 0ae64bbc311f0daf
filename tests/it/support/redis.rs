//! A Redis, or a Valkey, that the tests share; each has names of its own in it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where it listens.
pub fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(start)
}

/// The setting of servers that share counts there, or behind a wire to it, with
/// whoever has the same prefix.
pub fn setting(address: &str, prefix: &str) -> String {
    format!("{{ url = \"redis://{address}\", prefix = \"{prefix}\" }}")
}

/// A prefix of its own.
pub fn prefix() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Starts a server. A shell watches over it: when the test process ends, however
/// it ends, the shell's input ends, and the shell stops the server.
fn start() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let script = r#"
        server=$(command -v redis-server || command -v valkey-server) || { echo "no redis-server"; exit 1; }
        "$server" --port "$PORT" --bind 127.0.0.1 --save '' --appendonly no >/dev/null &
        echo started
        cat >/dev/null || true
        kill $!
    "#;
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .env("PORT", free.port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "started", "install redis-server (or valkey-server), as .ci/check does");
    // It ends with this process, and not before.
    std::mem::forget(shell);
    let patience = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(free).is_err() {
        assert!(Instant::now() < patience, "Redis does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    free.to_string()
}
