//! What authors who come from other systems are told: every word of theirs is answered with ours.

use super::super::{LoadOptions, load};
use super::elsewhere::{FIELDS, KINDS_ELSEWHERE, VALUES, WITHOUT};

/// What is said of a word in a rule, the help where there is one.
fn told(lines: &str, word: &str) -> String {
    let head = ["name: x", "topics: orders", "detect: { kind: any }"];
    let rest = head.iter().filter(|line| !lines.starts_with(line.split(':').next().unwrap_or_default()));
    let text = format!("{}\n{lines}\n", rest.copied().collect::<Vec<_>>().join("\n"));
    let errors = load(&text, "x", &LoadOptions::default()).expect_err(&text);
    let named = format!("`{word}`");
    let error = errors.iter().find(|error| error.message.contains(&named));
    let error = error.unwrap_or_else(|| panic!("nothing is said of {word}: {errors:#?}"));
    error.help.clone().unwrap_or_default()
}

/// Words of ElastAlert2's rule types and common fields, of the Flink demo's rules, of Sigma's correlations, of Prometheus and
/// Alertmanager, and of Flink CEP, each where its author would write it, with ours.
const WRITTEN: &[(&str, &[(&str, &str)])] = &[
    (
        "WORD: 1",
        &[
            ("type", "`kind`"),
            ("index", "`topics`"),
            ("filter", "`where`"),
            ("query_key", "`group_by`"),
            ("timeframe", "expected one of"),
            ("realert", "`cooldown`"),
            ("realert_key", "leave it out"),
            ("exponential_realert", "`cooldown_max`"),
            ("aggregation", "one ticket"),
            ("aggregation_key", "`group_by`"),
            ("aggregate_by_match_time", "leave it out"),
            ("summary_table_fields", "leave it out"),
            ("query_delay", "`lateness`"),
            ("run_every", "when they come"),
            ("top_count_keys", "leave it out"),
            ("top_count_number", "leave it out"),
            ("include", "leave it out"),
            ("match_enhancements", "`notice`"),
            ("priority", "`severity`"),
            ("description", "`summary`"),
            ("is_enabled", "`state`"),
            ("scan_entire_timeframe", "when they come"),
            ("timestamp_field", "[events.mapping]"),
            ("timestamp_type", "[events.mapping]"),
            ("use_local_time", "`time_zone`"),
            ("import", "alias"),
            ("ruleId", "`name`"),
            ("ruleState", "`state`"),
            ("groupingKeyNames", "`group_by`"),
            ("controlType", "`on_remove`"),
            ("correlation", "`detect`"),
            ("group-by", "`group_by`"),
            ("aliases", "[events.mapping]"),
            ("level", "`severity`"),
            ("falsepositives", "expect: []"),
            ("generate", "shadow"),
            ("status", "`state`"),
            ("title", "`summary`"),
            ("alert", "`name`"),
            ("expr", "`detect`"),
            ("by", "`group_by`"),
            ("labels", "`severity`"),
            ("annotations", "`summary`"),
            ("repeat_interval", "`cooldown`"),
            ("inhibit_rules", "`covered_by`"),
            ("group_interval", "one ticket"),
            ("receiver", "`notice`"),
        ],
    ),
    (
        "detect: { kind: frequency, WORD: 1 }",
        &[
            ("num_events", "the window is not emptied"),
            ("timeframe", "`window`"),
            ("attach_related", "leave it out"),
            ("use_count_query", "nothing is queried"),
            ("use_terms_query", "nothing is queried"),
            ("terms_size", "every subject"),
            ("windowMinutes", "far edge"),
            ("unique", "`distinct`"),
            ("gte", "`at_least`"),
            ("gt", "`at_least`"),
            ("lt", "`at_most`"),
            ("lte", "`at_most`"),
            ("timespan", "`window`"),
            ("limit", "`at_least`"),
            ("condition", "`at_least`"),
            ("buffer_time", "`window`"),
            ("limitOperatorType", "`at_least`"),
        ],
    ),
    (
        "detect: { kind: spike, WORD: 1 }",
        &[
            ("spike_height", "`height`"),
            ("spike_type", "`direction`"),
            ("timeframe", "`window`"),
            ("threshold_ref", "`min_reference`"),
            ("threshold_cur", "`min_current`"),
            ("alert_on_new_data", "reference window"),
            ("field_value", "`field`"),
        ],
    ),
    (
        "detect: { kind: flatline, WORD: 1 }",
        &[("threshold", "`fewer_than`"), ("timeframe", "`window`"), ("forget_keys", "silent")],
    ),
    (
        "detect: { kind: new_term, WORD: 1 }",
        &[
            ("terms_window_size", "`window`"),
            ("window_step_size", "leave it out"),
            ("alert_on_missing_field", "`missing`"),
            ("use_keyword_postfix", "leave it out"),
        ],
    ),
    (
        "detect: { kind: list, WORD: 1 }",
        &[("compare_key", "`field`"), ("blacklist", "`in`"), ("whitelist", "`not_in`")],
    ),
    ("detect: { kind: change, WORD: 1 }", &[("compare_key", "`fields`"), ("ignore_null", "`missing`")]),
    (
        "detect: { kind: cardinality, WORD: 1 }",
        &[
            ("cardinality_field", "`field`"),
            ("max_cardinality", "`above`"),
            ("min_cardinality", "`below`"),
            ("timeframe", "`window`"),
        ],
    ),
    (
        "detect: { kind: metric, WORD: 1 }",
        &[
            ("metric_agg_key", "`field`"),
            ("metric_agg_type", "`agg`"),
            ("max_threshold", "`above`"),
            ("min_threshold", "`below`"),
            ("percentile_range", "`agg`"),
            ("min_doc_count", "`min_samples`"),
            ("bucket_interval", "leave it out"),
            ("sync_bucket_interval", "leave it out"),
            ("allow_buffer_time_overlap", "leave it out"),
            ("use_run_every_query_size", "leave it out"),
            ("metric_agg_script", "`agg`"),
            ("metric_format_string", "templates"),
            ("aggregateFieldName", "`field`"),
            ("aggregatorFunctionType", "`agg`"),
            ("limitOperatorType", "`above`"),
            ("limit", "`above`"),
            ("windowMinutes", "`window`"),
            ("gt", "`above`"),
            ("lt", "`below`"),
            ("eq", "`equal`"),
            ("neq", "`not_equal`"),
            ("gte", "`at_least`"),
            ("lte", "`at_most`"),
            ("condition", "`at_least`"),
        ],
    ),
    (
        "detect: { kind: ratio, WORD: 1 }",
        &[
            ("match_bucket_filter", "`of`"),
            ("min_percentage", "`below`"),
            ("max_percentage", "confidence"),
            ("min_denominator", "`min_samples`"),
            ("percentage_format_string", "templates"),
        ],
    ),
    ("detect: { kind: correlation, WORD: 1 }", &[("rules", "`of`"), ("timespan", "`window`")]),
    (
        "detect: { kind: sequence, WORD: 1 }",
        &[
            ("begin", "`steps`"),
            ("window", "`within`"),
            ("timeframe", "`within`"),
            ("afterMatchSkipStrategy", "`skip`"),
        ],
    ),
    (
        "detect: { kind: sequence, within: 1h, steps: [{ name: a, WORD: 1 }] }",
        &[
            ("next", "then: next"),
            ("followedBy", "followed_by"),
            ("followedByAny", "followed_by_any"),
            ("notNext", "`not: true` with `then: next`"),
            ("notFollowedBy", "not: true"),
            ("oneOrMore", "1.."),
            ("timesOrMore", "3.."),
            ("where", "`when`"),
            ("subtype", "`when`"),
        ],
    ),
    (
        "detect: { kind: WORD }",
        &[
            ("blacklist", "`list`"),
            ("whitelist", "`not_in`"),
            ("metric_aggregation", "`metric`"),
            ("spike_aggregation", "`spike`"),
            ("percentage_match", "`ratio`"),
            ("event_count", "`frequency`"),
            ("value_count", "`cardinality`"),
            ("temporal", "`correlation`"),
            ("temporal_ordered", "`correlation`"),
            ("value_sum", "agg: sum"),
            ("value_avg", "agg: avg"),
            ("value_percentile", "agg: p95"),
            ("COUNT_FLINK", "`frequency`"),
            ("COUNT_WITH_RESET_FLINK", "reset: true"),
        ],
    ),
    (
        "state: WORD",
        &[("ACTIVE", "`active`"), ("PAUSE", "`paused`"), ("DELETE", "`on_remove`"), ("CONTROL", "`paused`")],
    ),
    (
        "detect: { kind: metric, agg: WORD, field: amount, window: 1h, above: 1 }",
        &[
            ("SUM", "`sum`"),
            ("AVG", "`avg`"),
            ("MIN", "`min`"),
            ("MAX", "`max`"),
            ("mean", "`avg`"),
            ("since", "`since_last`"),
        ],
    ),
    (
        "detect: { kind: sequence, within: 1h, steps: [], skip: WORD }",
        &[
            ("NO_SKIP", "`no_skip`"),
            ("SKIP_TO_NEXT", "`to_next`"),
            ("SKIP_PAST_LAST_EVENT", "`past_last_event`"),
        ],
    ),
];

#[test]
fn the_words_of_other_systems_are_answered_with_ours() {
    for (lines, words) in WRITTEN {
        for (word, ours) in *words {
            let told = told(&lines.replace("WORD", word), word);
            assert!(told.contains(ours), "{word} in {lines}: {told}");
        }
    }
}

#[test]
fn words_that_mean_the_same_here_are_no_words_of_others() {
    for (list, theirs) in [
        ("kinds", KINDS_ELSEWHERE.iter().map(|(theirs, ..)| *theirs).collect::<Vec<_>>()),
        ("fields", WITHOUT.iter().map(|(theirs, _)| *theirs).collect()),
    ] {
        let mut sorted = theirs.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), theirs.len(), "one of the {list} is there twice");
    }
    for (theirs, ours, _) in FIELDS.iter().chain(VALUES) {
        assert_ne!(theirs, ours);
        assert!(WITHOUT.iter().all(|(without, _)| without != theirs), "{theirs} is answered twice");
    }
}
