//! That every series is there from the start, keeps the rules of its trade, and follows what is brought in.

use std::collections::BTreeSet;

use super::*;

fn metrics() -> Metrics {
    Metrics::new(Registry::new(), &RuleSet::default()).expect("no name twice")
}

/// The value of a series as Prometheus would read it.
fn value(metrics: &Metrics, series: &str) -> Option<String> {
    let text = metrics.text().expect("text");
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[test]
fn every_name_has_help_a_unit_and_the_ending_of_its_kind() {
    let text = metrics().text().expect("text");
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help");
            assert!(
                help.len() > 10 && help.ends_with('.') || name.starts_with("process_") || help.ends_with('1'),
                "{line}"
            );
            helped.insert(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("kind");
            assert!(helped.contains(name), "{name} has no help");
            assert!(name.starts_with("forewarn_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            for unit in ["_ms", "_millis", "_minutes", "_kb", "_count", "_sum", "_bucket"] {
                assert!(!name.contains(unit), "{name}");
            }
            if kind == "histogram" {
                assert!(name.ends_with("_seconds"), "{name}");
            }
        }
    }
    assert!(helped.len() > 40, "{}", helped.len());
}

#[test]
fn series_with_known_labels_exist_before_anything_happens() {
    let metrics = metrics();
    for series in [
        "forewarn_events_total{result=\"duplicate\",type=\"login.failed\"}",
        "forewarn_records_rejected_total{reason=\"not_json\"}",
        "forewarn_ticket_steps_total{step=\"merged\"}",
        "forewarn_notices_total{decision=\"limit_per_incident\"}",
        "forewarn_messages_total{result=\"unknown\"}",
        "forewarn_rules{state=\"shadow\"}",
        "forewarn_notices_total{decision=\"shadow\"}",
        "forewarn_retries_total{what=\"smtp\"}",
    ] {
        assert_eq!(value(&metrics, series).as_deref(), Some("0"), "{series}");
    }
    assert_eq!(value(&metrics, "forewarn_snapshot_age_seconds"), None);
}

#[test]
fn totals_are_followed_and_lost_partitions_vanish() {
    let metrics = metrics();
    let mut events = [[0_u64; 3]; EventType::ALL.len()];
    events[0] = [5, 1, 2];
    let mut reading = Reading {
        records: 9,
        events: &events,
        rejected: [("nul", 1)].into(),
        lag: &[(Topic::Orders, 0, 3), (Topic::Orders, 1, 4)],
        snapshot_age: Some(Duration::from_millis(1_500)),
        ..Reading::default()
    };
    metrics.set_reading(&reading);
    metrics.set_reading(&reading);
    assert_eq!(value(&metrics, "forewarn_records_total").as_deref(), Some("9"));
    assert_eq!(
        value(&metrics, "forewarn_events_total{result=\"late\",type=\"order.created\"}").as_deref(),
        Some("1")
    );
    assert_eq!(value(&metrics, "forewarn_records_rejected_total{reason=\"nul\"}").as_deref(), Some("1"));
    assert_eq!(
        value(&metrics, "forewarn_lag_records{partition=\"1\",topic=\"orders\"}").as_deref(),
        Some("4")
    );
    assert_eq!(value(&metrics, "forewarn_snapshot_age_seconds").as_deref(), Some("1.5"));
    reading.records = 11;
    reading.lag = &[(Topic::Orders, 0, 1)];
    metrics.set_reading(&reading);
    assert_eq!(value(&metrics, "forewarn_records_total").as_deref(), Some("11"));
    assert_eq!(value(&metrics, "forewarn_lag_records{partition=\"1\",topic=\"orders\"}"), None);
}

#[test]
fn codes_without_end_do_not_make_series_without_end() {
    let (metrics, mut codes) = (metrics(), CodeLabels::default());
    for number in 0..UNKNOWN_CODES + 10 {
        let by_code = [(format!("X{number}").into(), 2)].into();
        metrics.note_unknown_faults(&UnknownFaults { by_code, other_codes: 1, without_code: 1 }, &mut codes);
    }
    let series = metrics
        .text()
        .expect("text")
        .lines()
        .filter(|line| line.starts_with("forewarn_unknown_faults_total{"))
        .count();
    assert_eq!(series, UNKNOWN_CODES + 2);
    assert_eq!(value(&metrics, "forewarn_unknown_faults_total{code=\"X0\"}").as_deref(), Some("2"));
    let other = (UNKNOWN_CODES + 10 + 10 * 2).to_string();
    assert_eq!(value(&metrics, "forewarn_unknown_faults_total{code=\"other\"}"), Some(other));
}

#[test]
fn a_load_that_fails_keeps_the_time_of_the_last_one_that_did_not() {
    let metrics = metrics();
    metrics.note_load(Loaded::Rules, true, Time::from_millis(1_790_842_350_123));
    metrics.note_load(Loaded::Rules, false, Time::from_millis(1_790_842_999_000));
    let at = value(&metrics, "forewarn_last_load_success_timestamp_seconds{what=\"rules\"}");
    assert_eq!(at.as_deref(), Some("1790842350"));
    assert_eq!(value(&metrics, "forewarn_last_load_successful{what=\"rules\"}").as_deref(), Some("0"));
}
