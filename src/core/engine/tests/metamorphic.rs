//! What may be changed about a world without changing what a rule finds in it.
//!
//! Each kind is tried on worlds drawn at random, with options drawn at random. However the records of a world arrive, over
//! however many partitions, with whatever restarts in between, and whatever other rules and subjects there are: the
//! findings that stand in the end are the same, and so are the incidents and who was told.

mod course;
mod kinds;
mod worlds;

use super::*;
use crate::core::rule::table::testing::Random;
use std::collections::BTreeSet;

use course::{Course, Decided, LATENESS, Order, PLAIN, play};
use kinds::Kind;
use worlds::Draw;

/// Fewer findings than this, and a property has not been tried.
const FEWEST_FINDINGS: usize = 100;
/// Of the property on the order of arrival: fewer findings withdrawn, and it has been too easy.
const FEWEST_WITHDRAWALS: usize = 20;
/// On the order of arrival no more worlds than this are tried.
const MOST_WORLDS: u64 = 80;

/// Rules that have nothing to do with any other, and whose names come before and after it.
const UNRELATED: &str = "---
name: a-first
topics: [orders, logins]
lateness: 10m
detect: { kind: frequency, at_least: 2, window: 1h }
---
name: b-channels
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'type == \"order.failed\"', above: 1%, window: 1m, min_samples: 1, confidence: 0% }
notice: { template: other, to: affected }
---
name: z-last
topics: orders
detect: { kind: change, fields: [product], window: 1h }
notice: { template: other, to: account }
";

/// What is changed, and what must be left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Arrival,
    Partitions,
    Backlog,
    Restarts,
    OtherRules,
    OtherSubjects,
}

impl Change {
    const ALL: [Self; 6] = [
        Self::Arrival,
        Self::Partitions,
        Self::Backlog,
        Self::Restarts,
        Self::OtherRules,
        Self::OtherSubjects,
    ];

    /// How the unchanged and the changed world are read.
    fn courses(self) -> (Course, Course) {
        let disordered = Course { order: Order::Disordered, ..PLAIN };
        match self {
            Self::Arrival => (PLAIN, disordered),
            Self::Partitions => (PLAIN, Course { partitions: 4, ..PLAIN }),
            Self::Backlog => (PLAIN, Course { order: Order::Overtaking, partitions: 3, ..PLAIN }),
            Self::Restarts => {
                let course = Course { partitions: 2, ..disordered };
                (course, Course { restarts: 9, ..course })
            }
            Self::OtherRules => (disordered, disordered),
            Self::OtherSubjects => (PLAIN, PLAIN),
        }
    }
}

/// One world, and what is compared in it.
struct Trial {
    change: Change,
    text: String,
    rules: Arc<RuleSet>,
    strangers: BTreeSet<u64>,
    before: Decided,
    after: Decided,
}

/// [`None`] where it is known to make a difference.
fn trial(kind: &Kind, change: Change, seed: u64) -> Option<Trial> {
    let mut random = Random::new(seed);
    let text = (kind.rule)(&mut random);
    if change == Change::Arrival && text.contains("value_count") {
        // Of a finding that another event has brought about only the subject is known, and none of the values.
        return None;
    }
    let world = (kind.world)(Draw::new(Random::new(seed + 1_000), false));
    let (before, after) = change.courses();
    let rules_of = |text: &str| rules(text);
    let (changed_text, changed_world) = match change {
        Change::OtherRules => (format!("{text}{UNRELATED}"), world.clone()),
        Change::OtherSubjects => {
            (text.clone(), world.clone().beside((kind.world)(Draw::new(Random::new(seed + 2_000), true))))
        }
        _ => (text.clone(), world.clone()),
    };
    let rules = rules_of(&text);
    // What there is of a strange world alone is no matter of the other.
    let strange = (kind.world)(Draw::new(Random::new(seed + 2_000), true));
    let strangers = match change {
        Change::OtherSubjects => {
            let alone = play(&rules, &strange, PLAIN, &mut Random::new(seed));
            alone.findings.iter().map(|(_, subject, _)| *subject).collect()
        }
        _ => BTreeSet::new(),
    };
    let before = play(&rules, &world, before, &mut Random::new(seed));
    let after = play(&rules_of(&changed_text), &changed_world, after, &mut Random::new(seed));
    Some(Trial { change, text, rules, strangers, before, after })
}

impl Trial {
    /// What differs, a line each.
    fn differences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let of_rule = |name: &str| name == "rule" || name.starts_with("rule ");
        for (when, one, other) in
            [("only before", &self.before, &self.after), ("only after", &self.after, &self.before)]
        {
            for (name, subject, time) in one.findings.difference(&other.findings) {
                if of_rule(name) && !self.strangers.contains(subject) {
                    lines.push(format!("{when}: a finding at {}", second(*time)));
                }
            }
            if self.waits() {
                continue;
            }
            for (name, since, until) in &one.standing {
                let met = other.standing.iter().any(|(other, from, to)| {
                    name == other && *since - LATENESS <= *to && *from - LATENESS <= *until
                });
                if of_rule(name) && !met && !is_strange(name) {
                    lines.push(format!("{when}: {name} from {} to {}", second(*since), second(*until)));
                }
            }
            for told in one.told.difference(&other.told) {
                if of_rule(&told.0)
                    && !told.1.starts_with('x')
                    && self.hears_once()
                    && !one.denied.contains(told)
                {
                    lines.push(format!("{when}: {} was told", told.1));
                }
            }
        }
        // What spans partitions may be decided a judging step earlier or later.
        let in_shards = self.rules.rules.iter().any(|rule| rule.name == "rule" && rule.is_judged_in_shards());
        if in_shards && matches!(self.change, Change::Restarts | Change::OtherRules) {
            let said = |decided: &'_ Decided| -> Vec<String> {
                let of_rule = decided.effects.iter().filter(|(name, _)| name == "rule");
                of_rule.map(|(_, line)| line.clone()).collect()
            };
            let (before, after) = (said(&self.before), said(&self.after));
            let differing =
                (0..before.len().max(after.len())).find(|place| before.get(*place) != after.get(*place));
            if let Some(place) = differing {
                lines.push(format!("{:?} is now {:?}", before.get(place), after.get(place)));
            }
        }
        lines
    }

    /// How long a condition has lasted, and what has explained it in the meantime, is judged by what is known at the time.
    fn waits(&self) -> bool {
        self.change == Change::Arrival && (self.text.contains("\nfor: ") || self.text.contains("covered_by"))
    }

    /// Where a subject has several accounts, the first that was seen is told.
    fn hears_once(&self) -> bool {
        let rule = self.rules.rules.iter().find(|rule| rule.name == "rule");
        self.change != Change::Arrival || rule.is_some_and(Rule::is_local)
    }
}

/// Whether a ticket is about a subject of the strange part of a world.
fn is_strange(name: &str) -> bool {
    ["\"x", "200.0.0", "201.0.0"].iter().any(|mark| name.contains(mark))
}

fn second(time: Time) -> f64 {
    if time == Time::MAX { f64::INFINITY } else { time.since(at(0)).as_secs_f64() }
}

fn try_changes(kind: &Kind) {
    for change in Change::ALL {
        let least = if change == Change::Arrival && kind.withdraws { FEWEST_WITHDRAWALS } else { 0 };
        let (mut found, mut withdrawn) = (0, 0);
        for seed in 0..MOST_WORLDS {
            if seed >= kind.worlds && found >= FEWEST_FINDINGS && withdrawn >= least {
                break;
            }
            let Some(trial) = trial(kind, change, seed) else { continue };
            let differences = trial.differences();
            if !differences.is_empty() {
                let (before, after) = (trial.before.tickets(), trial.after.tickets());
                panic!(
                    "{change:?}, seed {seed}:\n{}{differences:#?}\nbefore: {before:#?}\nafter: {after:#?}",
                    trial.text
                );
            }
            found += trial.after.findings_of("rule").count();
            withdrawn += trial.after.withdrawn.get("rule").copied().unwrap_or_default();
        }
        println!("{change:?}: {found} findings, {withdrawn} withdrawn");
        assert!(found >= FEWEST_FINDINGS && withdrawn >= least, "{change:?} is too easy");
    }
}

macro_rules! kinds {
    ($($name:ident: $kind:ident,)*) => { $(
        #[test]
        fn $name() {
            try_changes(&kinds::$kind);
        }
    )* };
}

kinds! {
    any: ANY,
    list: LIST,
    change: CHANGE,
    new_term: NEW_TERM,
    new_place: NEW_PLACE,
    travel: TRAVEL,
    frequency: FREQUENCY,
    cardinality: CARDINALITY,
    metric: METRIC,
    pair: PAIR,
    spike: SPIKE,
    ratio: RATIO,
    flatline: FLATLINE,
    deadline: DEADLINE,
    sequence: SEQUENCE,
    hearing: HEARING,
    opening: OPENING,
    correlation: CORRELATION,
    paid_without_key: PAID_WITHOUT_KEY,
    key_without_payment: KEY_WITHOUT_PAYMENT,
    many_keys: MANY_KEYS,
    key_sold_twice: KEY_SOLD_TWICE,
    payment_after_expiry: PAYMENT_AFTER_EXPIRY,
    delivered_after_refund: DELIVERED_AFTER_REFUND,
}
