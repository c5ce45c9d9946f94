//! What happens on the platform, and which rules watch it: drawn from the seed, and the same with and without faults.

use std::sync::Arc;

use crate::core::event::Topic;
use crate::core::rule::RuleSet;
use crate::core::rule::parse::{LoadOptions, load};
use crate::core::rule::table::testing::Random;

/// When it begins, in milliseconds since 1970.
pub const START: i64 = 1_790_856_000_000;
/// What happens on the platform happens within so much time.
const LENGTH: i64 = 300_000;
/// How late an event may be in all rules.
const LATENESS: i64 = 30_000;

/// One of each way of judging: by account, summed over partitions, re-keyed, by absence, by order of events in two topics.
const RULES: &str = r#"
name: channel-drop
summary: A channel fails
topics: orders
slices: [[channel]]
lateness: 30s
detect:
  kind: ratio
  of: 'type == "order.failed"'
  among: 'type in ["order.paid", "order.failed"]'
  above: 30%
  window: 2m
  min_samples: 6
  confidence: 80%
keep_firing_for: 40s
incident: { cooldown: 90s }
notice: { template: channel_trouble, to: affected, recovered: trouble_over }
---
name: keeps-failing
summary: An account fails again and again
topics: orders
group_by: [account_id]
lateness: 30s
detect:
  kind: frequency
  count: 'type == "order.failed"'
  at_least: 3
  window: 2m
  unless: 'type == "order.delivered"'
incident: { cooldown: 1m, covered_by: [channel-drop], wait: 20s, resolve_when: 'type == "order.delivered"' }
notice: { template: topup_failing, to: account, recovered: trouble_over }
---
name: new-address
summary: A device shows an address that it has not shown
topics: logins
group_by: [device_id]
lateness: 30s
detect: { kind: new_term, fields: [ip], window: 1d, min_history: 2 }
incident: { cooldown: 1m, close_after: 90s }
notice: { template: login_guessed, to: affected, corrected: delivery_was_fine }
---
name: not-delivered
summary: Paid, and nothing came
topics: orders
group_by: [order_id]
lateness: 30s
detect:
  kind: deadline
  key: order_id
  start: 'type == "order.paid"'
  end: 'type in ["order.delivered", "order.failed"]'
  within: 50s
incident: { cooldown: 1m, close_after: 2m }
notice: { template: delivery_late, to: account, recovered: delivery_done, corrected: delivery_was_fine }
---
name: taken-over
summary: The account was changed, then something was bought
topics: [logins, orders]
group_by: [account_id]
lateness: 30s
detect:
  kind: sequence
  within: 2m
  steps:
    - { name: change, when: 'type == "account.payee_changed"' }
    - { name: order, when: 'type == "order.created"' }
incident: { cooldown: 1m, close_after: 90s }
notice: { template: account_takeover, to: account }
"#;

pub fn rules() -> Arc<RuleSet> {
    let loaded = load(RULES, "simulation.yaml", &LoadOptions::default()).expect("the rules can be read");
    Arc::new(RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect()))
}

/// A record in a partition.
#[derive(Clone, Debug)]
pub struct Produced {
    /// When it is there to be read; also Kafka's time of it.
    pub at: i64,
    pub payload: String,
    /// It holds no event.
    pub unreadable: bool,
}

/// One partition of one topic, in the order of its offsets.
#[derive(Clone, Debug)]
pub struct Partition {
    pub topic: Topic,
    pub number: u32,
    pub records: Vec<Produced>,
}

impl Partition {
    /// The offset after the last record that is there at a time.
    pub fn end(&self, now: i64) -> i64 {
        self.records.partition_point(|record| record.at <= now) as i64
    }
}

pub const TOPICS: [Topic; 2] = [Topic::Orders, Topic::Logins];

/// The platform's records, and until when they come.
#[derive(Clone, Debug)]
pub struct Platform {
    pub partitions: Vec<Partition>,
    pub shards: u32,
    pub last: i64,
}

struct Draw {
    random: Random,
    shards: u32,
    partitions: Vec<Partition>,
    events: usize,
}

impl Platform {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shards = random.between(2, 4) as u32;
        let partition = |topic: Topic, number| Partition { topic, number, records: Vec::new() };
        let partitions =
            TOPICS.iter().flat_map(|topic| (0..shards).map(move |number| partition(*topic, number)));
        let partitions = partitions.collect();
        let mut draw = Draw { random, shards, partitions, events: 0 };
        draw.orders();
        draw.logins();
        draw.noise();
        let Draw { mut partitions, .. } = draw;
        for partition in &mut partitions {
            partition.records.sort_by_key(|record| record.at);
        }
        let last = partitions.iter().flat_map(|partition| &partition.records).map(|record| record.at).max();
        Self { partitions, shards, last: last.unwrap_or(START) }
    }

    /// All records in the order in which they arrive.
    pub fn show(&self) -> String {
        let mut lines = Vec::new();
        for Partition { topic, number, records } in &self.partitions {
            for (offset, Produced { at, payload, .. }) in records.iter().enumerate() {
                let arrives = at - START;
                lines.push((*at, format!("{arrives:>7} ms {} {number} {offset}: {payload}", topic.as_str())));
            }
        }
        lines.sort();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }
}

impl Draw {
    /// Puts an event where its account's events are, a little after it has happened, and now and then twice.
    fn produce(&mut self, topic: Topic, account: i64, at: i64, fields: &str) {
        self.events += 1;
        let payload = format!(
            r#"{{"id":"e{}","time":{},"account_id":"a{account}",{fields}}}"#,
            self.events,
            START + at
        );
        let delay = match self.random.below(20) {
            0 => self.random.below(LATENESS),
            1..5 => self.random.below(5_000),
            _ => self.random.below(500),
        };
        let arrived = START + at + delay;
        let record = Produced { at: arrived, payload, unreadable: false };
        let again = self.random.percent(4).then(|| arrived + self.random.below(10_000));
        let number = account as u32 % self.shards;
        let found = self.partitions.iter_mut();
        let Some(partition) =
            found.into_iter().find(|partition| partition.topic == topic && partition.number == number)
        else {
            return;
        };
        partition.records.extend(again.map(|at| Produced { at, ..record.clone() }));
        partition.records.push(record);
    }

    fn orders(&mut self) {
        let mut outages: Vec<(i64, i64)> =
            (0..2).map(|channel| (channel, self.random.below(LENGTH - 100_000))).collect();
        outages.truncate(if self.random.percent(50) { 2 } else { 1 });
        for order in 0..self.random.between(35, 70) {
            let at = self.random.below(LENGTH);
            let at = match outages.first() {
                // More than enough for the share to be beyond doubt.
                Some((_, begin)) if self.random.percent(30) => begin + self.random.below(80_000),
                _ => at,
            };
            let (account, channel) = (self.random.below(8), self.random.below(2));
            let fails = outages
                .iter()
                .any(|(failing, begin)| *failing == channel && (*begin..*begin + 80_000).contains(&at));
            let named = format!(r#""order_id":"o{order}","channel":"c{channel}","kind":"topup""#);
            self.produce(Topic::Orders, account, at, &format!(r#""type":"order.created",{named}"#));
            let failing = if fails { 85 } else { 12 };
            if self.random.percent(failing) {
                let fields = format!(r#""type":"order.failed","error_code":"CHANNEL_TIMEOUT",{named}"#);
                for retry in 0..self.random.between(1, 3) {
                    self.produce(Topic::Orders, account, at + 2_000 + retry * 9_000, &fields);
                }
                continue;
            }
            self.produce(Topic::Orders, account, at + 3_000, &format!(r#""type":"order.paid",{named}"#));
            if self.random.percent(88) {
                let slow = self.random.percent(12);
                let after = if slow { 45_000 + self.random.below(30_000) } else { 4_000 };
                self.produce(
                    Topic::Orders,
                    account,
                    at + 3_000 + after,
                    &format!(r#""type":"order.delivered",{named}"#),
                );
            }
        }
    }

    fn logins(&mut self) {
        for _ in 0..self.random.between(15, 30) {
            let (at, account) = (self.random.below(LENGTH), self.random.below(8));
            let device = self.random.below(3);
            let ip = self.random.below(6);
            let what = match self.random.below(6) {
                0 | 1 => "account.payee_changed",
                2 | 3 => "login.failed",
                _ => "login.succeeded",
            };
            let fields = format!(r#""type":"{what}","device_id":"d{device}","ip":"10.0.0.{ip}""#);
            self.produce(Topic::Logins, account, at, &fields);
        }
    }

    /// What nobody can read.
    fn noise(&mut self) {
        for number in 0..self.random.below(4) {
            let place = self.random.below(self.partitions.len() as i64) as usize;
            let at = START + self.random.below(LENGTH);
            if let Some(partition) = self.partitions.get_mut(place) {
                let payload = format!("{{\"id\":\"broken{number}");
                partition.records.push(Produced { at, payload, unreadable: true });
            }
        }
    }
}
