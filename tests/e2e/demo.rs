//! The demonstration: what it shows in which order, whether its closing figures are true, and what it leaves behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use forewarn::core::effect::{IncidentId, Stage};
use forewarn::delivery::notice::NoticeId;
use serde_json::Value;

use crate::harness::wait::{PATIENCE, until_within};

fn demo(arguments: &[&str], temporary: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What is left of a demonstration with this temporary folder: files in it, and processes that know of it.
fn left_behind(temporary: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", temporary.display());
    let mut left: Vec<String> =
        fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        // Processes come and go, and those of others can't be read.
        let surroundings = fs::read(process.path().join("environ")).unwrap_or_default();
        if surroundings.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            left.push(process.path().display().to_string());
        }
    }
    left
}

/// A time as the files have it, in milliseconds.
fn millis(text: &Value) -> i64 {
    text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn read_lines(path: &Path) -> Vec<Value> {
    // Some of the platform's lines are junk.
    String::from_utf8_lossy(&fs::read(path).unwrap())
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(Value::is_object)
        .collect()
}

/// Whether an order failed through its channel's fault, or nobody knows whose.
fn failed_by_channel(event: &Value) -> bool {
    let code = text(event, "error_code");
    text(event, "type") == "order.failed"
        && (code.is_empty() || code.starts_with("CHANNEL_") || code.starts_with("ACQ_"))
}

/// The orders that a problem touched, and that were neither paid nor failed.
fn hung<'v>(problem: &'v Value, events: &[Value]) -> BTreeSet<&'v str> {
    let touched = problem["affected"].as_array().unwrap().iter();
    let orders = touched.flat_map(|touched| touched["order_ids"].as_array().into_iter().flatten());
    let mut orders: BTreeSet<&str> = orders.map(|order| order.as_str().unwrap()).collect();
    for event in events.iter().filter(|event| ["order.paid", "order.failed"].contains(&text(event, "type"))) {
        orders.remove(text(event, "order_id"));
    }
    orders
}

/// What was planted, and what the events say of whom it met.
struct Planted {
    subject: BTreeMap<String, String>,
    to: i64,
    /// When each account met it first.
    met: BTreeMap<String, i64>,
    orders: BTreeSet<String>,
}

const MINUTE: i64 = 60_000;

impl Planted {
    fn new(problem: &Value, events: &[Value]) -> Self {
        let subject: BTreeMap<String, String> = serde_json::from_value(problem["subject"].clone()).unwrap();
        let (from, to) = (millis(&problem["from"]), millis(&problem["to"]));
        let is_met = |event: &Value| {
            let fits = |field: &str| subject.get(field).is_none_or(|value| text(event, field) == value);
            let event_type = text(event, "type");
            match text(problem, "kind") {
                "channel_region_outage" => failed_by_channel(event) && fits("channel") && fits("region"),
                "silent_channel" => event_type == "order.created" && fits("channel"),
                "paid_not_delivered" => event_type == "order.paid" && fits("order_id"),
                "repeated_topup_failures" => event_type == "order.failed" && fits("account_id"),
                "foreign_login" => event_type == "login.succeeded" && fits("account_id"),
                other => panic!("the first hour has no {other}"),
            }
        };
        // Who had opened an order before the silence, and came to pay in it, has met it too. Of that the events say nothing:
        // the truth is asked, and held against what they do say.
        let hung = hung(problem, events);
        let is_hung = |event: &Value, time: i64| {
            text(problem, "kind") == "silent_channel"
                && text(event, "type") == "order.created"
                && subject.get("channel").is_some_and(|channel| text(event, "channel") == channel)
                && (from - 15 * MINUTE..from).contains(&time)
                && hung.contains(text(event, "order_id"))
        };
        let mut planted =
            Self { subject: subject.clone(), to, met: BTreeMap::new(), orders: BTreeSet::new() };
        for event in events {
            let time = event["time"].as_str().map_or(i64::MIN, |_| millis(&event["time"]));
            if (from..to).contains(&time) && is_met(event) || is_hung(event, time) {
                let met = planted.met.entry(text(event, "account_id").to_owned()).or_insert(time);
                *met = time.min(*met);
                planted.orders.insert(text(event, "order_id").to_owned());
            }
        }
        planted
    }

    fn has(&self, ticket: &Value) -> bool {
        let subject: BTreeMap<String, String> = serde_json::from_value(ticket["subject"].clone()).unwrap();
        let opened = millis(&ticket["opened_at"]);
        let in_time = opened <= self.to + 10 * MINUTE;
        let mut shared = self.subject.keys().filter(|field| subject.contains_key(*field)).peekable();
        let is_part = match (subject.get("order_id"), subject.get("account_id")) {
            (Some(order), _) => self.orders.contains(order),
            (_, Some(account)) => self.met.get(account).is_some_and(|met| *met <= opened),
            _ => shared.peek().is_some() && shared.all(|field| subject[field] == self.subject[field]),
        };
        let begun = self.met.values().min().is_some_and(|first| *first <= opened);
        in_time && begun && is_part
    }
}

/// The evening as its files tell it.
struct Evening {
    planted: Vec<Planted>,
    tickets: Vec<Value>,
    /// The place of the ticket in the list, the account, the time of arrival, and whether it was the first of its ticket.
    mails: Vec<(usize, String, i64, bool)>,
    complaints: Vec<(String, String, i64)>,
}

impl Evening {
    fn read(folder: &Path) -> Self {
        let evening: Value = serde_json::from_slice(&fs::read(folder.join("evening.json")).unwrap()).unwrap();
        let end = millis(&evening["end"]);
        let mut events = read_lines(&folder.join("events.jsonl"));
        events.retain(|event| {
            let time = event["time"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
            time.is_some_and(|time| time.as_millisecond() <= end)
        });
        let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
        let planted = truth["problems"].as_array().unwrap().iter();
        let config = folder.join("forewarn.toml").display().to_string();
        let listed = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(["ticket", "list", "--limit", "100000", "--format", "json", "-c", &config])
            .output()
            .unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout).unwrap();
        let tickets: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let complaints: BTreeSet<(String, String, i64)> = events
            .iter()
            .filter(|event| text(event, "type") == "complaint.filed")
            .map(|event| {
                let account = text(event, "account_id").to_owned();
                (account, text(event, "order_id").to_owned(), millis(&event["time"]))
            })
            .collect();
        Self {
            planted: planted.map(|problem| Planted::new(problem, &events)).collect(),
            mails: mails(folder, &tickets),
            tickets,
            complaints: complaints.into_iter().collect(),
        }
    }

    /// The problem that a ticket belongs to: one that it names, before one that it is a part of.
    fn problem_of(&self, ticket: usize) -> Option<&Planted> {
        let names = |planted: &&Planted| {
            serde_json::to_value(&planted.subject).unwrap() == self.tickets[ticket]["subject"]
        };
        let mut its = self.planted.iter().filter(|planted| planted.has(&self.tickets[ticket]));
        its.clone().find(names).or_else(|| its.next())
    }

    fn is_true(&self, mail: &(usize, String, i64, bool)) -> bool {
        let (ticket, account, at, is_first) = mail;
        let Some(planted) = self.problem_of(*ticket) else { return false };
        let in_time = |met: &i64| !is_first || met <= at && *at <= planted.to + 10 * MINUTE;
        planted.met.get(account).is_some_and(in_time)
    }

    /// Complaints that have a planted cause, and how long before each the customer had been told of it.
    fn coverage(&self) -> (usize, Vec<i64>) {
        let (mut complaints, mut leads) = (0, Vec::new());
        for (account, order, at) in &self.complaints {
            let of_account = |planted: &&Planted| planted.met.get(account).is_some_and(|met| met < at);
            let Some(cause) = self
                .planted
                .iter()
                .filter(of_account)
                .find(|planted| order.is_empty() || planted.orders.contains(order))
            else {
                continue;
            };
            complaints += 1;
            let told = self.mails.iter().filter(|mail| {
                mail.1 == *account
                    && self.is_true(mail)
                    && self.problem_of(mail.0).is_some_and(|planted| std::ptr::eq(planted, cause))
            });
            leads.extend(told.map(|mail| at - mail.2).max().filter(|lead| *lead > 0));
        }
        leads.sort_unstable();
        (complaints, leads)
    }
}

/// The customers' mails. Which ticket a mail is about is in its identity.
fn mails(folder: &Path, tickets: &[Value]) -> Vec<(usize, String, i64, bool)> {
    let accounts: BTreeMap<String, String> = read_lines(&folder.join("customers.jsonl"))
        .iter()
        .map(|customer| (text(customer, "email").to_owned(), text(customer, "account_id").to_owned()))
        .collect();
    let mut mails = Vec::new();
    for mail in read_lines(&folder.join("mails.jsonl")) {
        let Some(account) = accounts.get(text(&mail, "to").trim_matches(['<', '>'])) else { continue };
        let id = text(&mail, "message_id").split('@').next().unwrap();
        for (place, ticket) in tickets.iter().enumerate() {
            let incident = IncidentId(u128::from_str_radix(text(ticket, "id"), 16).unwrap());
            for stage in [Stage::Opened, Stage::Recovered] {
                if NoticeId::of(incident, account, stage).to_string() == id {
                    mails.push((place, account.clone(), millis(&mail["at"]), stage == Stage::Opened));
                }
            }
        }
    }
    mails
}

/// The numbers in the line of the closing figures with this label, and in those that go on with it.
fn numbers(shown: &str, label: &str) -> Vec<i64> {
    let figures = shown.split("in figures").last().unwrap();
    let mut lines = figures.lines().skip_while(|line| !line.trim_start().starts_with(label));
    let first = lines.next().unwrap_or_else(|| panic!("no {label} in {shown}"));
    let more = lines.take_while(|line| line.starts_with("          "));
    let text: String = std::iter::once(first).chain(more).map(|line| format!("{line} ")).collect();
    text.split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[test]
fn the_closing_figures_of_the_demonstration_are_those_of_its_events() {
    let (temporary, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keep = kept.path().join("evening").display().to_string();
    let output = demo(&["--for", "45s", "--keep", &keep], temporary.path()).wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{shown}", String::from_utf8_lossy(&output.stderr));

    let parts = [
        "found  alipay in guangdong: ",
        "customers touched so far",
        "would complain at",
        "one of the mails",
        "the ticket, as staff see it",
        "was left alone",
        "in figures",
    ];
    let places: Vec<_> = parts.iter().map(|part| shown.find(part)).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{places:?} of {parts:?} in\n{shown}");

    let evening = Evening::read(Path::new(&keep));
    let begun = evening.planted.iter().filter(|planted| !planted.met.is_empty()).count() as i64;
    let problems = numbers(&shown, "problems");
    assert_eq!(problems[1] + problems.get(2).unwrap_or(&0), begun, "{shown}");
    let of_problem = |ticket: &usize| evening.problem_of(*ticket).is_some();
    let false_tickets = (0..evening.tickets.len()).filter(|ticket| !of_problem(ticket)).count();
    assert_eq!(
        numbers(&shown, "tickets"),
        [evening.tickets.len() as i64, false_tickets as i64],
        "{shown}\n{:#?}",
        evening.tickets
    );
    // Orders that were paid before the first event are delivered after it, among others.
    assert_eq!(false_tickets, 0, "{shown}");
    let (complaints, leads) = evening.coverage();
    assert!(complaints > 10, "{complaints}");
    assert_eq!(numbers(&shown, "coverage")[..2], [leads.len() as i64, complaints as i64], "{shown}");
    let lead = leads[leads.len() / 2] as f64 / MINUTE as f64;
    assert_eq!(numbers(&shown, "lead time"), [lead.round() as i64], "{shown}");
    let false_mails = evening.mails.iter().filter(|mail| !evening.is_true(mail)).count();
    assert_eq!(numbers(&shown, "false notices"), [false_mails as i64, evening.mails.len() as i64], "{shown}");
    assert_eq!(left_behind(temporary.path()), [""; 0]);
}

#[test]
fn ctrl_c_ends_the_demonstration_with_its_figures_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = demo(&["--seed", "2"], temporary.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("found  alipay in guangdong")).unwrap().unwrap();
    assert!(left_behind(temporary.path()).len() > 2, "a folder and three processes were expected");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let rest: String = lines.map(|line| format!("{}\n", line.unwrap())).collect();
    let status = child.wait().unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(status.success(), "{status}: {errors}");
    assert_eq!(numbers(&rest, "problems")[..2], [1, 1], "{rest}");
    // The broker has been killed and waited for; the system may take a moment to let go of what knew of the folder.
    until_within(PATIENCE, "everything to be gone", || match left_behind(temporary.path()) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}
