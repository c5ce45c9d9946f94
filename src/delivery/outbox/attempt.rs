//! One attempt to send one message, from its claim to what is written about its end.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::time::{Span, Time};
use crate::delivery::customers::{Customer, Personal};
use crate::delivery::dispatch::Route;
use crate::delivery::notice::{HoldReason, NoticeId, Recipient};
use crate::delivery::outbox::{Mail, Mailer, Outcome, Reach, SendResult, Shared};
use crate::delivery::render::Rendered;
use crate::delivery::store::{Addressee, Attempt, HandOver, OutboxStore, Outgoing, StoreError};

/// How often writing down an end is tried. Should all fail, the lease runs out and the store finds out by itself.
const COMPLETIONS: u32 = 20;
const COMPLETION_PAUSE: Duration = Duration::from_secs(1);

/// Who a message goes to.
struct Reader {
    to: Personal<String>,
    name: Option<Personal<String>>,
}

impl<S: OutboxStore, M: Mailer> Shared<S, M> {
    pub(super) async fn attempt(&self, outgoing: Outgoing) -> Reach {
        let (id, number) = (outgoing.id, outgoing.attempt);
        let (attempt, reach, took) = match self.mail(&outgoing) {
            Ok(mail) => self.send(&outgoing, mail).await,
            Err(attempt) => (attempt, Reach::NotAsked, None),
        };
        self.parts.observer.finished(result_of(&attempt), took);
        self.complete(id, number, attempt).await;
        reach
    }

    /// The message with its words and its address, or why it is not sent at all.
    fn mail(&self, outgoing: &Outgoing) -> Result<Mail, Attempt> {
        let now = self.parts.clock.now();
        if self.settings.max_age.is_some_and(|limit| now.since(outgoing.decided_at) > limit) {
            return Err(Attempt::Expired);
        }
        let (Reader { to, name: to_name }, rendered) = match &outgoing.to {
            Addressee::Account { .. } => self.to_account(outgoing, now)?,
            Addressee::Staff { kind, held } => {
                let department = outgoing.ticket.as_ref().map_or("default", |ticket| &ticket.department);
                let departments = &self.settings.departments;
                let to = departments.get(department).or_else(|| departments.get("default"));
                let to = to.ok_or(Attempt::Held { reason: HoldReason::NoAddress })?;
                let rendered = self.parts.templates.staff(outgoing, *held, kind.template());
                let reader = Reader { to: Personal::new(to.clone()), name: None };
                (reader, rendered.map_err(unrendered)?)
            }
        };
        let Rendered { subject, text, html } = rendered;
        Ok(Mail {
            id: outgoing.id,
            rule: outgoing.rule.to_string(),
            to,
            to_name,
            subject,
            text,
            html,
            at: now,
        })
    }

    /// The address is looked up now, so that one that has changed since the decision is used, and one that is gone is
    /// not.
    fn to_account(&self, outgoing: &Outgoing, now: Time) -> Result<(Reader, Rendered), Attempt> {
        let Addressee::Account { account_id, template, recipient, via, locale, .. } = &outgoing.to else {
            return Err(Attempt::Held { reason: HoldReason::NoAddress });
        };
        let held = |reason| Attempt::Held { reason };
        let customer =
            self.parts.customers.find(account_id).ok_or_else(|| held(HoldReason::UnknownCustomer))?;
        if customer.has_opted_out(&[&outgoing.rule, template, via.as_str()]) {
            return Err(held(HoldReason::OptedOut));
        }
        let to_manager = *recipient == Recipient::Manager;
        let route = Route::to(&customer, to_manager, self.settings.locale).map_err(held)?;
        let locale = locale.unwrap_or(route.locale);
        let rendered = self.parts.templates.customer(outgoing, &customer, locale, now).map_err(unrendered)?;
        let Customer { name, email, manager, .. } = customer;
        let (to, name) = if to_manager { (manager, None) } else { (email, name) };
        let to = to.ok_or_else(|| held(HoldReason::NoAddress))?;
        Ok((Reader { to, name }, rendered))
    }

    async fn send(&self, outgoing: &Outgoing, mail: Mail) -> (Attempt, Reach, Option<Duration>) {
        let handed: Mutex<Option<Result<HandOver, StoreError>>> = Mutex::new(None);
        let permission = async {
            let now = self.parts.clock.now();
            let answer = self.parts.store.hand_over(outgoing.id, outgoing.attempt, now).await;
            let go = matches!(answer, Ok(HandOver::Go));
            if let Ok(mut handed) = handed.lock() {
                *handed = Some(answer);
            }
            go
        };
        let start = Instant::now();
        let outcome = self.parts.mailer.send(mail, permission).await;
        let took = start.elapsed();
        let now = self.parts.clock.now();
        let reach = match &outcome {
            Outcome::Unreached { .. } => Reach::NotReached,
            Outcome::Stopped => Reach::NotAsked,
            Outcome::Accepted { .. }
            | Outcome::Unconfirmed { .. }
            | Outcome::TryLater { .. }
            | Outcome::Refused { .. } => Reach::Reached,
        };
        let attempt = match outcome {
            Outcome::Accepted { reply } => Attempt::Sent { at: now, reply },
            Outcome::Unconfirmed { reply } if self.settings.resend_unconfirmed => {
                self.again(outgoing, now, reply)
            }
            Outcome::Unconfirmed { reply } => Attempt::Unknown { at: now, reply },
            Outcome::Refused { reply } => Attempt::Failed { reply },
            Outcome::TryLater { reply } => self.again(outgoing, now, reply),
            // The pause is the loop's; the message itself is due at once after it.
            Outcome::Unreached { reply } => Attempt::TryAgain { at: now, reply },
            Outcome::Stopped => match handed.lock().ok().and_then(|mut handed| handed.take()) {
                Some(Err(error)) => self.again(outgoing, now, error.to_string()),
                Some(Ok(_)) | None => Attempt::Cancelled,
            },
        };
        (attempt, reach, Some(took))
    }

    fn again(&self, outgoing: &Outgoing, now: Time, reply: String) -> Attempt {
        if outgoing.attempt >= self.settings.attempts_max {
            return Attempt::Failed { reply };
        }
        let pause = backoff(&self.settings, outgoing.id, outgoing.attempt);
        Attempt::TryAgain { at: now + pause, reply }
    }

    async fn complete(&self, id: NoticeId, number: u32, attempt: Attempt) {
        for _ in 0..COMPLETIONS {
            match self.parts.store.complete(id, number, attempt.clone()).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(notice = %id, "another attempt has taken over this message");
                    return;
                }
                Err(error) => {
                    tracing::warn!(notice = %id, %error, "cannot write how sending a message ended, will try again");
                    tokio::time::sleep(COMPLETION_PAUSE).await;
                }
            }
        }
        tracing::error!(notice = %id, "gave up writing how sending a message ended");
    }
}

/// The pause before the next attempt: doubling, and spread by the message's own identity, so that those refused
/// together don't come back together, and every run spreads them alike.
fn backoff(settings: &super::OutboxSettings, id: NoticeId, attempt: u32) -> Span {
    let doubled = settings.retry_first.as_millis().saturating_mul(1 << attempt.saturating_sub(1).min(20));
    let full = doubled.clamp(1, settings.retry_longest.as_millis().max(1));
    let folded = (id.0 >> 64) as u64 ^ id.0 as u64;
    let mixed = folded.wrapping_add(u64::from(attempt)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let half = full / 2;
    let spread = i64::try_from(mixed).unwrap_or(0) % (full - half + 1);
    Span::from_millis(half + spread)
}

fn unrendered(error: crate::delivery::render::TemplateError) -> Attempt {
    tracing::error!(%error, "cannot write a message");
    Attempt::Failed { reply: error.to_string() }
}

fn result_of(attempt: &Attempt) -> SendResult {
    match attempt {
        Attempt::Sent { .. } => SendResult::Sent,
        Attempt::Unknown { .. } => SendResult::Unknown,
        Attempt::TryAgain { .. } => SendResult::Retried,
        Attempt::Failed { .. } => SendResult::Failed,
        Attempt::Expired => SendResult::Expired,
        Attempt::Held { .. } => SendResult::Held,
        Attempt::Cancelled => SendResult::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::outbox::OutboxSettings;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread_the_same_way_in_every_run() {
        let settings = OutboxSettings::default();
        let pauses = |id: u128| {
            (1..=12).map(|attempt| backoff(&settings, NoticeId(id), attempt).as_millis()).collect::<Vec<_>>()
        };
        for id in 0..100 {
            for (pause, full) in pauses(id).into_iter().zip((0..12).map(|n| (5_000_i64 << n).min(600_000))) {
                assert!((full / 2..=full).contains(&pause), "{pause} of {full}");
            }
        }
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
        assert!(backoff(&settings, NoticeId(1), u32::MAX) <= settings.retry_longest);
    }
}
