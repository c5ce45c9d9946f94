//! Novelty, against a model that sorts everything by time and looks at it from scratch.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, Place, Symbol};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::Time;

const COUNTRY: TextField = TextField::GeoCountry;
const DEVICE: TextField = TextField::DeviceId;

fn settings(every: bool, window: i64, min_history: History) -> NewTerm {
    NewTerm {
        of: Novelty::Values { fields: vec![COUNTRY, DEVICE], every },
        window: seconds(window),
        min_history,
        missing_fires: false,
    }
}

fn login(subject: u64, second: i64, country: &str, device: &str) -> Given {
    given(subject, EventType::LoginSucceeded, at(second), &[(COUNTRY, country), (DEVICE, device)])
}

/// Every event that the settings call new, judged from scratch.
fn model(settings: &NewTerm, events: &[Given]) -> BTreeSet<(Symbol, Time)> {
    let Novelty::Values { fields, every } = &settings.of else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for one in events {
        let before: Vec<&Given> = events
            .iter()
            .filter(|other| other.subject == one.subject && other.event.time < one.event.time)
            .collect();
        // Whoever was silent for a window starts anew.
        let mut history: Vec<Time> = Vec::new();
        for time in before.iter().map(|other| other.event.time).chain([one.event.time]) {
            if history.last().is_some_and(|last| time.since(*last) >= settings.window) {
                history.clear();
            }
            history.push(time);
        }
        history.pop();
        let enough = match settings.min_history {
            History::Events(least) => history.len() >= least as usize && !history.is_empty(),
            History::Since(span) => history.first().is_some_and(|first| one.event.time.since(*first) >= span),
        };
        let near: Vec<&&Given> =
            before.iter().filter(|other| one.event.time.since(other.event.time) < settings.window).collect();
        let same = |other: &Given, field: TextField| other.event.text(field) == one.event.text(field);
        let is_new = if *every {
            fields.iter().all(|field| near.iter().all(|other| !same(other, *field)))
        } else {
            near.iter().all(|other| !fields.iter().all(|field| same(other, *field)))
        };
        if enough && is_new {
            found.insert((one.subject, one.event.time));
        }
    }
    found
}

#[test]
fn any_order_of_arrival_and_any_restart_leaves_what_a_model_finds() {
    let (mut findings, mut withdrawals) = (0, 0);
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let min_history = if random.percent(50) {
            History::Events(random.below(4) as u32)
        } else {
            History::Since(seconds(random.below(60)))
        };
        let settings = settings(random.percent(50), random.between(30, 400), min_history);
        let countries = ["CN", "US", "DE", "SG"];
        let devices = ["d1", "d2", "d3", "d4", "d5"];
        let events: Vec<Given> = (0..random.between(5, 60))
            .map(|_| {
                login(
                    random.below(3) as u64 + 1,
                    random.below(600),
                    countries[random.below(4) as usize],
                    devices[random.below(5) as usize],
                )
            })
            .collect();
        let mut sorted = events.clone();
        sorted.sort_by_key(|given| given.event.time);
        let lateness = seconds(random.between(1, 120));
        let arriving = disordered(&mut random, sorted.clone(), lateness);
        let new = || Box::new(NewTermWatch::new(settings.clone())) as Box<dyn Watch>;
        let pair = Pair::new(&new, lateness).run(&mut random, &arriving, seed % 2 == 0);
        assert_eq!(pair.said.found, model(&settings, &sorted), "seed {seed}, {settings:?}");
        findings += pair.said.found.len();
        withdrawals += pair.said.withdrawn;
    }
    assert!(findings >= 100 && withdrawals >= 20, "{findings} findings, {withdrawals} withdrawals: too easy");
}

#[test]
fn a_known_device_abroad_and_a_new_device_at_home_are_no_news_where_each_must_be_new() {
    let settings = settings(true, 3_600, History::Events(2));
    let new = || Box::new(NewTermWatch::new(settings.clone())) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for (second, country, device) in [(0, "CN", "d1"), (10, "CN", "d1"), (20, "SG", "d1"), (30, "CN", "d2")] {
        assert_eq!(pair.observe(&login(1, second, country, device)), []);
    }
    let judged = pair.observe(&login(1, 40, "US", "d9"));
    assert!(matches!(judged[..], [Judged { verdict: Verdict::Found { .. }, .. }]), "{judged:?}");
    assert_eq!(pair.observe(&login(1, 50, "US", "d9")), [], "it is known from then on");
}

#[test]
fn a_value_is_new_again_once_it_was_not_seen_for_the_window() {
    let settings = settings(false, 100, History::Events(1));
    let new = || Box::new(NewTermWatch::new(settings.clone())) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(5));
    for (second, device, is_new) in
        [(0, "d1", false), (50, "d2", true), (99, "d1", false), (140, "d2", false), (199, "d1", true)]
    {
        let judged = pair.observe(&login(1, second, "CN", device));
        assert_eq!(!judged.is_empty(), is_new, "at {second}");
    }
}

#[test]
fn a_place_near_a_known_one_or_too_vague_to_say_is_no_news() {
    let settings = NewTerm {
        of: Novelty::Place { radius_km: 20.0, last: 20 },
        window: seconds(86_400),
        min_history: History::Events(1),
        missing_fires: false,
    };
    let mut watch = NewTermWatch::new(settings);
    let mut observe = |second, latitude, longitude, accuracy_km| {
        let mut given = login(1, second, "CN", "d1");
        given.event.place = Some(Place { latitude, longitude, accuracy_km });
        let moment = Moment { settled: at(second - 60), now: at(second), late: false };
        let mut judged = Vec::new();
        watch.observe(given.subject, true, &given.event, moment, &mut judged);
        !judged.is_empty()
    };
    assert!(!observe(0, 31.23, 121.47, 5.0), "Shanghai, the first place");
    assert!(!observe(100, 31.30, 121.50, 5.0), "a few kilometres away");
    assert!(!observe(200, 39.90, 116.40, 2_000.0), "somewhere in the country");
    assert!(observe(300, 39.90, 116.40, 10.0), "Beijing");
    assert!(!observe(400, 39.95, 116.30, 10.0), "Beijing again");
    assert!(!observe(500, 31.23, 121.47, 5.0), "back in Shanghai");
}
