//! The identity of what is proposed: the same for every replay, and for its withdrawal.

use std::fmt;

use crate::core::effect::{IncidentId, Proposal};
use crate::delivery::notice::hashed;

/// One proposal: by the incident that was found, the account and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u128);

impl ProposalId {
    pub fn of(proposal: &Proposal) -> Self {
        let Proposal { origin, account_id, what, .. } = proposal;
        Self(hashed(b"forewarn proposal\0", *origin, account_id, what.kind()))
    }

    pub fn parse(text: &str) -> Option<Self> {
        IncidentId::parse(text).map(|IncidentId(number)| Self(number))
    }
}

impl fmt::Display for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
