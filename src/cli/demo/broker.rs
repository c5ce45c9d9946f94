//! The demonstration's broker: librdkafka's mock cluster in a process of its own, which ends when its parent does.
//!
//! A process of its own because a mistake inside the mock takes the whole process with it. It listens on 127.0.0.1 only
//! and keeps everything in memory, at most 5 MiB for each partition; the paced load of the demonstration stays far below.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

/// The verb of the child process.
pub(super) const VERB: &str = "demo-broker";
pub(super) const PARTITIONS: i32 = 4;

/// Serves the embedded broker of `forewarn demo` until standard input ends.
#[derive(Debug, clap::Args)]
pub struct BrokerArguments {
    /// Topics to create
    topics: Vec<String>,
}

/// The child's side: serve until the parent is gone.
pub fn run(arguments: &BrokerArguments) -> Result<ExitCode> {
    let client: BaseProducer = ClientConfig::new()
        .set("test.mock.num.brokers", "1")
        .create()
        .context("cannot start the embedded broker")?;
    let Some(cluster) = client.client().mock_cluster() else {
        bail!("cannot start the embedded broker: librdkafka was built without its mock cluster");
    };
    join_groups_quickly(&client);
    for topic in &arguments.topics {
        cluster
            .create_topic(topic, PARTITIONS, 1)
            .with_context(|| format!("cannot create the topic {topic} on the embedded broker"))?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", cluster.bootstrap_servers())?;
    out.flush()?;
    // The end of the input is the end of the parent, however it ended.
    let mut ignored = [0; 64];
    let mut input = std::io::stdin().lock();
    while matches!(input.read(&mut ignored), Ok(1..)) {}
    Ok(ExitCode::SUCCESS)
}

/// The mock makes the first member of a group wait for three seconds for others, of which there are none.
#[expect(unsafe_code, reason = "the safe wrapper has no call for the delay of a group's first rebalance")]
fn join_groups_quickly(client: &BaseProducer) {
    // SAFETY: the handle belongs to the client, which outlives both calls; a null cluster is not touched.
    unsafe {
        let cluster = rdkafka::bindings::rd_kafka_handle_mock_cluster(client.client().native_ptr());
        if !cluster.is_null() {
            rdkafka::bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 100);
        }
    }
}

/// The parent's side: the running child.
#[derive(Debug)]
pub(super) struct Broker {
    child: Child,
    pub(super) address: String,
}

impl Broker {
    pub(super) fn start(topics: &[&str]) -> Result<Self> {
        let program =
            std::env::current_exe().context("cannot find the program to start the embedded broker with")?;
        let mut command = Command::new(program);
        command.arg(VERB).args(topics).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C is for the parent, which still needs the broker while it stops.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("cannot start the embedded broker")?;
        let mut address = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut address).context("cannot hear from the embedded broker")?;
        }
        let address = address.trim().to_owned();
        if address.is_empty() {
            let status = child.wait().context("cannot wait for the embedded broker")?;
            bail!("the embedded broker ended at once ({status})");
        }
        Ok(Self { child, address })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Without an input it ends by itself; the kill only makes it quicker, and one that is gone needs none.
        drop(self.child.stdin.take());
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
