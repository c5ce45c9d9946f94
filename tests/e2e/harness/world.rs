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
        let lines = self.lines();
        for (topic, is_login) in [(orders, false), (logins, true)] {
            let of_topic: Vec<&Line> = lines.iter().filter(|line| line.is_login == is_login).collect();
            let mut arrived: Option<Timestamp> = None;
            let records = of_topic.iter().enumerate().map(|(number, line)| {
                let next = of_topic[number + 1..].iter().take(LINES_AHEAD).filter_map(|line| line.time).max();
                let sane = line.time.filter(|time| next.is_none_or(|next| *time <= next + MAX_AHEAD));
                arrived = arrived.max(sane);
                Record {
                    key: line.account.clone(),
                    payload: line.text.clone().into_bytes(),
                    timestamp: arrived.map(Timestamp::as_millisecond),
                    ..Record::default()
                }
            });
            broker::produce(topic, records);
        }
        lines.len()
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

/// Two topics of one installation, with the same number of partitions.
pub fn topics(partitions: i32) -> (String, String) {
    (broker::topic("orders", partitions), broker::topic("logins", partitions))
}
