//! The local snapshot: the engine's state and the offsets that it includes, valid together or not at all.
//!
//! An append-only log of changed keys in a directory of its own. What a checkpoint writes counts only once its commit
//! is synced; a crash before that leaves the previous checkpoint. When the log has grown to several times what is live
//! in it, all but its end is rewritten in the background. There is no index of keys in memory: which records are live
//! is found by reading backward, when the log is rewritten and after a restart. The same records can go to a compacted
//! topic.

mod compact;
mod format;
mod live;
mod log;
mod segment;
mod ship;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use format::{Checkpoint, Frame, Position};
pub use live::LiveRecord;
pub use log::{CompactWhen, Found, Log, RestoreError, Restored};
pub use ship::{Closed, Marker, MarkerFault, Shipment, Shipping};
pub use writer::{Committed, Records, SnapshotWriter};

/// Why a snapshot can't be used. Each says what can be done.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the state folder {} is in use by another forewarn; each needs its own (state.dir)", directory.display())]
    Locked { directory: PathBuf },
    #[error(
        "{} holds state in format {}.{}, this version reads {}.{}; run the version that wrote it, or move the folder \
         away to begin without state (open windows are forgotten, tickets are not)",
        path.display(), found.0, found.1, expected.0, expected.1
    )]
    Version { path: PathBuf, found: (u32, u32), expected: (u32, u32) },
    #[error("{} is not a state file of forewarn, though it has the name of one; move it away", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} is damaged at byte {offset}; restore the folder from a backup, or move it away to begin without state",
        path.display()
    )]
    Corrupt { path: PathBuf, offset: u64 },
    #[error("the thread that writes the state has ended; the error before this one says why")]
    Ended,
}

impl SnapshotError {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
