//! Whose a shard is, among all runs of all daemons that share a database.
//!
//! A run takes its shards over with an epoch that is higher than any before, and every effect that it writes is checked
//! against it in the same transaction. So a daemon that was stopped, cut off or slow for so long that another one took
//! its place writes nothing when it wakes up. The lease only keeps daemons from taking over from one that is well; that
//! nothing is written twice does not depend on it, nor on any clock.

use std::time::Duration;

/// The shards of a run, as they were taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Tells the run from every other.
    pub run: i64,
    /// Empty: nothing is checked.
    pub shards: Vec<TakenShard>,
}

/// With it everybody may write: nobody has a rival.
pub static ANYBODY: Ownership = Ownership { run: 0, shards: Vec::new() };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenShard {
    pub shard: u32,
    pub epoch: i64,
    /// The epoch under which the shard was written to before; [`None`]: it is the first one.
    pub before: Option<i64>,
}

/// What became of an attempt to take shards over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Mine(Ownership),
    Held(Holder),
}

/// A run that may be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Where it is, for people.
    pub name: String,
    /// After so much time without a sign of life from it the shards can be taken.
    pub left: Duration,
}
