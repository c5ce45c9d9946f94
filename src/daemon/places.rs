//! Where each partition is read from: the snapshot's offset, else the group's, else what the configuration says.

use std::collections::BTreeMap;

use crate::core::event::Topic;
use crate::core::time::Time;
use crate::edge::kafka::{Begin, ConnectError, Place, Probe, Range, Source};
use crate::edge::snapshot::Checkpoint;
use crate::settings::Start;

/// The partitions of all topics, and how many shards they feed.
#[derive(Debug)]
pub struct Places {
    pub places: Vec<Place>,
    pub shards: u32,
    /// Records that were lost to retention and skipped because that was accepted.
    pub skipped: u64,
}

/// How many shards topics with so many partitions feed.
pub fn shard_count(topics: &[(Topic, String)], counts: &[u32]) -> u32 {
    let keyed = topics.iter().zip(counts).find(|((topic, _), _)| *topic != Topic::Catalog);
    keyed.map(|(_, count)| *count).or(counts.first().copied()).unwrap_or(0).max(1)
}

/// Finds the places. An offset that Kafka no longer has is an error, unless gaps are accepted.
pub fn find(
    probe: &Probe,
    topics: &[(Topic, String)],
    checkpoint: Option<&Checkpoint>,
    start: Start,
    accept_gaps: bool,
) -> Result<Places, ConnectError> {
    let counts = probe.partitions(topics)?;
    let shards = shard_count(topics, &counts);
    let mut sources = Vec::new();
    for ((topic, name), count) in topics.iter().zip(&counts) {
        sources.extend((0..*count).map(|partition| (*topic, Source { topic: name.clone(), partition })));
    }
    let mut ranges = BTreeMap::new();
    for (_, source) in &sources {
        ranges.insert(source.clone(), probe.range(source)?);
    }
    let all: Vec<Source> = sources.iter().map(|(_, source)| source.clone()).collect();
    let committed = probe.committed(&all)?;
    let stored = stored(checkpoint);
    let fresh: Vec<Source> = all
        .iter()
        .filter(|source| !stored.contains_key(source) && !committed.contains_key(source))
        .cloned()
        .collect();
    let begun = probe.begin(&fresh, &ranges, begin(start))?;
    let mut found = Places { places: Vec::with_capacity(sources.len()), shards, skipped: 0 };
    for (topic, source) in sources {
        let (stored_next, newest) = stored.get(&source).copied().unzip();
        let next =
            stored_next.or_else(|| committed.get(&source).copied()).or_else(|| begun.get(&source).copied());
        let Some(range) = ranges.get(&source).copied() else { continue };
        let mut next = next.unwrap_or(range.high);
        if next < range.low && accept_gaps {
            found.skipped += (range.low - next).unsigned_abs();
            next = range.low;
        }
        check(&source, next, range)?;
        found.places.push(Place {
            topic,
            partition: source.partition,
            shard: source.partition % shards,
            next,
            newest: newest.unwrap_or(Time::MIN),
            end: range.high,
        });
    }
    Ok(found)
}

fn check(source: &Source, wanted: i64, range: Range) -> Result<(), ConnectError> {
    if (range.low..=range.high).contains(&wanted) {
        return Ok(());
    }
    let (topic, partition) = (source.topic.clone(), source.partition);
    Err(ConnectError::OutOfRange { topic, partition, wanted, low: range.low, high: range.high })
}

fn stored(checkpoint: Option<&Checkpoint>) -> BTreeMap<Source, (i64, Time)> {
    let positions = checkpoint.into_iter().flat_map(|checkpoint| &checkpoint.positions);
    let place = |topic: &String, partition| Source { topic: topic.clone(), partition };
    positions
        .map(|position| (place(&position.topic, position.partition), (position.next_offset, position.newest)))
        .collect()
}

fn begin(start: Start) -> Begin {
    match start {
        Start::Earliest => Begin::Earliest,
        Start::Latest => Begin::Latest,
        Start::At(time) => Begin::At(time),
    }
}
