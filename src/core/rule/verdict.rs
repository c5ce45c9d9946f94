//! What a detector says: the language between the detection kinds and the incidents.

use crate::core::event::Symbol;
use crate::core::time::Time;

/// The numbers behind a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    pub value: f64,
    pub limit: f64,
    pub samples: u64,
    /// A bucket or a sketch answered instead of the events themselves.
    pub approximate: bool,
}

/// A detector's opinion about one subject at one moment of event time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The rule's condition is true at `since`. A condition that goes on holding is found again at each further event.
    Found { since: Time, evidence: Evidence },
    /// What was found at `since` has proved untrue: an event that belongs earlier has arrived.
    Withdrawn { since: Time },
    /// A lasting condition is false from `at` on. `healthy`: enough was seen to call it recovered, not only quiet.
    Cleared { at: Time, healthy: bool },
    /// What was missing has come (a deadline's end after its limit).
    Resolved { at: Time },
    /// A wider slice of the same rule explains this subject's trouble from `at` on: its incident merges into that of
    /// `into`, which is found at the same moment. Nothing more is said about the subject while that goes on.
    Joined { into: Symbol, at: Time },
}

/// A verdict and the subject that it is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    pub subject: Symbol,
    pub verdict: Verdict,
}

/// What a detector may know about the moment besides the event itself.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// No event with an earlier time can still be put where it belongs: state that only such an event would need may go.
    pub settled: Time,
    /// The shard's time: absence up to here (less the grace) may be judged.
    pub now: Time,
    /// The event is older than its lateness allows: it opens nothing, but it ends and clears.
    pub late: bool,
}
