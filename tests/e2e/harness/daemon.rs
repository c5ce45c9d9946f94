//! The daemon as a child process in a folder of its own: its configuration, its life, and what it said when it fails.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::broker;
use super::mailbox::Mailbox;
use super::wait::{PATIENCE, until_within};

/// A ticket and a mail for every failed order, at once.
pub const EVERY_FAILURE: &str = r#"
name: failures
summary: Every failed order
owner: payments
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 1, window: 10m }
incident: { wait: 0s }
ticket: { category: topup_failure, department: payments, severity: high, sla: emergency }
notice: { template: topup_failing, to: account }
"#;

/// A folder with everything that one installation has.
pub struct Place {
    folder: TempDir,
    pub group: String,
    /// Where its metrics and health are.
    pub http: SocketAddr,
    config: Vec<(&'static str, String)>,
}

/// A running daemon; it is killed when the test ends.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Place {
    /// An installation that reads these topics and mails to this server. Rules and customers come later.
    pub fn new(orders: &str, logins: &str, mailbox: &Mailbox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let group = broker::unique("forewarn");
        fs::create_dir(folder.path().join("rules")).unwrap();
        fs::write(folder.path().join("customers.jsonl"), "").unwrap();
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = vec![
            (
                "kafka",
                format!("brokers = [\"{}\"]\ngroup = \"{group}\"\nstart = \"earliest\"", broker::address()),
            ),
            (
                "topics",
                format!("orders = \"{orders}\"\nlogins = \"{logins}\"\ndead_letter = \"{group}-dead\""),
            ),
            ("rules", format!("path = \"{}\"", path("rules"))),
            ("store", format!("url = \"sqlite:{}\"", path("forewarn.db"))),
            ("state", format!("dir = \"{}\"", path("state"))),
            ("customers", format!("file = \"{}\"", path("customers.jsonl"))),
            ("smtp", smtp(mailbox)),
            ("http", format!("listen = \"{http}\"")),
        ];
        let place = Self { folder, group, http, config };
        place.write_config();
        place
    }

    /// The same installation on another machine: nothing of it is shared but what its configuration names.
    pub fn elsewhere(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        for entry in fs::read_dir(self.path("rules")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join("rules").join(path.file_name().unwrap())).unwrap();
        }
        fs::copy(self.path("customers.jsonl"), folder.path().join("customers.jsonl")).unwrap();
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (here, there) = (self.folder.path().display().to_string(), folder.path().display().to_string());
        let moved =
            |body: &String| body.replace(&here, &there).replace(&self.http.to_string(), &http.to_string());
        let config = self.config.iter().map(|(name, body)| (*name, moved(body))).collect();
        let place = Self { folder, group: self.group.clone(), http, config };
        place.write_config();
        place
    }

    /// Adds lines to a section of the configuration.
    pub fn set(&mut self, section: &'static str, lines: &str) {
        match self.config.iter_mut().find(|(name, _)| *name == section) {
            Some((_, body)) => *body = format!("{body}\n{lines}"),
            None => self.config.push((section, lines.to_owned())),
        }
        self.write_config();
    }

    /// Replaces a section of the configuration.
    pub fn replace(&mut self, section: &'static str, lines: &str) {
        self.config.retain(|(name, _)| *name != section);
        self.set(section, lines);
    }

    fn write_config(&self) {
        let sections = self.config.iter().map(|(name, body)| format!("[{name}]\n{body}\n"));
        fs::write(self.path("forewarn.toml"), sections.collect::<String>()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn dead_letters(&self) -> String {
        format!("{}-dead", self.group)
    }

    pub fn add_rule(&self, name: &str, text: &str) {
        fs::write(self.path("rules").join(format!("{name}.yaml")), text).unwrap();
    }

    pub fn add_rules_from(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                fs::copy(&path, self.path("rules").join(path.file_name().unwrap())).unwrap();
            }
        }
    }

    /// So many customers: `a0` with the address `a0@example.com`, and so on.
    pub fn set_numbered_customers(&self, count: usize) {
        let line = |number| format!("{{\"account_id\":\"a{number}\",\"email\":\"a{number}@example.com\"}}\n");
        self.set_customers(&(0..count).map(line).collect::<String>());
    }

    pub fn set_customers(&self, lines: &str) {
        fs::write(self.path("customers.jsonl"), lines).unwrap();
    }

    /// Starts the daemon.
    pub fn run(&self) -> Daemon {
        self.spawn(&["run", "-c"])
    }

    /// Reads to the ends that the topics have now, and returns when everything is durable.
    pub fn run_until_end(&self) {
        let mut daemon = self.spawn(&["run", "--until-end", "-c"]);
        let status = daemon.wait(Duration::from_secs(240));
        assert!(status.success(), "run --until-end: {status}");
    }

    /// For a start that must be refused: the exit code, and what was said.
    pub fn run_and_fail(&self) -> (Option<i32>, String) {
        let mut daemon = self.run();
        let status = daemon.wait(PATIENCE);
        (status.code(), daemon.log())
    }

    fn spawn(&self, arguments: &[&str]) -> Daemon {
        let log = self.path("daemon.log");
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(arguments)
            .arg(self.path("forewarn.toml"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// What a verb other than `run` says.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// The tickets as `ticket list` tells them, newest first.
    pub fn tickets(&self) -> Result<Vec<Value>, String> {
        let config = self.path("forewarn.toml").display().to_string();
        let output = self.ask(&["ticket", "list", "-c", &config, "--format", "json"]);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
            .collect()
    }
}

fn smtp(mailbox: &Mailbox) -> String {
    let (host, port) = (mailbox.address.ip(), mailbox.address.port());
    format!("host = \"{host}\"\nport = {port}\ntls = \"none\"\nfrom = \"Service <service@example.com>\"")
}

impl Daemon {
    /// As a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait(Duration::from_secs(60))
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        until_within(patience, "the daemon to end", || {
            self.child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
        })
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            println!("--- kept for a closer look: {} ---", self.folder.path().display());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            // Through the test harness, which shows it with the failed test.
            println!("--- the daemon's log ---\n{}", self.log());
        }
    }
}
