//! The fields of each detection kind.

use super::super::super::reconcile::Check;
use super::super::defaults;
use super::Shape::{AnyOf, Limit, ListOf, Of, Whole, Words};
use super::{Choice, Form, Map, Shape, field, map};
use crate::core::event::NumberField;

/// The most events that a limit may ask for.
const MOST: u32 = super::super::kinds::MOST_EVENTS;

pub fn maps() -> Vec<Map> {
    vec![
        kind("any", Vec::new()),
        frequency(),
        ratio(),
        metric(),
        pair(),
        spike(),
        flatline(),
        deadline(),
        new_term(),
        cardinality(),
        kind(
            "change",
            vec![
                field("fields", Of("text_field").several(), "Any of them that has changed is a finding")
                    .needed(),
                window("How long ago the last value may have been seen").default(defaults::CHANGE_WINDOW),
                missing(),
            ],
        ),
        list(),
        travel(),
        sequence(),
        step(),
        heard(),
        reconcile(),
        correlation(),
    ]
}

/// A map that has `kind` too.
fn kind(name: &'static str, mut fields: Vec<Form>) -> Map {
    fields.insert(0, field("kind", Words(vec![name]), "The kind").needed());
    map(name, fields)
}

fn window(says: &'static str) -> Form {
    field("window", Of("duration"), says)
}

fn missing() -> Form {
    let says = "Whether lacking a field says nothing of it, or is a value of its own";
    field("missing", Words(vec!["ignore", "fire"]), says).default("ignore")
}

fn limit(shape: Shape) -> Shape {
    Limit(Box::new(shape))
}

fn whole_limit() -> Shape {
    limit(Whole(1..=MOST))
}

fn frequency() -> Map {
    let fields = vec![
        field("count", Of("condition"), "What is counted").default("what `where` lets through"),
        field("at_least", whole_limit(), "So many in the window are a finding"),
        field("at_most", whole_limit(), "With `at_least`, a range"),
        window("How far back").needed(),
        field("distinct", Of("text_field"), "Count different values of this field, not events"),
        field("unless", Of("condition"), "Only what came after the latest of these counts"),
        field("reset", Of("flag"), "A finding empties the window").default("false"),
    ];
    kind("frequency", fields).choose(Choice::AtLeastOne(&["at_least", "at_most"]))
}

fn ratio() -> Map {
    let share = || limit(Of("share"));
    let fields = vec![
        field("of", Of("condition"), "What of `among` is counted").needed(),
        field("among", Of("condition"), "What the share is taken of").default("what `where` lets through"),
        field("above", share(), "The share is beyond doubt above this"),
        field("below", share(), "The share is beyond doubt below this"),
        window("How far back").needed(),
        field("min_samples", Whole(1..=MOST), "So many must be there").default(defaults::MIN_SAMPLES),
        field("distinct", Of("text_field"), "One value of this field counts once"),
        field("confidence", Of("share"), "The bound that is compared; 0% judges the raw share")
            .default("99%"),
    ];
    kind("ratio", fields).choose(Choice::One(&["above", "below"]))
}

fn agg() -> Shape {
    let words = [
        "count",
        "distinct",
        "sum",
        "avg",
        "min",
        "max",
        "median",
        "p50",
        "p90",
        "p95",
        "p99",
        "p99.9",
        "stddev",
        "mode_count",
        "since_last",
        "first",
        "last",
    ];
    AnyOf(vec![Words(words.to_vec()), Of("percentile")])
}

/// A field of an event with its value, a number or not.
fn value_field() -> Shape {
    AnyOf(vec![Words(NumberField::ALL.map(NumberField::as_str).to_vec()), Of("text_field")])
}

fn metric() -> Map {
    let bound = || limit(AnyOf(vec![Of("number"), Of("duration")]));
    let fields = vec![
        field("agg", agg(), "How the values become one").needed(),
        field("field", value_field(), "Whose values"),
        field("pair", Of("pair"), "The time from a start to its end, in place of a field"),
        window("How far back").needed(),
        field("min_samples", Whole(1..=MOST), "So many values must be there")
            .default(defaults::METRIC_SAMPLES),
        field("above", bound(), "A finding when it is more"),
        field("at_least", bound(), "A finding when it is as much or more"),
        field("below", bound(), "A finding when it is less"),
        field("at_most", bound(), "A finding when it is as much or less"),
        field("equal", bound(), "A finding when it is this"),
        field("not_equal", bound(), "A finding when it is not this"),
    ];
    let bounds = Choice::One(&["above", "at_least", "below", "at_most", "equal", "not_equal"]);
    kind("metric", fields).choose(bounds).choose(Choice::AtMostOne(&["field", "pair"]))
}

fn key() -> Form {
    field("key", Of("text_field"), "What a start and its end have in common")
        .default("order_id; account_id in a rule over logins only")
}

fn pair() -> Map {
    let fields = vec![
        key(),
        field("start", Of("condition"), "What begins").needed(),
        field("end", Of("condition"), "What ends it").needed(),
    ];
    map("pair", fields)
}

fn spike() -> Map {
    let fields = vec![
        field("count", Of("condition"), "What is counted").default("what `where` lets through"),
        field("agg", agg(), "How values become one; with `field`").default("count"),
        field("field", value_field(), "Whose values"),
        window("The window that is compared").needed(),
        field("reference", Of("duration"), "How long the window before it is").default("the window"),
        field("height", Of("number"), "How many times the one is the other; more than 1, at most 1000")
            .needed(),
        field("direction", Words(vec!["up", "down", "both"]), "Which of the two is the greater one")
            .default("up"),
        field("min_reference", Whole(1..=MOST), "So many must be in the reference")
            .default(defaults::MIN_REFERENCE),
        field("min_current", Whole(0..=MOST), "So many must be in the window").default(defaults::MIN_CURRENT),
    ];
    kind("spike", fields)
}

fn flatline() -> Map {
    let listed = ListOf(Box::new(Of("text")));
    let fields = vec![
        field("fewer_than", whole_limit(), "Fewer than so many in the window are a finding")
            .default(defaults::FEWER_THAN),
        window("How long").needed(),
        field(
            "expect",
            AnyOf(vec![Words(vec!["seen", "catalog"]), listed, Of("file")]),
            "Which subjects should speak: those seen once, those in stock by the catalog, a list, or a file",
        )
        .default("seen"),
        field(
            "calendar",
            Of("name"),
            "A calendar of the configuration; what lies outside of it is no silence",
        ),
    ];
    kind("flatline", fields)
}

fn deadline() -> Map {
    let fields = vec![
        key(),
        field("start", Of("condition"), "What begins; the first of a key counts").needed(),
        field("end", Of("condition"), "What must follow, whatever `where` says").needed(),
        field("within", Of("duration"), "How soon: less than so long after the start").needed(),
    ];
    kind("deadline", fields)
}

fn new_term() -> Map {
    let history = AnyOf(vec![Whole(0..=u32::MAX), Of("duration")]);
    let fields = vec![
        field("fields", Of("text_field").several(), "Whose value is new; of several, their combination"),
        field("place", Words(vec!["geo"]), "In place of fields: where it happened"),
        field(
            "match",
            Words(vec!["combination", "every"]),
            "Of several fields: their combination, or each by itself",
        )
        .default("combination"),
        field(
            "radius_km",
            Of("number"),
            "With `place`: what is nearer than this to a known place is not new",
        )
        .default(defaults::RADIUS_KM),
        field("last", Whole(1..=64), "With `place`: how many places are known")
            .default(defaults::LAST_PLACES),
        window("How long a value is known").default(defaults::NEW_TERM_WINDOW),
        field("min_history", history, "So many events of the subject, or so long since its first one")
            .default(defaults::MIN_HISTORY),
        missing(),
        field("ignore_networks", Of("text").several(), "Networks whose place is not where their user is")
            .default("[]"),
    ];
    kind("new_term", fields).choose(Choice::One(&["fields", "place"]))
}

fn cardinality() -> Map {
    let fields = vec![
        field("field", Of("text_field"), "Whose values are counted").needed(),
        window("How far back").needed(),
        field("above", whole_limit(), "More different values than this"),
        field("below", whole_limit(), "Fewer than this"),
    ];
    kind("cardinality", fields).choose(Choice::One(&["above", "below"]))
}

fn list() -> Map {
    let values = || AnyOf(vec![ListOf(Box::new(Of("text"))), Of("file")]);
    let fields = vec![
        field("field", Of("text_field"), "What is looked up").needed(),
        field("in", values(), "A finding when it is among these; for ip, networks too"),
        field("not_in", values(), "A finding when it is not among these"),
    ];
    kind("list", fields).choose(Choice::One(&["in", "not_in"]))
}

fn travel() -> Map {
    let fields = vec![
        field("faster_than_kmh", Of("number"), "What nobody travels at").default(defaults::FASTER_THAN_KMH),
        field("further_than_km", Of("number"), "What is nearer says nothing")
            .default(defaults::FURTHER_THAN_KM),
        field("ignore_networks", Of("text").several(), "Networks whose place is not where their user is")
            .default("[vpn, relay, satellite]"),
    ];
    kind("travel", fields)
}

fn sequence() -> Map {
    let fields = vec![
        field("within", Of("duration"), "How far the last step may be from the first").needed(),
        field("steps", ListOf(Box::new(Of("step"))), "What happens, one after the other").needed(),
        field(
            "skip",
            Words(vec!["no_skip", "to_next", "past_last_event"]),
            "What of a match may begin another",
        )
        .default("past_last_event"),
    ];
    kind("sequence", fields)
}

fn step() -> Map {
    let fields = vec![
        field("name", Of("name"), "What other steps call it").needed(),
        field("when", Of("condition"), "The event; fields of earlier steps as `login.ip`"),
        field("finding", Of("name"), "A finding of this rule, in place of an event"),
        field("opening", Of("name"), "A ticket of this rule that opens, in place of an event"),
        field("not", Of("flag"), "It must not happen between its neighbours").default("false"),
        field("optional", Of("flag"), "It may be missing").default("false"),
        field(
            "then",
            Words(vec!["next", "followed_by", "followed_by_any"]),
            "How it follows what is before it",
        )
        .default("followed_by"),
        field("times", Of("times"), "How often: 3, 2..4, 1..").default("1"),
        field("distinct", Of("distinct"), "How many values of a field it shows: { channel: 2.. }"),
    ];
    map("step", fields).choose(Choice::One(&["when", "finding", "opening"]))
}

fn reconcile() -> Map {
    let checks = Check::ALL.map(Check::as_str).to_vec();
    let fields = vec![
        field("check", Words(checks), "What does not match").needed(),
        field("within", Of("duration"), "How far apart what does not match may lie")
            .default("by the check: 10m to 30d"),
    ];
    kind("reconcile", fields)
}

fn heard() -> Map {
    let about = "The rule of whose tickets the openings alone count";
    map("heard", vec![field("opening", Of("name"), about).needed()])
}

fn correlation() -> Map {
    let types = vec!["event_count", "value_count", "temporal", "temporal_ordered", "absent"];
    let fields = vec![
        field(
            "of",
            AnyOf(vec![Of("name"), Of("heard")]).several(),
            "The rules whose findings count, or the openings of their tickets; at most 16",
        )
        .needed(),
        window("How near they must be to each other").needed(),
        field("type", Words(types), "What must be among their findings").needed(),
        field("at_least", Whole(1..=64), "With the counts: so many"),
        field("field", Of("text_field"), "With value_count: whose values"),
        field("both_ways", Of("flag"), "With absent: what is missing may also have come before")
            .default("false"),
    ];
    kind("correlation", fields)
}
