//! The binary as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};

/// The binary, with none of the environment's own settings.
pub fn bursar(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BURSAR_")) {
        command.env_remove(name);
    }
    // Many servers run at once here; each test that asks for another port gets it.
    command.env("BURSAR_HTTP_LISTEN", "127.0.0.1:0");
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    bursar(directory).args(arguments).output().unwrap()
}

/// What a process wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server in a process of its own. It is killed when it is dropped.
pub struct Process {
    child: Child,
    pub address: String,
    /// Where it tells how it is.
    pub http_address: String,
    log: Arc<Mutex<String>>,
    logger: Option<thread::JoinHandle<()>>,
    output: Option<thread::JoinHandle<String>>,
}

impl Process {
    /// Starts a server and waits until it listens.
    pub fn serve(directory: &Path, database_url: &str, settings: &[(&str, &str)]) -> Self {
        let flags: Vec<String> = settings.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--database-url", database_url];
        arguments.extend(flags.iter().map(String::as_str));
        Self::serve_with(directory, &arguments)
    }

    /// Starts a server with these arguments and waits until it listens.
    pub fn serve_with(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = bursar(directory);
        command.args(arguments);
        Self::of(command)
    }

    /// Starts a server by a command and waits until it listens.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let writer = Arc::clone(&log);
        let errors = BufReader::new(child.stderr.take().unwrap());
        let logger = thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                writer.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let mut output = child.stdout.take().unwrap();
        let output = thread::spawn(move || {
            let mut text = String::new();
            let _ = output.read_to_string(&mut text);
            text
        });
        let mut process = Self {
            child,
            address: String::new(),
            http_address: String::new(),
            log,
            logger: Some(logger),
            output: Some(output),
        };
        process.address = process.wait_for_address("serving gRPC");
        process.http_address = process.wait_for_address("serving HTTP");
        process
    }

    fn wait_for_address(&mut self, what: &str) -> String {
        let patience = Instant::now() + Duration::from_mins(1);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(what) && log.contains(&format!("{line}\n"))) {
                let address = line.split_once("address").unwrap().1.trim_start_matches(['=', '"', ':']);
                let end = address.find(['"', ' ', ',']).unwrap_or(address.len());
                return format!("http://{}", &address[..end]);
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended: {log}");
            assert!(Instant::now() < patience, "the server does not start: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub async fn connect(&self) -> Channel {
        Endpoint::new(self.address.clone()).unwrap().connect().await.unwrap()
    }

    /// The value of a metric, without its fraction.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = reqwest::get(format!("{}/metrics", self.http_address)).await.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("{name} in {page}"));
        value.split('.').next().unwrap().parse().unwrap()
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; returns all that it logged.
    pub fn finish(&mut self) -> String {
        self.child.wait().unwrap();
        self.logger.take().unwrap().join().unwrap();
        self.log()
    }

    /// Waits for its end; returns its exit code and what it wrote to standard
    /// output.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.output.take().unwrap().join().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
