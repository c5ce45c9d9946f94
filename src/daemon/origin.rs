//! Which state a start goes on from: what the state folder holds, or what the changelog does.
//!
//! The folder is ahead of the changelog, and needs nothing to be fetched; but it is the right one only where nobody else has
//! written effects since. The database says so: the epoch before ours is that of the run that the folder is from, whose
//! number lies beside the log. In doubt the folder is given up.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::{restore, shipper, tenure};
use crate::delivery::ownership::Ownership;
use crate::delivery::store::Store;
use crate::edge::kafka::{Changelog, Cluster, Probe};
use crate::edge::snapshot::{Checkpoint, Log, Marker, Shipping};
use crate::settings::Settings;

/// The state to go on from, whose it is, and where it goes.
pub struct Origin {
    pub log: Log,
    pub checkpoint: Option<Checkpoint>,
    pub ownership: Ownership,
    pub outgoing: Option<(Changelog, Arc<Shipping>)>,
    pub cut_bytes: u64,
}

/// What is to be done with the state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Keep,
    Download,
    /// There is nothing anywhere, or nothing that is right.
    BeginAnew,
}

impl Origin {
    pub async fn find<S: Store>(
        settings: &Settings,
        store: &S,
        probe: &Probe,
        cluster: &Cluster,
        shards: u32,
    ) -> anyhow::Result<Self> {
        let directory = &settings.state.dir;
        let (mut log, found) = restore::open(directory)?;
        let previous = read_run(directory)?;
        let ownership = tenure::take_over(store, shards, previous).await?;
        let changelog = match &settings.topics.changelog {
            Some(topic) => Some(Changelog::open(probe, cluster, topic, shards).await?),
            None => None,
        };
        let marker = changelog.as_ref().map(shipper::marker).transpose()?.flatten();
        let held = found.checkpoint.is_some().then(|| log.sequence());
        let plan = plan(held, previous, &ownership, marker.as_ref());
        let mut checkpoint = found.checkpoint;
        if plan != Plan::Keep && held.is_some() {
            tracing::warn!(
                "the state folder is not the newest: another daemon has worked since; it is given up"
            );
            log.clear(0)?;
            checkpoint = None;
        }
        if let (Plan::Download, Some(marker), Some(changelog)) = (plan, &marker, &changelog) {
            let records = shipper::download(changelog, &mut log)?;
            log.commit_as(marker.sequence, marker.checkpoint.clone())?;
            tracing::info!(records, run = marker.run, "the state is taken from the changelog");
            checkpoint = Some(marker.checkpoint.clone());
        }
        write_run(directory, ownership.run)?;
        let shipped = marker.as_ref().map_or(0, |marker| marker.sequence);
        let outgoing = changelog.map(|changelog| {
            let shipping = Arc::new(Shipping::new(directory, ownership.run, shipped));
            log.ship(Arc::clone(&shipping));
            (changelog, shipping)
        });
        Ok(Self { log, checkpoint, ownership, outgoing, cut_bytes: found.cut_bytes })
    }
}

/// `held`: the last commit of the folder; `previous`: the run that it is from.
fn plan(held: Option<u64>, previous: Option<i64>, ownership: &Ownership, marker: Option<&Marker>) -> Plan {
    let is_ours = ownership.shards.iter().all(|taken| taken.before.is_none() || taken.before == previous);
    match (held, marker) {
        // Nobody has kept anything elsewhere.
        (Some(_), None) => Plan::Keep,
        (Some(held), Some(marker)) if is_ours && held >= marker.sequence => Plan::Keep,
        (_, Some(_)) => Plan::Download,
        (None, None) => Plan::BeginAnew,
    }
}

/// The run that has written to the folder last.
fn read_run(directory: &Path) -> anyhow::Result<Option<i64>> {
    let path = directory.join("run");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The folder is ours now, as far as it goes.
fn write_run(directory: &Path, run: i64) -> anyhow::Result<()> {
    let (path, aside) = (directory.join("run"), directory.join("run.aside"));
    let write = || {
        let mut file = File::create(&aside)?;
        writeln!(file, "{run}")?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        File::open(directory)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ownership::TakenShard;

    fn taken(before: &[Option<i64>]) -> Ownership {
        let shards = (0..).zip(before).map(|(shard, before)| TakenShard { shard, epoch: 9, before: *before });
        Ownership { run: 9, shards: shards.collect() }
    }

    fn marker(sequence: u64) -> Marker {
        Marker { run: 7, sequence, checkpoint: Checkpoint::default() }
    }

    #[test]
    fn the_folder_is_kept_only_where_nobody_has_worked_since() {
        let (ours, theirs) = (taken(&[Some(7), Some(7)]), taken(&[Some(7), Some(8)]));
        for (held, previous, ownership, sequence, expected) in [
            (Some(5), Some(7), &ours, Some(5), Plan::Keep),
            (Some(6), Some(7), &ours, Some(5), Plan::Keep),
            (Some(4), Some(7), &ours, Some(5), Plan::Download),
            (Some(6), Some(7), &theirs, Some(5), Plan::Download),
            (Some(6), None, &ours, Some(5), Plan::Download),
            (None, Some(7), &ours, Some(5), Plan::Download),
            (Some(6), Some(7), &theirs, None, Plan::Keep),
            (Some(6), None, &taken(&[None, None]), None, Plan::Keep),
            (Some(6), None, &taken(&[None, None]), Some(5), Plan::Keep),
            (None, None, &taken(&[None, None]), None, Plan::BeginAnew),
        ] {
            let marker = sequence.map(marker);
            let plan = plan(held, previous, ownership, marker.as_ref());
            assert_eq!(plan, expected, "{held:?} {previous:?} {ownership:?} {sequence:?}");
        }
    }
}
