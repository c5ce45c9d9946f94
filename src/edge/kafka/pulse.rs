//! Whether the cluster is there at all. As long as it is not, nothing is known about what is unread, and no time may
//! pass for those who would miss it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use super::probe::Probe;
use crate::core::event::Topic;

const EVERY: Duration = Duration::from_secs(1);

/// Asks the cluster once a second, in a thread of its own.
#[derive(Debug)]
pub struct Pulse {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    beats: AtomicBool,
    stop: AtomicBool,
}

impl Pulse {
    pub fn start(probe: Probe, topics: Vec<(Topic, String)>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { beats: AtomicBool::new(true), stop: AtomicBool::new(false) });
        let ours = Arc::clone(&shared);
        let thread = Builder::new().name("pulse".to_owned()).spawn(move || {
            while !ours.stop.load(Ordering::Relaxed) {
                ours.beats.store(probe.is_whole(&topics), Ordering::Relaxed);
                park_timeout(EVERY);
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The cluster answered the last time, and all partitions had a leader.
    pub fn beats(&self) -> bool {
        self.shared.beats.load(Ordering::Relaxed)
    }
}

impl Drop for Pulse {
    /// Does not wait for the thread: its last question may take a while.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}
