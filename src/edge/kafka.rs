//! Kafka: what is read and in which order, where reading begins, and where unreadable records go.

mod align;
mod changelog;
mod client;
mod context;
mod dead_letter;
mod excerpt;
mod held;
mod intake;
mod native;
mod probe;
mod pulse;
mod table;

#[cfg(test)]
pub use align::{Aligner, Need};
pub use align::{Input, Reading, Record};
pub use changelog::{Changelog, ChangelogError, Put, WriteError};
pub use client::{Cluster, ConnectError};
pub use dead_letter::{DeadLetters, Reason};
pub use excerpt::{Bound, Stretch, Track, open as open_stretches, stretches};
pub use intake::{Intake, IntakeFigures, IntakeSettings, Place, Waker};
pub use probe::{Begin, Probe, Range, Source};
pub use pulse::Pulse;
pub use table::{Follower, Table};
