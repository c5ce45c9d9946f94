//! Tells the audience what happens, in the order in which it is understood best: the first problem found, the mail that
//! a customer got, the ticket, what was rightly ignored, and at the end the figures.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::core::effect::IncidentId;
use crate::core::time::{Span, Time};
use crate::delivery::store::{Store, TicketDetail, TicketFilter, TicketRow};
use crate::sim::truth::{Problem, ProblemKind};

use super::clock::PlatformClock;
use super::mailbox::{Letter, Mailbox};
use super::report::{self, Closing};
use super::screen::{Screen, Tone};
use super::story::Story;

/// The real time that the audience needs to read a part before the next one comes.
const TO_READ: Duration = Duration::from_millis(2_500);
/// The platform's time that the mails of a new ticket may take.
const MAILS_TAKE: Span = Span::from_secs(90);
/// Tickets that are looked at; more than a demonstration can have.
const TICKETS: u32 = 2_000;
/// The column in which what happens stands, behind the time.
pub(super) const COLUMN: usize = 8;
/// The column behind the labels of the closing figures.
const FIGURES: usize = 17;
const WHAT_NEXT: &str =
    "Your own events: `forewarn replay --rules rules --input FILE` shows what it would have said of them.";

/// What comes next of the parts that have a fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Outage,
    Mail,
    Ticket,
    LookAlikes,
    Rest,
}

pub(super) struct Narrator<'s, S, W> {
    story: &'s Story,
    clock: PlatformClock,
    store: S,
    mailbox: Mailbox,
    pub(super) screen: Screen<W>,
    letters: Vec<Letter>,
    tickets: Vec<TicketRow>,
    announced: BTreeSet<IncidentId>,
    part: Part,
    /// Real time of the latest part.
    part_since: Duration,
    first: Option<IncidentId>,
    status_due: Time,
}

impl<'s, S: Store, W: Write> Narrator<'s, S, W> {
    pub(super) fn new(
        story: &'s Story,
        clock: PlatformClock,
        store: S,
        mailbox: Mailbox,
        screen: Screen<W>,
    ) -> Self {
        Self {
            status_due: story.opening + Span::from_mins(10),
            story,
            clock,
            store,
            mailbox,
            screen,
            letters: vec![],
            tickets: vec![],
            announced: BTreeSet::new(),
            part: Part::Outage,
            part_since: Duration::ZERO,
            first: None,
        }
    }

    /// Looks at what has changed and tells it.
    pub(super) async fn look(&mut self) -> Result<()> {
        let filter = TicketFilter { limit: TICKETS, ..TicketFilter::default() };
        let mut tickets =
            self.store.tickets(&filter).await.context("cannot read the demonstration's tickets")?;
        tickets.sort_by_key(|ticket| (ticket.opened_at, ticket.id));
        self.tickets = tickets;
        self.letters.extend(self.mailbox.letters(self.letters.len()));
        let fresh: Vec<TicketRow> =
            self.tickets.iter().filter(|ticket| !self.announced.contains(&ticket.id)).cloned().collect();
        for ticket in fresh {
            // A ticket is shown once most of its mails are there, or when they do not come.
            let age = self.clock.now().since(ticket.opened_at);
            let told = self.told(&ticket) as u64;
            if (told == 0 || told * 2 < ticket.affected) && age < MAILS_TAKE {
                continue;
            }
            self.announced.insert(ticket.id);
            self.announce(&ticket)?;
        }
        self.next_part().await?;
        if self.clock.now() >= self.status_due && self.part == Part::Rest {
            self.status_due = self.clock.now() + Span::from_mins(10);
            self.status()?;
        }
        Ok(())
    }

    fn told(&self, ticket: &TicketRow) -> usize {
        let about = |letter: &&Letter| {
            report::account_of(letter, &self.story.addresses).is_some_and(|account| {
                report::incident_of(letter, account, std::slice::from_ref(ticket)).is_some()
            })
        };
        self.letters.iter().filter(about).count()
    }

    fn problem(&self, ticket: &TicketRow) -> Option<&'s Problem> {
        report::problem_of(&self.story.truth, ticket)
    }

    fn announce(&mut self, ticket: &TicketRow) -> Result<()> {
        let time = clock_face(ticket.opened_at);
        let found = self.screen.paint(Tone::Good, "found");
        let problem = self.problem(ticket);
        let what = self.what(ticket, problem);
        self.screen.item(&time, COLUMN, Tone::Plain, &format!("{found}  {what}"))?;
        let mut then = vec![format!("begun about {}", clock_face(ticket.started_at))];
        let told = self.told(ticket);
        let touched = ticket.affected.max(told as u64);
        if touched > 1 {
            then.push(format!("{touched} customers touched so far, {told} told by mail"));
        } else if told > 0 {
            then.push("the customer is told by mail".to_owned());
        }
        let first_complaint = problem.and_then(|problem| problem.complaints.first());
        match (problem, first_complaint) {
            (Some(_), Some(complaint)) => {
                let ahead = complaint.at.since(ticket.opened_at);
                let minutes = ahead.as_secs_f64() / 60.0;
                let at = clock_face(complaint.at);
                then.push(if minutes >= 1.0 {
                    format!("the first of them would complain at {at}, {minutes:.0} min from now")
                } else {
                    format!("the first complaint comes at {at}")
                });
            }
            (Some(_), None) => {}
            (None, _) => then.push("nothing was planted here: a false alarm".to_owned()),
        }
        self.screen.paragraph(COLUMN + 2, Tone::Quiet, &format!("{}.", capital(&then.join("; "))))?;
        let is_outage = problem.is_some_and(|problem| problem.kind == ProblemKind::ChannelRegionOutage);
        if self.first.is_none() && is_outage {
            self.first = Some(ticket.id);
            self.advance(Part::Mail);
        }
        Ok(())
    }

    fn what(&self, ticket: &TicketRow, problem: Option<&Problem>) -> String {
        let field = |name: &str| ticket.subject.get(name);
        let is_share = matches!(
            problem.map(|problem| problem.kind),
            Some(ProblemKind::ChannelOutage | ProblemKind::ChannelRegionOutage)
        );
        if let (Some(channel), true) = (field("channel"), is_share) {
            let place = field("region").map_or_else(String::new, |region| format!(" in {region}"));
            let usual = self.story.usual_share(channel);
            return format!(
                "{channel}{place}: {:.0} % of payments fail, usually {:.0} %",
                ticket.value * 100.0,
                usual * 100.0
            );
        }
        let subject: Vec<&str> = ticket.subject.0.iter().map(|(_, value)| value.as_str()).collect();
        format!("{}: {}", ticket.summary, subject.join(", "))
    }

    fn advance(&mut self, part: Part) {
        self.part = part;
        self.part_since = self.clock.real();
    }

    async fn next_part(&mut self) -> Result<()> {
        if self.clock.real() < self.part_since + TO_READ {
            return Ok(());
        }
        match self.part {
            Part::Outage | Part::Rest => {}
            Part::Mail => {
                if let Some(letter) = self.letter_to_show() {
                    self.show_letter(&letter)?;
                    self.advance(Part::Ticket);
                }
            }
            Part::Ticket => {
                if let Some(first) = self.first {
                    let found = self.store.ticket(&first.to_string()).await;
                    let details = found.context("cannot read the demonstration's first ticket")?;
                    if let Some(detail) = details.first() {
                        self.show_ticket(detail)?;
                    }
                }
                self.advance(Part::LookAlikes);
            }
            Part::LookAlikes => {
                if self.show_look_alikes()? {
                    self.advance(Part::Rest);
                }
            }
        }
        Ok(())
    }

    /// A letter about the first problem, in English if there is one: more of the audience reads it.
    fn letter_to_show(&self) -> Option<Letter> {
        let first = self.tickets.iter().find(|ticket| Some(ticket.id) == self.first)?;
        let about_it = |letter: &&Letter| {
            report::account_of(letter, &self.story.addresses).is_some_and(|account| {
                report::incident_of(letter, account, std::slice::from_ref(first)).is_some()
            }) && !letter.text.is_empty()
        };
        let mut letters = self.letters.iter().filter(about_it).peekable();
        let any = letters.peek().copied();
        letters.find(|letter| letter.subject.is_ascii()).or(any).cloned()
    }

    fn show_letter(&mut self, letter: &Letter) -> Result<()> {
        self.screen
            .heading(&format!("one of the mails, as the customer got it at {}", clock_face(letter.at)))?;
        let head = format!("From: {}\nTo: {}\nSubject: {}\n\n", letter.from, letter.to, letter.subject);
        self.screen.framed(&format!("{head}{}", letter.text))?;
        self.screen.blank()?;
        Ok(())
    }

    fn show_ticket(&mut self, detail: &TicketDetail) -> Result<()> {
        let ticket = &detail.ticket;
        self.screen.heading("the ticket, as staff see it")?;
        let subject: Vec<String> =
            ticket.subject.0.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let opened = format!(
            "{}, {} after the start",
            clock_face(ticket.opened_at),
            minutes(ticket.opened_at, ticket.started_at)
        );
        let evidence = format!(
            "{:.0} % of {} payments failed, more than {:.0} % for certain",
            ticket.value * 100.0,
            ticket.samples,
            ticket.limit * 100.0
        );
        let people = format!("{} customers touched, {} told", ticket.affected, ticket.told);
        let route = format!(
            "{} → {} (severity {}, {})",
            ticket.category, ticket.department, ticket.severity, ticket.sla
        );
        for (label, text) in [
            ("ticket", ticket.id.to_string()),
            ("rule", ticket.rule.to_string()),
            ("about", format!("{} — {}", ticket.summary, subject.join(", "))),
            ("routed", route),
            ("opened", opened),
            ("evidence", evidence),
            ("customers", people),
        ] {
            self.screen.item(label, 14, Tone::Plain, &text)?;
        }
        for row in detail.affected.iter().take(3) {
            let order = row.order_id.as_deref().unwrap_or("–");
            let told = row
                .told_at
                .map_or_else(|| "not told yet".to_owned(), |at| format!("told {}", clock_face(at)));
            let text = format!("{}, order {order}, met it {}, {told}", row.account_id, clock_face(row.at));
            self.screen.item("", 14, Tone::Quiet, &text)?;
        }
        self.screen.blank()?;
        Ok(())
    }

    /// Three things that looked like trouble and got no ticket; false as long as there are not three.
    fn show_look_alikes(&mut self) -> Result<bool> {
        let now = self.clock.now();
        // What concerns no single account would show as a ticket about a channel or a supplier that nothing is wrong with.
        let is_false_scope = |ticket: &TicketRow| {
            let of_one = ["account_id", "order_id"].iter().any(|field| ticket.subject.get(field).is_some());
            !of_one && self.problem(ticket).is_none()
        };
        let ignored = |account: &str| {
            !self.tickets.iter().any(|ticket| match account {
                "" => is_false_scope(ticket),
                account => ticket.subject.get("account_id") == Some(account),
            })
        };
        let story = self.story;
        let over: Vec<_> = story
            .look_alikes
            .iter()
            .filter(|look_alike| {
                look_alike.over + Span::from_mins(2) <= now && ignored(&look_alike.account_id)
            })
            .take(3)
            .collect();
        if over.len() < 3 {
            return Ok(false);
        }
        self.screen.heading("what looked like trouble and was left alone")?;
        for look_alike in over {
            self.screen.paragraph(2, Tone::Plain, &capital(&look_alike.looks_like))?;
            self.screen.paragraph(6, Tone::Quiet, &format!("but: {}", look_alike.but))?;
        }
        self.screen.blank()?;
        Ok(true)
    }

    fn status(&mut self) -> Result<()> {
        let open = self.tickets.iter().filter(|ticket| ticket.ended_at.is_none()).count();
        let text = format!(
            "tickets so far: {}, open: {open}; mails delivered: {}",
            self.tickets.len(),
            self.mailbox.arrived()
        );
        self.screen.item(&clock_face(self.clock.now()), COLUMN, Tone::Quiet, &text)?;
        Ok(())
    }

    /// The closing figures at the platform's time `end`.
    pub(super) async fn close(&mut self, end: Time) -> Result<()> {
        self.look().await?;
        let claims = report::claims(&self.tickets, &self.letters, &self.story.addresses);
        let closing = report::closing(&self.story.truth, &claims, end);
        let minutes = end.since(self.story.opening).as_secs_f64() / 60.0;
        self.screen.heading(&format!("{minutes:.0} minutes of the platform's evening, in figures"))?;
        for (label, text, tone) in closing_lines(&closing) {
            self.screen.item(label, FIGURES, tone, &text)?;
        }
        self.screen.blank()?;
        self.screen.paragraph(2, Tone::Quiet, WHAT_NEXT)?;
        Ok(())
    }
}

/// The closing figures as they are shown.
fn closing_lines(closing: &Closing) -> Vec<(&'static str, String, Tone)> {
    let share = |part: u32, whole: u32| 100.0 * f64::from(part) / f64::from(whole.max(1));
    let tone = |fine: bool| if fine { Tone::Good } else { Tone::Bad };
    let Closing { planted, fresh, found, complaints, told_before, notices, false_notices, .. } = *closing;
    let mut problems = format!("{found} of {planted} found");
    if fresh > 0 {
        problems.push_str(&format!("; {fresh} more had only just begun"));
    }
    let coverage = match complaints {
        0 => "nobody had complained yet".to_owned(),
        _ => format!(
            "{told_before} of {complaints} complaints came from customers who had been told before ({:.0} %)",
            share(told_before, complaints)
        ),
    };
    let lead = closing.lead.map_or_else(
        || "–".to_owned(),
        |lead| format!("told {:.0} min before their complaint (median)", lead.as_secs_f64() / 60.0),
    );
    let falsely = format!("{false_notices} of {notices} mails told of something that was not so");
    let covered = complaints == 0 || share(told_before, complaints) >= 90.0;
    vec![
        ("problems", problems, tone(found == planted)),
        ("tickets", format!("{}, {} of them false", closing.tickets, closing.false_tickets), Tone::Plain),
        ("customers", format!("{} touched, {} told", closing.touched, closing.told), Tone::Plain),
        ("coverage", coverage, tone(covered)),
        ("lead time", lead, Tone::Plain),
        ("false notices", falsely, tone(share(false_notices, notices) <= 3.0)),
    ]
}

/// The platform's time of day.
pub(super) fn clock_face(time: Time) -> String {
    let minutes = time.as_millis().div_euclid(60_000) + crate::sim::market::LOCAL_HOURS * 60;
    format!("{:02}:{:02}", minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60))
}

fn minutes(later: Time, earlier: Time) -> String {
    format!("{:.0} min", later.since(earlier).as_secs_f64() / 60.0)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
