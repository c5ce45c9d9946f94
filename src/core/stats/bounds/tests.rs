//! The tabled bounds against an oracle: numbers computed elsewhere.

use super::*;

/// Recorded from scipy; the file says from which version and by which expressions.
const RECORDED: &str = include_str!("scipy.txt");

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// P(X ≥ count) among `trials` at `share`, straight from the special function.
fn tail(trials: u64, count: u64, share: f64) -> f64 {
    if count > trials {
        return 0.0;
    }
    if count == 0 {
        return 1.0;
    }
    beta_reg(count as f64, (trials - count + 1) as f64, share)
}

#[test]
fn critical_counts_are_those_that_scipy_finds() {
    let mut checked = 0;
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (trials, count) = (fields[0].parse::<u64>().unwrap(), fields[3].parse::<u64>().unwrap());
        let table = CriticalCounts::above(decimal(fields[1]), decimal(fields[2]));
        assert_eq!(table.required_by_bound(trials), count, "{line}");
        let (limit, at, before): (f64, f64, f64) =
            (fields[1].parse().unwrap(), fields[4].parse().unwrap(), fields[5].parse().unwrap());
        assert!(at >= limit - 1e-9 && before < limit, "the bound crosses the limit there: {line}");
        checked += 1;
    }
    assert!(checked >= 100, "{checked} recorded values");
}

#[test]
fn the_exact_part_agrees_with_the_special_function_at_every_count_of_trials() {
    for (limit, confidence) in [("0.2", "0.99"), ("0.003", "0.999"), ("0.97", "0.9")] {
        let table = CriticalCounts::above(decimal(limit), decimal(confidence));
        let (share, error) = (limit.parse::<f64>().unwrap(), 1.0 - confidence.parse::<f64>().unwrap());
        for trials in (1..=EXACT).step_by(7) {
            let count = table.required_by_bound(trials);
            assert!(tail(trials, count, share) <= error * (1.0 + 1e-8), "{limit} {trials} {count}");
            assert!(tail(trials, count - 1, share) > error * (1.0 - 1e-8), "{limit} {trials} {count}");
        }
    }
}

#[test]
fn beyond_the_exact_part_a_count_that_suffices_is_significant_and_hardly_too_high() {
    for (limit, confidence) in
        [("0.2", "0.99"), ("0.05", "0.9999"), ("0.5", "0.9"), ("0.9", "0.99"), ("0.001", "0.95")]
    {
        let table = CriticalCounts::above(decimal(limit), decimal(confidence));
        let (share, error) = (limit.parse::<f64>().unwrap(), 1.0 - confidence.parse::<f64>().unwrap());
        let mut trials = EXACT + 1;
        while trials < 4 * GRID_END {
            let count = table.required(trials);
            let mean = trials as f64 * share;
            assert!(tail(trials, count, share) <= error, "{limit} at {trials}: {count} does not suffice");
            if trials < GRID_END {
                let lenient = mean + (count as f64 - mean) * 0.95 - 3.0;
                assert!(
                    tail(trials, lenient as u64, share) > error,
                    "{limit} at {trials}: {count} is too strict"
                );
            }
            trials += trials / 41;
        }
    }
}

#[test]
fn a_confidence_of_nothing_judges_the_raw_share() {
    let table = CriticalCounts::above(decimal("0.2"), Decimal::ZERO);
    for (trials, required) in [(1, 1), (4, 1), (5, 2), (10, 3), (11, 3), (1_000_000, 200_001)] {
        assert_eq!(table.required(trials), required, "{trials}");
    }
}

#[test]
fn a_share_within_the_limit_never_suffices_however_low_the_confidence() {
    let table = CriticalCounts::above(decimal("0.5"), decimal("0.1"));
    for trials in 1..200 {
        assert!(table.required(trials) * 2 > trials);
    }
}

#[test]
fn limits_at_the_ends_of_the_scale_are_judged_by_their_raw_share() {
    let none = CriticalCounts::above(Decimal::ZERO, decimal("0.99"));
    assert_eq!(none.required(50), 1, "one hit is more than none");
    let all = CriticalCounts::above(Decimal::ONE, decimal("0.99"));
    assert_eq!(all.required(50), 51, "nothing is more than all");
}
