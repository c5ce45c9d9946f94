//! What a worker has done and how it stands, as it tells it about once a second to those who ask.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::neighbours::InflowFigures;
use super::pipeline::Counts;
use crate::core::engine::EngineFigures;
use crate::core::event::EventType;
use crate::core::event::faults::UnknownFaults;
use crate::core::time::Time;
use crate::edge::clock::Stopwatch;

/// A rule that is not heard yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warming {
    pub rule: String,
    /// Until this event time, since history begins too late for it; [`None`]: until what there is of it is read.
    pub until: Option<Time>,
}

/// The figures of one worker, counted since its start.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub records: u64,
    pub bytes: u64,
    /// By event type: fresh, late, duplicate.
    pub events: [[u64; 3]; EventType::ALL.len()],
    pub rejected: BTreeMap<&'static str, u64>,
    pub inflow: InflowFigures,
    pub dead_letters_waiting: usize,
    pub checkpoints: u64,
    pub checkpoint_bytes: u64,
    pub engine: EngineFigures,
    /// The cluster does not answer, or a partition has no leader.
    pub cluster_away: bool,
    /// The database can't be written to.
    pub store_failing: bool,
    /// When the last checkpoint became valid.
    pub last_checkpoint: Option<Stopwatch>,
    pub shard_times: Vec<(u32, Time)>,
    pub warming: Vec<Warming>,
    /// For so long a change of the rules has stopped reading: the last one, and the longest.
    pub reload_pause: Option<Duration>,
    pub longest_reload_pause: Duration,
}

impl Figures {
    pub fn add(&mut self, counts: &Counts) {
        self.records += counts.records;
        self.bytes += counts.bytes;
        for (sum, more) in self.events.iter_mut().flatten().zip(counts.events.iter().flatten()) {
            *sum += more;
        }
        for (reason, count) in &counts.rejected {
            *self.rejected.entry(reason).or_insert(0) += count;
        }
    }

    pub fn lag_sum(&self) -> i64 {
        self.inflow.lag.iter().map(|(_, _, lag)| lag).sum()
    }

    /// One line for the service manager.
    pub fn status(&self) -> String {
        let Self { records, checkpoints, .. } = self;
        let state = match (self.store_failing, self.cluster_away, self.inflow.assigned) {
            (true, _, _) => "waiting for the database",
            (_, true, _) => "waiting for kafka",
            (_, _, (0, _)) => "waiting for partitions",
            _ => "reading",
        };
        format!("{state}; {records} records read, {} to read, {checkpoints} checkpoints", self.lag_sum())
    }
}

/// Where the figures are left for others.
#[derive(Debug, Default)]
pub struct Board {
    figures: Mutex<Figures>,
    /// Failures whose fault is unknown, since they were taken last.
    unknown_faults: Mutex<UnknownFaults>,
}

impl Board {
    pub fn post(&self, figures: Figures, unknown: UnknownFaults) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        let mut sum = self.unknown_faults.lock().unwrap_or_else(PoisonError::into_inner);
        sum.other_codes += unknown.other_codes;
        sum.without_code += unknown.without_code;
        for (code, count) in unknown.by_code {
            *sum.by_code.entry(code).or_insert(0) += count;
        }
    }

    pub fn read(&self) -> Figures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn take_unknown_faults(&self) -> UnknownFaults {
        std::mem::take(&mut *self.unknown_faults.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Topic;

    #[test]
    fn the_status_says_first_what_is_waited_for() {
        let mut figures = Figures::default();
        figures.inflow.assigned = (8, 8);
        figures.inflow.lag = vec![(Topic::Orders, 0, 5), (Topic::Orders, 1, 7)];
        assert_eq!(figures.status(), "reading; 0 records read, 12 to read, 0 checkpoints");
        figures.inflow.assigned = (0, 8);
        assert!(figures.status().starts_with("waiting for partitions;"));
        figures.cluster_away = true;
        assert!(figures.status().starts_with("waiting for kafka;"));
        figures.store_failing = true;
        assert!(figures.status().starts_with("waiting for the database;"));
    }
}
