//! What a message is before it has words: its identity, its recipient, and why it may be held back.

use std::fmt;

use compact_str::CompactString;
use sha2::{Digest, Sha256};

use crate::core::effect::{IncidentId, Stage, Subject};
use crate::core::event::Facts;
use crate::core::time::Time;
use crate::delivery::customers::Locale;

/// The identity of a message, the same for every attempt and every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeId(pub u128);

impl NoticeId {
    /// The message of an incident's stage to an account.
    pub fn of(incident: IncidentId, account_id: &str, stage: Stage) -> Self {
        Self(hashed(b"forewarn notice\0", incident, account_id, stage.as_str()))
    }

    /// The message to staff about an incident.
    pub fn of_staff(incident: IncidentId, kind: StaffKind) -> Self {
        Self(hashed(b"forewarn notice\0", incident, "", kind.as_str()))
    }

    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    /// The Message-ID of every attempt, without its angle brackets.
    pub fn message_id(self, host: &str) -> String {
        format!("{self}@{host}")
    }
}

/// The stage lies before the account, since it holds no zero byte.
pub(super) fn hashed(domain: &[u8], incident: IncidentId, account_id: &str, stage: &str) -> u128 {
    let digest = Sha256::new()
        .chain_update(domain)
        .chain_update(incident.0.to_be_bytes())
        .chain_update(stage.as_bytes())
        .chain_update([0])
        .chain_update(account_id.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(digest.iter()) {
        *byte = *hashed;
    }
    u128::from_be_bytes(bytes)
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The way that a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    Email,
}

impl Via {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        (text == Self::Email.as_str()).then_some(Self::Email)
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who reads a message about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    Customer,
    /// The account manager, who tells the customer in person.
    Manager,
}

impl Recipient {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Manager => "manager",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Customer, Self::Manager].into_iter().find(|recipient| recipient.as_str() == text)
    }
}

/// Why a message is not sent now. Also the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// The account is not among the customers.
    UnknownCustomer,
    NoAddress,
    OptedOut,
    /// `[notices] mode = "hold"`.
    ModeHold,
    /// `[notices] mode = "off"`: nothing is kept of it either.
    ModeOff,
    LimitPerMinute,
    LimitPerRule,
    LimitPerIncident,
    /// The rule is in the shadow: it is kept what it would have said, and nobody can let it go.
    Shadow,
}

impl HoldReason {
    pub const ALL: [Self; 9] = [
        Self::UnknownCustomer,
        Self::NoAddress,
        Self::OptedOut,
        Self::ModeHold,
        Self::ModeOff,
        Self::LimitPerMinute,
        Self::LimitPerRule,
        Self::LimitPerIncident,
        Self::Shadow,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCustomer => "unknown_customer",
            Self::NoAddress => "no_address",
            Self::OptedOut => "opted_out",
            Self::ModeHold => "mode_hold",
            Self::ModeOff => "mode_off",
            Self::LimitPerMinute => "limit_per_minute",
            Self::LimitPerRule => "limit_per_rule",
            Self::LimitPerIncident => "limit_per_incident",
            Self::Shadow => "shadow",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Whether a person may let the message go.
    pub const fn can_be_released(self) -> bool {
        match self {
            Self::ModeHold | Self::LimitPerMinute | Self::LimitPerRule | Self::LimitPerIncident => true,
            Self::UnknownCustomer | Self::NoAddress | Self::OptedOut | Self::ModeOff | Self::Shadow => false,
        }
    }

    /// Whether a limit was passed, which staff must hear of.
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::LimitPerMinute | Self::LimitPerRule | Self::LimitPerIncident)
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message to or about an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub id: NoticeId,
    pub incident: IncidentId,
    pub rule: CompactString,
    pub subject: Subject,
    pub account_id: CompactString,
    pub stage: Stage,
    pub template: CompactString,
    pub recipient: Recipient,
    /// When it was decided, in event time.
    pub at: Time,
    /// The event that names the customer's own order or login.
    pub facts: Box<Facts>,
}

/// What a message to staff is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StaffKind {
    /// A ticket has opened.
    Ticket,
    /// Messages of an incident wait for approval, since a limit was passed.
    Held,
}

impl StaffKind {
    pub const ALL: [Self; 2] = [Self::Ticket, Self::Held];

    /// Also its place in the outbox, where customers' messages have their stage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Held => "held",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub const fn template(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Held => "notices_held",
        }
    }
}

/// A message to the department of an incident's ticket; its address is looked up when it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct StaffMail {
    pub id: NoticeId,
    pub incident: IncidentId,
    pub rule: CompactString,
    pub subject: Subject,
    pub kind: StaffKind,
    pub at: Time,
    /// Too many in this minute: it waits for a person.
    pub held: Option<HoldReason>,
}

/// What is to become of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Send { via: Via, locale: Locale, notice: Notice },
    Held { reason: HoldReason, notice: Notice },
}

impl Decision {
    pub const fn notice(&self) -> &Notice {
        match self {
            Self::Send { notice, .. } | Self::Held { notice, .. } => notice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_fixed_by_incident_account_and_stage() {
        let id = NoticeId::of(IncidentId(7), "a42", Stage::Opened);
        // Written into databases and Message-IDs: it may never change.
        assert_eq!(id.to_string(), "8874c895c4f226eb9b428036b566b883");
        assert_eq!(NoticeId::parse(&id.to_string()), Some(id));
        assert_eq!(id.message_id("example.com"), format!("{id}@example.com"));
        let others = [
            NoticeId::of(IncidentId(8), "a42", Stage::Opened),
            NoticeId::of(IncidentId(7), "a43", Stage::Opened),
            NoticeId::of(IncidentId(7), "a42", Stage::Recovered),
            NoticeId::of_staff(IncidentId(7), StaffKind::Ticket),
        ];
        assert!(others.iter().all(|other| *other != id));
    }

    #[test]
    fn names_are_read_back_as_they_are_written() {
        for reason in HoldReason::ALL {
            assert_eq!(HoldReason::parse(reason.as_str()), Some(reason));
        }
        for kind in StaffKind::ALL {
            assert_eq!(StaffKind::parse(kind.as_str()), Some(kind));
        }
    }
}
