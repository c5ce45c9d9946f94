//! What the daemon tells Prometheus: names, help, labels, and how each figure is brought in.
//!
//! Names begin with `forewarn_` and end with their base unit. Every set of labels is fixed and made at the start, so that
//! a series exists before the first thing happens; none holds anything about a person. What others count for themselves
//! is brought in as running totals.

mod families;
mod reload;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use crate::core::effect::{EffectKind, TicketStep};
use crate::core::engine::EngineFigures;
use crate::core::event::decode::RejectReason;
use crate::core::event::faults::UnknownFaults;
use crate::core::event::{EventType, Topic};
use crate::core::rule::{RuleSet, RuleState};
use crate::core::time::Time;
use crate::delivery::notice::{Decision, HoldReason};
use crate::delivery::store::{Applied, Planned, StoreFigures};
use crate::settings::build;
use families::Maker;
use reload::Reloads;

/// What becomes of an event that could be read, in the order in which workers count it.
pub const RESULTS: [&str; 3] = ["fresh", "late", "duplicate"];
const STEPS: [&str; 7] = ["opened", "updated", "reopened", "escalated", "resolved", "withdrawn", "merged"];
/// How an attempt to hand a message to the mail server ends.
const SENDINGS: [&str; 7] = ["sent", "unknown", "retried", "failed", "held", "expired", "cancelled"];
/// Codes that fit no pattern of the fault table; the ones above this are counted as `other`.
const UNKNOWN_CODES: usize = 200;

/// All families. It is shared; every figure can be brought in from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    records: IntCounter,
    record_bytes: IntCounter,
    events: IntCounterVec,
    rejected: IntCounterVec,
    unknown_faults: IntCounterVec,
    lag: IntGaugeVec,
    assigned: IntGauge,
    partitions: IntGauge,
    held_bytes: IntGauge,
    overrun: IntCounter,
    dead_letters_waiting: IntGauge,
    kafka_problems: IntCounterVec,
    kafka_up: IntGauge,
    rules: IntGaugeVec,
    rule_subjects: IntGaugeVec,
    rule_bytes: IntGaugeVec,
    findings: IntCounterVec,
    state_bytes: IntGauge,
    duplicates_held: IntGauge,
    open_incidents: IntGauge,
    detection: Histogram,
    tickets: IntCounterVec,
    opened: IntCounterVec,
    notices: IntCounterVec,
    messages: IntCounterVec,
    messages_held: IntGaugeVec,
    messages_unknown: IntGauge,
    outbox: IntGauge,
    outbox_age: GaugeVec,
    smtp: Histogram,
    database: Histogram,
    database_up: IntGauge,
    effects_repeated: IntCounter,
    incidents_superseded: IntCounter,
    retries: IntCounterVec,
    checkpoints: IntCounter,
    snapshot_age: GaugeVec,
    snapshot_bytes: IntCounter,
    reload: Reloads,
    loaded: IntGaugeVec,
    loaded_at: IntGaugeVec,
}

/// What a worker has read and how it stands; counts are totals since its start.
#[derive(Clone, Debug, Default)]
pub struct Reading<'w> {
    pub records: u64,
    pub bytes: u64,
    /// By event type, in the order of [`RESULTS`].
    pub events: &'w [[u64; 3]],
    pub rejected: BTreeMap<&'static str, u64>,
    /// Records that were not read yet, by topic and partition.
    pub lag: &'w [(Topic, u32, i64)],
    /// Partitions that are ours, and all.
    pub assigned: (usize, usize),
    pub held_bytes: usize,
    pub overrun: u64,
    pub dead_letters_waiting: usize,
    pub problems: KafkaProblems,
    pub kafka_up: bool,
    pub database_up: bool,
    pub checkpoints: u64,
    pub snapshot_bytes: u64,
    pub snapshot_age: Option<Duration>,
}

/// What went wrong with Kafka, since the worker's start.
#[derive(Clone, Copy, Debug, Default)]
pub struct KafkaProblems {
    pub rebalances: u64,
    pub errors: u64,
    pub out_of_range: u64,
    pub rebuilt: u64,
    pub failed_commits: u64,
}

/// What is waited for before it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    Database,
    Smtp,
    Kafka,
}

impl Retried {
    const ALL: [Self; 3] = [Self::Database, Self::Smtp, Self::Kafka];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Smtp => "smtp",
            Self::Kafka => "kafka",
        }
    }
}

/// What is read at the start, and again when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    Config,
    Rules,
    Customers,
    /// The location files.
    Geo,
}

impl Loaded {
    const ALL: [Self; 4] = [Self::Config, Self::Rules, Self::Customers, Self::Geo];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Rules => "rules",
            Self::Customers => "customers",
            Self::Geo => "geo",
        }
    }
}

impl Metrics {
    /// Makes all families in a registry, with the series of the rules that are loaded.
    #[expect(clippy::too_many_lines, reason = "one line for each family, in one place to look them up")]
    pub fn new(registry: Registry, rules: &RuleSet) -> prometheus::Result<Self> {
        let make = Maker::new(&registry);
        let metrics = Self {
            records: make.counter("forewarn_records_total", "Records read from Kafka.")?,
            record_bytes: make.counter("forewarn_record_bytes_total", "Bytes of the records read from Kafka.")?,
            events: make.counters(
                "forewarn_events_total",
                "Events that could be read, by type and by what became of them.",
                &["type", "result"],
            )?,
            rejected: make.counters(
                "forewarn_records_rejected_total",
                "Records that are no event and went to the dead-letter topic, by reason.",
                &["reason"],
            )?,
            unknown_faults: make.counters(
                "forewarn_unknown_faults_total",
                "Failures whose error code fits no pattern of the fault table, by code.",
                &["code"],
            )?,
            lag: make.gauges(
                "forewarn_lag_records",
                "Records in Kafka that were not read yet.",
                &["topic", "partition"],
            )?,
            assigned: make.gauge("forewarn_partitions_assigned", "Partitions of which this process is in charge.")?,
            partitions: make.gauge("forewarn_partitions", "Partitions of a topic keyed by account.")?,
            held_bytes: make.gauge(
                "forewarn_held_bytes",
                "Bytes of records that wait because their partition is ahead of the others.",
            )?,
            overrun: make.counter(
                "forewarn_records_overrun_total",
                "Records judged out of turn because too many bytes were waiting.",
            )?,
            dead_letters_waiting: make.gauge(
                "forewarn_dead_letters_waiting",
                "Dead letters that Kafka has not taken yet.",
            )?,
            kafka_problems: make.counters(
                "forewarn_kafka_problems_total",
                "What went wrong with Kafka, by kind. out_of_range means lost records.",
                &["kind"],
            )?,
            kafka_up: make.gauge("forewarn_kafka_up", "Whether the cluster answers.")?,
            rules: make.gauges("forewarn_rules", "Rules that are loaded, by state.", &["state"])?,
            rule_subjects: make.gauges("forewarn_rule_subjects", "Subjects that a rule holds.", &["rule"])?,
            rule_bytes: make.gauges("forewarn_rule_state_bytes", "Memory that a rule's state takes.", &["rule"])?,
            findings: make.counters("forewarn_findings_total", "Findings, by rule.", &["rule"])?,
            state_bytes: make.gauge("forewarn_state_bytes", "Memory that the whole state takes.")?,
            duplicates_held: make.gauge(
                "forewarn_duplicates_held",
                "Events remembered so that their repetition is noticed.",
            )?,
            open_incidents: make.gauge("forewarn_incidents_open", "Incidents that are open.")?,
            detection: make.histogram(
                "forewarn_detection_latency_seconds",
                "From the record in Kafka that led to an effect to the effect's row in the database.",
                &LATENCIES,
            )?,
            tickets: make.counters("forewarn_ticket_steps_total", "Steps in the lives of tickets.", &["step"])?,
            opened: make.counters(
                "forewarn_tickets_opened_total",
                "Tickets that were opened, by rule and by the state of the rule: shadow means that staff do not see them.",
                &["rule", "state"],
            )?,
            notices: make.counters(
                "forewarn_notices_total",
                "Messages to customers, by decision: send, or the reason to hold them.",
                &["decision"],
            )?,
            messages: make.counters(
                "forewarn_messages_total",
                "Messages that were to be handed to the mail server, by how that ended.",
                &["result"],
            )?,
            messages_held: make.gauges("forewarn_messages_held", "Messages held, by reason.", &["reason"])?,
            messages_unknown: make.gauge(
                "forewarn_messages_unknown",
                "Messages handed over whose reception was never confirmed.",
            )?,
            outbox: make.gauge("forewarn_outbox_messages", "Messages that wait to be sent.")?,
            outbox_age: make.seconds("forewarn_outbox_oldest_age_seconds", "Age of the oldest message that waits.")?,
            smtp: make.histogram(
                "forewarn_smtp_duration_seconds",
                "Time that one message took with the mail server.",
                &LATENCIES,
            )?,
            database: make.histogram(
                "forewarn_database_duration_seconds",
                "Time that writing one batch of effects took.",
                &LATENCIES,
            )?,
            database_up: make.gauge("forewarn_database_up", "Whether the database can be written to.")?,
            effects_repeated: make.counter(
                "forewarn_effects_repeated_total",
                "Effects that were written before and changed nothing, as after a restart.",
            )?,
            incidents_superseded: make.counter(
                "forewarn_incidents_superseded_total",
                "Open incidents that gave way to another of the same subject. More than none means that state was lost.",
            )?,
            retries: make.counters("forewarn_retries_total", "Attempts that were repeated.", &["what"])?,
            checkpoints: make.counter("forewarn_checkpoints_total", "Checkpoints that were completed.")?,
            snapshot_age: make.seconds("forewarn_snapshot_age_seconds", "Time since the last complete checkpoint.")?,
            snapshot_bytes: make.counter("forewarn_snapshot_bytes_total", "Bytes written to the snapshot.")?,
            reload: Reloads::new(&make)?,
            loaded: make.gauges(
                "forewarn_last_load_successful",
                "Whether the last reading of the configuration, the rules or the customers succeeded.",
                &["what"],
            )?,
            loaded_at: make.gauges(
                "forewarn_last_load_success_timestamp_seconds",
                "When the configuration, the rules or the customers were last read with success.",
                &["what"],
            )?,
            registry: registry.clone(),
        };
        let about = make.gauges(
            "forewarn_build_info",
            "What this program was built from; always 1.",
            &["version", "revision", "rustc"],
        )?;
        about.with_label_values(&[build::VERSION, build::REVISION, build::RUSTC]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        metrics.prepare();
        metrics.set_rules(rules);
        Ok(metrics)
    }

    /// Makes every series whose labels are known beforehand.
    fn prepare(&self) {
        for event_type in EventType::ALL {
            for result in RESULTS {
                self.events.with_label_values(&[event_type.as_str(), result]);
            }
        }
        for reason in RejectReason::ALL {
            self.rejected.with_label_values(&[reason.as_str()]);
        }
        for code in ["none", "other"] {
            self.unknown_faults.with_label_values(&[code]);
        }
        for step in STEPS {
            self.tickets.with_label_values(&[step]);
        }
        self.notices.with_label_values(&["send"]);
        for reason in HoldReason::ALL {
            self.notices.with_label_values(&[reason.as_str()]);
            self.messages_held.with_label_values(&[reason.as_str()]);
        }
        for result in SENDINGS {
            self.messages.with_label_values(&[result]);
        }
        for what in Retried::ALL {
            self.retries.with_label_values(&[what.as_str()]);
        }
        for what in Loaded::ALL {
            self.loaded.with_label_values(&[what.as_str()]);
            self.loaded_at.with_label_values(&[what.as_str()]);
        }
        for (kind, _) in KafkaProblems::default().by_kind() {
            self.kafka_problems.with_label_values(&[kind]);
        }
    }

    /// The rules have changed.
    pub fn set_rules(&self, rules: &RuleSet) {
        self.rule_subjects.reset();
        self.rule_bytes.reset();
        let mut states = BTreeMap::from([("active", 0), ("shadow", 0), ("paused", 0)]);
        for rule in &rules.rules {
            let state = match rule.state {
                RuleState::Active => "active",
                RuleState::Shadow => "shadow",
                RuleState::Paused => "paused",
            };
            *states.entry(state).or_insert(0) += 1;
            self.rule_subjects.with_label_values(&[rule.name.as_str()]);
            self.rule_bytes.with_label_values(&[rule.name.as_str()]);
            self.findings.with_label_values(&[rule.name.as_str()]);
            if rule.state != RuleState::Paused {
                self.opened.with_label_values(&[rule.name.as_str(), state]);
            }
        }
        for (state, count) in states {
            self.rules.with_label_values(&[state]).set(count);
        }
    }

    /// What a worker has read. One process has one worker.
    pub fn set_reading(&self, reading: &Reading<'_>) {
        raise(&self.records, reading.records);
        raise(&self.record_bytes, reading.bytes);
        for (event_type, counts) in EventType::ALL.into_iter().zip(reading.events) {
            for (result, total) in RESULTS.into_iter().zip(counts) {
                raise(&self.events.with_label_values(&[event_type.as_str(), result]), *total);
            }
        }
        for (reason, total) in &reading.rejected {
            raise(&self.rejected.with_label_values(&[reason]), *total);
        }
        for (kind, total) in reading.problems.by_kind() {
            raise(&self.kafka_problems.with_label_values(&[kind]), total);
        }
        // Partitions that were given away must not stand there with their last lag.
        self.lag.reset();
        for (topic, partition, lag) in reading.lag {
            self.lag.with_label_values(&[topic.as_str(), partition.to_string().as_str()]).set(*lag);
        }
        self.assigned.set(whole(reading.assigned.0));
        self.partitions.set(whole(reading.assigned.1));
        self.held_bytes.set(whole(reading.held_bytes));
        raise(&self.overrun, reading.overrun);
        self.dead_letters_waiting.set(whole(reading.dead_letters_waiting));
        self.kafka_up.set(i64::from(reading.kafka_up));
        self.database_up.set(i64::from(reading.database_up));
        raise(&self.checkpoints, reading.checkpoints);
        raise(&self.snapshot_bytes, reading.snapshot_bytes);
        if let Some(age) = reading.snapshot_age {
            families::set_seconds(&self.snapshot_age, age);
        }
    }

    pub fn set_engine(&self, figures: &EngineFigures) {
        for rule in &figures.rules {
            let name = [rule.name.as_str()];
            self.rule_subjects.with_label_values(&name).set(whole(rule.subjects));
            self.rule_bytes.with_label_values(&name).set(whole(rule.bytes));
            raise(&self.findings.with_label_values(&name), rule.findings);
        }
        self.state_bytes.set(whole(figures.bytes));
        self.duplicates_held.set(whole(figures.duplicates_held));
    }

    pub fn set_store(&self, figures: &StoreFigures, now: Time) {
        self.outbox.set(i64::try_from(figures.outbox_depth).unwrap_or(i64::MAX));
        let age = figures.outbox_oldest.map_or(0, |oldest| now.since(oldest).as_millis().max(0));
        families::set_seconds(&self.outbox_age, Duration::from_millis(age.unsigned_abs()));
        for reason in HoldReason::ALL {
            let count = figures.held.get(reason.as_str()).copied().unwrap_or(0);
            self.messages_held
                .with_label_values(&[reason.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.messages_unknown.set(i64::try_from(figures.unknown).unwrap_or(i64::MAX));
        self.open_incidents.set(i64::try_from(figures.open_incidents).unwrap_or(i64::MAX));
    }

    /// Effects were written. `waited`: since the record that led to the first of them was stored in Kafka.
    pub fn note_written(
        &self,
        planned: &[Planned],
        applied: Applied,
        took: Duration,
        waited: Option<Duration>,
    ) {
        self.database.observe(took.as_secs_f64());
        if let Some(waited) = waited {
            self.detection.observe(waited.as_secs_f64());
        }
        self.effects_repeated.inc_by(applied.repeated);
        self.incidents_superseded.inc_by(applied.superseded);
        for planned in planned {
            if let EffectKind::Ticket { step, snapshot, .. } = &planned.effect.kind {
                self.tickets.with_label_values(&[step_label(*step)]).inc();
                if *step == TicketStep::Opened {
                    let state = if snapshot.shadow { "shadow" } else { "active" };
                    self.opened.with_label_values(&[planned.effect.rule.as_str(), state]).inc();
                }
            }
            match &planned.decision {
                Some(Decision::Send { .. }) => self.notices.with_label_values(&["send"]).inc(),
                Some(Decision::Held { reason, .. }) => {
                    self.notices.with_label_values(&[reason.as_str()]).inc();
                }
                None => {}
            }
        }
    }

    /// An attempt to hand a message to the mail server has ended, in one of the ways that have a label.
    pub fn note_sent(&self, result: &'static str, took: Option<Duration>) {
        self.messages.with_label_values(&[result]).inc();
        if let Some(took) = took {
            self.smtp.observe(took.as_secs_f64());
        }
    }

    /// Failures with unknown faults since the last call.
    pub fn note_unknown_faults(&self, faults: &UnknownFaults, codes: &mut CodeLabels) {
        for (code, count) in &faults.by_code {
            self.unknown_faults.with_label_values(&[codes.label(code)]).inc_by(*count);
        }
        self.unknown_faults.with_label_values(&["other"]).inc_by(faults.other_codes);
        self.unknown_faults.with_label_values(&["none"]).inc_by(faults.without_code);
    }

    pub fn note_retry(&self, what: Retried) {
        self.retries.with_label_values(&[what.as_str()]).inc();
    }

    /// The configuration, the rules or the customers were read, with success or without.
    pub fn note_load(&self, what: Loaded, succeeded: bool, now: Time) {
        self.loaded.with_label_values(&[what.as_str()]).set(i64::from(succeeded));
        if what == Loaded::Rules {
            self.reload.note(succeeded, now);
        }
        if succeeded {
            self.loaded_at.with_label_values(&[what.as_str()]).set(now.as_millis().div_euclid(1_000));
        }
    }

    /// How changes of the rules stand.
    pub fn set_reloads(&self, warming: usize, last: Option<Duration>, longest: Duration) {
        self.reload.set(warming, last, longest);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// Codes that have a series of their own. Whoever invents error codes must not invent series without end.
#[derive(Clone, Debug, Default)]
pub struct CodeLabels {
    known: std::collections::BTreeSet<String>,
}

impl CodeLabels {
    fn label<'c>(&mut self, code: &'c str) -> &'c str {
        if !self.known.contains(code) {
            if self.known.len() >= UNKNOWN_CODES {
                return "other";
            }
            self.known.insert(code.to_owned());
        }
        code
    }
}

impl KafkaProblems {
    const fn by_kind(self) -> [(&'static str, u64); 5] {
        [
            ("rebalance", self.rebalances),
            ("error", self.errors),
            ("out_of_range", self.out_of_range),
            ("rebuilt", self.rebuilt),
            ("failed_commit", self.failed_commits),
        ]
    }
}

/// From a millisecond, which is what a local database takes, to a backlog's minutes.
const LATENCIES: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

const fn step_label(step: TicketStep) -> &'static str {
    match step {
        TicketStep::Opened => "opened",
        TicketStep::Updated => "updated",
        TicketStep::Reopened => "reopened",
        TicketStep::Escalated => "escalated",
        TicketStep::Resolved(_) => "resolved",
        TicketStep::Withdrawn => "withdrawn",
        TicketStep::Merged(_) => "merged",
    }
}

/// Brings a counter up to a total that somebody else keeps.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
