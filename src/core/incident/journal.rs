//! What became of findings, for whoever asks why: each finding and each turn in the life of its incident, those too that no
//! effect tells of. It is kept only where somebody has asked for it.

use compact_str::CompactString;

use super::state::{Incident, Phase};
use super::{Incidents, Key};
use crate::core::effect::{IncidentId, Subject};
use crate::core::event::TextField;
use crate::core::rule::verdict::{Evidence, Verdict};
use crate::core::time::Time;

/// One finding, or one turn of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub at: Time,
    /// The rule's place in the rule set.
    pub rule: u16,
    pub incident: IncidentId,
    pub subject: Subject,
    /// Of the event behind the incident, if there is one.
    pub account_id: Option<CompactString>,
    pub order_id: Option<CompactString>,
    pub turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// The rule's condition was true at `since`.
    Found { since: Time, evidence: Evidence },
    /// What was found at `since` has proved untrue.
    Untrue { since: Time },
    /// The condition is false since then.
    Cleared { since: Time },
    /// Where the incident stood before, and where it stands now.
    Moved { from: Option<Phase>, to: Phase },
}

#[derive(Debug)]
pub(super) struct Journal {
    /// When that happens which is going on.
    at: Time,
    notes: Vec<Note>,
}

impl Incidents {
    pub fn keep_journal(&mut self) {
        self.journal = Some(Journal { at: Time::MIN, notes: Vec::new() });
    }

    /// The notes since the last call, in the order in which things happened.
    pub fn drain_notes(&mut self, into: &mut Vec<Note>) {
        if let Some(journal) = &mut self.journal {
            into.append(&mut journal.notes);
        }
    }

    /// What happens from here on happens at this time.
    pub(super) fn date(&mut self, at: Time) {
        self.now = at;
        if let Some(journal) = &mut self.journal {
            journal.at = at;
        }
    }

    pub(super) fn note(&mut self, key: Key, turn: Turn) {
        let (Some(journal), Some(incident)) = (&mut self.journal, self.live.get(&key)) else { return };
        journal.notes.push(written(journal.at, key, incident, turn));
    }

    /// Takes note of a verdict that an incident must hear of.
    pub(super) fn note_verdict(&mut self, key: Key, verdict: Verdict) {
        let Some(incident) = self.live.get(&key).filter(|_| self.journal.is_some()) else { return };
        let matters = match incident.phase {
            Phase::Pending { .. }
            | Phase::Waiting { .. }
            | Phase::Silenced
            | Phase::Joined { .. }
            | Phase::Open => true,
            Phase::Ended { .. } | Phase::Withdrawn { .. } | Phase::Gone => false,
        };
        let turn = match verdict {
            Verdict::Withdrawn { since } if incident.findings.binary_search(&since).is_ok() => {
                Turn::Untrue { since }
            }
            Verdict::Cleared { at, .. } | Verdict::Resolved { at } if matters => Turn::Cleared { since: at },
            _ => return,
        };
        self.note(key, turn);
    }

    /// Takes note of a change of phase.
    pub(super) fn note_phase(&mut self, key: Key, from: Option<Phase>) {
        if self.journal.is_none() {
            return;
        }
        if let Some(to) = self.live.get(&key).map(|incident| incident.phase).filter(|to| from != Some(*to)) {
            self.note(key, Turn::Moved { from, to });
        }
    }
}

fn written(at: Time, key: Key, incident: &Incident, turn: Turn) -> Note {
    let fact = |field| incident.facts.as_ref().and_then(|facts| facts.text(field)).map(CompactString::from);
    Note {
        at,
        rule: key.rule,
        incident: incident.id,
        subject: incident.subject.clone(),
        account_id: fact(TextField::AccountId),
        order_id: fact(TextField::OrderId),
        turn,
    }
}
