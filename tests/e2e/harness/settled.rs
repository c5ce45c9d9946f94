//! What remains once everything is settled: incidents as (rule, subject, span), and who was told of what. The same
//! from `replay` and from the daemon's database, so that the two can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::store;

#[derive(Clone, Debug, Default)]
pub struct Settled {
    pub incidents: Vec<Incident>,
    /// (rule, account, template) of every message about the beginning of trouble that it was decided to send. Whether
    /// it went out before the trouble was over depends on how fast time passes, which is not the same in both.
    pub told: BTreeSet<(String, String, String)>,
    /// Accounts told of an incident that was withdrawn afterwards.
    pub corrected: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incident {
    pub rule: String,
    pub subject: String,
    /// The first time, if it was opened again.
    pub opened: Timestamp,
    /// [`None`]: still open.
    pub end: Option<Timestamp>,
}

impl Incident {
    fn overlaps(&self, other: &Self) -> bool {
        let ends_before = |a: &Self, b: &Self| a.end.is_some_and(|end| end < b.opened);
        self.rule == other.rule
            && self.subject == other.subject
            && !ends_before(self, other)
            && !ends_before(other, self)
    }
}

impl Settled {
    /// From the lines of `replay --format json`.
    pub fn from_replay(output: &str) -> Self {
        let mut settled = Self::default();
        let mut open: BTreeMap<String, Incident> = BTreeMap::new();
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in output.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let time = |name: &str| text(name).parse::<Timestamp>().ok();
            let incident = text("incident");
            match line["effect"].as_str().unwrap_or_default() {
                "ticket.opened" => {
                    let opened = time("at").unwrap();
                    let subject = canonical(&line["subject"]);
                    open.insert(incident, Incident { rule: text("rule"), subject, opened, end: None });
                }
                "ticket.reopened" => {
                    if let Some(known) = open.get_mut(&incident) {
                        known.end = None;
                    }
                }
                // A ticket that is merged into another one is no incident of its own any more.
                "ticket.updated" if !line["merged_into"].is_null() => {
                    open.remove(&incident);
                }
                "ticket.resolved" => {
                    if let Some(known) = open.get_mut(&incident) {
                        known.end = time("at");
                    }
                }
                "ticket.withdrawn" => {
                    open.remove(&incident);
                    settled.corrected.extend(told.remove(&incident).unwrap_or_default());
                }
                "notice.sent" => {
                    told.entry(incident).or_default().push(text("account_id"));
                    if text("stage") == "opened" {
                        settled.told.insert((text("rule"), text("account_id"), text("template")));
                    }
                }
                _ => {}
            }
        }
        settled.incidents = open.into_values().collect();
        settled.incidents.sort();
        settled
    }

    /// From the daemon's database.
    pub fn from_database(database: &Path) -> Self {
        let rows = |query: &str| -> Vec<Vec<String>> {
            let rows = store::rows(database, query).unwrap();
            rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect()
        };
        let incidents = rows(
            "SELECT rule, subject, incidents.opened_at, ended_at FROM incidents JOIN tickets USING (id)
             WHERE merged_into IS NULL AND tickets.state <> 'withdrawn'",
        );
        let mut settled = Self {
            incidents: incidents
                .iter()
                .map(|row| Incident {
                    rule: row[0].clone(),
                    subject: canonical(&serde_json::from_str(&row[1]).unwrap()),
                    opened: instant(&row[2]).unwrap(),
                    end: instant(&row[3]),
                })
                .collect(),
            ..Self::default()
        };
        settled.incidents.sort();
        let told = "SELECT notices.rule, notices.account, notices.template, tickets.state
                    FROM notices JOIN tickets ON tickets.id = notices.origin
                    WHERE notices.account <> '' AND notices.stage = 'opened' AND notices.hold IS NULL";
        for row in rows(told) {
            if row[3] == "withdrawn" {
                settled.corrected.insert(row[1].clone());
            }
            settled.told.insert((row[0].clone(), row[1].clone(), row[2].clone()));
        }
        settled
    }

    /// Incidents of one that have no counterpart (rule, subject, overlapping span, a beginning no further away than
    /// this) in the other, both ways.
    pub fn differing_incidents(&self, other: &Self, within: SignedDuration) -> Vec<String> {
        let alone = |ours: &Self, theirs: &Self, which: &str| -> Vec<String> {
            let lonely = ours.incidents.iter().filter(|a| {
                let near = |b: &Incident| b.opened.duration_since(a.opened).abs() <= within;
                !theirs.incidents.iter().any(|b| a.overlaps(b) && near(b))
            });
            lonely.map(|incident| format!("only {which}: {incident:?}")).collect()
        };
        [alone(self, other, "left"), alone(other, self, "right")].concat()
    }

    /// Who was told of what on one side only, without those who were told of a finding that was then withdrawn.
    pub fn differing_messages(&self, other: &Self) -> Vec<String> {
        let corrected: BTreeSet<&String> = self.corrected.union(&other.corrected).collect();
        let only = |ours: &Self, theirs: &Self, which: &str| -> Vec<String> {
            let differing = ours.told.difference(&theirs.told).filter(|told| !corrected.contains(&told.1));
            differing.map(|told| format!("only {which}: {told:?}")).collect()
        };
        [only(self, other, "left"), only(other, self, "right")].concat()
    }
}

fn instant(column: &str) -> Option<Timestamp> {
    column.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

/// The subject with its fields in alphabetical order. The database keeps pairs, replay prints an object.
fn canonical(subject: &Value) -> String {
    let object = subject.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    let pairs = subject.as_array().into_iter().flatten().map(|pair| (pair[0].as_str().unwrap(), &pair[1]));
    let fields: BTreeMap<&str, &Value> = object.chain(pairs).collect();
    serde_json::to_string(&fields).unwrap()
}

/// The first of the differences, so that a failure can be read.
pub fn shown(differences: &[String]) -> String {
    let rest = differences.len().saturating_sub(20);
    let first: Vec<&str> = differences.iter().take(20).map(String::as_str).collect();
    format!("{}\n({rest} more)", first.join("\n"))
}
