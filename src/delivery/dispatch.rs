//! The dispatcher decides what becomes of each message that the core asks for: sent, held with a reason, or dropped
//! because it was already told or concerns something that nobody was told of.
//!
//! It is a function of the effects in their order, so replay, tests and production decide the same. What has really
//! been handed to a mail server is known to the store alone, which has the last word on it ([`super::store`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;

use crate::core::effect::{Effect, EffectKind, IncidentId, Stage, TicketStep};
use crate::core::event::{Facts, Symbol, Tier};
use crate::core::time::{Span, Time};
use crate::delivery::customers::{Customer, Customers, Locale};
use crate::delivery::guard::{Guard, Limits};
use crate::delivery::notice::{Decision, HoldReason, Notice, NoticeId, Recipient, StaffKind, StaffMail, Via};
use crate::delivery::store::{KnownNotice, Planned};

/// Whether customers are told at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Send,
    /// Everything waits for a person.
    Hold,
    /// No message is written.
    Off,
}

#[derive(Clone, Debug, Default)]
pub struct NoticeSettings {
    pub mode: Mode,
    pub limits: Limits,
    /// For customers whose own locale is not known, and for staff.
    pub locale: Locale,
    /// Rules whose notices go to the account manager whatever the customer's tier (`to: manager`).
    pub manager_rules: BTreeSet<String>,
    /// Whether any department has an address.
    pub staff_mail: bool,
}

/// How long an incident is remembered after its end: longer than it can be reopened or corrected.
const REMEMBERED_AFTER_END: Span = Span::from_mins(2 * 24 * 60);

/// Incidents that are remembered. Above this the ones that ended first go, then the oldest; a recovery message for a
/// forgotten incident is not sent, and a repeated opening is stopped by the store.
const REMEMBERED_INCIDENTS: usize = 200_000;

/// What has been decided for one account in one incident.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    opening: Opening,
    recovered: bool,
    corrected: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opening {
    #[default]
    None,
    /// Can't be told: no address, or refused.
    Refused,
    /// A person may have let it go since.
    Held(HoldReason),
    Told,
}

#[derive(Clone, Debug, Default)]
struct Incident {
    accounts: BTreeMap<Symbol, Account>,
    told: u32,
    ended_at: Option<Time>,
    staff_told_of_held: bool,
}

/// Decides about messages. One per process, fed with every effect in order.
pub struct Dispatcher {
    settings: NoticeSettings,
    customers: Arc<dyn Customers>,
    guard: Guard,
    incidents: BTreeMap<IncidentId, Incident>,
    /// When the memory was last cleared of incidents that ended long ago.
    swept_at: Time,
    limit: usize,
}

impl Dispatcher {
    /// The rules have changed: the notices of these go to the account manager.
    pub fn set_manager_rules(&mut self, rules: BTreeSet<String>) {
        self.settings.manager_rules = rules;
    }

    pub fn new(settings: NoticeSettings, customers: Arc<dyn Customers>) -> Self {
        let guard = Guard::new(settings.limits);
        Self {
            settings,
            customers,
            guard,
            incidents: BTreeMap::new(),
            swept_at: Time::MIN,
            limit: REMEMBERED_INCIDENTS,
        }
    }

    /// Takes up what the store knows, after a restart and before the first effect.
    pub fn restore(&mut self, known: impl IntoIterator<Item = KnownNotice>) {
        for notice in known.into_iter().filter(|notice| notice.held != Some(HoldReason::Shadow)) {
            let incident = self.incidents.entry(notice.incident).or_default();
            incident.ended_at = notice.incident_ended_at;
            let account = incident.accounts.entry(Symbol::of(&notice.account_id)).or_default();
            match notice.stage {
                Stage::Opened => {
                    account.opening = match notice.held {
                        None => Opening::Told,
                        Some(reason) if reason.can_be_released() => Opening::Held(reason),
                        Some(_) => Opening::Refused,
                    };
                    incident.told += u32::from(notice.held.is_none());
                }
                Stage::Recovered => account.recovered = true,
                Stage::Corrected => account.corrected = true,
            }
        }
    }

    /// What the store must write for an effect: the effect itself, the decision about a customer's message, and the
    /// message to staff that goes with it.
    pub fn plan(&mut self, effect: Effect) -> Planned {
        let decision = self.decide(&effect);
        let staff = self.staff_mail(&effect, decision.as_ref());
        Planned { effect, decision, staff }
    }

    /// Decides about a message; [`None`] for other effects, which must be shown all the same (merges and ends matter),
    /// and for messages that are not due: told already, or about the end of something that was never told.
    pub fn decide(&mut self, effect: &Effect) -> Option<Decision> {
        match &effect.kind {
            EffectKind::Ticket { step, .. } => {
                self.note_step(effect.incident, *step, effect.at);
                None
            }
            EffectKind::Affected { .. } | EffectKind::Proposal(_) => None,
            EffectKind::Notice { account_id, stage, template, facts, shadow: true } => {
                // It is written down and touches nothing else: no limit, and nothing that others tell of the incident.
                let notice = notice_of(effect, account_id, *stage, template, facts);
                Some(Decision::Held { reason: HoldReason::Shadow, notice })
            }
            EffectKind::Notice { account_id, stage, template, facts, shadow: false } => {
                self.decide_notice(effect, account_id, *stage, template, facts)
            }
        }
    }

    /// How many incidents are remembered, for the metrics.
    pub fn remembered(&self) -> usize {
        self.incidents.len()
    }

    fn note_step(&mut self, id: IncidentId, step: TicketStep, at: Time) {
        match step {
            TicketStep::Opened | TicketStep::Updated | TicketStep::Escalated => {}
            TicketStep::Reopened => {
                if let Some(incident) = self.incidents.get_mut(&id) {
                    incident.ended_at = None;
                }
            }
            TicketStep::Resolved(_) | TicketStep::Withdrawn => {
                if let Some(incident) = self.incidents.get_mut(&id) {
                    incident.ended_at = Some(at);
                }
            }
            TicketStep::Merged(into) => {
                // Who was told of the symptom has been told of the cause, and hears of its end.
                if let Some(merged) = self.incidents.remove(&id) {
                    let cause = self.incidents.entry(into).or_default();
                    cause.told = cause.told.saturating_add(merged.told);
                    for (symbol, account) in merged.accounts {
                        let known = cause.accounts.entry(symbol).or_default();
                        if known.opening != Opening::Told {
                            known.opening = account.opening;
                        }
                    }
                }
            }
        }
        self.sweep(at);
    }

    fn decide_notice(
        &mut self,
        effect: &Effect,
        account_id: &CompactString,
        stage: Stage,
        template: &CompactString,
        facts: &Facts,
    ) -> Option<Decision> {
        let incident = self.incidents.entry(effect.incident).or_default();
        let account = incident.accounts.entry(Symbol::of(account_id)).or_default();
        let is_new = match stage {
            Stage::Opened => account.opening == Opening::None,
            Stage::Recovered => !std::mem::replace(&mut account.recovered, true),
            Stage::Corrected => !std::mem::replace(&mut account.corrected, true),
        };
        if !is_new {
            return None;
        }
        let earlier = account.opening;
        let told = incident.told;
        if stage != Stage::Opened && matches!(earlier, Opening::None | Opening::Refused) {
            return None;
        }
        let route = self.route(effect.rule.as_str(), account_id, template);
        let notice = Notice {
            recipient: route.as_ref().map_or(Recipient::Customer, |route| route.recipient),
            ..notice_of(effect, account_id, stage, template, facts)
        };
        let allowed = route.and_then(|route| {
            match (self.settings.mode, stage, earlier) {
                (Mode::Off, ..) => Err(HoldReason::ModeOff),
                (Mode::Hold, ..) => Err(HoldReason::ModeHold),
                // The end of what waits for a person waits with it.
                (Mode::Send, Stage::Recovered | Stage::Corrected, Opening::Held(reason)) => Err(reason),
                // Those who were told of the trouble hear of its end, however many they are.
                (Mode::Send, Stage::Recovered | Stage::Corrected, _) => Ok(route),
                (Mode::Send, Stage::Opened, _) => {
                    self.guard.admit(effect.at, &effect.rule, told).map(|()| route)
                }
            }
        });
        if stage == Stage::Opened {
            self.note_opening(effect.incident, account_id, allowed.as_ref().err().copied());
        }
        Some(match allowed {
            Ok(route) => Decision::Send { via: route.via, locale: route.locale, notice },
            Err(reason) => Decision::Held { reason, notice },
        })
    }

    fn note_opening(&mut self, id: IncidentId, account_id: &str, held: Option<HoldReason>) {
        let incident = self.incidents.entry(id).or_default();
        let account = incident.accounts.entry(Symbol::of(account_id)).or_default();
        account.opening = match held {
            None => Opening::Told,
            Some(reason) if reason.can_be_released() => Opening::Held(reason),
            Some(_) => Opening::Refused,
        };
        incident.told = incident.told.saturating_add(u32::from(held.is_none()));
    }

    fn route(&self, rule: &str, account_id: &str, template: &str) -> Result<Route, HoldReason> {
        if self.settings.mode == Mode::Off {
            return Err(HoldReason::ModeOff);
        }
        let customer = self.customers.find(account_id).ok_or(HoldReason::UnknownCustomer)?;
        let to_manager = self.settings.manager_rules.contains(rule);
        let route = Route::to(&customer, to_manager, self.settings.locale)?;
        if customer.has_opted_out(&[rule, template, route.via.as_str()]) {
            return Err(HoldReason::OptedOut);
        }
        Ok(route)
    }

    fn staff_mail(&mut self, effect: &Effect, decision: Option<&Decision>) -> Option<StaffMail> {
        if !self.settings.staff_mail {
            return None;
        }
        let kind = match (&effect.kind, decision) {
            (EffectKind::Ticket { step: TicketStep::Opened, snapshot, .. }, _) if !snapshot.shadow => {
                StaffKind::Ticket
            }
            (EffectKind::Notice { .. }, Some(Decision::Held { reason, .. })) if reason.is_limit() => {
                let incident = self.incidents.entry(effect.incident).or_default();
                if std::mem::replace(&mut incident.staff_told_of_held, true) {
                    return None;
                }
                StaffKind::Held
            }
            _ => return None,
        };
        Some(StaffMail {
            id: NoticeId::of_staff(effect.incident, kind),
            incident: effect.incident,
            rule: effect.rule.clone(),
            subject: effect.subject.clone(),
            kind,
            at: effect.at,
            held: self.guard.admit_staff(effect.at).err(),
        })
    }

    /// Forgets incidents that ended long ago; once an hour of event time, or when there are too many.
    fn sweep(&mut self, now: Time) {
        let full = self.incidents.len() > self.limit;
        if now.since(self.swept_at) < Span::from_mins(60) && !full {
            return;
        }
        self.swept_at = self.swept_at.max(now);
        self.incidents
            .retain(|_, incident| incident.ended_at.is_none_or(|end| now.since(end) < REMEMBERED_AFTER_END));
        if self.incidents.len() <= self.limit {
            return;
        }
        let mut by_age: Vec<(bool, Option<Time>, IncidentId)> = self
            .incidents
            .iter()
            .map(|(id, incident)| (incident.ended_at.is_none(), incident.ended_at, *id))
            .collect();
        by_age.sort_unstable();
        // A tenth more than needed goes, so that a full memory is not sorted for every step.
        let surplus = self.incidents.len() - self.limit + self.limit / 10;
        for (_, _, id) in by_age.into_iter().take(surplus) {
            self.incidents.remove(&id);
        }
    }
}

/// Who reads a message about a customer, how it reaches them, and in which language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub recipient: Recipient,
    pub via: Via,
    pub locale: Locale,
}

impl Route {
    /// Enterprise customers are told by their account manager, where one is known.
    pub fn to(customer: &Customer, to_manager: bool, default: Locale) -> Result<Self, HoldReason> {
        let enterprise = customer.tier == Tier::Enterprise;
        if to_manager || (enterprise && customer.manager.is_some()) {
            return match customer.manager {
                Some(_) => Ok(Self { recipient: Recipient::Manager, via: Via::Email, locale: default }),
                None => Err(HoldReason::NoAddress),
            };
        }
        if customer.email.is_none() {
            return Err(HoldReason::NoAddress);
        }
        let locale = Locale::for_customer(customer.locale.as_deref(), default);
        Ok(Self { recipient: Recipient::Customer, via: Via::Email, locale })
    }
}

/// What is to be said, to the customer unless it goes another way.
fn notice_of(
    effect: &Effect,
    account_id: &CompactString,
    stage: Stage,
    template: &CompactString,
    facts: &Facts,
) -> Notice {
    Notice {
        id: NoticeId::of(effect.incident, account_id, stage),
        incident: effect.incident,
        rule: effect.rule.clone(),
        subject: effect.subject.clone(),
        account_id: account_id.clone(),
        stage,
        template: template.clone(),
        recipient: Recipient::Customer,
        at: effect.at,
        facts: Box::new(facts.clone()),
    }
}

#[cfg(test)]
mod tests;
