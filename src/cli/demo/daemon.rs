//! The daemon of the demonstration: `forewarn run` in a process of its own, with a configuration for what is at hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

use crate::core::time::Time;
use crate::daemon::RunOptions;
use crate::settings::StoreSettings;
use crate::sim::customers::Customer;

use super::clock::PlatformClock;
use crate::cli::status;

/// The verb of the child process.
const VERB: &str = "demo-daemon";
pub(super) const TOPICS: [&str; 4] = ["orders", "logins", "feedback", "dead-letters"];
/// The shipped rules, so that the program alone is enough.
const RULES: [(&str, &str); 13] = [
    ("account-takeover.yaml", include_str!("../../../rules/account-takeover.yaml")),
    ("card-batch-bad.yaml", include_str!("../../../rules/card-batch-bad.yaml")),
    ("channel-silent.yaml", include_str!("../../../rules/channel-silent.yaml")),
    ("channel-success-drop.yaml", include_str!("../../../rules/channel-success-drop.yaml")),
    ("credential-stuffing.yaml", include_str!("../../../rules/credential-stuffing.yaml")),
    ("foreign-login.yaml", include_str!("../../../rules/foreign-login.yaml")),
    ("impossible-travel.yaml", include_str!("../../../rules/impossible-travel.yaml")),
    ("paid-not-delivered.yaml", include_str!("../../../rules/paid-not-delivered.yaml")),
    ("reconciliation.yaml", include_str!("../../../rules/reconciliation.yaml")),
    ("repeated-topup-failures.yaml", include_str!("../../../rules/repeated-topup-failures.yaml")),
    ("spending.yaml", include_str!("../../../rules/spending.yaml")),
    ("stock-low.yaml", include_str!("../../../rules/stock-low.yaml")),
    ("supplier-late.yaml", include_str!("../../../rules/supplier-late.yaml")),
];
/// It joins its group and is ready within a few seconds; slow machines get more.
const START_WITHIN: Duration = Duration::from_secs(40);
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How often, at intervals of ten milliseconds, a killed daemon is looked at until it is gone.
const LOOKS_AT_THE_END: u32 = 200;

/// The daemon of `forewarn demo`: ends with its parent.
#[derive(Debug, clap::Args)]
pub struct DaemonArguments {
    config: PathBuf,
    /// The platform's time at which its clock stands until standard input says that it goes
    opening: i64,
}

/// The child's side.
pub fn run(arguments: &DaemonArguments) -> Result<ExitCode> {
    let clock = PlatformClock::new(Time::from_millis(arguments.opening), super::PACE);
    let started = clock.clone();
    let watch_parent = move || {
        let mut ignored = [0; 64];
        let mut input = std::io::stdin().lock();
        while matches!(input.read(&mut ignored), Ok(1..)) {
            started.start();
        }
        // Nobody is left to stop it in order.
        std::process::exit(1)
    };
    std::thread::Builder::new()
        .name("parent".to_owned())
        .spawn(watch_parent)
        .context("cannot watch the parent process")?;
    let clock = move || clock.now();
    crate::cli::run::serve(Some(arguments.config.clone()), RunOptions::default(), std::sync::Arc::new(clock))
}

/// The parent's side.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// The child ends when this closes. It is kept apart from the child, since waiting for a child closes its input.
    lifeline: Option<ChildStdin>,
    log: PathBuf,
    pub(super) database: StoreSettings,
    pub(super) metrics: SocketAddr,
}

impl Daemon {
    pub(super) async fn start(
        folder: &Path,
        brokers: &str,
        mailbox: SocketAddr,
        customers: &[Customer],
        opening: Time,
    ) -> Result<Self> {
        let metrics = free_address()?;
        let config = write_config(folder, brokers, mailbox, metrics)?;
        write_customers(&folder.join("customers.jsonl"), customers)?;
        let log = folder.join("forewarn.log");
        let errors =
            std::fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let program = std::env::current_exe().context("cannot find the program to start the daemon with")?;
        let mut child = Command::new(program)
            .arg(VERB)
            .arg(&config)
            .arg(opening.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            // Ctrl-C is for the parent, which stops the daemon in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the daemon")?;
        let lifeline = child.stdin.take();
        let mut daemon = Self {
            child,
            lifeline,
            log,
            database: StoreSettings::Sqlite(folder.join("forewarn.db")),
            metrics,
        };
        daemon.wait_until_ready().await?;
        Ok(daemon)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let ready = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            loop {
                looks.tick().await;
                if is_ready(self.metrics).await {
                    return;
                }
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            status = self.child.wait() => Err(failed(&self.log, &format!("{status:?}"))),
            () = tokio::time::sleep(START_WITHIN) => Err(failed(&self.log, "it was not ready in time")),
        }
    }

    /// Lets its clock go.
    pub(super) async fn start_clock(&mut self) -> Result<()> {
        let Some(lifeline) = &mut self.lifeline else { return Ok(()) };
        lifeline.write_all(b"\n").await.context("cannot start the daemon's clock")?;
        lifeline.flush().await.context("cannot start the daemon's clock")
    }

    /// Waits for the daemon to end by itself, which it should not.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        let status = self.child.wait().await;
        failed(&self.log, &format!("{status:?}"))
    }

    /// Stops it in order, as systemd would.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let Some(process) = self.child.id() else { return Ok(()) };
        let told = Command::new("kill").arg("-TERM").arg(process.to_string()).status().await;
        told.context("cannot tell the daemon to stop")?;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(failed(&self.log, &format!("{status:?}"))),
            Err(_) => bail!("the daemon did not stop within {} s", STOP_WITHIN.as_secs()),
        }
    }
}

impl Drop for Daemon {
    /// One that was not stopped in order is ended at once, and waited for: it must not write to a folder that goes.
    fn drop(&mut self) {
        // One that has ended already needs nothing.
        self.child.start_kill().ok();
        for _ in 0..LOOKS_AT_THE_END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn failed(log: &Path, what: &str) -> anyhow::Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(12).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    anyhow::anyhow!("the daemon of the demonstration failed: {what}\n{}", last.join("\n"))
}

async fn is_ready(address: SocketAddr) -> bool {
    let asked = tokio::task::spawn_blocking(move || status::ask(address, "/-/ready"));
    matches!(asked.await, Ok(Ok(_)))
}

/// An address that nobody listens on at the moment.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}

fn write_customers(path: &Path, customers: &[Customer]) -> Result<()> {
    let mut text = Vec::new();
    for customer in customers {
        serde_json::to_writer(&mut text, customer).context("cannot write the customers")?;
        text.push(b'\n');
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn write_config(folder: &Path, brokers: &str, mailbox: SocketAddr, metrics: SocketAddr) -> Result<PathBuf> {
    let rules = folder.join("rules");
    std::fs::create_dir_all(&rules).with_context(|| format!("cannot create {}", rules.display()))?;
    for (name, text) in RULES {
        let path = rules.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = folder.join("forewarn.toml");
    let mut file =
        std::fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
    write!(
        file,
        r#"[kafka]
brokers = ["{brokers}"]
group = "demo"
start = "earliest"
# The embedded broker wakes no waiting reader: whoever asks for more must ask often.
options = {{ "fetch.wait.max.ms" = "10", "session.timeout.ms" = "6000" }}

[topics]
orders = "orders"
logins = "logins"
feedback = "feedback"
dead_letter = "dead-letters"

[rules]
path = {}

[store]
url = {}

[state]
dir = {}

[customers]
file = {}

[smtp]
host = "127.0.0.1"
port = {}
tls = "none"
from = "Service <service@platform.example>"

[departments]
default = "staff@platform.example"

[notices]
mode = "send"
per_minute = 100000
per_rule = 100000
per_incident = 100000

[http]
listen = "{metrics}"
"#,
        quoted(rules),
        quoted(folder.join("forewarn.db")).replacen('"', "\"sqlite:", 1),
        quoted(folder.join("state")),
        quoted(folder.join("customers.jsonl")),
        mailbox.port(),
    )
    .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_demonstration_carries_every_shipped_rule() {
        let carried: BTreeSet<String> = RULES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let shipped: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the rules are there")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".yaml"))
            .collect();
        assert_eq!(carried, shipped);
    }
}
