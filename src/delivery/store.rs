//! What the store keeps, and what one transaction writes. The trait is what delivery needs of a database; the edge
//! implements it.
//!
//! The store has the last word on what was really sent. In one transaction with the end of an incident it cancels the
//! messages about it that nobody has been sent yet; a message about the end goes only to those whose message about
//! the beginning has left the house.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use compact_str::CompactString;

use crate::core::effect::{Effect, IncidentId, Stage, Subject};
use crate::core::event::Facts;
use crate::core::time::Time;
use crate::delivery::customers::Locale;
use crate::delivery::notice::{Decision, HoldReason, NoticeId, Recipient, StaffKind, StaffMail, Via};
use crate::delivery::ownership::{Ownership, Taken};
use crate::delivery::proposal::ProposalId;

/// One effect with everything that follows from it. Written whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub effect: Effect,
    pub decision: Option<Decision>,
    pub staff: Option<StaffMail>,
}

/// What a failed call to the store means.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same call may succeed later.
    #[error("the database did not answer in time: {0}")]
    TryAgain(String),
    /// The same call will fail again: the disk is full, the file is damaged, the schema is another one.
    #[error("the database refused: {0}")]
    GiveUp(String),
    /// Another run owns these shards now. Nothing was written, and nothing of this one ever will be.
    #[error("another daemon has taken over the shards {0:?}")]
    TakenOver(Vec<u32>),
}

/// What a batch changed. Writing it again changes nothing and counts as repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub written: u64,
    pub repeated: u64,
    /// Open incidents that gave way to another one of the same rule and subject. Not zero means that state was lost.
    pub superseded: u64,
}

/// An incident that the engine takes up after a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredIncident {
    pub id: IncidentId,
    pub rule: CompactString,
    pub rule_version: u64,
    pub subject: Subject,
    pub since: Time,
    pub started_at: Time,
    pub opened_at: Time,
    /// [`None`] while it is open.
    pub ended_at: Option<Time>,
    pub merged_into: Option<IncidentId>,
    pub revision: u32,
    pub affected: u32,
}

/// A message that the dispatcher takes up after a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownNotice {
    pub incident: IncidentId,
    pub incident_ended_at: Option<Time>,
    pub account_id: CompactString,
    pub stage: Stage,
    /// Why it is held, if it is.
    pub held: Option<HoldReason>,
}

/// A message taken from the outbox to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub id: NoticeId,
    /// Numbers the attempts; a completion with another number is refused.
    pub attempt: u32,
    pub incident: IncidentId,
    pub rule: CompactString,
    pub subject: Subject,
    pub decided_at: Time,
    pub to: Addressee,
    /// The ticket as it is now.
    pub ticket: Option<TicketRow>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Addressee {
    Account {
        account_id: CompactString,
        stage: Stage,
        template: CompactString,
        recipient: Recipient,
        via: Via,
        /// [`None`]: it was held when it was decided; the customer's own locale counts now.
        locale: Option<Locale>,
        facts: Box<Facts>,
    },
    Staff {
        kind: StaffKind,
        /// Messages of the incident that wait for approval.
        held: u64,
    },
}

/// Whether a message may be handed over, asked at the last moment before it can't be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    Go,
    /// It is no longer true, or another attempt has taken over.
    Stop,
}

/// How an attempt to send a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    Sent {
        at: Time,
        reply: String,
    },
    /// Handed over without an answer: it may have arrived. Kept and counted, not sent again.
    Unknown {
        at: Time,
        reply: String,
    },
    TryAgain {
        at: Time,
        reply: String,
    },
    Failed {
        reply: String,
    },
    /// Not tried: older than `max_age`.
    Expired,
    /// Not tried: the address is gone since the decision.
    Held {
        reason: HoldReason,
    },
    /// Stopped by [`HandOver::Stop`].
    Cancelled,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    pub account: Option<String>,
    pub order: Option<String>,
    pub state: Option<String>,
    /// Opened at or after.
    pub since: Option<Time>,
    /// Those of rules in the shadow, in place of those that staff see.
    pub shadow: bool,
    pub limit: u32,
}

/// A ticket in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketRow {
    pub id: IncidentId,
    pub rule: CompactString,
    /// The version of the rule that wrote it last: a hash of what the rule means.
    pub rule_version: u64,
    /// The rule was in the shadow: this is for its author alone.
    pub shadow: bool,
    pub subject: Subject,
    /// `open`, `acknowledged`, `resolved`, `withdrawn`, `merged` or `closed`.
    pub state: String,
    /// Why it ended: `recovered`, `quiet`, `closed` …
    pub reason: Option<String>,
    pub severity: String,
    pub summary: String,
    pub category: String,
    pub department: String,
    pub sla: String,
    pub since: Time,
    pub started_at: Time,
    pub opened_at: Time,
    pub ended_at: Option<Time>,
    pub merged_into: Option<IncidentId>,
    pub revision: u32,
    pub value: f64,
    pub limit: f64,
    pub samples: u64,
    pub approximate: bool,
    /// Accounts touched, and those of them that have been sent a message.
    pub affected: u64,
    pub told: u64,
    /// The event that opened it.
    pub facts: Option<Box<Facts>>,
}

/// Everything about one ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketDetail {
    pub ticket: TicketRow,
    /// The first of those affected, and what they were sent.
    pub affected: Vec<AffectedRow>,
    pub notices: Vec<NoticeRow>,
    pub steps: Vec<StepRow>,
    /// What is proposed for them.
    pub proposals: Vec<ProposalRow>,
}

/// What a rule in the shadow would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShadowRow {
    pub rule: String,
    /// The version of the rule that opened the newest of the tickets, and how many versions there were.
    pub version: u64,
    pub versions: u64,
    pub tickets: u64,
    pub open: u64,
    /// Tickets that proved untrue.
    pub withdrawn: u64,
    /// Tickets that other tickets explain.
    pub merged: u64,
    /// Accounts touched.
    pub affected: u64,
    /// Accounts that would have been told, and those of them whom other rules told within a day before or after.
    pub would_tell: u64,
    pub told_by_others: u64,
    pub first_opened: Option<Time>,
    pub last_opened: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedRow {
    pub account_id: String,
    pub order_id: Option<String>,
    pub at: Time,
    pub told_at: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    pub id: NoticeId,
    /// Empty for staff.
    pub account_id: String,
    pub stage: String,
    pub template: String,
    pub state: String,
    pub reason: Option<String>,
    pub decided_at: Time,
    pub sent_at: Option<Time>,
    pub attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    pub at: Time,
    pub actor: String,
    pub step: String,
    pub detail: Option<String>,
}

/// What is proposed for an account, or for the subject as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalRow {
    pub id: ProposalId,
    /// Empty where it is about the subject as a whole.
    pub account_id: String,
    pub rule: String,
    /// `compensation` or `action`.
    pub kind: String,
    pub action: Option<String>,
    /// A decimal number.
    pub amount: Option<String>,
    pub currency: Option<String>,
    /// Why a person has to say how much.
    pub undecided: Option<String>,
    pub order_id: Option<String>,
    pub card_id: Option<String>,
    /// `proposed`, `withdrawn` or `shadow`.
    pub state: String,
    pub decided_at: Time,
}

/// What became of a person's action on a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionResult {
    Done,
    /// It was so before.
    Already,
    NotFound,
    /// An ended ticket can't be acknowledged.
    Ended,
}

/// What the metrics show of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Messages that wait to be sent or are being sent.
    pub outbox_depth: u64,
    /// The decision time of the oldest of them.
    pub outbox_oldest: Option<Time>,
    /// Messages held, by reason.
    pub held: BTreeMap<String, u64>,
    pub unknown: u64,
    pub open_incidents: u64,
}

/// What the sender of messages needs of a database.
pub trait OutboxStore: Send + Sync {
    /// Takes messages that are due at `now` out of the outbox for the time of the lease, oldest first.
    fn claim_due(
        &self,
        now: Time,
        limit: u32,
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Outgoing>, StoreError>> + Send;

    /// Asks, at the last moment, whether the message may go, and notes that from now on it may have arrived.
    fn hand_over(
        &self,
        id: NoticeId,
        attempt: u32,
        now: Time,
    ) -> impl Future<Output = Result<HandOver, StoreError>> + Send;

    /// Writes how an attempt ended. `false`: another attempt has taken over, nothing was written.
    fn complete(
        &self,
        id: NoticeId,
        attempt: u32,
        result: Attempt,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// What delivery needs of a database.
pub trait Store: OutboxStore {
    /// Gives the shards to a new run with a new epoch, and takes back what runs that have none any more had claimed.
    /// From then on this store claims messages in the name of that run. `ended`: a run that is surely over, whatever its
    /// lease says.
    fn take_over(
        &self,
        shards: &[u32],
        holder: &str,
        lease: Duration,
        ended: Option<i64>,
    ) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// Says that the run is alive and keeps its shards for the time of the lease.
    fn keep(
        &self,
        ownership: &Ownership,
        lease: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets others take over at once: the run has ended.
    fn let_go(&self, ownership: &Ownership) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a batch in one transaction, if the shards are still those of the run.
    fn apply(
        &self,
        ownership: &Ownership,
        batch: &[Planned],
    ) -> impl Future<Output = Result<Applied, StoreError>> + Send;

    /// Incidents that are open or ended after a time.
    fn known_incidents(
        &self,
        ended_after: Time,
    ) -> impl Future<Output = Result<Vec<StoredIncident>, StoreError>> + Send;

    /// Ends those of these incidents that are still open, since their rules are gone; says how many.
    fn end_without_rule(
        &self,
        incidents: &[IncidentId],
        at: Time,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The messages to customers about those incidents.
    fn known_notices(
        &self,
        ended_after: Time,
    ) -> impl Future<Output = Result<Vec<KnownNotice>, StoreError>> + Send;

    /// Lets the held messages of an incident (or of all) go, as far as a person may; says how many.
    fn release_held(
        &self,
        incident: Option<IncidentId>,
        actor: &str,
        at: Time,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The newest tickets first.
    fn tickets(
        &self,
        filter: &TicketFilter,
    ) -> impl Future<Output = Result<Vec<TicketRow>, StoreError>> + Send;

    /// What rules in the shadow would have done since a time, by the names of the rules.
    fn in_the_shadow(&self, since: Time) -> impl Future<Output = Result<Vec<ShadowRow>, StoreError>> + Send;

    /// One ticket by its id, or by the beginning of it if that is enough.
    fn ticket(&self, id: &str) -> impl Future<Output = Result<Vec<TicketDetail>, StoreError>> + Send;

    fn acknowledge(
        &self,
        id: IncidentId,
        actor: &str,
        at: Time,
    ) -> impl Future<Output = Result<ActionResult, StoreError>> + Send;

    fn close(
        &self,
        id: IncidentId,
        actor: &str,
        at: Time,
        note: Option<&str>,
    ) -> impl Future<Output = Result<ActionResult, StoreError>> + Send;

    fn figures(&self) -> impl Future<Output = Result<StoreFigures, StoreError>> + Send;
}
