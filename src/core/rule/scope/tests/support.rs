//! A rule, events and a small world of shards around one owner.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::core::effect::Subject;
use crate::core::event::{Event, EventType, Symbol, TextField, TextSet, TypeSet};
use crate::core::rule::condition::Condition;
use crate::core::rule::scope::{Expected, Flatline, Partial, Ratio, ScopeCounter, ScopeJudge, Side};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::rule::{Detect, IncidentPolicy, Limit, OnRemove, Rule, RuleState, Severity, TicketPolicy};
use crate::core::time::{Span, Time};

pub fn at(seconds: i64) -> Time {
    Time::from_millis(seconds * 1_000)
}

pub fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// Failures among everything, above 20 % over five minutes.
pub fn ratio() -> Ratio {
    Ratio {
        of: Condition::TypeIn(TypeSet::of(EventType::OrderFailed)),
        among: Condition::Always,
        limit: Limit::One(decimal("0.2")),
        side: Side::Above,
        window: Span::from_mins(5),
        min_samples: 20,
        distinct: None,
        confidence: decimal("0.99"),
    }
}

pub fn flatline(fewer_than: u32, window: Span, expect: Expected) -> Detect {
    Detect::Flatline(Flatline { fewer_than: fewer_than.into(), window, expect, calendar: None })
}

pub fn rule(groups: &[&[TextField]], detect: Detect) -> Rule {
    Rule {
        name: "scope".into(),
        summary: String::new(),
        owner: String::new(),
        state: RuleState::Active,
        version: 1,
        topics: TypeSet::ALL,
        filter: Condition::Always,
        groups: groups.iter().map(|group| group.to_vec()).collect(),
        detect,
        except: Vec::new(),
        pending: Span::ZERO,
        keep_firing: Span::from_mins(5),
        grace: Span::from_secs(5),
        lateness: Span::from_mins(2),
        incident: IncidentPolicy {
            cooldown: Span::ZERO,
            cooldown_max: Span::ZERO,
            resolve_when: None,
            resolve_on: Vec::new(),
            close_after: Span::ZERO,
            covered_by: Vec::new(),
            wait: Span::ZERO,
            on_remove: OnRemove::Resolve,
        },
        ticket: TicketPolicy {
            category: String::new(),
            department: String::new(),
            severity: Severity::High,
            sla: "normal".into(),
        },
        notice: None,
        compensation: None,
        action: None,
        runbook: None,
        kept: TextSet::ALL,
    }
}

/// An order of an account through a channel, and where it was from.
#[derive(Clone, Debug)]
pub struct Order {
    pub millis: i64,
    pub account: u32,
    pub channel: &'static str,
    pub region: &'static str,
    pub product: &'static str,
    pub failed: bool,
}

impl Order {
    pub fn event(&self) -> Event<'static> {
        let event_type = if self.failed { EventType::OrderFailed } else { EventType::OrderPaid };
        let mut event = Event::new(event_type, Time::from_millis(self.millis));
        let texts = [
            (TextField::AccountId, format!("a{}", self.account)),
            (TextField::OrderId, format!("o{}-{}", self.millis, self.account)),
            (TextField::Channel, self.channel.into()),
            (TextField::Region, self.region.into()),
            (TextField::Product, self.product.into()),
        ];
        for (field, text) in texts {
            event.set_text(field, text.into());
            event.symbolize(TextSet::of(field));
        }
        event
    }
}

/// The shards and the owner of one rule.
pub struct World {
    pub rule: Rule,
    pub counters: Vec<ScopeCounter>,
    pub judge: ScopeJudge,
    pub said: Vec<Judged>,
    /// What the checkpoints hold so far: one map per shard, and the owner's.
    stored: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl World {
    pub fn new(rule: Rule, shards: u32) -> Self {
        let counters = (0..shards).map(|_| ScopeCounter::new(&rule).expect("a scope rule")).collect();
        let judge = ScopeJudge::new(&rule).expect("a scope rule");
        let stored = vec![BTreeMap::new(); shards as usize + 1];
        Self { rule, counters, judge, said: Vec::new(), stored }
    }

    pub fn observe(&mut self, order: &Order, settled: Time, late: bool) -> Vec<Symbol> {
        self.observe_event(order.account, &order.event(), settled, late)
    }

    /// Takes an event of an account.
    pub fn observe_event(
        &mut self,
        account: u32,
        event: &Event<'_>,
        settled: Time,
        late: bool,
    ) -> Vec<Symbol> {
        let shard = account as usize % self.counters.len();
        let moment = Moment { settled, now: event.time, late };
        self.counters[shard].observe(event, moment).to_vec()
    }

    /// Everything is handed over and judged.
    pub fn judge(&mut self, passed: Time, settled: Time) {
        for (shard, counter) in (0u32..).zip(&mut self.counters) {
            let judge = &mut self.judge;
            counter.flush(&mut |fields: &Subject, partial: Partial<'_>| judge.merge(shard, fields, partial));
            counter.sweep(Moment { settled, now: passed, late: false });
        }
        self.judge.judge(passed, settled, &mut self.said);
    }

    /// Orders that come in the order of their times, judged at every second.
    pub fn run(&mut self, orders: &[Order], until: i64) {
        let mut orders = orders.to_vec();
        orders.sort_by_key(|order| order.millis);
        let mut next = 0;
        let start = orders.first().map_or(0, |order| order.millis / 1_000);
        for second in start..=until {
            while let Some(order) = orders.get(next).filter(|order| order.millis <= second * 1_000) {
                self.observe(order, at(second - 120), false);
                next += 1;
            }
            self.judge(at(second), at(second - 120));
        }
    }

    /// Stores what changed, and goes on with what was read back.
    pub fn restart(&mut self) {
        for (index, stored) in self.stored.iter_mut().enumerate() {
            let mut sink = |key: &[u8], value: Option<&[u8]>| {
                match value {
                    Some(value) => stored.insert(key.to_vec(), value.to_vec()),
                    None => Some(stored.remove(key).expect("only what was stored is removed")),
                };
            };
            match self.counters.get_mut(index) {
                Some(counter) => counter.drain_changes(&mut sink),
                None => self.judge.drain_changes(&mut sink),
            }
        }
        let (owner, shards) = self.stored.split_last().expect("an owner");
        self.counters = shards
            .iter()
            .map(|stored| {
                let mut counter = ScopeCounter::new(&self.rule).expect("a scope rule");
                stored.iter().for_each(|(key, value)| counter.restore(key, value).expect("it reads back"));
                counter
            })
            .collect();
        self.judge = ScopeJudge::new(&self.rule).expect("a scope rule");
        owner.iter().for_each(|(key, value)| self.judge.restore(key, value).expect("it reads back"));
    }

    /// What was said, readable: subject, verdict and second.
    pub fn lines(&self) -> Vec<String> {
        self.said.iter().map(|judged| self.line(judged)).collect()
    }

    fn line(&self, judged: &Judged) -> String {
        let name = |symbol| match self.judge.subject_fields(symbol) {
            Some(fields) => fields.0.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("/"),
            None => "gone".into(),
        };
        let subject = name(judged.subject);
        let seconds = |time: Time| time.as_millis() / 1_000;
        match judged.verdict {
            Verdict::Found { since, evidence } => {
                format!("{subject} found {} {:.2} of {}", seconds(since), evidence.value, evidence.samples)
            }
            Verdict::Withdrawn { since } => format!("{subject} withdrawn {}", seconds(since)),
            Verdict::Cleared { at, healthy } => {
                format!("{subject} {} {}", if healthy { "healthy" } else { "quiet" }, seconds(at))
            }
            Verdict::Joined { into, at } => format!("{subject} joined {} {}", name(into), seconds(at)),
            Verdict::Resolved { at } => format!("{subject} resolved {}", seconds(at)),
        }
    }

    /// Only the first finding of each stretch, and everything else.
    pub fn changes(&self) -> Vec<String> {
        let mut open = std::collections::BTreeSet::new();
        let mut lines = Vec::new();
        for judged in &self.said {
            let first = match judged.verdict {
                Verdict::Found { .. } => open.insert(judged.subject),
                Verdict::Cleared { .. } | Verdict::Joined { .. } => {
                    open.remove(&judged.subject);
                    true
                }
                _ => true,
            };
            if first {
                lines.push(self.line(judged));
            }
        }
        lines
    }

    /// The findings that stand.
    pub fn settled_findings(&self) -> Vec<(Time, Symbol)> {
        let mut findings = std::collections::BTreeSet::new();
        for judged in &self.said {
            match judged.verdict {
                Verdict::Found { since, .. } => {
                    assert!(findings.insert((since, judged.subject)), "found twice: {}", self.line(judged));
                }
                Verdict::Withdrawn { since } => {
                    assert!(findings.remove(&(since, judged.subject)), "never found: {}", self.line(judged));
                }
                Verdict::Joined { at, .. } => {
                    findings.remove(&(at, judged.subject));
                }
                _ => {}
            }
        }
        findings.into_iter().collect()
    }
}
