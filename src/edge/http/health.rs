//! Whether the daemon lives, and whether it is ready.

use std::sync::atomic::{AtomicBool, Ordering};

/// What must hold once before the daemon counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Partitions were assigned to this process.
    Assigned,
    /// The database could be written to.
    StoreWritable,
    RulesLoaded,
}

impl Condition {
    const ALL: [Self; 3] = [Self::Assigned, Self::StoreWritable, Self::RulesLoaded];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "partitions are not assigned yet",
            Self::StoreWritable => "the database cannot be written to",
            Self::RulesLoaded => "the rules are not loaded",
        }
    }
}

/// Ready is a latch: what comes later, a rebalance or a database that is away for a while, is waited for and shown as
/// missing, but whoever routes by it has nowhere else to route to. A stop ends it.
#[derive(Debug)]
pub struct Health {
    alive: AtomicBool,
    holds: [AtomicBool; 3],
    was_ready: AtomicBool,
    stopping: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            alive: AtomicBool::new(true),
            holds: Default::default(),
            was_ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }
}

impl Health {
    /// Whether the reading loop turns; whoever watches it tells.
    pub fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::Relaxed);
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub fn set(&self, condition: Condition, holds: bool) {
        if let Some(place) = self.holds.get(condition as usize) {
            place.store(holds, Ordering::Relaxed);
        }
        if self.unmet().next().is_none() {
            self.was_ready.store(true, Ordering::Relaxed);
        }
    }

    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_ready(&self) -> bool {
        self.was_ready.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed)
    }

    /// What does not hold at present, in words.
    pub fn missing(&self) -> Vec<&'static str> {
        let stopping = self.stopping.load(Ordering::Relaxed).then_some("the daemon is stopping");
        self.unmet().map(Condition::as_str).chain(stopping).collect()
    }

    fn unmet(&self) -> impl Iterator<Item = Condition> {
        let met = |condition: &Condition| {
            self.holds.get(*condition as usize).is_some_and(|place| place.load(Ordering::Relaxed))
        };
        Condition::ALL.into_iter().filter(move |condition| !met(condition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_everything_once_and_ends_with_the_stop() {
        let health = Health::default();
        assert_eq!((health.is_ready(), health.missing().len()), (false, 3));
        health.set(Condition::Assigned, true);
        health.set(Condition::RulesLoaded, true);
        assert_eq!(health.missing(), ["the database cannot be written to"]);
        health.set(Condition::StoreWritable, true);
        assert!(health.is_ready() && health.missing().is_empty());
        health.set(Condition::Assigned, false);
        assert_eq!((health.is_ready(), health.missing().len()), (true, 1));
        health.set_stopping();
        assert!(!health.is_ready());
    }
}
