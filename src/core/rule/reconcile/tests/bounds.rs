//! What is remembered is bounded, and at the bounds something may be missed, but nothing is found wrongly.

use super::super::history::MOST_ENTRIES;
use super::*;
use crate::core::rule::verdict::Moment;

fn moment(now: i64) -> Moment {
    Moment { settled: at(now - LATENESS), now: at(now), late: false }
}

fn watch(check: Check, within: i64) -> ReconcileWatch {
    ReconcileWatch::new(rule(check, within))
}

/// Shows events, each at its own time, and returns how many findings were made.
fn show(watch: &mut dyn Watch, events: &[(i64, String)]) -> usize {
    let mut out = Vec::new();
    for (time, written) in events {
        let given = event(*time, written);
        watch.observe(given.subject, given.starts, &given.event, moment(*time), &mut out);
        watch.advance(moment(*time), &mut out);
    }
    out.iter().filter(|judged| matches!(judged.verdict, Verdict::Found { .. })).count()
}

#[test]
fn an_order_of_very_many_keys_is_bounded_and_counted_and_nothing_is_found_wrongly() {
    let mut watch = watch(Check::ManyKeys, 3_600);
    let mut events = vec![(0, "created quantity=5000".to_owned())];
    events.extend((1..=1_000).map(|key| (key, format!("delivered card=k{key}"))));
    assert_eq!(show(&mut watch, &events), 0);
    assert_eq!(watch.given_up(), 1_000 - MOST_ENTRIES as u64);
    watch.sweep(moment(1_000));
    assert!(watch.bytes() < 2_048, "{} bytes with the tables of a watch", watch.bytes());
    assert_eq!(show(&mut watch, &[(2_000, "delivered card=x".to_owned())]), 0);
}

#[test]
fn a_new_order_or_card_costs_at_most_200_bytes_and_one_that_is_over_nothing() {
    let checks = [
        (Check::ManyKeys, "delivered card=k"),
        (Check::KeySoldTwice, "delivered order=o"),
        (Check::PaymentAfterExpiry, "created expires=60 order=o"),
        (Check::DeliveredAfterRefund, "refunded order=o"),
        (Check::PaidWithoutKey, "paid order=o"),
        (Check::KeyWithoutPayment, "paid order=o"),
    ];
    for (check, written) in checks {
        let mut watch = rule(check, 600).watch(seconds(5), seconds(LATENESS), TextSet::ALL);
        let count = 50_000;
        let events: Vec<_> = (1..=count).map(|n| (0, format!("{written}{n} subject={n}"))).collect();
        show(&mut *watch, &events);
        let bytes = watch.bytes() / count;
        assert!((8..=200).contains(&bytes), "{check:?}: {bytes} bytes a subject");
        if check == Check::PaidWithoutKey {
            continue;
        }
        let long = REMEMBERED.as_secs_f64() as i64 * 2;
        for _ in 0..=(count / 16) {
            watch.sweep(moment(long));
        }
        assert_eq!(watch.subjects(), 0, "{check:?}");
    }
}

#[test]
fn an_order_that_was_not_remembered_is_not_judged_by_half_of_what_it_was() {
    let mut small = watch(Check::ManyKeys, 600).with_room_for(1);
    let first =
        [(0, "created subject=1 quantity=2".to_owned()), (1, "created subject=2 quantity=3".to_owned())];
    assert_eq!(show(&mut small, &first), 0);
    assert_eq!((small.subjects(), small.given_up()), (1, 1));
    // The checkpoint knows of it as well.
    let mut records = Vec::new();
    small.drain_changes(&mut |key, value| records.push((key.to_vec(), value.unwrap().to_vec())));
    let mut restored = watch(Check::ManyKeys, 600);
    records.iter().for_each(|(key, value)| restored.restore(key, value).unwrap());
    let keys = |subject: u8| (1..=3).map(move |key| (9, format!("delivered subject={subject} card=k{key}")));
    assert_eq!(show(&mut restored, &keys(2).collect::<Vec<_>>()), 0, "three were ordered");
    assert_eq!(show(&mut restored, &keys(1).collect::<Vec<_>>()), 1, "two were ordered, and that is known");
    let later: Vec<_> = keys(3).map(|(time, text)| (time + 8 * 86_400, text)).collect();
    assert_eq!(show(&mut restored, &later), 2, "by then all that was refused is over");
    // A key that is sold twice proves itself.
    let mut small = watch(Check::KeySoldTwice, 600).with_room_for(1);
    let sold = |time, card: u8, order: &str| (time, format!("delivered subject={card} order={order}"));
    assert_eq!(show(&mut small, &[sold(0, 1, "o1"), sold(1, 2, "o2"), sold(2, 1, "o3")]), 1);
    assert_eq!(show(&mut small, &[sold(3, 2, "o4")]), 0, "missed, and counted");
    assert_eq!(small.given_up(), 2);
}

#[test]
fn damage_is_refused() {
    let mut watch = watch(Check::ManyKeys, 600);
    for (key, value) in
        [(&b"x"[..], &[][..]), (b"", b""), (b"r", b""), (b"s1234567", b"1"), (b"s12345678", b"\x01\x05")]
    {
        assert!(watch.restore(key, value).is_err(), "{key:?}");
    }
}
