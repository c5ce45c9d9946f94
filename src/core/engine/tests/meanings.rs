//! What is meant where it could be read two ways: one test for each row of the table in the rule language, in its order.

use super::peers::{at_seconds, each, found, tickets};
use super::*;
use crate::core::event::decode::{Decoder, EventSettings, Scratch};

fn orders(detect: &str) -> String {
    format!("name: x\ntopics: orders\ndetect: {{ {detect} }}\n")
}

fn failures(fields: &str) -> String {
    orders(&format!("kind: frequency, count: 'type == \"order.failed\"', {fields}"))
}

#[test]
fn group_by_nothing_is_one_subject_of_which_a_flatline_expects_something_from_the_start() {
    let text = format!("{}group_by: []\n", orders("kind: flatline, window: 60s"));
    // Another topic's event begins the time; no order has ever come.
    let lines = tickets(&text, &each(&[(0, "login.succeeded a1")]), 100);
    assert_eq!(lines, ["65 ticket.opened x  since 60"]);
    let counted = format!("{}group_by: []\n", failures("at_least: 2, window: 60s"));
    let both = each(&[(0, "order.failed a1"), (1, "order.failed a2")]);
    assert_eq!(found(&counted, &both, 10).first(), Some(&1), "whoever they are of");
}

#[test]
fn dotted_fields_in_a_subject_are_flat_keys() {
    let text = "name: x\ntopics: logins\ngroup_by: [account_id, geo.country]\ndetect: { kind: any }\n";
    let mut engine = Engine::new(rules(text), &[0]);
    engine.observe(0, &mut event(0, 0, "login.failed a1 geo.country=CN"), at(0));
    let subject = engine.drain_effects().next().unwrap().subject;
    let names: Vec<(&str, &str)> =
        subject.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(names, [("account_id", "a1"), ("geo.country", "CN")]);
}

#[test]
fn every_comparison_with_a_field_that_an_event_lacks_is_false() {
    let events =
        each(&[(0, "order.failed a1"), (1, "order.failed a1 channel=c"), (2, "order.failed a1 channel=d")]);
    for (condition, expected) in [
        (r#"channel == "c""#, vec![1]),
        (r#"channel != "c""#, vec![2]),
        (r#"channel not in ["c"]"#, vec![2]),
        (r#"not (channel == "c")"#, vec![0, 2]),
        ("exists(channel)", vec![1, 2]),
        (r#"fault != "customer""#, vec![0, 1, 2]),
    ] {
        let text = format!("{}where: '{condition}'\n", orders("kind: any"));
        assert_eq!(found(&text, &events, 10), expected, "{condition}");
    }
    let grouped = format!("{}group_by: [channel]\n", orders("kind: any"));
    assert_eq!(found(&grouped, &events, 10), [1, 2], "without a field of the subject it is not looked at");
}

#[test]
fn an_event_must_have_an_id_a_type_a_time_and_outside_of_the_catalog_an_account() {
    let reads = |text: &str| {
        Decoder::new(EventSettings::default()).decode(text.as_bytes(), &mut Scratch::default()).is_ok()
    };
    let whole = r#"{"id":"e1","type":"order.paid","time":"2026-10-01T08:00:00Z","account_id":"a1"}"#;
    assert!(reads(whole));
    for member in [
        r#""id":"e1","#,
        r#""type":"order.paid","#,
        r#""time":"2026-10-01T08:00:00Z","#,
        r#","account_id":"a1""#,
    ] {
        assert!(!reads(&whole.replace(member, "")), "without {member}");
    }
    assert!(reads(r#"{"id":"e1","type":"stock.level","time":"2026-10-01T08:00:00Z"}"#));
}

#[test]
fn the_first_finding_opens_and_the_rest_feed_while_correlations_hear_every_one() {
    let text = format!(
        "{}---\nname: thrice\ntopics: orders\ndetect: {{ kind: correlation, of: [x], type: event_count, at_least: 3, \
         window: 10m }}\n",
        failures("at_least: 2, window: 10m"),
    );
    let events = at_seconds(0..4, "order.failed a1");
    assert_eq!(found(&text, &events, 10), [1, 2, 3]);
    assert_eq!(tickets(&text, &events, 10), ["1 ticket.opened x a1 since 1"]);
    let lines = run(&rules(&text), &[0, 1, 2, 3].map(|second| (second, "order.failed a1")), 10);
    assert_eq!(count(&lines, "ticket.opened", "thrice"), 1, "{lines:#?}");
}

#[test]
fn a_lasting_condition_ends_recovered_where_that_is_shown_and_else_quiet() {
    let frame = "keep_firing_for: 60s\nincident: { cooldown: 0s }\n";
    let quiet = format!("{}{frame}", failures("at_least: 2, window: 100s"));
    let two = at_seconds(0..2, "order.failed a1");
    assert_eq!(
        tickets(&quiet, &two, 400),
        ["1 ticket.opened x a1 since 1", "160 ticket.resolved x a1 quiet"]
    );
    let resolved = format!(
        "{}keep_firing_for: 60s\nincident: {{ resolve_when: 'type == \"order.delivered\"' }}\n",
        failures("at_least: 2, window: 100s")
    );
    let delivered = [two, each(&[(20, "order.delivered a1")])].concat();
    assert_eq!(tickets(&resolved, &delivered, 400)[1], "20 ticket.resolved x a1 recovered", "at once");
    let share = format!(
        "name: x\ntopics: orders\ngroup_by: [channel]\ndetect: {{ kind: ratio, of: 'type == \"order.failed\"', above: 50%, \
         window: 60s, min_samples: 4, confidence: 0% }}\n{frame}"
    );
    let failed = at_seconds(0..4, "order.failed a1 channel=c");
    let healthy = [failed.clone(), at_seconds(10..20, "order.paid a1 channel=c")].concat();
    assert!(tickets(&share, &healthy, 400)[1].ends_with("recovered"));
    assert!(tickets(&share, &failed, 400)[1].ends_with("quiet"));
}

#[test]
fn point_findings_stay_open_until_close_after_and_a_deadline_until_its_end() {
    let text = format!("{}incident: {{ close_after: 5m, cooldown: 0s }}\n", orders("kind: any"));
    let events = each(&[(0, "order.failed a1"), (200, "order.failed a1")]);
    assert_eq!(
        tickets(&text, &events, 900),
        ["0 ticket.opened x a1 since 0", "500 ticket.resolved x a1 quiet"]
    );
    let lines = tickets(
        &deadline("within: 1m"),
        &each(&[(0, "order.paid a1 order_id=o1"), (100, "order.delivered a1 order_id=o1")]),
        200,
    );
    assert_eq!(lines, ["65 ticket.opened x o1 since 60", "100 ticket.resolved x o1 recovered"]);
}

#[test]
fn a_missed_deadline_pends_until_its_end_and_joins_what_explains_it_meanwhile() {
    let text = format!(
        "{}for: 5m\nincident: {{ covered_by: [cause], wait: 1m }}\n---\nname: cause\ntopics: orders\n\
         where: 'type == \"order.refunded\"'\ndetect: {{ kind: any }}\n",
        deadline("within: 1m")
    );
    let paid = (0, "order.paid a1 order_id=o1");
    assert_eq!(tickets(&text, &each(&[paid]), 600), ["420 ticket.opened x o1 since 60"]);
    let ended = each(&[paid, (200, "order.delivered a1 order_id=o1")]);
    assert_eq!(tickets(&text, &ended, 600), [""; 0], "it came before the ticket");
    let explained = each(&[paid, (100, "order.refunded a1 order_id=o2")]);
    assert_eq!(tickets(&text, &explained, 600), [""; 0], "what explains it has the ticket");
    let too_late = each(&[paid, (430, "order.refunded a1 order_id=o2")]);
    assert_eq!(tickets(&text, &too_late, 600)[0], "420 ticket.opened x o1 since 60");
}

fn deadline(within: &str) -> String {
    orders(&format!(
        "kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', {within}"
    ))
}

#[test]
fn within_the_cooldown_the_same_ticket_is_reopened_and_the_cooldown_doubles() {
    let text = format!(
        "{}incident: {{ close_after: 10s, cooldown: 100s, cooldown_max: 200s }}\n",
        orders("kind: any")
    );
    // It ends at 10, 119, 328 and 537; the cooldown is 100, 200, 200 and 200 seconds.
    let lines = tickets(&text, &at_seconds([0, 109, 318, 527, 737], "order.failed a1"), 760);
    let steps: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    let again = ["ticket.reopened", "ticket.resolved"];
    let expected = [
        &["ticket.opened", "ticket.resolved"][..],
        &again,
        &again,
        &again,
        &["ticket.opened", "ticket.resolved"],
    ];
    assert_eq!(steps, expected.concat(), "{lines:#?}");
}

#[test]
fn only_what_comes_after_the_latest_unless_counts() {
    let text = failures("at_least: 2, window: 10m, unless: 'type == \"order.delivered\"'");
    let events = each(&[
        (0, "order.failed a1"),
        (1, "order.delivered a1"),
        (2, "order.failed a1"),
        (3, "order.failed a1"),
    ]);
    assert_eq!(found(&text, &events, 10), [3]);
}

#[test]
fn absence_is_judged_a_grace_after_its_limit_and_withdrawn_by_what_arrives_later_with_an_earlier_time() {
    let text = format!("{}grace: 10s\n", deadline("within: 1m"));
    let start = (0, "order.paid a1 order_id=o1");
    assert_eq!(tickets(&text, &each(&[start]), 200), ["70 ticket.opened x o1 since 60"]);
    let disordered =
        each(&[start, (65, "order.paid a2 order_id=o2"), (59, "order.delivered a1 order_id=o1")]);
    assert_eq!(tickets(&text, &disordered, 100), [""; 0], "ordinary disorder fires nothing");
    let late = each(&[start, (80, "order.paid a2 order_id=o2"), (59, "order.delivered a1 order_id=o1")]);
    assert_eq!(tickets(&text, &late, 100), ["70 ticket.opened x o1 since 60", "80 ticket.withdrawn x o1"]);
}

#[test]
fn at_is_when_it_was_decided_and_since_the_event_time_it_belongs_to() {
    let text = format!(
        "{}incident: {{ covered_by: [cause], wait: 30s }}\n---\nname: cause\ntopics: orders\nwhere: 'type == \"order.refunded\"'\n\
         detect: {{ kind: any }}\n",
        failures("at_least: 2, window: 10m"),
    );
    assert_eq!(tickets(&text, &at_seconds(0..2, "order.failed a1"), 60), ["31 ticket.opened x a1 since 1"]);
}

#[test]
fn time_stops_at_the_last_event_unless_it_is_let_pass() {
    let (text, events) = (
        deadline("within: 1m"),
        each(&[(0, "order.paid a1 order_id=o1"), (62, "order.paid a2 order_id=o2")]),
    );
    assert_eq!(tickets(&text, &events, 62), [""; 0], "its grace is not over");
    assert_eq!(tickets(&text, &events, 65).len(), 1);
}

#[test]
fn before_a_whole_window_has_passed_flatline_below_and_spike_say_nothing_about_a_subject() {
    let few = at_seconds([0, 30, 61], "order.paid a1 channel=c amount=1");
    let below = |detect: &str| {
        format!(
            "name: x\ntopics: orders\ngroup_by: [channel]\ndetect: {{ {detect}, window: 60s }}\ngrace: 0s\n"
        )
    };
    assert_eq!(found(&below("kind: metric, agg: count, below: 5"), &few, 61).first(), Some(&60));
    // What spans partitions is judged in steps, and the first event has entered at the one after its time.
    assert_eq!(found(&below("kind: flatline, fewer_than: 5"), &few, 61).first(), Some(&61));
    assert_eq!(
        found(
            &below("kind: ratio, of: 'type == \"order.failed\"', below: 50%, min_samples: 1, confidence: 0%"),
            &few,
            61
        )
        .first(),
        Some(&60)
    );
    let spike = below("kind: spike, height: 2, min_reference: 1");
    let surge = [few.clone(), at_seconds(100..119, "order.paid a1 channel=c")].concat();
    assert_eq!(found(&spike, &surge, 119), [0_i64; 0], "two windows, since it compares two");
    let later = [few, at_seconds(121..125, "order.paid a1 channel=c")].concat();
    assert!(!found(&spike, &later, 124).is_empty());
    // What is listed is expected from the start, though it has never spoken.
    let listed = below("kind: flatline, expect: [c, silent]");
    assert_eq!(
        tickets(&listed, &at_seconds((0..=60).step_by(10), "order.paid a1 channel=c"), 61),
        ["60 ticket.opened x silent since 60"]
    );
}

#[test]
fn min_history_is_a_number_of_the_subjects_own_events_or_a_span_since_its_first() {
    let text = |history: &str| {
        format!(
            "name: x\ntopics: logins\ndetect: {{ kind: new_term, fields: [device_id], min_history: {history} }}\n"
        )
    };
    let events: Vec<(i64, String)> =
        (0..4).map(|number| (number * 10, format!("login.failed a1 device_id=d{number}"))).collect();
    assert_eq!(found(&text("2"), &events, 40), [20, 30]);
    assert_eq!(found(&text("15s"), &events, 40), [20, 30]);
    assert_eq!(found(&text("3"), &events, 40), [30]);
}

#[test]
fn stddev_is_that_of_the_population_and_percentiles_lie_between_their_neighbours() {
    let amounts = |amounts: &[&str]| -> Vec<(i64, String)> {
        (0..)
            .zip(amounts)
            .map(|(second, amount)| (second, format!("order.paid a1 amount={amount}")))
            .collect()
    };
    let holds = |agg: &str, limit: &str, values: &[&str]| {
        let text = orders(&format!(
            "kind: metric, agg: {agg}, field: amount, window: 1h, at_least: \"{limit}\", min_samples: {}",
            values.len()
        ));
        !found(&text, &amounts(values), 30).is_empty()
    };
    // Of 2, 4, 4, 4, 5, 5, 7, 9 the population's standard deviation is 2, that of a sample 2.138.
    let eight = ["2", "4", "4", "4", "5", "5", "7", "9"];
    assert!(holds("stddev", "2", &eight) && !holds("stddev", "2.001", &eight));
    // numpy.percentile([1, 2, 3, 4], [50, 90]), whose default is Hyndman and Fan's seventh: 2.5 and 3.7.
    let four = ["1", "2", "3", "4"];
    assert!(holds("median", "2.5", &four) && !holds("median", "2.501", &four));
    assert!(holds("p90", "3.7", &four) && !holds("p90", "3.701", &four));
}

#[test]
fn a_sequence_needs_within_lets_others_lie_between_its_times_and_a_not_with_next_is_about_the_very_next_event()
 {
    let text = |within: &str, last: &str| {
        format!(
            "name: x\ntopics: logins\ndetect:\n  kind: sequence\n{within}  steps:\n    - {{ name: one, when: 'device_id == \"a\"' }}\n{last}"
        )
    };
    let twice = "    - { name: two, when: 'device_id == \"b\"', times: 2 }\n";
    assert!(parse::load(&text("", twice), "x.yaml", &LoadOptions::default()).is_err());
    let of = |letters: &str| -> Vec<(i64, String)> {
        (0..)
            .zip(letters.chars())
            .map(|(second, letter)| (second, format!("login.failed a1 device_id={letter}")))
            .collect()
    };
    let within = "  within: 1m\n";
    assert_eq!(found(&text(within, twice), &of("abcb"), 70), [3]);
    let strict = twice.replace("times: 2", "times: 2, then: next");
    assert_eq!(found(&text(within, &strict), &of("abcb"), 70), [0_i64; 0]);
    let not_next = "    - { name: no, when: 'device_id == \"c\"', not: true, then: next }\n    - { name: two, when: 'device_id == \"b\"' }\n";
    assert_eq!(found(&text(within, not_next), &of("adcb"), 70), [3]);
    assert_eq!(found(&text(within, not_next), &of("acb"), 70), [0_i64; 0]);
}

#[test]
fn in_an_absent_correlation_the_last_is_the_one_that_is_missing_and_only_looked_for_forward() {
    let text = |both: &str| {
        format!(
            "name: x\ntopics: orders\ndetect: {{ kind: correlation, of: [paid, done], type: absent, window: 1m{both} }}\n---\n\
             name: paid\ntopics: orders\nwhere: 'type == \"order.paid\"'\ndetect: {{ kind: any }}\n---\n\
             name: done\ntopics: orders\nwhere: 'type == \"order.delivered\"'\ndetect: {{ kind: any }}\n"
        )
    };
    let (paid, done) = ("order.paid a1", "order.delivered a1");
    assert_eq!(found(&text(""), &each(&[(100, paid)]), 200), [160]);
    assert_eq!(found(&text(""), &each(&[(100, paid), (159, done)]), 200), [0_i64; 0]);
    assert_eq!(
        found(&text(""), &each(&[(50, done), (100, paid)]), 200),
        [160],
        "what came before does not help"
    );
    assert_eq!(found(&text(", both_ways: true"), &each(&[(50, done), (100, paid)]), 200), [0_i64; 0]);
}

#[test]
fn an_event_at_the_limit_is_applied_first_but_does_not_meet_it() {
    for (second, expected) in [(59, 0), (60, 1)] {
        let events = each(&[(0, "order.paid a1 order_id=o1"), (second, "order.delivered a1 order_id=o1")]);
        assert_eq!(found(&deadline("within: 1m"), &events, 200).len(), expected, "delivered at {second}");
    }
}

#[test]
fn an_end_between_a_limit_and_its_judgement_opens_and_resolves_at_once_and_the_customer_is_not_told() {
    let text = format!("{}notice: {{ template: late, to: account }}\n", deadline("within: 1m"));
    let lines =
        run(&rules(&text), &[(0, "order.paid a1 order_id=o1"), (62, "order.delivered a1 order_id=o1")], 200);
    let tickets: Vec<&String> = lines.iter().filter(|line| line.contains(" ticket.")).collect();
    assert_eq!(tickets, ["65 ticket.opened x o1 since 60", "65 ticket.resolved x o1 recovered"]);
    assert!(!lines.iter().any(|line| line.contains("notice")), "{lines:#?}");
}

#[test]
fn of_two_rules_on_one_trouble_the_one_that_covered_by_names_is_the_ticket() {
    let cause =
        "---\nname: cause\ntopics: orders\nwhere: 'type == \"order.refunded\"'\ndetect: { kind: any }\n";
    let events = each(&[(0, "order.refunded a1"), (1, "order.failed a1"), (2, "order.failed a1")]);
    let alone = format!("{}{cause}", failures("at_least: 2, window: 10m"));
    assert_eq!(tickets(&alone, &events, 100).len(), 1);
    let covered =
        format!("{}incident: {{ covered_by: [cause] }}\n{cause}", failures("at_least: 2, window: 10m"));
    assert_eq!(tickets(&covered, &events, 100), [""; 0]);
    // A check and a deadline on the same order, without a word of either: the deadline.
    let check = format!(
        "{}---\nname: check\ntopics: orders\ndetect: {{ kind: reconcile, check: paid_without_key, within: 1m }}\n",
        deadline("within: 1m")
    );
    let lines = run(&rules(&check), &[(0, "order.paid a1 order_id=o1")], 200);
    let opened: Vec<&String> = lines.iter().filter(|line| line.contains("opened")).collect();
    assert_eq!(opened, ["65 ticket.opened x o1 since 60"]);
}

#[test]
fn several_rules_in_a_file_are_documents_between_dashes() {
    let text = format!("{}---\n{}", orders("kind: any"), orders("kind: any").replace("name: x", "name: y"));
    assert_eq!(rules(&text).rules.len(), 2);
}
