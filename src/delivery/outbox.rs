//! The sender: takes messages out of the outbox, finds their words and addresses, hands them to a mailer, and writes
//! down how it ended. It decides when to try again, when to give up, and when a message has become too old.
//!
//! A message leaves at most once, except in the one window that SMTP can't close: handed over to the last byte and no
//! answer. Such a message is `unknown`: counted, shown, and not sent again unless the settings say so.

mod attempt;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::time::{Span, Time};
use crate::delivery::customers::{Customers, Locale, Personal};
use crate::delivery::notice::NoticeId;
use crate::delivery::render::Templates;
use crate::delivery::store::OutboxStore;

/// A message that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub id: NoticeId,
    pub rule: String,
    pub to: Personal<String>,
    pub to_name: Option<Personal<String>>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    pub at: Time,
}

/// How handing a message to a mail server ended. The replies hold no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken it.
    Accepted { reply: String },
    /// It was handed over to the last byte, and no answer came.
    Unconfirmed { reply: String },
    /// Not this message, not now.
    TryLater { reply: String },
    /// Not this message, never.
    Refused { reply: String },
    /// The server could not be talked to at all; another message would fare no better.
    Unreached { reply: String },
    /// The permission to hand it over was refused.
    Stopped,
}

/// What can carry a message.
pub trait Mailer: Send + Sync + 'static {
    /// Sends a message. `permission` is asked once, at the last moment before the message can't be taken back.
    fn send(
        &self,
        mail: Mail,
        permission: impl Future<Output = bool> + Send,
    ) -> impl Future<Output = Outcome> + Send;
}

/// The wall clock, as far as sending needs it.
pub trait WallClock: Send + Sync + 'static {
    fn now(&self) -> Time;
}

impl<F: Fn() -> Time + Send + Sync + 'static> WallClock for F {
    fn now(&self) -> Time {
        self()
    }
}

/// How an attempt ended, as a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendResult {
    Sent,
    Unknown,
    Retried,
    Failed,
    Held,
    Expired,
    Cancelled,
}

impl SendResult {
    pub const ALL: [Self; 7] =
        [Self::Sent, Self::Unknown, Self::Retried, Self::Failed, Self::Held, Self::Expired, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whoever counts what the sender does.
pub trait Observer: Send + Sync + 'static {
    /// An attempt has ended; `took` is the time spent with the mail server, if it was asked.
    fn finished(&self, result: SendResult, took: Option<Duration>);
}

/// Nobody counts.
impl Observer for () {
    fn finished(&self, _result: SendResult, _took: Option<Duration>) {}
}

#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// Nothing older is sent; [`None`]: no limit.
    pub max_age: Option<Span>,
    /// Messages on their way at the same time.
    pub concurrency: usize,
    /// How long a claim holds; longer than any attempt takes.
    pub lease: Duration,
    /// How often the outbox is looked at without being told of anything new.
    pub poll: Duration,
    /// The pause after the first refusal for now; it doubles up to the longest.
    pub retry_first: Span,
    pub retry_longest: Span,
    /// A message that was tried this often has failed.
    pub attempts_max: u32,
    /// Send again what was handed over without an answer: at least once instead of at most once.
    pub resend_unconfirmed: bool,
    /// Mail addresses of departments; `default` stands for all others.
    pub departments: BTreeMap<String, String>,
    pub locale: Locale,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            max_age: Some(Span::from_mins(6 * 60)),
            concurrency: 8,
            lease: Duration::from_secs(900),
            poll: Duration::from_secs(1),
            retry_first: Span::from_secs(5),
            retry_longest: Span::from_mins(10),
            attempts_max: 100,
            resend_unconfirmed: false,
            departments: BTreeMap::new(),
            locale: Locale::default(),
        }
    }
}

/// What the sender works with.
pub struct Parts<S, M> {
    pub store: S,
    pub mailer: M,
    pub templates: Arc<Templates>,
    pub customers: Arc<dyn Customers>,
    pub clock: Arc<dyn WallClock>,
    pub observer: Arc<dyn Observer>,
    /// Told whenever something new lies in the outbox.
    pub wake: Arc<Notify>,
}

/// The sender of messages.
pub struct Outbox<S, M> {
    shared: Arc<Shared<S, M>>,
}

struct Shared<S, M> {
    parts: Parts<S, M>,
    settings: OutboxSettings,
}

/// Whether the mail server could be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// It answered, whatever it said.
    Reached,
    NotReached,
    /// It was not asked.
    NotAsked,
}

/// The pauses between two looks at a server that can't be talked to.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

impl<S: OutboxStore + 'static, M: Mailer> Outbox<S, M> {
    pub fn new(parts: Parts<S, M>, settings: OutboxSettings) -> Self {
        Self { shared: Arc::new(Shared { parts, settings }) }
    }

    /// Sends until told to stop, then waits for what is on its way. Whoever can't wait that long may drop the future:
    /// the store then knows which messages were handed over.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut pause = Pause::default();
        while !shutdown.is_cancelled() {
            self.fill(&mut tasks, &pause).await;
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = tasks.join_next() => {
                    pause.note(done.ok());
                    while let Some(done) = tasks.try_join_next() {
                        pause.note(done.ok());
                    }
                }
                () = self.shared.parts.wake.notified() => {}
                () = tokio::time::sleep(pause.rest().unwrap_or(self.shared.settings.poll)) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Sends everything that is due now, and waits for it; stops when the mail server can't be reached. For
    /// `--until-end`.
    pub async fn drain(&self) {
        let mut tasks = JoinSet::new();
        let mut pause = Pause::default();
        loop {
            if pause.failures == 0 {
                self.fill(&mut tasks, &pause).await;
            }
            let Some(done) = tasks.join_next().await else { return };
            pause.note(done.ok());
        }
    }

    async fn fill(&self, tasks: &mut JoinSet<Reach>, pause: &Pause) {
        let free = self.shared.settings.concurrency.saturating_sub(tasks.len());
        if free == 0 || pause.rest().is_some() {
            return;
        }
        let Parts { store, clock, .. } = &self.shared.parts;
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        match store.claim_due(clock.now(), limit, self.shared.settings.lease).await {
            Ok(claimed) => {
                for outgoing in claimed {
                    let shared = Arc::clone(&self.shared);
                    tasks.spawn(async move { shared.attempt(outgoing).await });
                }
            }
            Err(error) => tracing::warn!(%error, "cannot take messages from the outbox, will try again"),
        }
    }
}

/// How long to leave a server alone that can't be talked to.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    fn note(&mut self, reach: Option<Reach>) {
        match reach {
            Some(Reach::Reached) => *self = Self::default(),
            Some(Reach::NotAsked) | None => {}
            // Messages that were on their way together fail together and count once.
            Some(Reach::NotReached) if self.rest().is_some() => {}
            Some(Reach::NotReached) => {
                let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(6)).min(PAUSE_LONGEST);
                self.failures += 1;
                self.until = Some(Instant::now() + pause);
                tracing::warn!(seconds = pause.as_secs(), "the mail server cannot be reached, waiting");
            }
        }
    }

    fn rest(&self) -> Option<Duration> {
        let rest = self.until?.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(rest)
    }
}

#[cfg(test)]
mod tests;
