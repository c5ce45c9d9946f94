//! What is left when all is settled, and how two runs of a seed may differ in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::time::{Span, Time};
use crate::delivery::notice::NoticeId;
use crate::delivery::store::{NoticeRow, Store as _, TicketDetail, TicketFilter};
use crate::edge::store::Database;

/// Rules that span partitions are judged in steps, and events may be late; spans are compared as widely as that.
const TOLERANCE: Span = Span::from_secs(40);

/// So long a cause must be healthy before it is over: the rule's `keep_firing_for`.
const HEALTHY: Span = Span::from_secs(40);

/// An incident that stands.
#[derive(Clone, Debug)]
pub struct Incident {
    rule: String,
    reason: Option<String>,
    name: String,
    begin: Time,
    opened: Time,
    end: Time,
    /// It was over as soon as it was found, so that nobody need hear of it.
    is_instant: bool,
    /// Account and stage: what became of the message.
    notices: BTreeMap<(String, String), String>,
    /// Since when each account belongs to it.
    joined: BTreeMap<String, Time>,
    /// All its ends, reopened or not.
    ends: Vec<Time>,
}

/// The tickets of a run and everything said of them.
#[derive(Debug, Default)]
pub struct Settled {
    tickets: Vec<TicketDetail>,
}

fn has_left(state: &str) -> bool {
    matches!(state, "sent" | "unknown")
}

impl Settled {
    pub async fn read(database: &Database) -> Self {
        let filter = TicketFilter { limit: 10_000, ..TicketFilter::default() };
        let mut tickets = Vec::new();
        for row in database.tickets(&filter).await.expect("read") {
            tickets.extend(database.ticket(&row.id.to_string()).await.expect("read"));
        }
        Self { tickets }
    }

    fn notices(&self) -> impl Iterator<Item = &NoticeRow> {
        self.tickets.iter().flat_map(|ticket| &ticket.notices)
    }

    /// What is wrong in itself.
    pub fn problems(&self, arrived: &BTreeMap<u128, u32>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut known = BTreeSet::new();
        for notice in self.notices() {
            let NoticeRow { id, state, .. } = notice;
            known.insert(*id);
            let count = arrived.get(&id.0).copied().unwrap_or(0);
            let fits = match state.as_str() {
                "sent" => count == 1,
                "unknown" => count <= 1,
                "cancelled" => count == 0,
                _ => false,
            };
            if !fits {
                problems.push(format!("message {id} is {state} in the end, and has arrived {count} times"));
            }
        }
        for id in arrived.keys().filter(|id| !known.contains(&NoticeId(**id))) {
            problems.push(format!("message {id:032x} has arrived and is not in the database"));
        }
        let standing = self.standing();
        for (number, one) in standing.iter().enumerate() {
            for other in standing.iter().skip(number + 1) {
                if one.name == other.name && one.opened < other.end && other.opened < one.end {
                    problems.push(format!("{} was open twice at a time", one.name));
                }
            }
        }
        problems
    }

    /// The incidents that were neither withdrawn nor explained by others.
    fn standing(&self) -> Vec<Incident> {
        let mut standing = Vec::new();
        for TicketDetail { ticket, notices, steps, .. } in &self.tickets {
            if ticket.state == "withdrawn" || ticket.merged_into.is_some() {
                continue;
            }
            let values: Vec<&str> = ticket.subject.0.iter().map(|(_, value)| value.as_str()).collect();
            let told = notices.iter().filter(|notice| !notice.account_id.is_empty());
            let opened = notices.iter().filter(|notice| notice.stage == "opened");
            let ends = steps.iter().filter(|step| step.step == "resolved").map(|step| step.at).collect();
            standing.push(Incident {
                ends,
                rule: ticket.rule.to_string(),
                reason: ticket.reason.clone(),
                name: format!("{} {}", ticket.rule, values.join(" ")),
                opened: ticket.opened_at,
                begin: ticket.started_at.min(ticket.since).min(ticket.opened_at),
                end: ticket.ended_at.unwrap_or(Time::MAX),
                is_instant: ticket.ended_at.is_some_and(|end| end <= ticket.opened_at + Span::from_secs(1)),
                notices: told
                    .map(|notice| ((notice.account_id.clone(), notice.stage.clone()), notice.state.clone()))
                    .collect(),
                joined: opened.map(|notice| (notice.account_id.clone(), notice.decided_at)).collect(),
            });
        }
        standing.sort_by(|one, other| (&one.name, one.begin).cmp(&(&other.name, other.begin)));
        standing
    }

    /// How a run with faults has settled on something else than this one without.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (calm, troubled) = (self.standing(), other.standing());
        let mut unmatched: Vec<&Incident> = troubled.iter().collect();
        let mut differences = Vec::new();
        for incident in &calm {
            let found = unmatched.iter().position(|other| other.is_same(incident));
            match found.map(|found| unmatched.remove(found)) {
                Some(other) => incident.compare(other, &mut differences),
                None if incident.is_explained(&troubled) => {}
                None => differences.push(format!("only without faults: {}", incident.show())),
            }
        }
        let unmatched = unmatched.iter().filter(|other| !other.is_explained(&calm));
        differences.extend(unmatched.map(|other| format!("only with faults: {}", other.show())));
        differences
    }
}

impl Incident {
    /// A symptom that was over before its cause was known: in the other run the cause was known in time, and explains it.
    fn is_explained(&self, elsewhere: &[Self]) -> bool {
        let Some((_, account)) = self.name.split_once("keeps-failing ") else { return false };
        let told = (account.to_owned(), "opened".to_owned());
        let overlap =
            |cause: &&Self| self.begin < cause.end + TOLERANCE && cause.begin < self.end + TOLERANCE;
        let mut causes = elsewhere.iter().filter(|other| other.rule == "channel-drop").filter(overlap);
        causes.any(|cause| cause.notices.contains_key(&told))
    }

    /// Whoever shows the symptom of a cause after its last bad step, and before that is known, belongs to it or not as the
    /// partitions come.
    fn joins_at_the_end(&self, account: &str) -> bool {
        let Some(joined) = self.joined.get(account) else { return false };
        let is_near = |end: &Time| *joined + TOLERANCE + HEALTHY >= *end && *joined < *end + TOLERANCE;
        self.rule == "channel-drop" && self.ends.iter().any(is_near)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.begin - TOLERANCE < other.end
            && (other.end == Time::MAX || self.begin < other.end + TOLERANCE)
            && (self.end == Time::MAX || other.begin < self.end + TOLERANCE)
    }

    fn show(&self) -> String {
        let second = |time: Time| (time.as_millis() - super::platform::START) / 1_000;
        let end = if self.end == Time::MAX { "open".to_owned() } else { second(self.end).to_string() };
        format!("{} from {} to {end}", self.name, second(self.begin))
    }

    /// Who was told must be the same, but for messages that were no longer true when they could have been sent.
    fn compare(&self, other: &Self, differences: &mut Vec<String>) {
        // Where a late event shows an earlier one to be found, this rule names the account of the late one: who is told
        // hangs on the order of arrival, with faults or without.
        if self.rule == "new-address" {
            return;
        }
        let all: BTreeSet<_> = self.notices.keys().chain(other.notices.keys()).collect();
        for key in all {
            let (calm, troubled) = (self.notices.get(key), other.notices.get(key));
            let told = |state: Option<&String>| state.is_some_and(|state| has_left(state));
            let (account, stage) = key;
            // Whether a cause has recovered or gone quiet is judged by the sample that was there when it ended, which a late
            // event can change afterwards.
            if self.rule == "channel-drop" && stage == "recovered" && self.reason != other.reason {
                continue;
            }
            let at_the_end = self.joins_at_the_end(account) || other.joins_at_the_end(account);
            let excused = |incident: &Self, state: Option<&String>| match state {
                Some(state) => state == "cancelled",
                None => incident.is_instant || at_the_end,
            };
            let differs = match (told(calm), told(troubled)) {
                (true, false) => !excused(other, troubled),
                (false, true) => !excused(self, calm),
                _ => false,
            };
            if differs {
                differences.push(format!(
                    "{}: {account} {stage} is {calm:?} without faults, {troubled:?} with them",
                    self.show()
                ));
            }
        }
    }
}
