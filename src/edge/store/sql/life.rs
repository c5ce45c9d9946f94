//! The life of a ticket in the store: what a step from the engine makes of what is there.

use crate::core::effect::{EndReason, IncidentId, TicketStep};

/// What is stored of a ticket's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub state: String,
    pub reason: Option<String>,
    pub ended_at: Option<i64>,
    pub merged_into: Option<IncidentId>,
}

impl Life {
    pub fn new() -> Self {
        Self { state: "open".to_owned(), reason: None, ended_at: None, merged_into: None }
    }

    /// The life after a step. What staff have closed stays closed until the engine reopens it.
    pub fn after(&self, step: TicketStep, at: i64) -> Self {
        match step {
            TicketStep::Opened | TicketStep::Updated | TicketStep::Escalated => self.clone(),
            TicketStep::Reopened => Self::new(),
            TicketStep::Resolved(reason) => {
                let state = if reason == EndReason::Closed { "closed" } else { "resolved" };
                self.ended(state, Some(reason.as_str()), at)
            }
            TicketStep::Withdrawn => self.ended("withdrawn", None, at),
            TicketStep::Merged(into) => Self { merged_into: Some(into), ..self.ended("merged", None, at) },
        }
    }

    fn ended(&self, state: &str, reason: Option<&str>, at: i64) -> Self {
        if self.state == "closed" {
            return self.clone();
        }
        Self {
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            ended_at: Some(self.ended_at.unwrap_or(at)),
            merged_into: self.merged_into,
        }
    }
}

/// The word for a step in the audit trail.
pub fn name(step: TicketStep) -> &'static str {
    match step {
        TicketStep::Opened => "opened",
        TicketStep::Updated => "updated",
        TicketStep::Reopened => "reopened",
        TicketStep::Escalated => "escalated",
        TicketStep::Resolved(_) => "resolved",
        TicketStep::Withdrawn => "withdrawn",
        TicketStep::Merged(_) => "merged",
    }
}

/// What belongs to the step beside its name.
pub fn detail(step: TicketStep) -> Option<String> {
    match step {
        TicketStep::Resolved(reason) => Some(reason.as_str().to_owned()),
        TicketStep::Merged(into) => Some(into.to_string()),
        TicketStep::Opened
        | TicketStep::Updated
        | TicketStep::Reopened
        | TicketStep::Escalated
        | TicketStep::Withdrawn => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_from_state_to_state_and_staff_have_the_last_word() {
        let (recovered, into) = (TicketStep::Resolved(EndReason::Recovered), IncidentId(9));
        let cases = [
            ("open", TicketStep::Updated, "open", None),
            ("acknowledged", TicketStep::Updated, "acknowledged", None),
            ("acknowledged", TicketStep::Reopened, "open", None),
            ("open", recovered, "resolved", Some(5)),
            ("acknowledged", TicketStep::Withdrawn, "withdrawn", Some(5)),
            ("open", TicketStep::Merged(into), "merged", Some(5)),
            ("open", TicketStep::Resolved(EndReason::Closed), "closed", Some(5)),
        ];
        for (state, step, expected, ended_at) in cases {
            let life = Life { state: state.to_owned(), ..Life::new() };
            let after = life.after(step, 5);
            assert_eq!((after.state.as_str(), after.ended_at), (expected, ended_at), "{state} {step:?}");
        }
        let closed = Life { state: "closed".to_owned(), ended_at: Some(3), ..Life::new() };
        for step in [recovered, TicketStep::Updated, TicketStep::Withdrawn, TicketStep::Merged(into)] {
            let after = closed.after(step, 5);
            assert_eq!((after.state.as_str(), after.ended_at), ("closed", Some(3)), "{step:?}");
        }
        assert_eq!(closed.after(TicketStep::Reopened, 5), Life::new());
    }
}
