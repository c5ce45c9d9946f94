//! `correlation` against a model that looks at all findings from each of them.

use super::*;
use crate::core::event::{EventType, Facts, Symbol, TextField};
use crate::core::rule::Detect;
use crate::core::rule::parse::{LoadOptions, load};
use crate::core::rule::sequence::PatternWatch;
use crate::core::rule::table::testing::{Random, at, given, seconds};
use crate::core::rule::table::{Overheard, Watch};
use crate::core::rule::verdict::{Moment, Verdict};

const GRACE: Span = Span::from_secs(5);
const WINDOW: i64 = 60;

fn settings(fields: &str) -> Correlation {
    let text = format!("name: x\ntopics: logins\ndetect: {{ kind: correlation, window: 60s, {fields} }}");
    match load(&text, "x.yaml", &LoadOptions::default()) {
        Ok(rules) => match rules.into_iter().next().unwrap().rule.detect {
            Detect::Correlation(correlation) => correlation,
            other => panic!("{}", other.kind()),
        },
        Err(errors) => panic!("{text}\n{errors:#?}"),
    }
}

const TYPES: [&str; 6] = [
    "of: [a, b], type: event_count, at_least: 3",
    "of: [a, b], type: value_count, field: ip, at_least: 2",
    "of: [a, b, c], type: temporal",
    "of: [a, b, c], type: temporal_ordered",
    "of: [a, b, c], type: absent",
    "of: [a, c], type: absent, both_ways: true",
];

/// A finding of a rule: when, of which, and the address that it was about.
type Finding = (i64, &'static str, &'static str);

fn model(place: usize, findings: &[Finding]) -> BTreeSet<i64> {
    let near = |from: i64, to: i64| findings.iter().filter(move |(time, ..)| *time > from && *time <= to);
    let has = |rule: &str, from: i64, to: i64| near(from, to).any(|(_, other, _)| *other == rule);
    let mut expected = BTreeSet::new();
    for (time, rule, ip) in findings {
        let (time, from) = (*time, *time - WINDOW);
        let counted = ["a", "b"].contains(rule);
        let shown = match place {
            0 => counted && near(from, time).filter(|(_, rule, _)| *rule != "c").count() >= 3,
            1 => {
                let of_two = near(from, time).filter(|(_, rule, _)| *rule != "c");
                counted && !ip.is_empty() && {
                    let values: BTreeSet<_> =
                        of_two.map(|(.., ip)| *ip).filter(|ip| !ip.is_empty()).collect();
                    values.len() >= 2
                }
            }
            2 => ["a", "b", "c"].iter().all(|rule| has(rule, from, time)),
            3 => {
                *rule == "c"
                    && near(from, time - 1)
                        .filter(|(_, rule, _)| *rule == "a")
                        .any(|(first, ..)| has("b", *first, time - 1))
            }
            4 => *rule != "c" && has("a", from, time) && has("b", from, time),
            _ => *rule == "a",
        };
        let missed = match place {
            4 => !has("c", time - 1, time + WINDOW - 1),
            5 => !has("c", time - WINDOW - 1, time + WINDOW - 1),
            _ => true,
        };
        if shown && missed {
            expected.insert(if place >= 4 { time + WINDOW } else { time });
        }
    }
    expected
}

fn facts(ip: &str) -> Facts {
    let texts = [(TextField::AccountId, "a1"), (TextField::Ip, ip)];
    let texts: Vec<_> = texts.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    Facts::of(&given(1, EventType::LoginSucceeded, at(0), &texts).event)
}

#[test]
fn every_type_finds_what_its_model_finds_in_whatever_order_findings_come_and_go() {
    let mut total = 0;
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let place = random.below(6) as usize;
        let mut watch = PatternWatch::new(settings(TYPES[place]), GRACE, seconds(120));
        // No two at one instant, and none before another one's settled time.
        let mut findings: Vec<Finding> = (0..random.between(1, 20))
            .map(|number| {
                let rule = ["a", "b", "c"][random.below(3) as usize];
                (random.below(15) * 20 + number, rule, ["", "p", "q"][random.below(3) as usize])
            })
            .collect();
        let mut stand: BTreeSet<i64> = BTreeSet::new();
        let mut out = Vec::new();
        let moment = Moment { settled: at(-120), now: at(0), late: false };
        for (time, rule, ip) in &findings {
            let facts = facts(ip);
            let heard = Overheard { rule, since: at(*time), withdrawn: false, opening: false, facts: &facts };
            watch.overhear(Symbol(1), &heard, moment, &mut out);
        }
        if random.percent(50) {
            let (time, rule, ip) = findings.remove(random.below(findings.len() as i64) as usize);
            let facts = facts(ip);
            let heard = Overheard { rule, since: at(time), withdrawn: true, opening: false, facts: &facts };
            watch.overhear(Symbol(1), &heard, moment, &mut out);
        }
        let end = Moment { settled: at(-120), now: at(2_000), late: false };
        while watch.next_due().is_some_and(|due| due <= end.now) {
            watch.advance(end, &mut out);
        }
        for judged in &out {
            match judged.verdict {
                Verdict::Found { since, .. } => {
                    assert!(stand.insert(since.since(at(0)).as_secs_f64() as i64));
                }
                Verdict::Withdrawn { since } => {
                    assert!(stand.remove(&(since.since(at(0)).as_secs_f64() as i64)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(stand, model(place, &findings), "seed {seed}: {} {findings:?}", TYPES[place]);
        total += stand.len();
    }
    assert!(total > 2_000, "{total}");
}

#[test]
fn a_restored_correlation_still_misses_what_does_not_come() {
    let mut watch = PatternWatch::new(settings(TYPES[5]), GRACE, seconds(120));
    let facts = facts("p");
    let moment = Moment { settled: at(-120), now: at(0), late: false };
    let mut out = Vec::new();
    let heard = Overheard { rule: "a", since: at(0), withdrawn: false, opening: false, facts: &facts };
    watch.overhear(Symbol(1), &heard, moment, &mut out);
    let mut records = Vec::new();
    watch.drain_changes(&mut |key, value| records.push((key.to_vec(), value.unwrap().to_vec())));
    let mut restored = PatternWatch::new(settings(TYPES[5]), GRACE, seconds(120));
    for (key, value) in &records {
        restored.restore(key, value).unwrap();
    }
    assert_eq!(restored.next_due(), Some(at(65)));
    restored.advance(Moment { settled: at(-60), now: at(65), late: false }, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(restored.facts(Symbol(1)), Some(&facts));
}
