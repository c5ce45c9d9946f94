//! When the log rewrites what is live, and how much of it with each checkpoint.
//!
//! A sweep asks the engine for every key once, a slice of the key space at a time. It begins when the log has grown
//! to twice what is live, and writes with each checkpoint about as much as has changed, so that a checkpoint costs at
//! most about twice its changes and the files stay below about four times the live state.

/// Slices of the key space in one sweep.
pub const SLICES: u32 = 64;
/// A log smaller than this is not worth a sweep.
const SMALL_LOG_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    small_log_bytes: u64,
    /// Bytes in the log since the last sweep ended.
    total: u64,
    /// Bytes of what is live, as the last sweep found it; 0 before the first.
    live: u64,
    running: Option<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    next_slice: u32,
    /// Bytes written for the sweep itself.
    swept: u64,
    /// Bytes in the log since the sweep began.
    since: u64,
}

impl Sweep {
    pub fn new(total: u64, live: u64) -> Self {
        Self { small_log_bytes: SMALL_LOG_BYTES, total, live, running: None }
    }

    #[cfg(test)]
    pub fn with_small_log(small_log_bytes: u64) -> Self {
        Self { small_log_bytes, total: 0, live: 0, running: None }
    }

    /// At the start of a checkpoint: whether a sweep begins with it.
    pub fn begin(&mut self) -> bool {
        let due = self.running.is_none() && self.total > self.small_log_bytes.max(2 * self.live);
        if due {
            self.running = Some(Progress { next_slice: 0, swept: 0, since: 0 });
        }
        due
    }

    /// The slices to rewrite with a checkpoint in which so many bytes have changed.
    pub fn slices(&self, changed_bytes: u64) -> std::ops::Range<u32> {
        let Some(progress) = self.running else { return 0..0 };
        let live = if self.live == 0 { self.total } else { self.live };
        let per_slice = (live / u64::from(SLICES)).max(1);
        let count = (changed_bytes / per_slice + 1).min(u64::from(SLICES)) as u32;
        progress.next_slice..(progress.next_slice + count).min(SLICES)
    }

    /// At the end of a checkpoint: what was written. Returns the live bytes when the sweep is complete with it.
    pub fn end(&mut self, changed_bytes: u64, slices: u32, swept_bytes: u64) -> Option<u64> {
        self.total += changed_bytes + swept_bytes;
        let progress = self.running.as_mut()?;
        progress.next_slice += slices;
        progress.swept += swept_bytes;
        progress.since += changed_bytes + swept_bytes;
        if progress.next_slice < SLICES {
            return None;
        }
        self.live = progress.swept;
        self.total = progress.since;
        self.running = None;
        Some(self.live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_covers_every_slice_once_and_costs_about_what_has_changed() {
        let live = 64_000;
        let mut sweep = Sweep::with_small_log(10_000);
        let (mut sweeps, mut largest, mut written, mut changed_in_all) = (0, 0, 0, 0);
        let mut next = 0;
        for round in 0..1_000_u64 {
            let changed = 2_000 + (round % 7) * 500;
            sweeps += u32::from(sweep.begin());
            let slices = sweep.slices(changed);
            if !slices.is_empty() {
                assert_eq!(slices.start, next % SLICES);
                next = slices.end;
            }
            let swept = u64::from(slices.end - slices.start) * (live / u64::from(SLICES));
            sweep.end(changed, slices.end - slices.start, swept);
            largest = largest.max(sweep.total);
            written += changed + swept;
            changed_in_all += changed;
        }
        assert!(sweeps > 5, "{sweeps} sweeps");
        assert!(largest < 5 * live, "the log grew to {largest} bytes");
        assert!(written < 2 * changed_in_all, "{written} bytes written for {changed_in_all}");
    }

    #[test]
    fn a_small_log_is_never_swept() {
        let mut sweep = Sweep::new(0, 0);
        for _ in 0..100 {
            assert!(!sweep.begin());
            assert!(sweep.slices(1_000).is_empty());
            assert_eq!(sweep.end(1_000, 0, 0), None);
        }
    }
}
