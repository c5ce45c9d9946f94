//! Why a subject got a ticket or got none: one sentence for each rule that had to do with it.

use crate::cli::timeline::{long, rounded, shown_subject};
use crate::core::event::Event;
use crate::core::incident::Phase;
use crate::core::rule::{Detect, Rule, RuleState};
use crate::core::time::Time;

use super::line::causes;
use super::{Explanation, Life, Looked};

/// What became of the subject under one rule.
pub(super) struct Why {
    pub(super) rule: String,
    pub(super) outcome: Outcome,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ticket,
    /// A ticket about something else names it.
    Touched,
    /// Another incident explains what was found.
    Joined,
    /// People had asked not to hear of it.
    Silenced,
    /// What was found was over, or untrue, before it could open.
    Dropped,
    /// Undecided at the end of the events.
    Undecided,
    NothingFound,
}

impl Outcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Touched => "touched",
            Self::Joined => "joined",
            Self::Silenced => "silenced",
            Self::Dropped => "dropped",
            Self::Undecided => "undecided",
            Self::NothingFound => "nothing_found",
        }
    }
}

/// Whether an event that a rule looks at is one of those that it counts.
pub(super) fn counts(rule: &Rule, event: &Event<'_>) -> bool {
    match &rule.detect {
        Detect::Frequency(detect) => detect.count.holds(event),
        Detect::Deadline(detect) => detect.start.holds(event),
        _ => true,
    }
}

impl Explanation {
    /// One answer for each incident, and for each rule that looked and found nothing.
    pub(super) fn why(&self) -> Vec<Why> {
        let mut answers = Vec::new();
        for (rule, looked) in self.rules.rules.iter().zip(&self.looked) {
            let mut lives: Vec<&Life> = self
                .lives
                .values()
                .filter(|life| life.rule == rule.name && (life.concerns || life.touches))
                .collect();
            lives.sort_by_key(|life| life.found.or(life.opened_at));
            for life in &lives {
                let (outcome, text) = self.of_life(rule, life);
                answers.push(Why { rule: rule.name.clone(), outcome, text });
            }
            if lives.is_empty() && looked.at > 0 && !self.is_elsewhere(rule) {
                let text = nothing_found(rule, *looked);
                answers.push(Why { rule: rule.name.clone(), outcome: Outcome::NothingFound, text });
            }
        }
        answers
    }

    /// Whether a rule judges single accounts or orders while many of them are asked about: its findings are theirs.
    fn is_elsewhere(&self, rule: &Rule) -> bool {
        self.is_wide() && rule.is_local()
    }

    /// The rules that looked at the events for the sake of single accounts or orders.
    pub(super) fn elsewhere(&self) -> Vec<&str> {
        let looked = self.rules.rules.iter().zip(&self.looked);
        looked
            .filter(|(rule, looked)| looked.at > 0 && self.is_elsewhere(rule))
            .map(|(rule, _)| rule.name.as_str())
            .collect()
    }

    /// Whether the events are those of several accounts.
    pub(super) fn is_wide(&self) -> bool {
        self.accounts.len() > 1
    }

    /// Rules that none of the events concerned.
    pub(super) fn unconcerned(&self) -> Vec<&str> {
        let lives = |rule: &Rule| {
            self.lives.values().any(|life| life.rule == rule.name && (life.concerns || life.touches))
        };
        let looked = self.rules.rules.iter().zip(&self.looked);
        looked
            .filter(|(rule, looked)| looked.at == 0 && !lives(rule))
            .map(|(rule, _)| rule.name.as_str())
            .collect()
    }

    /// What the complaints among the events say about having been told.
    pub(super) fn complaints(&self) -> Vec<String> {
        let said = |time: &Time| match self.told_first {
            Some(told) if told <= *time => {
                format!("complained at {time}, {} after being told", rounded(time.since(told)))
            }
            Some(told) => format!("complained at {time}, {} before being told", rounded(told.since(*time))),
            None => format!("complained at {time}, and was never told"),
        };
        self.complaints.iter().map(said).collect()
    }

    fn of_life(&self, rule: &Rule, life: &Life) -> (Outcome, String) {
        let about = shown_subject(&life.subject);
        let found = life.found.map_or_else(String::new, |found| format!(" for what was found at {found}"));
        if !life.concerns {
            let opened = life.opened_at.map_or_else(String::new, |at| format!(", opened at {at},"));
            let text = format!("its ticket {about}{opened} touches it; {}", self.told(rule, life));
            return (Outcome::Touched, text);
        }
        if let Some(opened) = life.opened_at {
            let ended = match (life.ended, life.cause) {
                (Some((at, "merged")), Some(cause)) => {
                    format!("merged at {at} into the ticket of {}", self.named(cause))
                }
                (Some((at, how)), _) => format!("ended at {at}: {how}"),
                (None, _) => "still open when the events end".to_owned(),
            };
            return (
                Outcome::Ticket,
                format!("ticket {about} opened at {opened}; {}; {ended}", self.told(rule, life)),
            );
        }
        if let Some(cause) = life.cause {
            let by_cause = self.lives.get(&cause).map_or_else(String::new, |life| {
                let rule = self.rules.find(&life.rule);
                rule.map_or_else(String::new, |rule| format!("; {}", self.told(rule, life)))
            });
            return (
                Outcome::Joined,
                format!(
                    "no ticket of its own{found}: it is part of the one of {}{by_cause}",
                    self.named(cause)
                ),
            );
        }
        if let Some(silenced) = &life.silenced {
            return (Outcome::Silenced, format!("no ticket{found}: {silenced}"));
        }
        if let Some((at, _)) = life.ended {
            let why = match life.untrue {
                Some(_) => "an event that belongs earlier showed that it was not true",
                None => "it was over before it had lasted for the rule's `for`",
            };
            return (Outcome::Dropped, format!("no ticket{found}: dropped at {at}, {why}"));
        }
        let waits = match life.phase {
            Some(Phase::Pending { until }) => format!("it opens at {until} if it lasts"),
            Some(Phase::Waiting { until }) => {
                format!("it opens at {until} unless one of these explains it: {}", causes(rule))
            }
            _ => "it is undecided".to_owned(),
        };
        (
            Outcome::Undecided,
            format!("no ticket yet{found}: when the events end, {waits} (`--until` lets time pass)"),
        )
    }

    /// An incident's rule, subject and when its ticket opened.
    fn named(&self, incident: crate::core::effect::IncidentId) -> String {
        let Some(life) = self.lives.get(&incident) else { return "another incident".to_owned() };
        let opened = life.opened_at.map_or_else(String::new, |at| format!(", opened at {at}"));
        format!("{} {}{opened}", life.rule, shown_subject(&life.subject))
    }

    /// Who was told of an incident.
    fn told(&self, rule: &Rule, life: &Life) -> String {
        let asked = self.asked.value.as_str();
        let own = if self.accounts.contains(asked) || self.accounts.len() != 1 {
            asked
        } else {
            // An order's messages go to its account.
            self.accounts.first().map_or(asked, |account| account.as_str())
        };
        if let Some((at, via)) = life.told.get(own) {
            return format!("{own} was told at {at} by {via}");
        }
        if life.shadow {
            return match life.held.contains_key(own) {
                true => format!("{own} would have been told, but the rule is in the shadow"),
                false => "nobody was told: the rule is in the shadow".to_owned(),
            };
        }
        if let Some(reason) = life.held.get(own) {
            return format!("{own} was not told: {reason}");
        }
        let is_customer = self.accounts.contains(own) && self.accounts.len() == 1;
        match (life.told.len(), life.held.len()) {
            _ if rule.notice.is_none() => "nobody was told: the rule has no `notice`".to_owned(),
            (0, 0) if life.ended.is_some() => {
                "nobody was told: it was over when it opened, or nobody had it".to_owned()
            }
            (0, 0) => "nobody was told".to_owned(),
            (told, held) if is_customer => {
                format!("{own} was not told by it ({told} others were, {held} messages were held back)")
            }
            (told, 0) => format!("{told} customers were told"),
            (told, held) => format!("{told} customers were told, {held} messages were held back"),
        }
    }
}

fn nothing_found(rule: &Rule, looked: Looked) -> String {
    let Looked { at, counted } = looked;
    let looked = if at == 1 { "looked at 1 event".to_owned() } else { format!("looked at {at} events") };
    let paused = if rule.state == RuleState::Paused { " (paused)" } else { "" };
    let why = match &rule.detect {
        Detect::Frequency(detect) => {
            let window = long(detect.window);
            if counted == 0 {
                "none of them met `count`".to_owned()
            } else {
                format!("{counted} met `count`, never enough of them within {window}")
            }
        }
        Detect::Deadline(detect) if counted > 0 => {
            format!("{counted} began to wait, and each got its end within {}", long(detect.within))
        }
        Detect::Deadline(_) => "none of them begins to wait".to_owned(),
        _ if !rule.is_local() => {
            let fields: Vec<&str> = rule
                .groups
                .iter()
                .flatten()
                .map(|field| field.as_str())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect();
            format!("it judges by {}, and found nothing that touches this", fields.join(", "))
        }
        detect => format!("its condition ({}) was never met", detect.kind()),
    };
    format!("no finding: {looked}{paused}; {why}")
}
