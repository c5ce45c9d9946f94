//! The detection kinds: the fields of `detect`, checked against each other.

mod cardinality;
mod change;
mod correlation;
mod limits;
mod list;
mod metric;
mod reconcile;
mod sequence;
mod spike;

use rust_decimal::Decimal;

use super::super::Detect;
use super::super::condition::Condition;
use super::super::deadline::Deadline;
use super::super::frequency::{Frequency, MOST_DISTINCT};
use super::super::limit::WholeLimit;
use super::super::list::values_of;
use super::super::new_term::{History, NewTerm, Novelty};
use super::super::scope::{Expected, Flatline, Ratio, Side};
use super::super::travel::Travel;
use super::defaults;
use super::fields::{Fields, Reading};
use super::files::name_in;
use super::value::parse_duration;
use super::words;
use super::yaml::{Node, Value};
use crate::core::event::{Symbol, TextField, Topic, TypeSet};
use limits::{share_limit, whole_limit};

/// The most events that a limit may ask for.
pub const MOST_EVENTS: u32 = 1_000_000;
/// The most subjects that a file may say are expected.
const MOST_EXPECTED: usize = 10_000;

/// `topics` are the types of the rule's topics, for defaults that depend on them.
pub fn detect(node: &Node, topics: TypeSet, reading: &mut Reading<'_>) -> Option<Detect> {
    let mut fields = Fields::of(node, "`detect`", reading)?;
    let Some(kind_node) = fields.take("kind") else {
        fields.missing(&["kind"], reading);
        return None;
    };
    let kind = reading.text(kind_node, "the name of a kind")?;
    match kind {
        "any" => any(fields, reading),
        "cardinality" => cardinality::cardinality(fields, reading).map(Detect::Cardinality),
        "change" => change::change(fields, reading).map(Detect::Change),
        "frequency" => frequency(fields, reading).map(Detect::Frequency),
        "ratio" => ratio(fields, reading).map(Detect::Ratio),
        "deadline" => deadline(fields, topics, reading).map(Detect::Deadline),
        "new_term" => new_term(fields, reading).map(Detect::NewTerm),
        "travel" => travel(fields, reading).map(Detect::Travel),
        "flatline" => flatline(fields, reading).map(Detect::Flatline),
        "list" => list::list(fields, reading).map(Detect::List),
        "metric" => metric::metric(fields, topics, reading).map(Detect::Metric),
        "reconcile" => reconcile::reconcile(fields, reading).map(Detect::Reconcile),
        "correlation" => correlation::correlation(fields, reading).map(Detect::Correlation),
        "sequence" => sequence::sequence(fields, reading).map(Detect::Sequence),
        "spike" => spike::spike(fields, reading).map(Detect::Spike),
        _ => {
            if words::KINDS.iter().any(|(known, _)| *known == kind) {
                reading.report(&kind_node.span, format!("the kind `{kind}` is not supported yet"));
            } else {
                reading.push(&kind_node.span, format!("unknown kind `{kind}`"), Some(words::kind_help(kind)));
            }
            None
        }
    }
}

fn any(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Detect> {
    fields.what = "the kind any";
    fields.finish(reading);
    Some(Detect::Any)
}

fn frequency(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Frequency> {
    fields.what = "a frequency";
    let count = condition_or_always(fields.take("count"), reading);
    let at_least = fields.take("at_least").map(|node| whole_limit(node, 1..=MOST_EVENTS, reading));
    let at_most = fields.take("at_most").map(|node| whole_limit(node, 1..=MOST_EVENTS, reading));
    let window = fields.need("window").and_then(|node| reading.length(node));
    let distinct = fields.take("distinct").map(|node| reading.text_field(node));
    let unless = fields.take("unless").map(|node| reading.condition(node));
    let reset = fields.take("reset").map_or(Some(false), |node| reading.flag(node));
    if at_least.is_none() && at_most.is_none() {
        fields.missing(&["at_least", "at_most"], reading);
    }
    if let (Some(Some(low)), Some(Some(high))) = (&at_least, &at_most)
        && let Some((low, high)) = low.beyond(high)
    {
        reading
            .report(&fields.key_span("at_most"), format!("no number is at least {low} and at most {high}"));
    }
    let limits = [("at_least", &at_least), ("at_most", &at_most)];
    for (name, limit) in limits.into_iter().filter(|_| distinct.is_some()) {
        if limit.iter().flatten().any(|limit| limit.most() as usize > MOST_DISTINCT) {
            let problem = format!("more than {MOST_DISTINCT} different values are not told apart");
            reading.report(&fields.key_span(name), problem);
        }
    }
    fields.finish(reading);
    Some(Frequency {
        count: count?,
        at_least: whole(at_least)?,
        at_most: whole(at_most)?,
        window: window?,
        distinct: whole(distinct)?,
        unless: whole(unless)?,
        reset: reset?,
    })
}

fn ratio(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Ratio> {
    fields.what = "a ratio";
    let of = fields.need("of").and_then(|node| reading.condition(node));
    let among = condition_or_always(fields.take("among"), reading);
    let (above, below) = (fields.take("above"), fields.take("below"));
    let window = fields.need("window").and_then(|node| reading.length(node));
    let min_samples = fields
        .take("min_samples")
        .map_or(Some(defaults::MIN_SAMPLES), |node| reading.whole(node, 1..=MOST_EVENTS));
    let distinct = fields.take("distinct").map(|node| reading.text_field(node));
    let confidence = fields.take("confidence").map_or(Some(defaults::CONFIDENCE), |node| {
        let confidence = reading.share(node)?;
        if confidence == Decimal::ONE {
            reading.report(&node.span, "no number of events gives a confidence of 100%");
            return None;
        }
        Some(confidence)
    });
    let side = match (above, below) {
        (Some(node), None) => Some((Side::Above, share_limit(node, reading))),
        (None, Some(node)) => Some((Side::Below, share_limit(node, reading))),
        (None, None) => {
            fields.missing(&["above", "below"], reading);
            None
        }
        (Some(_), Some(_)) => {
            reading.report(&fields.key_span("below"), "a ratio has either `above` or `below`");
            None
        }
    };
    fields.finish(reading);
    let (side, limit) = side?;
    Some(Ratio {
        of: of?,
        among: among?,
        limit: limit?,
        side,
        window: window?,
        min_samples: min_samples?,
        distinct: whole(distinct)?,
        confidence: confidence?,
    })
}

fn deadline(mut fields: Fields<'_>, topics: TypeSet, reading: &mut Reading<'_>) -> Option<Deadline> {
    fields.what = "a deadline";
    let logins_only = topics.and(TypeSet::of_topic(Topic::Logins).not()).is_empty();
    let default = if logins_only { TextField::AccountId } else { TextField::OrderId };
    let key = fields.take("key").map_or(Some(default), |node| reading.text_field(node));
    let start = fields.need("start").and_then(|node| reading.condition(node));
    let end = fields.need("end").and_then(|node| reading.condition(node));
    let within = fields.need("within").and_then(|node| reading.length(node));
    fields.not_yet(&["learn_by", "quantile", "min", "max"], reading);
    fields.finish(reading);
    Some(Deadline { key: key?, start: start?, end: end?, within: within? })
}

fn new_term(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<NewTerm> {
    fields.what = "a new_term";
    let values = fields.take("fields");
    let place = fields.take("place");
    let every = fields
        .take("match")
        .map_or(Some(false), |node| reading.choice(node, &[("combination", false), ("every", true)]));
    let radius_km = fields
        .take("radius_km")
        .map_or(Some(defaults::RADIUS_KM), |node| reading.measure(node, 0.1..=20_000.0));
    let last = fields
        .take("last")
        .map_or(Some(defaults::LAST_PLACES), |node| Some(reading.whole(node, 1..=64)? as usize));
    let window = fields.take("window").map_or(Some(defaults::NEW_TERM_WINDOW), |node| reading.length(node));
    let min_history = fields
        .take("min_history")
        .map_or(Some(History::Events(defaults::MIN_HISTORY)), |node| history(node, reading));
    let missing_fires = fields
        .take("missing")
        .map_or(Some(false), |node| reading.choice(node, &[("ignore", false), ("fire", true)]));
    let ignore_networks = fields.take("ignore_networks").map_or(Some(vec![]), |node| networks(node, reading));
    let of = match (values, place) {
        (Some(node), None) => {
            for name in ["radius_km", "last"].into_iter().filter(|name| fields.has(name)) {
                reading.report(&fields.key_span(name), format!("`{name}` belongs to `place: geo`"));
            }
            let values = reading.text_fields(node);
            if values.as_ref().is_some_and(Vec::is_empty) {
                reading.report(&node.span, "expected at least one field");
            }
            values.and_then(|values| Some(Novelty::Values { fields: values, every: every? }))
        }
        (None, Some(node)) => {
            for name in ["match", "missing"].into_iter().filter(|name| fields.has(name)) {
                reading.report(&fields.key_span(name), format!("`{name}` belongs to `fields`"));
            }
            let geo = reading.choice(node, &[("geo", ())]);
            geo.and_then(|()| Some(Novelty::Place { radius_km: radius_km?, last: last? }))
        }
        (None, None) => {
            fields.missing(&["fields", "place"], reading);
            None
        }
        (Some(_), Some(_)) => {
            reading.report(&fields.key_span("place"), "a new_term has either `fields` or `place`");
            None
        }
    };
    fields.finish(reading);
    Some(NewTerm {
        of: of?,
        window: window?,
        min_history: min_history?,
        missing_fires: missing_fires?,
        ignore_networks: ignore_networks?,
    })
}

/// Values of `geo.network`.
fn networks(node: &Node, reading: &mut Reading<'_>) -> Option<Vec<Symbol>> {
    let names = texts(node, "a kind of network such as vpn", reading)?;
    Some(names.iter().map(|name| Symbol::of(name)).collect())
}

/// A number of events, or a span since the first one.
fn history(node: &Node, reading: &mut Reading<'_>) -> Option<History> {
    const EXPECTED: &str = "a number of events such as 3, or a duration such as 7d";
    let text = reading.text(node, EXPECTED)?;
    if let Ok(events) = text.parse::<u32>() {
        return Some(History::Events(events));
    }
    if parse_duration(text).is_some() {
        return reading.duration(node).map(History::Since);
    }
    reading.expected(EXPECTED, node);
    None
}

fn travel(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Travel> {
    fields.what = "a travel";
    let faster_than_kmh = fields
        .take("faster_than_kmh")
        .map_or(Some(defaults::FASTER_THAN_KMH), |node| reading.measure(node, 1.0..=100_000.0));
    let further_than_km = fields
        .take("further_than_km")
        .map_or(Some(defaults::FURTHER_THAN_KM), |node| reading.measure(node, 0.0..=20_000.0));
    let ignore_networks = match fields.take("ignore_networks") {
        None => Some(defaults::IGNORE_NETWORKS.map(Symbol::of).to_vec()),
        Some(node) => networks(node, reading),
    };
    fields.finish(reading);
    Some(Travel {
        faster_than_kmh: faster_than_kmh?,
        further_than_km: further_than_km?,
        ignore_networks: ignore_networks?,
    })
}

fn flatline(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Flatline> {
    fields.what = "a flatline";
    let fewer_than = fields.take("fewer_than").map_or(Some(WholeLimit::from(defaults::FEWER_THAN)), |node| {
        whole_limit(node, 1..=MOST_EVENTS, reading)
    });
    let window = fields.need("window").and_then(|node| reading.length(node));
    let expect = fields.take("expect").map_or(Some(Expected::Seen), |node| expected(node, reading));
    let calendar = fields.take("calendar").map(|node| reading.calendar(node));
    fields.finish(reading);
    Some(Flatline { fewer_than: fewer_than?, window: window?, expect: expect?, calendar: whole(calendar)? })
}

fn expected(node: &Node, reading: &mut Reading<'_>) -> Option<Expected> {
    const EXPECTED: &str = "`seen`, a list such as [alipay, wechat], file(\"channels.txt\"), or `catalog`";
    match &node.value {
        Value::Scalar { text, .. } if text == "seen" => Some(Expected::Seen),
        Value::Scalar { text, .. } if text == "catalog" => Some(Expected::Catalog),
        Value::List(_) => {
            let values = texts(node, "a value of the subject's field", reading)?;
            if values.is_empty() {
                reading.report(&node.span, "expected at least one value");
                return None;
            }
            Some(Expected::Listed(values))
        }
        Value::Scalar { text, .. } => match name_in(text) {
            Some(name) => expected_in_file(node, name, reading),
            None => {
                reading.expected(EXPECTED, node);
                None
            }
        },
        Value::Map(_) | Value::Broken => {
            reading.expected(EXPECTED, node);
            None
        }
    }
}

/// Each value is a subject of its own from the start, so there are fewer of them than of a list that is looked up.
fn expected_in_file(node: &Node, name: &str, reading: &mut Reading<'_>) -> Option<Expected> {
    let text = reading.file(name, &node.span)?;
    let values: std::collections::BTreeSet<&str> = values_of(&text).map(|(_, value)| value).collect();
    if values.is_empty() {
        reading.report_help(&node.span, format!("{name} has no values"), "expected at least one value");
        return None;
    }
    if values.len() > MOST_EXPECTED {
        reading.report(&node.span, format!("{name} has more than {MOST_EXPECTED} values"));
        return None;
    }
    Some(Expected::Listed(values.into_iter().map(str::to_owned).collect()))
}

/// A list of texts, none of them twice.
fn texts(node: &Node, expected: &str, reading: &mut Reading<'_>) -> Option<Vec<String>> {
    let mut values: Vec<String> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for item in reading.items(node) {
        let value = reading.words(item, expected)?;
        if !known.insert(value.clone()) {
            reading.report(&item.span, format!("`{value}` is given twice"));
            return None;
        }
        values.push(value);
    }
    Some(values)
}

fn condition_or_always(node: Option<&Node>, reading: &mut Reading<'_>) -> Option<Condition> {
    node.map_or(Some(Condition::Always), |node| reading.condition(node))
}

/// What was given must have been read; what was left out is left out.
fn whole<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    match given {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}
