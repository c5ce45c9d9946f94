//! What is kept of one subject: its samples, and what was said of them.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::table::State;
use crate::core::time::Time;

use super::series::Series;

/// Moments at which the condition was found true and which can still be withdrawn; older ones count as settled.
const MOST_FOUND: usize = 24;

#[derive(Debug)]
pub struct Watched {
    pub series: Series,
    /// What changed without an event was judged up to here.
    pub swept: Time,
    /// The value that the subject's limit depends on.
    pub limit_of: Symbol,
    /// When the watch looks at it next, so that no subject has two timers; [`Time::MAX`]: never.
    pub timer: Time,
    pub said: Option<Box<Said>>,
    /// The newest event, where the rule can become true without one.
    pub newest: Option<Newest>,
}

/// An event by its encoded facts.
#[derive(Debug)]
pub struct Newest(pub Box<[u8]>);

impl Newest {
    pub fn facts(&self) -> Result<Facts, CorruptState> {
        Facts::decode(&mut Reader(&self.0))
    }

    pub fn time(&self) -> Time {
        Facts::time_of(&self.0)
    }
}

/// What was said of a subject.
#[derive(Debug)]
pub struct Said {
    /// The moments at which the condition was true, in order.
    pub found: Vec<Time>,
    /// The latest of those that can't be withdrawn any more.
    pub settled: Time,
    /// Found, and its end not yet told.
    pub firing: bool,
    /// The end that was told last, and whether it showed that all is well.
    pub over: (Time, bool),
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            series: Series::default(),
            swept: Time::MIN,
            limit_of: Symbol::MISSING,
            timer: Time::MAX,
            said: None,
            newest: None,
        }
    }
}

impl Watched {
    pub fn is_firing(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.firing)
    }

    /// The last moment at which the condition was true, of those that stand.
    pub fn last_found(&self) -> Time {
        self.said.as_ref().map_or(Time::MIN, |said| said.last())
    }

    /// Whether it was found true at a moment, as far as that can be withdrawn.
    pub fn was_found(&self, time: Time) -> bool {
        self.said.as_ref().is_some_and(|said| said.found.binary_search(&time).is_ok())
    }

    pub fn note_found(&mut self, time: Time) {
        let said = self.said.get_or_insert_default();
        if let Err(mut place) = said.found.binary_search(&time) {
            if said.found.len() >= MOST_FOUND {
                said.settled = said.settled.max(said.found.remove(0));
                place = place.saturating_sub(1);
            }
            if said.found.len() == said.found.capacity() {
                said.found.reserve_exact(said.found.len().clamp(1, 8));
            }
            said.found.insert(place, time);
        }
        said.firing = true;
    }

    pub fn stop(&mut self, at: Time, healthy: bool) {
        if let Some(said) = &mut self.said {
            said.firing = false;
            said.settled = Time::MIN;
            said.over = (at, healthy);
        }
    }

    /// What was found at or before a time can't be withdrawn any more.
    pub fn settle(&mut self, time: Time) {
        let Some(said) = &mut self.said else { return };
        let old = said.found.partition_point(|found| *found <= time);
        if let Some(last) = old.checked_sub(1).and_then(|place| said.found.get(place)) {
            if said.firing {
                said.settled = said.settled.max(*last);
            }
            said.found.drain(..old);
        }
        if said.found.is_empty() && !said.firing && said.over.0 <= time {
            self.said = None;
        }
    }
}

impl Said {
    fn last(&self) -> Time {
        self.found.last().map_or(self.settled, |found| self.settled.max(*found))
    }
}

impl Default for Said {
    fn default() -> Self {
        Self { found: Vec::new(), settled: Time::MIN, firing: false, over: (Time::MIN, false) }
    }
}

impl State for Watched {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Writer<'_>) {
        self.series.encode(to);
        to.time(self.swept);
        to.symbol(self.limit_of);
        to.option(self.said.as_ref(), |to, said| {
            to.unsigned(said.found.len() as u64);
            said.found.iter().for_each(|found| to.time(*found));
            to.time(said.settled);
            to.bool(said.firing);
            to.time(said.over.0);
            to.bool(said.over.1);
        });
        // The rest are the facts.
        to.option(self.newest.as_ref(), |to, newest| to.0.extend_from_slice(&newest.0));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let series = Series::decode(from)?;
        let (swept, limit_of) = (from.time()?, from.symbol()?);
        let said = from.option(|from| {
            let mut said = Box::new(Said::default());
            for _ in 0..from.count()? {
                said.found.push(from.time()?);
            }
            (said.settled, said.firing) = (from.time()?, from.bool()?);
            said.over = (from.time()?, from.bool()?);
            Ok(said)
        })?;
        let newest = from.option(|from| {
            let newest = Newest(std::mem::take(&mut from.0).into());
            newest.facts()?;
            Ok(newest)
        })?;
        Ok(Self { series, swept, limit_of, timer: Time::MAX, said, newest })
    }

    fn heap_bytes(&self) -> usize {
        let said = self
            .said
            .as_ref()
            .map_or(0, |said| size_of::<Said>() + said.found.capacity() * size_of::<Time>());
        let newest = self.newest.as_ref().map_or(0, |newest| newest.0.len());
        self.series.heap_bytes() + said + newest
    }
}
