//! `travel` against a model that knows all logins of an account beforehand.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, Place};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::stats::geodesy::Spot;
use crate::core::time::{Span, Time};

const BEIJING: (f64, f64) = (39.9042, 116.4074);
const TIANJIN: (f64, f64) = (39.0842, 117.2009);
const SHANGHAI: (f64, f64) = (31.2304, 121.4737);
const LONDON: (f64, f64) = (51.5072, -0.1276);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn rule() -> Travel {
    Travel {
        faster_than_kmh: 900.0,
        further_than_km: 100.0,
        ignore_networks: vec![Symbol::of("vpn"), Symbol::of("relay")],
    }
}

fn login(time: i64, place: (f64, f64), texts: &[(TextField, &str)]) -> Given {
    let mut given = given(1, EventType::LoginSucceeded, at(time), texts);
    given.event.place = Some(Place { latitude: place.0, longitude: place.1, accuracy_km: 5.0 });
    given
}

fn from(time: i64, place: (f64, f64), ip: &str, device: &str, network: &str) -> Given {
    use TextField::{DeviceId, GeoNetwork, Ip};
    login(time, place, &[(Ip, ip), (DeviceId, device), (GeoNetwork, network)])
}

fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" at {:.0} km/h", evidence.value))
}

fn check(events: &[Given], expected: &[&str]) {
    let new = || Box::new(TravelWatch::new(rule(), Span::ZERO, seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for event in events {
        pair.observe(event);
        pair.sweep();
        pair.restart();
    }
    assert_eq!(lines(&pair.said.all), expected);
}

#[test]
fn a_login_that_nobody_can_have_travelled_to_is_found() {
    // 1,067 km, less what both places may be off.
    check(&[login(0, BEIJING, &[]), login(HOUR, SHANGHAI, &[])], &["found 3600 at 1057 km/h"]);
    check(&[login(0, BEIJING, &[]), login(2 * HOUR, SHANGHAI, &[])], &[]);
    check(&[login(0, BEIJING, &[]), login(30 * HOUR, LONDON, &[])], &[]);
}

#[test]
fn what_is_near_or_vague_is_never_impossible() {
    check(&[login(0, BEIJING, &[]), login(60, TIANJIN, &[])], &["found 60 at 6228 km/h"]);
    let mut vague = login(60, TIANJIN, &[]);
    vague.event.place = Some(Place { latitude: TIANJIN.0, longitude: TIANJIN.1, accuracy_km: 10.0 });
    check(&[login(0, BEIJING, &[]), vague], &[]);
}

#[test]
fn two_logins_of_one_instant_are_a_second_apart() {
    check(&[login(0, BEIJING, &[]), login(0, LONDON, &[])], &["found 0 at 29271866 km/h"]);
    check(&[login(0, BEIJING, &[]), login(0, BEIJING, &[])], &[]);
}

#[test]
fn the_same_address_and_the_same_device_in_one_network_have_not_moved() {
    let here = from(0, BEIJING, "1.1.1.1", "d1", "home");
    check(&[here.clone(), from(60, LONDON, "1.1.1.1", "d2", "hosting")], &[]);
    check(&[here.clone(), from(60, LONDON, "2.2.2.2", "d1", "home")], &[]);
    let moved = ["found 60 at 487864 km/h"];
    check(&[here.clone(), from(60, LONDON, "2.2.2.2", "d1", "mobile")], &moved);
    check(&[here, from(60, LONDON, "2.2.2.2", "d2", "home")], &moved);
    // Nothing known on either side is not the same.
    check(&[login(0, BEIJING, &[]), login(60, LONDON, &[])], &moved);
}

#[test]
fn an_ignored_network_neither_fires_nor_becomes_the_last_place() {
    let events = [
        login(0, BEIJING, &[]),
        from(60, LONDON, "2.2.2.2", "d1", "vpn"),
        login(120, BEIJING, &[]),
        login(180, LONDON, &[]),
    ];
    check(&events, &["found 180 at 487864 km/h"]);
}

#[test]
fn an_event_without_a_place_is_not_judged_and_is_no_last_place() {
    let nowhere = given(1, EventType::LoginSucceeded, at(60), &[]);
    let mut filtered = login(70, LONDON, &[]);
    filtered.starts = false;
    check(&[login(0, BEIJING, &[]), nowhere, filtered, login(120, BEIJING, &[])], &[]);
}

#[test]
fn a_place_that_the_account_uses_regularly_is_never_impossible() {
    // An own exit in London, alternating with home: it is told three times, then known.
    let events: Vec<_> =
        (0..10).map(|step| login(step * HOUR, if step % 2 == 0 { BEIJING } else { LONDON }, &[])).collect();
    let found: Vec<_> = (1..6).map(|step| format!("found {} at 8131 km/h", step * HOUR)).collect();
    check(&events, &found.iter().map(String::as_str).collect::<Vec<_>>());
    // After a month away nothing is regular any more.
    let mut events: Vec<_> = (0..5).map(|day| login(day * DAY, LONDON, &[])).collect();
    events.extend([login(20 * DAY, BEIJING, &[]), login(20 * DAY + 60, LONDON, &[])]);
    check(&events, &[]);
    events.extend([login(51 * DAY, BEIJING, &[]), login(51 * DAY + 60, LONDON, &[])]);
    check(&events, &[&*format!("found {} at 487864 km/h", 51 * DAY + 60)]);
}

#[test]
fn a_login_that_arrives_late_between_two_others_is_judged_with_both() {
    // On the way by way of Tianjin nothing is too fast: what was found is untrue.
    let mut settings = rule();
    settings.faster_than_kmh = 40_000.0;
    let new = || Box::new(TravelWatch::new(settings.clone(), Span::ZERO, seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    pair.observe(&login(0, BEIJING, &[]));
    pair.observe(&login(90, SHANGHAI, &[]));
    pair.observe(&login(100, BEIJING, &[]));
    assert_eq!(lines(&pair.said.all), ["found 90 at 42292 km/h", "found 100 at 380632 km/h"]);
    pair.observe(&login(50, SHANGHAI, &[]));
    assert_eq!(lines(&pair.said.all)[2..], ["found 50 at 76126 km/h", "withdrawn 90"]);
}

#[test]
fn a_login_beyond_its_lateness_is_not_judged() {
    check(&[login(0, BEIJING, &[]), login(1_000, BEIJING, &[]), login(500, LONDON, &[])], &[]);
}

#[test]
fn many_logins_at_once_are_bounded_and_counted() {
    let mut watch = TravelWatch::new(rule(), Span::ZERO, seconds(120));
    let mut out = Vec::new();
    for step in 0..1_000 {
        let moment = Moment { settled: at(-120), now: at(0), late: false };
        let place = (step as f64 / 100.0, 0.0);
        watch.observe(Symbol(1), true, &login(step % 7, place, &[]).event, moment, &mut out);
    }
    assert_eq!(watch.given_up(), 1_000 - 32);
    watch.sweep(Moment { settled: at(-120), now: at(0), late: false });
    assert!(watch.bytes() < 2_500, "{} bytes", watch.bytes());
}

#[test]
fn an_idle_account_is_forgotten_after_a_month_and_costs_little_before() {
    let mut watch = TravelWatch::new(rule(), Span::ZERO, seconds(120));
    let mut out = Vec::new();
    let accounts = 1 << 17;
    for round in 0..2 {
        for account in 0..accounts {
            let time = round * 1_000;
            let moment = Moment { settled: at(time - 120), now: at(time), late: false };
            let subject = Symbol(account + 1).with(Symbol(3));
            watch.observe(subject, true, &login(time, BEIJING, &[]).event, moment, &mut out);
        }
    }
    let sweep = |watch: &mut TravelWatch, time: i64| {
        (0..accounts / 16)
            .for_each(|_| watch.sweep(Moment { settled: at(time), now: at(time), late: false }));
    };
    sweep(&mut watch, 2_000);
    let bytes = watch.bytes() / accounts as usize;
    // The table's room is an eighth more than it needs.
    assert!(bytes <= 64 + 64 / 8 + 24, "{bytes} bytes for an idle account");
    sweep(&mut watch, 30 * DAY);
    assert_eq!(watch.subjects(), accounts as usize);
    sweep(&mut watch, 32 * DAY);
    assert_eq!(watch.subjects(), 0);
}

/// The findings of one account, from all its logins at once.
fn model(settings: &Travel, events: &[&Given]) -> BTreeSet<Time> {
    let symbol = |given: &Given, field| given.event.symbol(field);
    let mut logins: Vec<_> = events
        .iter()
        .filter(|given| !settings.ignore_networks.contains(&symbol(given, TextField::GeoNetwork)))
        .map(|given| {
            let place = given.event.place.unwrap();
            let spot = Spot::new(place.latitude, place.longitude, place.accuracy_km);
            // In the order in which logins of one instant are taken.
            let hash = |field, bits: u32| symbol(given, field).0 >> (64 - bits);
            let network = hash(TextField::GeoNetwork, 16);
            (given.event.time, network, spot, (hash(TextField::Ip, 32), hash(TextField::DeviceId, 32)))
        })
        .collect();
    logins.sort();
    let day = |time: Time| time.as_millis() / 86_400_000;
    let mut found = BTreeSet::new();
    for (position, (time, network, spot, source)) in logins.iter().enumerate().skip(1) {
        let (before, other_network, from, other) = logins[position - 1];
        let same = |one: u64, other: u64| one != 0 && one == other;
        if same(source.0, other.0) || same(source.1, other.1) && same(*network, other_network) {
            continue;
        }
        let distance = from.least_distance_km(*spot);
        let hours = time.since(before).as_secs_f64().max(1.0) / 3_600.0;
        let (mut visits, mut last) = (0, i64::MIN / 2);
        for (time, _, other, _) in &logins[..position] {
            if other.distance_km(*spot) < 50.0 {
                visits = if day(*time) - last > 30 { 1 } else { visits + 1 };
                last = day(*time);
            }
        }
        let regular = visits >= 3 && day(*time) - last <= 30;
        if distance >= settings.further_than_km && distance / hours > settings.faster_than_kmh && !regular {
            found.insert(*time);
        }
    }
    found
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    // No more places than are kept, each well away from the others.
    let places = [BEIJING, SHANGHAI, LONDON];
    let (mut findings, mut withdrawn) = (0, 0);
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let mut settings = rule();
        settings.faster_than_kmh = random.between(200, 100_000) as f64;
        let lateness = seconds(random.between(0, 600));
        // Bursts within the lateness, days and months between them.
        let mut time = 0;
        let mut events = Vec::new();
        for _ in 0..random.between(2, 40) {
            time += match random.below(20) {
                0 => random.below(40 * DAY),
                1 | 2 => random.below(DAY),
                3..=5 => 0,
                _ => random.below(300),
            };
            let place = places[random.below(3) as usize];
            let some = |random: &mut Random, limit| random.below(limit).to_string();
            let network = ["home", "mobile", "office", "vpn"][random.below(4) as usize];
            let mut given = from(time, place, &some(&mut random, 9), &some(&mut random, 3), network);
            given.subject = Symbol(random.between(1, 2) as u64);
            events.push(given);
        }
        let new = || Box::new(TravelWatch::new(settings.clone(), Span::ZERO, lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        let mut expected = BTreeSet::new();
        for subject in [Symbol(1), Symbol(2)] {
            let own: Vec<_> = events.iter().filter(|given| given.subject == subject).collect();
            expected.extend(model(&settings, &own).into_iter().map(|time| (subject, time)));
        }
        assert_eq!(pair.said.found, expected, "seed {seed}");
        findings += expected.len();
        withdrawn += pair.said.withdrawn;
    }
    assert!(findings > 4_000 && withdrawn > 100, "{findings} {withdrawn}");
}

#[test]
fn places_of_two_editions_of_a_location_database_are_not_compared() {
    let impossible: &[&str] = &["found 3600 at 1057 km/h"];
    for (before, now, expected) in
        [(0, 0, impossible), (0, 3, impossible), (3, 0, impossible), (7, 7, impossible), (3, 4, &[])]
    {
        let (mut first, mut second) = (login(0, BEIJING, &[]), login(HOUR, SHANGHAI, &[]));
        first.event.edition = before;
        second.event.edition = now;
        check(&[first, second], expected);
    }
}
