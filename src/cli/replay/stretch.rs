//! What of Kafka is replayed: topics from one place to another, by offsets or by times.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};

use crate::core::rule::parse::parse_duration;
use crate::core::time::{Span, Time};
use crate::daemon;
use crate::edge::clock;
use crate::edge::kafka::{self, Bound, Stretch};
use crate::settings::Settings;

use super::source::{Feed, Source};

const EXPECTED: &str = "expected a time as 2026-10-01T08:00:00Z, how long ago as 12h or 30d, an offset as 120000, one for each \
                        partition as 0:1200,1:1187, `earliest` or `latest`";

/// Reads what `--from` and `--to` say.
pub(super) fn parse_bound(text: &str) -> Result<Bound, String> {
    let text = text.trim();
    match text {
        "earliest" => return Ok(Bound::Earliest),
        "latest" => return Ok(Bound::Latest),
        _ => {}
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Bound::At(Time::from_millis(timestamp.as_millisecond())));
    }
    if let Some(offset) = text.parse::<i64>().ok().filter(|offset| *offset >= 0) {
        return Ok(Bound::Offset(offset));
    }
    if let Some(span) = parse_duration(text).filter(|span| *span >= Span::ZERO) {
        return Ok(Bound::At(clock::now() - span));
    }
    let mut offsets = BTreeMap::new();
    for part in text.split(',') {
        let pair = part.trim().split_once(':');
        let parsed = pair.and_then(|(partition, offset)| {
            Some((partition.parse::<u32>().ok()?, offset.parse::<i64>().ok().filter(|offset| *offset >= 0)?))
        });
        let Some((partition, offset)) = parsed else { return Err(EXPECTED.to_owned()) };
        if offsets.insert(partition, offset).is_some() {
            return Err(format!("partition {partition} is named twice"));
        }
    }
    Ok(Bound::Offsets(offsets))
}

/// The partitions of these topics, or of all that the configuration names; what is said on the way is about records that
/// are gone.
pub(super) fn sources(
    settings: &Settings,
    topics: &[String],
    from: &Bound,
    to: &Bound,
    mut say: impl FnMut(String),
) -> anyhow::Result<Vec<Source>> {
    let configured = daemon::build::topics(&settings.topics);
    let topics: Vec<String> = match topics {
        [] => configured.iter().map(|(_, name)| name.clone()).collect(),
        // In the order of the configuration, which decides between events of one time.
        named => {
            let named: BTreeSet<&String> = named.iter().collect();
            let known: Vec<&String> =
                configured.iter().map(|(_, name)| name).filter(|name| named.contains(name)).collect();
            let others = named.iter().filter(|name| !known.contains(name)).copied();
            known.iter().copied().chain(others).cloned().collect()
        }
    };
    if topics.is_empty() {
        bail!("no topic is named; say which with --topic, or name topics in the configuration");
    }
    let cluster = daemon::build::cluster(&settings.kafka);
    let stretches = kafka::stretches(&cluster, &topics, "--topic", from, to)?;
    let catalog = settings.topics.catalog.as_deref();
    check(&stretches)?;
    let shards = shards(&stretches, catalog)?;
    for stretch in stretches.iter().filter(|stretch| stretch.gone > 0) {
        let Stretch { source, from, gone, .. } = stretch;
        say(format!(
            "{gone} records of {} partition {} are gone by retention; it begins at offset {from}",
            source.topic, source.partition
        ));
    }
    let tracks = kafka::open_stretches(&cluster, &stretches).context("cannot read from kafka")?;
    let source = |track: kafka::Track| {
        let shard = track.stretch().source.partition % shards;
        Source::new(Feed::Records(Box::new(track)), shard)
    };
    Ok(tracks.into_iter().map(source).collect())
}

/// How many shards the topics feed: an account must have the same partition in each of them.
fn shards(stretches: &[Stretch], catalog: Option<&str>) -> anyhow::Result<u32> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for Stretch { source, .. } in stretches {
        let count = counts.entry(source.topic.as_str()).or_default();
        *count = (*count).max(source.partition + 1);
    }
    let keyed = || counts.iter().filter(|(name, _)| Some(**name) != catalog);
    let Some((_, shards)) = keyed().next().or(counts.iter().next()) else {
        bail!("the topics have no partitions")
    };
    if keyed().any(|(_, count)| count != shards) {
        let counts: Vec<String> = keyed().map(|(name, count)| format!("{name} has {count}")).collect();
        bail!(
            "topics keyed by account need the same number of partitions, so that an account has the same partition in each \
             of them, but {}; replay them one by one",
            counts.join(", ")
        );
    }
    Ok((*shards).max(1))
}

/// Something must lie in the stretches.
fn check(stretches: &[Stretch]) -> anyhow::Result<()> {
    if stretches.iter().any(|stretch| stretch.from < stretch.to) {
        return Ok(());
    }
    let shown: Vec<String> = stretches
        .iter()
        .take(8)
        .map(|Stretch { source, kept, .. }| {
            format!("{} partition {}: {} to {}", source.topic, source.partition, kept.low, kept.high)
        })
        .collect();
    if shown.is_empty() {
        bail!("none of the partitions that --from and --to name is among those of the topics");
    }
    bail!("no record lies between --from and --to; the offsets that kafka has: {}", shown.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_time_a_span_ago_an_offset_or_one_for_each_partition() {
        let at = |millis| Bound::At(Time::from_millis(millis));
        for (text, expected) in [
            ("2026-10-01T08:12:00Z", Some(at(1_790_842_320_000))),
            ("2026-10-01T16:12:00+08:00", Some(at(1_790_842_320_000))),
            ("earliest", Some(Bound::Earliest)),
            ("latest", Some(Bound::Latest)),
            ("0", Some(Bound::Offset(0))),
            ("9000000000", Some(Bound::Offset(9_000_000_000))),
            ("0:12, 3:0", Some(Bound::Offsets([(0, 12), (3, 0)].into()))),
            ("-5", None),
            ("0:-1", None),
            ("0:1,0:2", None),
            ("yesterday", None),
            ("2026-10-01", None),
            ("", None),
        ] {
            assert_eq!(parse_bound(text).ok(), expected, "{text}");
        }
        assert!(matches!(parse_bound("30d"), Ok(Bound::At(_))));
    }
}
