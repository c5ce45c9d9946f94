//! From the state folder to the changelog and back: what the log has committed is shipped after it, and an empty log is
//! filled with what was shipped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use super::restore::STATE_LAYOUT;
use crate::edge::kafka::{Changelog, Put, WriteError};
use crate::edge::snapshot::{
    Frame, Log, Marker, MarkerFault, RestoreError, Shipment, Shipping, SnapshotError,
};

/// A frame of the log with so many bytes is complete.
const FRAME_BYTES: usize = 256 << 10;
const PAUSE: Duration = Duration::from_secs(1);
/// So often it is tried again while everything else has ended already.
const LAST_TRIES: u32 = 3;

/// Ships in a thread of its own until dropped, and then what is left.
#[derive(Debug)]
pub struct Shipper {
    shipping: Arc<Shipping>,
    thread: Option<JoinHandle<()>>,
}

impl Shipper {
    pub fn start(changelog: Changelog, shipping: Arc<Shipping>) -> anyhow::Result<Self> {
        let ours = Arc::clone(&shipping);
        let thread = Builder::new().name("changelog".to_owned()).spawn(move || ship(&changelog, &ours));
        Ok(Self { shipping, thread: Some(thread.context("cannot start a thread")?) })
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.shipping.close();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The checkpoint that the changelog holds.
pub fn marker(changelog: &Changelog) -> anyhow::Result<Option<Marker>> {
    let Some(bytes) = changelog.marker()? else { return Ok(None) };
    match Marker::decode(&bytes, STATE_LAYOUT) {
        Ok(marker) => Ok(Some(marker)),
        Err(MarkerFault::Damaged) => anyhow::bail!(
            "the marker of the changelog (topics.changelog) is damaged; name another topic to begin without it"
        ),
        Err(MarkerFault::Version) => anyhow::bail!(
            "the changelog (topics.changelog) holds state that this version cannot read; run the version that wrote it, \
             or name another topic to begin without state there"
        ),
    }
}

/// Fills an empty log with the records of the changelog, all but the commit. Returns how many there were.
pub fn download(changelog: &Changelog, log: &mut Log) -> anyhow::Result<u64> {
    let mut frames: BTreeMap<u32, Frame> = BTreeMap::new();
    let mut failed: Option<SnapshotError> = None;
    let count = changelog.read(|shard, key, value| {
        let frame = frames.entry(shard).or_insert_with(|| Frame::chunk(shard));
        frame.push_record(key, value);
        if frame.bytes() >= FRAME_BYTES && failed.is_none() {
            failed = log.append(frame, shard).err();
            frame.restart(shard);
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    for (shard, mut frame) in frames {
        if !frame.is_empty() {
            log.append(&mut frame, shard)?;
        }
    }
    Ok(count)
}

fn ship(changelog: &Changelog, shipping: &Shipping) {
    while let Ok(due) = shipping.next(PAUSE) {
        changelog.rest(Duration::ZERO);
        let Some(mut shipment) = due else { continue };
        let mut failures = 0;
        while let Err(error) = write(changelog, &shipment) {
            if let WriteError::Final(error) = error {
                tracing::error!(%error, "the state is no longer written to the changelog");
                return;
            }
            failures += 1;
            tracing::warn!(%error, "the changelog falls behind; it is tried again");
            if shipping.is_closed() && failures >= LAST_TRIES {
                return;
            }
            changelog.rest(PAUSE);
            shipping.join(&mut shipment);
        }
        shipping.arrived(&shipment);
    }
}

fn write(changelog: &Changelog, shipment: &Shipment) -> Result<(), WriteError> {
    let rows = |put: Put<'_>| match shipment.visit(put) {
        Ok(()) => Ok(()),
        Err(RestoreError::Refused(error)) => Err(error),
        Err(RestoreError::Snapshot(error)) => Err(WriteError::Final(error.to_string())),
    };
    changelog.write(rows, &shipment.marker.encode(STATE_LAYOUT))
}
