//! Keyed state of one rule: compact, swept by event time, and aware of what changed since the last checkpoint.

mod index;
mod keyed;
mod recent;
mod small;
#[cfg(test)]
pub mod testing;

use crate::core::codec::Sink;
use crate::core::event::{Event, Facts, Symbol};
use crate::core::time::Time;

use super::proposal::StepAmount;
use super::verdict::{Judged, Moment};

pub use crate::core::codec::CorruptState;
pub use keyed::{Keep, State, Table};
pub use recent::Recent;
pub use small::Small;

/// Slots that a sweep visits even when nothing has happened, so that a shard that has grown quiet shrinks.
pub const SWEPT_AT_LEAST: usize = 16;

/// What another rule has said of a subject.
#[derive(Clone, Copy, Debug)]
pub struct Overheard<'a> {
    pub rule: &'a str,
    pub since: Time,
    /// What was found at `since` has proved untrue.
    pub withdrawn: bool,
    /// A ticket of it has opened; else it has found something.
    pub opening: bool,
    pub facts: &'a Facts,
}

/// What a detection kind does with the events of one shard. One value per rule and shard; nothing is shared between rules.
pub trait Watch: Send {
    /// Takes an event that one of the rule's conditions may concern. `starts`: the rule's topics and filter let it through
    /// (`unless`, `end` and the like are looked at whatever it says). Judgements are appended to `out`.
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    );

    /// Takes a finding of another rule, or that one was withdrawn. Only for kinds that listen to others.
    fn overhear(
        &mut self,
        _subject: Symbol,
        _heard: &Overheard<'_>,
        _moment: Moment,
        _out: &mut Vec<Judged>,
    ) {
    }

    /// The earliest event time at which [`Watch::advance`] has something to judge; it may be somewhat early, never late.
    fn next_due(&self) -> Option<Time> {
        None
    }

    /// Judges what is due at or before `moment.now`, in the order of event time.
    fn advance(&mut self, _moment: Moment, _out: &mut Vec<Judged>) {}

    /// Forgets subjects that no event can concern any more; called now and then, costs O(1) amortised per event.
    fn sweep(&mut self, moment: Moment);

    /// The facts of the event behind a finding that was made by time passing (a missed deadline).
    fn facts(&self, _subject: Symbol) -> Option<&Facts> {
        None
    }

    /// The amount of a step's event, of which the compensation for what was found at `since` is a share. Asked right after
    /// the finding.
    fn paid(&self, _subject: Symbol, _since: Time) -> Option<StepAmount> {
        None
    }

    /// There is nothing before the first event: what is not seen has not happened. Called before it.
    fn know_all(&mut self) {}

    /// Hands out what changed since the last call: key and encoded value, [`None`] for what is gone.
    fn drain_changes(&mut self, sink: Sink<'_>);

    /// Puts back one key of a checkpoint. Called before the first event.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState>;

    fn subjects(&self) -> usize;

    /// Bytes of memory held, tables included.
    fn bytes(&self) -> usize;

    /// How often something was given up because a bound was reached; each kind says at the bound what that means.
    fn given_up(&self) -> u64 {
        0
    }
}
