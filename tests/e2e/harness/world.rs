//! A simulated world: written by `simulate`, put into Kafka by a real producer, and replayed from its file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

use super::broker::{self, Record};
use super::settled::Settled;

/// As in replay: an event further ahead than this of each of the next lines of its topic has a wrong clock.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);
const LINES_AHEAD: usize = 10;

pub struct World {
    folder: TempDir,
}

/// One line of the file: which topic it belongs to, whose it is, and the time that it claims.
struct Line {
    text: String,
    account: String,
    is_login: bool,
    time: Option<Timestamp>,
}

impl World {
    pub fn simulate(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .arg("simulate")
            .args(arguments)
            .arg("--out")
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "simulate: {}", String::from_utf8_lossy(&output.stderr));
        Self { folder }
    }

    /// A world of these lines and customers.
    pub fn of(events: &[Record], customers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = events.iter().map(|event| format!("{}\n", String::from_utf8_lossy(&event.payload)));
        fs::write(folder.path().join("events.jsonl"), lines.collect::<String>()).unwrap();
        fs::write(folder.path().join("customers.jsonl"), customers).unwrap();
        Self { folder }
    }

    pub fn events(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    pub fn customers(&self) -> String {
        fs::read_to_string(self.folder.path().join("customers.jsonl")).unwrap()
    }

    /// What `replay` finds in it with these rules, and what it prints.
    pub fn replay(&self, config: &Path) -> Settled {
        let rules = config.parent().unwrap().join("rules");
        let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(["replay", "--format", "json", "-c"])
            .arg(config)
            .arg("--rules")
            .arg(rules)
            .arg("--input")
            .arg(self.events())
            .arg("--customers")
            .arg(self.folder.path().join("customers.jsonl"))
            .output()
            .unwrap();
        assert!(output.status.success(), "replay: {}", String::from_utf8_lossy(&output.stderr));
        Settled::from_replay(&String::from_utf8(output.stdout).unwrap())
    }

    /// Puts the orders and logins into the two topics, in their order, each with the moment of its arrival. Other
    /// events of the file stay out. Returns how many records there are now in both.
    pub fn produce(&self, orders: &str, logins: &str) -> usize {
        let records = self.records();
        let count = records.len();
        produce(orders, logins, records);
        count
    }

    /// The same in parts, each with what arrives in so much time.
    pub fn parts(&self, each: SignedDuration) -> Vec<Vec<(bool, Record)>> {
        let mut parts: Vec<Vec<(bool, Record)>> = Vec::new();
        let mut ends = i64::MIN;
        for (is_login, record) in self.records() {
            let arrived = record.timestamp.unwrap_or(i64::MIN);
            if arrived >= ends || parts.is_empty() {
                parts.push(Vec::new());
                ends = arrived.saturating_add(each.as_millis() as i64);
            }
            parts.last_mut().unwrap().push((is_login, record));
        }
        parts
    }

    /// Whether it is a login, and the record, in the order of the file.
    fn records(&self) -> Vec<(bool, Record)> {
        let lines = self.lines();
        let mut arrivals = [false, true].map(|is_login| {
            let times: Vec<Option<Timestamp>> =
                lines.iter().filter(|line| line.is_login == is_login).map(|line| line.time).collect();
            let mut arrived: Option<Timestamp> = None;
            let arrivals = (0..times.len()).map(move |number| {
                let next = times[number + 1..].iter().take(LINES_AHEAD).flatten().max();
                let sane = times[number].filter(|time| next.is_none_or(|next| *time <= *next + MAX_AHEAD));
                arrived = arrived.max(sane);
                arrived
            });
            Box::new(arrivals) as Box<dyn Iterator<Item = Option<Timestamp>>>
        });
        let with_arrival = lines.into_iter().map(|line| {
            let arrived = arrivals[usize::from(line.is_login)].next().flatten();
            let record = Record {
                key: line.account,
                payload: line.text.into_bytes(),
                timestamp: arrived.map(Timestamp::as_millisecond),
                ..Record::default()
            };
            (line.is_login, record)
        });
        with_arrival.collect()
    }

    fn lines(&self) -> Vec<Line> {
        let file = BufReader::new(File::open(self.events()).unwrap());
        let text = |bytes: std::io::Result<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap()).into_owned();
        file.split(b'\n').map(text).filter_map(Line::read).collect()
    }
}

impl Line {
    /// [`None`] for events of other topics. What can't be read goes where most events go.
    fn read(text: String) -> Option<Self> {
        let event: Value = serde_json::from_str(&text).unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or("order.");
        let is_login = kind.starts_with("login.") || kind.starts_with("account.");
        if !is_login && ["complaint.", "satisfaction.", "stock."].iter().any(|other| kind.starts_with(other))
        {
            return None;
        }
        let account = event["account_id"].as_str().unwrap_or_default().to_owned();
        let time = event["time"].as_str().and_then(|time| time.parse().ok());
        Some(Self { account, is_login, time, text })
    }
}

/// Puts logins into one topic and the others into the other one.
pub fn produce(orders: &str, logins: &str, records: Vec<(bool, Record)>) {
    let (of_logins, of_orders): (Vec<_>, Vec<_>) = records.into_iter().partition(|(is_login, _)| *is_login);
    for (topic, records) in [(orders, of_orders), (logins, of_logins)] {
        broker::produce(topic, records.into_iter().map(|(_, record)| record));
    }
}

/// Two topics of one installation, with the same number of partitions.
pub fn topics(partitions: i32) -> (String, String) {
    (broker::topic("orders", partitions), broker::topic("logins", partitions))
}
