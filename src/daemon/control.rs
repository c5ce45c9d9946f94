//! What the worker and its surroundings tell each other: stop, how long a stop may take, and that the loop turns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by the worker and whoever started it.
#[derive(Debug, Default)]
pub struct Control {
    stopping: AtomicBool,
    out_of_time: AtomicBool,
    turns: AtomicU64,
}

impl Control {
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The time for a stop is over; what is not durable now is read again after the next start.
    pub fn end_time(&self) {
        self.out_of_time.store(true, Ordering::Release);
    }

    pub fn is_out_of_time(&self) -> bool {
        self.out_of_time.load(Ordering::Acquire)
    }

    /// The loop has turned again.
    pub fn note_turn(&self) {
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// Counts up about once a second while the loop turns.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }
}
