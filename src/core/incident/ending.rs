//! How an incident ends: what was found proves untrue, the condition is false again, or there is evidence that all is well.

use super::AFTERLIFE;
use super::life::reason;
use super::state::{Incident, Phase};
use crate::core::effect::{Effect, EndReason, Stage, TicketStep};
use crate::core::rule::Rule;
use crate::core::time::{Span, Time};

impl Incident {
    /// A finding has proved untrue.
    pub(super) fn withdraw(&mut self, rule: &Rule, since: Time, at: Time, effects: &mut Vec<Effect>) {
        let Ok(place) = self.findings.binary_search(&since) else { return };
        self.findings.remove(place);
        if let Some(first) = self.findings.first().filter(|_| self.settled_findings == 0) {
            self.since = self.since.max(*first);
        }
        if let Some(last) = self.findings.last() {
            self.last_finding = *last;
        }
        if !self.findings.is_empty() || self.settled_findings > 0 {
            match self.phase {
                Phase::Pending { .. } => self.pend(rule),
                Phase::Silenced | Phase::Open => self.arm(rule),
                _ => {}
            }
            return;
        }
        match self.phase {
            // The trouble has not come back after all; what was told of it before is as true as it was.
            Phase::Open if self.reopened => self.end(rule, EndReason::Quiet, at, effects),
            Phase::Ended { .. } if self.reopened => {}
            Phase::Open | Phase::Ended { .. } => {
                self.phase = Phase::Withdrawn { at };
                self.timer = Some(at + AFTERLIFE);
                self.step(rule, TicketStep::Withdrawn, at, effects);
                self.withdraw_proposals(rule, self.id, at, effects);
                let corrected = rule.notice.as_ref().and_then(|notice| notice.corrected.as_deref());
                self.tell_those_told(rule, corrected, Stage::Corrected, at, effects);
            }
            Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Silenced => self.phase = Phase::Gone,
            Phase::Joined { id, .. } => {
                self.withdraw_proposals(rule, id, at, effects);
                self.phase = Phase::Gone;
            }
            Phase::Withdrawn { .. } | Phase::Gone => {}
        }
    }

    /// The condition is false since a moment; the incident ends once that has lasted.
    pub(super) fn clear(
        &mut self,
        rule: &Rule,
        since: Time,
        healthy: bool,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        match self.phase {
            Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Silenced | Phase::Open => {
                if since >= self.last_finding || self.lapsed().is_none() {
                    self.cleared = Some((since, healthy));
                }
                if since < self.last_finding {
                    // It was found true again after that; unless this proves untrue, it goes on.
                    return;
                }
                if let Phase::Pending { until } = self.phase {
                    if since < until {
                        self.phase = Phase::Gone;
                        return;
                    }
                    // It has lasted long enough, though that is known only now.
                    self.wait_or_open(rule, at);
                }
                self.arm(rule);
                match self.phase {
                    _ if rule.keep_firing > Span::ZERO => {}
                    Phase::Silenced => self.phase = Phase::Gone,
                    Phase::Open => self.end(rule, reason(healthy), at, effects),
                    _ => {}
                }
            }
            Phase::Joined { .. } | Phase::Ended { .. } | Phase::Withdrawn { .. } | Phase::Gone => {}
        }
    }

    /// There is evidence that all is well: what was missing has come, or `resolve_when` was met.
    pub(super) fn resolve(&mut self, rule: &Rule, event_time: Time, at: Time, effects: &mut Vec<Effect>) {
        if event_time < self.since {
            return;
        }
        match self.phase {
            Phase::Pending { .. } | Phase::Silenced => self.phase = Phase::Gone,
            // The ticket opens and resolves at once; the customer need not be told of what is over.
            Phase::Waiting { .. } => {
                self.cleared = Some((event_time, true));
                self.open(rule, at);
                self.end(rule, EndReason::Recovered, at, effects);
            }
            Phase::Open => self.end(rule, EndReason::Recovered, at, effects),
            Phase::Joined { .. } | Phase::Ended { .. } | Phase::Withdrawn { .. } | Phase::Gone => {}
        }
    }
}
