//! Values of one subject in a sliding window, and the conditions that are judged by them: what `metric` and `spike` share.
//!
//! A condition is a function of event time. It can change where an event enters a window, where one leaves it, and, for
//! what grows by itself (the age of what is still open), in between. The judge looks at exactly these moments.

pub mod agg;
pub mod below;
mod coarse;
pub mod judge;
mod packed;
pub mod series;
mod totals;
mod walk;
pub mod watch;
pub mod watched;

pub use agg::{Agg, Tally};
pub use judge::{Measure, Reading};
pub use series::{OPEN, Sample, Series};
pub use watch::SampleWatch;

/// Windows are exact up to this many events of a subject.
pub const EXACT: usize = 64;
/// The values of one subject that are told apart above that; further ones are not counted as different.
pub const MOST_VALUES: usize = 4_096;

#[cfg(test)]
mod tests;
