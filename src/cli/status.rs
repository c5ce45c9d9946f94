//! `forewarn status`: how a running daemon is. Code 0 only where it is ready, so that it serves as a health check too.

use std::fmt::Write as _;
use std::io::{Read as _, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::format::Format;
use crate::edge::http::Status;
use crate::settings::{Settings, Sources};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);
const LARGEST_ANSWER: u64 = 16 << 20;

/// Show how the running daemon is
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Code 0: it is ready. Code 1: it is not, or it can't be reached.\n\nExamples:\n  forewarn status -c forewarn.toml\n  forewarn status --at 127.0.0.1:9290 --format json"
)]
pub(super) struct Arguments {
    /// The configuration file; its http.listen says where to ask
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to ask, in place of http.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    at: Option<SocketAddr>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let address = match arguments.at {
        Some(address) => address,
        None => address(arguments)?,
    };
    let body = ask(address, "/-/status").with_context(|| {
        format!("the daemon can't be asked at http://{address}; is it running, and is this its http.listen?")
    })?;
    let status: Status =
        serde_json::from_str(&body).with_context(|| format!("what answers at {address} is no forewarn"))?;
    let mut out = std::io::stdout().lock();
    match arguments.format {
        Format::Json => writeln!(out, "{}", body.trim_end())?,
        Format::Text => out.write_all(words(&status).as_bytes())?,
    }
    Ok(if status.ready && status.alive { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn address(arguments: &Arguments) -> anyhow::Result<SocketAddr> {
    let settings = Settings::load(&Sources { file: arguments.config.clone(), ..Sources::default() })?;
    let Some(address) = settings.http.listen else {
        bail!("http.listen is \"off\", so the daemon can't be asked; expected an address");
    };
    if address.port() == 0 {
        bail!("http.listen leaves the port to the system; say with --at which one it is");
    }
    Ok(reachable(address))
}

/// The address to ask where the daemon listens on all of them.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(host, address.port())
}

/// One question, one answer. HTTP 1.0, so that the body comes in one piece.
pub(super) fn ask(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("the answer is not text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("200") {
        bail!("the answer is {first:?}");
    }
    Ok(body.to_owned())
}

/// The status for people.
fn words(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a text can't fail.
        let _written = writeln!(text, "{name:<12}{value}");
    };
    let state = match (status.alive, status.ready) {
        (false, _) => "the reading loop does not turn",
        (true, false) => "not ready",
        (true, true) => "ready",
    };
    line("forewarn", format!("{} ({}), since {}", status.version, status.revision, status.started_at));
    line(
        "state",
        if status.doing.is_empty() { state.to_owned() } else { format!("{state}; {}", status.doing) },
    );
    for missing in &status.missing {
        line("", format!("! {missing}"));
    }
    let member = &status.member;
    line("partitions", format!("{} of {}, group {}", member.assigned, member.partitions, member.group));
    let behind: i64 = status.lag.iter().map(|lag| lag.records).sum();
    line("records", format!("{} read, {} rejected, {behind} to read", status.records, status.rejected));
    let mut lag: Vec<_> = status.lag.iter().filter(|lag| lag.records > 0).collect();
    lag.sort_by_key(|lag| std::cmp::Reverse(lag.records));
    for lag in lag.iter().take(5) {
        line("", format!("{} to read in {} partition {}", lag.records, lag.topic, lag.partition));
    }
    let times = status.shards.iter().map(|shard| shard.time.as_str()).filter(|time| !time.is_empty());
    if let Some(oldest) = times.min() {
        line("event time", format!("{oldest} in the shard that is furthest behind"));
    }
    let checkpoint = &status.checkpoint;
    let age =
        checkpoint.age_seconds.map_or_else(|| "none yet".to_owned(), |age| format!("{} ago", span(age)));
    line("checkpoint", format!("{age}, {} since the start", checkpoint.completed));
    let rules = &status.rules;
    let states = format!("{} active, {} shadow, {} paused", rules.active, rules.shadow, rules.paused);
    line("rules", format!("{states}; {} subjects in {}", rules.subjects, size(rules.bytes)));
    if let Some(geo) = &status.geo {
        let state = match &geo.problem {
            None => "in use".to_owned(),
            Some(problem) => format!("the old ones are in use: {problem}"),
        };
        line("locations", format!("{state}; read again {} times, failed {}", geo.reloads, geo.failures));
    }
    if !rules.version.is_empty() {
        line("", format!("version {}", rules.version));
    }
    for warming in rules.warming.iter().take(10) {
        let until = if warming.until.is_empty() { "its history is read" } else { &warming.until };
        line("", format!("{} warming until {until}", warming.rule));
    }
    let reload = &status.reload;
    if !reload.at.is_empty() {
        let pause = reload
            .pause_seconds
            .map(|seconds| format!(", reading stood still for {:.1} ms", seconds * 1_000.0));
        let result = if reload.successful { "rules taken over" } else { "failed, the rules are as before" };
        line("reload", format!("{} {result}{}", reload.at, pause.unwrap_or_default()));
        for text in reload.error.lines().take(12) {
            line("", format!("! {text}"));
        }
    }
    line("incidents", format!("{} open", status.incidents_open));
    let outbox = &status.outbox;
    let oldest =
        outbox.oldest_age_seconds.map_or_else(String::new, |age| format!(", the oldest for {}", span(age)));
    line("messages", format!("{} waiting{oldest}", outbox.waiting));
    for (reason, count) in outbox.held.iter().filter(|(_, count)| **count > 0) {
        line("", format!("{count} held: {}", reason.replace('_', " ")));
    }
    if outbox.unknown > 0 {
        line("", format!("{} handed over and never confirmed", outbox.unknown));
    }
    for (number, error) in status.errors.iter().take(5).enumerate() {
        let name = if number == 0 { "errors" } else { "" };
        line(name, format!("{} {} {}", error.at, error.level, error.message));
    }
    text
}

fn span(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

fn size(bytes: u64) -> String {
    if bytes < 10 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::{CheckpointStatus, LagStatus, MemberStatus, OutboxStatus, RuleStatus};

    #[test]
    fn the_status_reads_like_a_report() {
        let status = Status {
            version: "1.2.3".to_owned(),
            revision: "abc".to_owned(),
            started_at: "2026-10-01T08:00:00Z".to_owned(),
            alive: true,
            missing: vec!["partitions are not assigned yet".to_owned()],
            doing: "waiting for partitions".to_owned(),
            records: 10,
            rejected: 1,
            member: MemberStatus { group: "forewarn".to_owned(), assigned: 0, partitions: 8 },
            lag: vec![LagStatus { topic: "orders".to_owned(), partition: 3, records: 12 }],
            checkpoint: CheckpointStatus { completed: 2, age_seconds: Some(4.2), bytes: 100 },
            rules: RuleStatus {
                active: 5,
                shadow: 1,
                paused: 0,
                subjects: 1_000,
                bytes: 2 << 20,
                ..RuleStatus::default()
            },
            incidents_open: 1,
            outbox: OutboxStatus {
                waiting: 3,
                held: [("limit_per_minute".to_owned(), 7)].into(),
                ..OutboxStatus::default()
            },
            ..Status::default()
        };
        let expected = "forewarn    1.2.3 (abc), since 2026-10-01T08:00:00Z
state       not ready; waiting for partitions
            ! partitions are not assigned yet
partitions  0 of 8, group forewarn
records     10 read, 1 rejected, 12 to read
            12 to read in orders partition 3
checkpoint  4 s ago, 2 since the start
rules       5 active, 1 shadow, 0 paused; 1000 subjects in 2048 KiB
incidents   1 open
messages    3 waiting
            7 held: limit per minute
";
        assert_eq!(words(&status), expected);
    }

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_here() {
        for (listen, asked) in
            [("0.0.0.0:9290", "127.0.0.1:9290"), ("[::]:9290", "[::1]:9290"), ("10.1.2.3:80", "10.1.2.3:80")]
        {
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), asked);
        }
    }

    #[test]
    fn where_nobody_listens_the_error_says_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let error = ask(free.expect("an address"), "/").expect_err("nobody");
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
