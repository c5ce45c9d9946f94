//! Kinds that look at one event alone: whether it is a finding is in the event itself, so nothing is remembered between
//! events, and the order in which they arrive says nothing.
//!
//! An event beyond its lateness opens nothing here either.

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Symbol};

use super::table::Watch;
use super::verdict::{Evidence, Judged, Moment, Verdict};

/// What such a kind has to say of an event that the rule's topics and filter let through.
pub trait Point: Send {
    fn finds(&self, event: &Event<'_>) -> bool;
}

/// Such a kind at work.
#[derive(Debug)]
pub struct PointWatch<P>(pub P);

impl<P: Point> Watch for PointWatch<P> {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if starts && !moment.late && self.0.finds(event) {
            let evidence = Evidence { value: 1.0, limit: 1.0, samples: 1, approximate: false };
            out.push(Judged { subject, verdict: Verdict::Found { since: event.time, evidence } });
        }
    }

    fn sweep(&mut self, _moment: Moment) {}

    fn drain_changes(&mut self, _sink: Sink<'_>) {}

    /// Nothing was ever written, so nothing can be its own.
    fn restore(&mut self, _key: &[u8], _value: &[u8]) -> Result<(), CorruptState> {
        Err(CorruptState)
    }

    fn subjects(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// `any`: every event that the rule's `where` lets through.
#[derive(Clone, Copy, Debug)]
pub struct Any;

impl Point for Any {
    fn finds(&self, _event: &Event<'_>) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::EventType;
    use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds};

    fn events(random: &mut Random) -> Vec<Given> {
        let event = |random: &mut Random| {
            let (subject, time) = (random.between(1, 3) as u64, random.below(90));
            Given {
                starts: random.percent(70),
                ..given(subject, EventType::AccountPayeeChanged, at(time), &[])
            }
        };
        (0..random.between(1, 40)).map(|_| event(random)).collect()
    }

    #[test]
    fn every_event_that_the_filter_lets_through_is_found_in_whatever_order_they_arrive() {
        let mut findings = 0;
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let given = events(&mut random);
            let lateness = seconds(random.between(0, 30));
            let new = || Box::new(PointWatch(Any)) as Box<dyn Watch>;
            let arrivals = disordered(&mut random, given.clone(), lateness);
            let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
            let expected = given.iter().filter(|given| given.starts);
            let expected = expected.map(|given| (given.subject, given.event.time)).collect();
            assert_eq!(pair.said.found, expected, "seed {seed}");
            findings += pair.said.found.len();
        }
        assert!(findings > 2_000, "{findings}");
    }

    #[test]
    fn an_event_beyond_its_lateness_is_not_found_and_nothing_is_kept_of_any() {
        let mut watch = PointWatch(Any);
        let mut out = Vec::new();
        let event = given(1, EventType::AccountPayeeChanged, at(0), &[]).event;
        let moment = Moment { settled: at(100), now: at(220), late: true };
        watch.observe(Symbol(1), true, &event, moment, &mut out);
        assert_eq!((out.len(), watch.subjects(), watch.bytes(), watch.next_due()), (0, 0, 0, None));
        watch.drain_changes(&mut |key, _| panic!("a record under {key:?}"));
        assert_eq!(watch.restore(b"s", &[]), Err(CorruptState));
    }
}
