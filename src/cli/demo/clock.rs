//! What time it is on the simulated platform: real time, so many times faster.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::core::time::{Span, Time};
use crate::edge::clock::Stopwatch;

/// The platform's clock. It stands still until it is started; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct PlatformClock {
    opening: Time,
    pace: u32,
    started: Arc<OnceLock<Stopwatch>>,
}

impl PlatformClock {
    pub(super) fn new(opening: Time, pace: u32) -> Self {
        Self { opening, pace: pace.max(1), started: Arc::default() }
    }

    /// A clock that shows one time for ever.
    #[cfg(test)]
    pub(super) fn stopped_at(time: Time) -> Self {
        Self::new(time, 1)
    }

    pub(super) fn start(&self) {
        self.started.get_or_init(Stopwatch::start);
    }

    pub(super) fn now(&self) -> Time {
        self.opening + Span::from_millis(self.real().as_millis() as i64 * i64::from(self.pace))
    }

    pub(super) fn opening(&self) -> Time {
        self.opening
    }

    /// Whether it has started and shows this time or a later one.
    pub(super) fn has_reached(&self, time: Time) -> bool {
        self.started.get().is_some() && self.now() >= time
    }

    /// Real time since the start.
    pub(super) fn real(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, |stopwatch| stopwatch.elapsed())
    }

    /// The real time from now until the platform shows `time`.
    pub(super) fn until(&self, time: Time) -> Duration {
        let millis = time.since(self.now()).as_millis().max(0) as u64;
        Duration::from_millis(millis / u64::from(self.pace))
    }
}
