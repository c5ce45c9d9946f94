//! What windows come to: against numbers computed elsewhere, and above the bound against the samples themselves.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::agg::{Agg, Asked, Room, Tally};
use super::below::{Near, surely_below, surely_below_until};
use super::series::{OPEN, Sample, Series, Shape};
use crate::core::codec::{Reader, Writer};
use crate::core::rule::table::testing::{Random, at, seconds};
use crate::core::time::{Span, Time};

/// Recorded from numpy and scipy; the file says from which version and by which expressions.
const RECORDED: &str = include_str!("tests/numpy.txt");

fn agg_named(name: &str) -> Agg {
    match name {
        "stddev" => Agg::Stddev,
        "avg" => Agg::Avg,
        "distinct" => Agg::Distinct,
        "mode_count" => Agg::ModeCount,
        _ => Agg::Quantile(name[1..].parse::<Decimal>().unwrap() / Decimal::ONE_HUNDRED),
    }
}

fn tally(shape: &Shape, series: &mut Series, from: Time, to: Time) -> Tally {
    Room::default().tally(shape, series, Asked { from, to, now: to, ages: false, which: 0 })
}

fn close(one: f64, other: f64, share: f64) -> bool {
    (one - other).abs() <= share * other.abs().max(1e-9)
}

#[test]
fn windows_come_to_what_numpy_computes() {
    let (mut exact, mut sketched) = (0, 0);
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (count, modulus): (i64, i64) = (fields[0].parse().unwrap(), fields[1].parse().unwrap());
        let agg = agg_named(fields[2]);
        let expected: f64 = fields[3].parse().unwrap();
        let shape = Shape::new(agg, seconds(3_600), seconds(3_600));
        let mut series = Series::default();
        for number in 0..count {
            let value = Decimal::new((number * 7_919 + 13) % modulus, 2);
            series.insert(&shape, Sample { time: at(1 + number), value });
        }
        let tally = tally(&shape, &mut series, at(0) - Span::from_secs(120), at(3_600));
        let value = tally.value.unwrap().to_f64().unwrap();
        assert_eq!((tally.samples, tally.approximate), (count as u64, count > 64), "{line}");
        // Of a sketch the values are within one per cent; deviations and averages are as good as they are.
        let is_sketch = tally.approximate && matches!(agg, Agg::Quantile(_));
        assert!(close(value, expected, if is_sketch { 0.01 } else { 1e-9 }), "{line}: {value}");
        if is_sketch { sketched += 1 } else { exact += 1 }
    }
    assert!(exact >= 200 && sketched >= 70, "{exact} {sketched}");
}

const AGGS: [&str; 12] =
    ["count", "distinct", "sum", "avg", "min", "max", "p50", "p95", "stddev", "mode_count", "first", "last"];

fn named(name: &str) -> Agg {
    match name {
        "count" => Agg::Count,
        "sum" => Agg::Sum,
        "min" => Agg::Min,
        "max" => Agg::Max,
        "first" => Agg::First,
        "last" => Agg::Last,
        _ => agg_named(name),
    }
}

/// The same without buckets.
fn plain(agg: Agg, samples: &[Sample], from: Time, to: Time) -> Tally {
    let wide = Shape::new(agg, seconds(86_400), seconds(86_400));
    let mut series = Series::default();
    let mut inside: Vec<Sample> =
        samples.iter().copied().filter(|sample| sample.time > from && sample.time <= to).collect();
    inside.sort();
    let all = inside.len();
    if all <= 64 {
        for sample in &inside {
            series.insert(&wide, *sample);
        }
        return tally(&wide, &mut series, from, to);
    }
    let mut values: Vec<f64> = inside.iter().map(|sample| sample.value.to_f64().unwrap()).collect();
    let sum: Decimal = inside.iter().map(|sample| sample.value).sum();
    let (first, last) = (values[0], values[all - 1]);
    values.sort_by(f64::total_cmp);
    let mean = sum.to_f64().unwrap() / all as f64;
    let runs = || values.chunk_by(|one, other| one == other).map(<[f64]>::len);
    let value = match agg {
        Agg::Count => all as f64,
        Agg::Distinct => runs().count() as f64,
        Agg::ModeCount => runs().max().unwrap() as f64,
        Agg::Sum => return Tally { value: Some(sum), samples: all as u64, approximate: true },
        Agg::Avg => mean,
        Agg::Min => values[0],
        Agg::Max => values[all - 1],
        Agg::First => first,
        Agg::Last => last,
        Agg::Quantile(share) => {
            let position = (all - 1) as f64 * share.to_f64().unwrap();
            let low = position.floor() as usize;
            values[low] + (values[(low + 1).min(all - 1)] - values[low]) * position.fract()
        }
        Agg::Stddev => {
            (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / all as f64).sqrt()
        }
        Agg::SinceLast => unreachable!("not asked"),
    };
    Tally { value: Decimal::try_from(value).ok(), samples: all as u64, approximate: true }
}

#[test]
fn above_the_bound_only_the_far_edge_is_a_bucket_and_quantiles_are_within_one_per_cent() {
    let mut compared = 0;
    for (seed, name) in (0..).zip(AGGS.iter().cycle().take(36)) {
        let mut random = Random::new(seed);
        let agg = named(name);
        let shape = Shape::new(agg, seconds(640), seconds(640));
        let (mut series, mut samples, mut time) = (Series::default(), Vec::new(), at(0).as_millis());
        for step in 0..1_500 {
            time += random.below(2_000);
            let late = if random.percent(20) { random.below(30_000) } else { 0 };
            let time = Time::from_millis(time - late);
            let sample = Sample { time, value: Decimal::new(random.between(1, 400), 1) };
            samples.push(sample);
            series.insert(&shape, sample);
            if step % 100 == 7 {
                let mut bytes = Vec::new();
                series.encode(&mut Writer(&mut bytes));
                let mut reader = Reader(&bytes);
                series = Series::decode(&mut reader).unwrap();
                reader.end().unwrap();
            }
            if step % 13 == 0 {
                series.drop_before(&shape, time - seconds(640 + 120));
            }
            if late > 0 || step < 200 || step % 7 != 0 {
                continue;
            }
            let found = tally(&shape, &mut series, time - seconds(640), time);
            // The far edge is the beginning of the first bucket that is wholly inside.
            let edge = shape.start_of(shape.bucket_of(time - seconds(640)) + 1) - Span::from_millis(1);
            let expected = plain(agg, &samples, edge, time);
            assert!(found.approximate);
            assert_eq!(found.samples, expected.samples, "seed {seed} {name} step {step}");
            let (found, expected) =
                (found.value.unwrap().to_f64().unwrap(), expected.value.unwrap().to_f64().unwrap());
            let share = if matches!(agg, Agg::Quantile(_)) { 0.01 } else { 1e-9 };
            assert!(close(found, expected, share), "seed {seed} {name} step {step}: {found} for {expected}");
            compared += 1;
        }
    }
    assert!(compared > 4_000, "{compared}");
}

#[test]
fn what_is_open_in_a_bucket_is_never_taken_for_older_than_it_is_and_can_still_end() {
    for agg in [Agg::Avg, Agg::Max, Agg::Sum, named("p50")] {
        let shape = Shape::new(agg, seconds(640), seconds(640));
        let mut series = Series::default();
        for time in 0..300 {
            series.insert(&shape, Sample { time: at(time), value: OPEN });
        }
        let ages = |series: &mut Series, now| {
            let asked = Asked { from: now - seconds(640), to: now, now, ages: true, which: 0 };
            Room::default().tally(&shape, series, asked)
        };
        let now = at(400);
        let open = ages(&mut series, now);
        let (count, exact) = (300.0, (100 + 400) as f64 / 2.0 * 1_000.0);
        assert_eq!(open.samples, 300);
        let value = open.value.unwrap().to_f64().unwrap();
        match agg {
            Agg::Avg => assert!(value <= exact && value > exact - 10_000.0, "{value} {exact}"),
            Agg::Sum => assert!(value <= exact * count && value > (exact - 10_000.0) * count, "{value}"),
            Agg::Max => assert!((390_000.0..=400_000.0).contains(&value), "{value}"),
            _ => assert!((240_000.0..=253_000.0).contains(&value), "{value}"),
        }
        for time in 0..300 {
            series.replace(&shape, at(time), OPEN, Decimal::from(1_000));
        }
        let ended = ages(&mut series, now);
        assert_eq!(ended.samples, 300);
        let expected = if agg == Agg::Sum { 300_000.0 } else { 1_000.0 };
        assert!(close(ended.value.unwrap().to_f64().unwrap(), expected, 0.01), "{agg:?} {ended:?}");
    }
}

#[test]
fn what_surely_lies_below_a_limit_does_so_until_it_is_said_to() {
    let (mut sure, mut below, mut later) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let share = Decimal::new([50, 75, 90, 95][random.below(4) as usize], 2);
        let shape = Shape::new(Agg::Quantile(share), seconds(600), seconds(600));
        let mut series = Series::default();
        let (count, gap) = (random.between(2, 400), random.between(1, 8));
        for number in 0..count {
            let value = match random.below(10) {
                0 => OPEN,
                1 => Decimal::from(random.between(100, 400) * 1_000),
                _ => Decimal::from(random.between(1, 90) * 1_000),
            };
            series.insert(&shape, Sample { time: at(number * gap), value });
        }
        let limit = Decimal::from(random.between(60, 300) * 1_000);
        let near = Near::of(limit).unwrap();
        let asked = |now: Time| Asked { from: now - seconds(600), to: now, now, ages: true, which: 0 };
        let is_above = |series: &mut Series, now: Time| {
            Room::default().tally(&shape, series, asked(now)).value.is_some_and(|value| value > limit)
        };
        let exact = share.to_f64().unwrap();
        for _ in 0..10 {
            let now = at(random.below(count * gap + 200));
            let truly = is_above(&mut series, now);
            below += u32::from(!truly);
            if let Some(samples) = surely_below(&near, exact, &shape, &mut series, asked(now)) {
                assert!(!truly, "seed {seed}, at {now:?}");
                assert_eq!(samples, Room::default().tally(&shape, &mut series, asked(now)).samples);
                sure += 1;
            }
            let until = surely_below_until(&near, exact, &shape, &mut series, asked(now));
            let Some(until) = until.filter(|until| *until > now) else { continue };
            // Nothing may leave meanwhile.
            let leaves = series.times(&shape).map(|time| time + seconds(600)).find(|time| *time > now);
            let until = until.min(leaves.unwrap()).since(now).as_millis();
            for step in 1..20 {
                let then = now + Span::from_millis(until * step / 20);
                assert!(!is_above(&mut series, then), "seed {seed}, at {now:?}, then {then:?} of {until}");
                later += 1;
            }
        }
    }
    assert!(sure * 3 > below * 2 && later > 10_000, "{sure} of {below}, {later}");
}
