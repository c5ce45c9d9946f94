//! The core decides: it maps (state, event) to (state, effects).
//!
//! It knows no input or output, no wall clock, no threads and no async; nothing in it can fail for
//! outside reasons. Imports point inward: `engine → desk, incident, scope → shard → rule → stats → event`.

pub mod by_shard;
pub mod calendar;
pub mod clock;
pub mod codec;
pub mod desk;
pub mod duplicates;
pub mod effect;
pub mod engine;
pub mod event;
pub mod incident;
pub mod rule;
pub mod shard;
pub mod stats;
#[cfg(test)]
pub mod tests;
pub mod time;
