//! What a restart takes up: the checkpoint's records and times, and what only the database knows.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::core::clock::Clocks;
use crate::core::effect::IncidentId;
use crate::core::engine::{self, Engine};
use crate::core::incident::KnownIncident;
use crate::core::rule::{OnRemove, RuleSet, RuleState};
use crate::core::time::{Span, Time};
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::store::{Store, StoredIncident};
use crate::edge::kafka::Place;
use crate::edge::snapshot::{Checkpoint, Found, Log, Restored};

/// The layout of the engine's records. To be raised when an older one can't be read any more.
pub const STATE_LAYOUT: u32 = 1;

pub fn open(directory: &Path) -> anyhow::Result<(Log, Found)> {
    let (log, found) = Log::open(directory, STATE_LAYOUT)?;
    if found.cut_bytes > 0 {
        tracing::warn!(bytes = found.cut_bytes, "an unfinished checkpoint was cut off");
    }
    Ok((log, found))
}

/// An engine and its clocks as they were at the last checkpoint.
pub struct Resumed {
    pub engine: Engine,
    pub clocks: Clocks,
}

/// Builds an engine that goes on where the last checkpoint was; `put_back` shows it that checkpoint's records.
pub fn resume<T>(
    rules: &Arc<RuleSet>,
    shards: u32,
    places: &[Place],
    checkpoint: Option<&Checkpoint>,
    put_back: impl FnOnce(&mut Engine) -> anyhow::Result<T>,
) -> anyhow::Result<(Resumed, T)> {
    let shards: Vec<u32> = (0..shards).collect();
    let mut engine = Engine::new(Arc::clone(rules), &shards);
    if let Some(checkpoint) = checkpoint {
        engine.resume(&checkpoint.rules);
    }
    let put_back = put_back(&mut engine)?;
    let mut clocks = Clocks::new(&shards);
    for (shard, time) in checkpoint.into_iter().flat_map(|checkpoint| &checkpoint.shard_times) {
        clocks.resume(*shard, *time);
    }
    for place in places {
        clocks.read(place.shard, place.topic, place.newest);
        // Until Kafka says otherwise there is more to read, and time must not pass on its own: the group may take
        // seconds to give a partition to us.
        clocks.set_unread(place.shard, place.topic, true);
    }
    Ok((Resumed { engine, clocks }, put_back))
}

/// Puts the records of the last checkpoint back. Those of rules that have changed or are gone are to be deleted.
pub fn records(log: &Log, engine: &mut Engine) -> anyhow::Result<Restored> {
    log.restore(|record| {
        let restored = engine.restore(record.shard, record.key, record.value);
        let restored = restored.map_err(|_| {
            anyhow::anyhow!(
                "the state of shard {} holds a record that this version cannot read; run the version that wrote it, \
                 or move the folder away to begin without state",
                record.shard
            )
        })?;
        Ok::<_, anyhow::Error>(restored == engine::Restored::Kept)
    })
    .context("cannot restore the state (state.dir)")
}

/// Takes over the incidents and messages that the database knows and that can still matter; returns the incidents.
pub async fn known<S: Store>(
    store: &S,
    rules: &RuleSet,
    checkpoint: Option<&Checkpoint>,
    engine: &mut Engine,
    dispatcher: &mut Dispatcher,
) -> anyhow::Result<Vec<KnownIncident>> {
    let times = checkpoint.into_iter().flat_map(|checkpoint| &checkpoint.shard_times).map(|(_, time)| *time);
    let earliest = times.clone().min().unwrap_or(Time::MIN);
    let memory = rules.rules.iter().map(|rule| rule.incident.cooldown_max + rule.lateness).max();
    let ended_after = earliest - memory.unwrap_or(Span::ZERO);
    let mut incidents = store.known_incidents(ended_after).await.context("cannot read the incidents")?;
    let ruleless: Vec<IncidentId> = incidents
        .iter()
        .filter(|incident| is_to_end(incident, rules, checkpoint))
        .map(|incident| incident.id)
        .collect();
    if !ruleless.is_empty() {
        let newest = times.max().unwrap_or(Time::MIN);
        let ended = store.end_without_rule(&ruleless, newest).await.context("cannot end incidents")?;
        tracing::info!(incidents = ended, "incidents are over whose rules have gone since the last run");
        incidents = store.known_incidents(ended_after).await.context("cannot read the incidents")?;
    }
    let known: Vec<KnownIncident> = incidents.into_iter().map(known_incident).collect();
    for incident in &known {
        engine.adopt(incident);
    }
    let notices = store.known_notices(ended_after).await.context("cannot read the messages")?;
    dispatcher.restore(notices);
    Ok(known)
}

/// Whether an open incident has lost its rule since the last run, and nobody has asked to keep it.
fn is_to_end(incident: &StoredIncident, rules: &RuleSet, checkpoint: Option<&Checkpoint>) -> bool {
    let on_remove = match rules.find(&incident.rule) {
        Some(rule) if rule.state != RuleState::Paused => return false,
        // It is paused, and its own text says what that means for what is open.
        Some(rule) => rule.incident.on_remove,
        None => {
            let mut marks = checkpoint.into_iter().flat_map(|checkpoint| &checkpoint.rules);
            marks.find(|mark| mark.name == incident.rule).map(|mark| mark.on_remove).unwrap_or_default()
        }
    };
    incident.ended_at.is_none() && on_remove == OnRemove::Resolve
}

fn known_incident(stored: StoredIncident) -> KnownIncident {
    KnownIncident {
        id: stored.id,
        rule: stored.rule,
        subject: stored.subject,
        since: stored.since,
        ended_at: stored.ended_at,
        revision: stored.revision,
    }
}
