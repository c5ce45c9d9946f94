//! The words of the language that an author may miss: names close by, other systems' words, and what is not supported yet.

use super::super::condition::nearest;

/// Every kind of the language, with whether it is supported.
pub const KINDS: [(&str, bool); 17] = [
    ("any", true),
    ("frequency", true),
    ("ratio", true),
    ("metric", true),
    ("spike", true),
    ("baseline", false),
    ("flatline", true),
    ("deadline", true),
    ("new_term", true),
    ("cardinality", true),
    ("change", true),
    ("list", true),
    ("travel", true),
    ("login_risk", false),
    ("sequence", true),
    ("reconcile", true),
    ("correlation", true),
];

/// Other systems' names of fields, ours, and what differs in meaning.
const FIELDS: [(&str, &str, &str); 58] = [
    ("num_events", "at_least", "the window is not emptied after a finding unless `reset: true`"),
    ("timeframe", "window", "a duration such as 10m"),
    ("window", "within", "a duration such as 10m"),
    ("timespan", "window", ""),
    ("windowMinutes", "window", "a duration such as 10m; its far edge does not count"),
    ("query_key", "group_by", "a list of fields"),
    ("group-by", "group_by", ""),
    ("groupingKeyNames", "group_by", ""),
    ("by", "group_by", ""),
    ("realert", "cooldown", "in `incident`; it counts from the incident's end, not from the last match"),
    ("exponential_realert", "cooldown_max", "in `incident`"),
    ("repeat_interval", "cooldown", "in `incident`"),
    ("filter", "where", "a condition in single quotes"),
    ("filters", "where", "a condition in single quotes"),
    ("condition", "where", ""),
    ("index", "topics", ""),
    ("topic", "topics", "one topic or a list"),
    ("type", "kind", "in `detect`"),
    ("is_enabled", "state", "active, shadow or paused"),
    ("enabled", "state", "active, shadow or paused"),
    ("ruleState", "state", "active, shadow or paused"),
    ("status", "state", "active, shadow or paused"),
    ("description", "summary", ""),
    ("title", "summary", ""),
    ("priority", "severity", "in `ticket`: low, medium, high or critical"),
    ("level", "severity", "in `ticket`: low, medium, high or critical"),
    ("alert", "ticket", ""),
    ("threshold", "fewer_than", ""),
    ("threshold", "at_least", ""),
    ("max_threshold", "above", ""),
    ("min_threshold", "below", ""),
    ("max_percentage", "above", "a share such as 20%"),
    ("min_percentage", "below", "a share such as 20%"),
    ("match_bucket_filter", "of", "a condition in single quotes"),
    ("min_denominator", "min_samples", ""),
    ("min_doc_count", "min_samples", ""),
    ("max_cardinality", "above", ""),
    ("min_cardinality", "below", ""),
    ("cardinality_field", "field", ""),
    ("compare_key", "field", ""),
    ("compare_key", "fields", "a list of fields"),
    ("blacklist", "in", "a list, or file(\"blocked.txt\")"),
    ("whitelist", "not_in", "a list, or file(\"known.txt\")"),
    ("ignore_null", "missing", "ignore or fire"),
    ("unique", "distinct", ""),
    ("spike_height", "height", ""),
    ("spike_type", "direction", ""),
    ("threshold_ref", "min_reference", ""),
    ("threshold_cur", "min_current", ""),
    ("terms_window_size", "window", ""),
    ("alert_on_missing_field", "missing", "ignore or fire"),
    ("metric_agg_type", "agg", ""),
    ("metric_agg_key", "field", ""),
    ("gte", "at_least", ""),
    ("lte", "at_most", ""),
    ("gt", "above", ""),
    ("lt", "below", ""),
    ("query_delay", "lateness", "how late an event may be and still count"),
];

/// Other systems' names of kinds, and ours.
const KINDS_ELSEWHERE: [(&str, &str); 14] = [
    ("percentage_match", "ratio"),
    ("metric_aggregation", "metric"),
    ("spike_aggregation", "spike"),
    ("blacklist", "list"),
    ("whitelist", "list"),
    ("event_count", "frequency"),
    ("value_count", "cardinality"),
    ("temporal", "correlation"),
    ("temporal_ordered", "sequence"),
    ("threshold", "frequency"),
    ("count", "frequency"),
    ("impossible_travel", "travel"),
    ("absence", "flatline"),
    ("timeout", "deadline"),
];

/// Which of the `known` fields an author meant by `written`, if that can be guessed.
pub fn meant(written: &str, known: &[&'static str]) -> Option<&'static str> {
    foreign(written, known).map(|(_, ours, _)| *ours).or_else(|| nearest(written, known.iter().copied()))
}

fn foreign(
    written: &str,
    known: &[&'static str],
) -> Option<&'static (&'static str, &'static str, &'static str)> {
    FIELDS.iter().find(|(theirs, ours, note)| {
        theirs.eq_ignore_ascii_case(written) && (known.contains(ours) || note.starts_with("in `"))
    })
}

/// What to say of a field that is not `known` here.
pub fn field_help(written: &str, known: &[&'static str]) -> String {
    if written == "<<" {
        return "merge keys are not supported; write the fields out".to_owned();
    }
    if let Some((_, ours, note)) = foreign(written, known) {
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        return format!("it is called `{ours}` here{note}");
    }
    match nearest(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of: {}", known.join(", ")),
    }
}

/// What to say of a kind that there is not.
pub fn kind_help(written: &str) -> String {
    if let Some((_, ours)) = KINDS_ELSEWHERE.iter().find(|(theirs, _)| *theirs == written) {
        return format!("it is called `{ours}` here");
    }
    match nearest(written, KINDS.iter().map(|(kind, _)| *kind)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let supported: Vec<&str> =
                KINDS.iter().filter(|(_, supported)| *supported).map(|(kind, _)| *kind).collect();
            format!("expected one of: {}", supported.join(", "))
        }
    }
}
