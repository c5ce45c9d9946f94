//! Mail by SMTP: builds messages, keeps a few connections, and says truthfully how handing over each message ended.
//!
//! A message counts as taken only after a 2xx reply to the dot that ends it. A connection on which anything took too
//! long or broke is dropped and never used again: a late reply to one message would be taken for that to the next.

mod connection;
mod message;
mod stream;
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::Mailbox;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use crate::delivery::outbox::{Mail, Mailer, Outcome};
use crate::edge::mail::connection::{Connection, Phase, Trouble};

pub use crate::edge::mail::tls::CaError;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Required: a server that does not offer STARTTLS gets no mail.
    StartTls,
    Implicit,
    None,
}

#[derive(Clone, Debug)]
pub struct MailSettings {
    pub host: String,
    pub port: u16,
    pub protection: Protection,
    /// The mailbox that messages come from: `Service <service@example.com>`.
    pub from: String,
    pub login: Option<(String, SecretString)>,
    /// Authorities to trust besides those of the system, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Connections used at the same time.
    pub connections: usize,
    /// How long each phase of a conversation may take.
    pub timeout: Duration,
    /// How long the server may think about a whole message. It may search it for viruses then; giving up early leaves
    /// a message `unknown`.
    pub reply_timeout: Duration,
    /// A connection is renewed after so many messages or so long.
    pub mails_per_connection: u32,
    pub connection_age: Duration,
}

impl MailSettings {
    /// The usual settings for a server.
    pub fn new(host: String, port: u16, protection: Protection, from: String) -> Self {
        Self {
            host,
            port,
            protection,
            from,
            login: None,
            ca_pem: None,
            connections: 4,
            timeout: Duration::from_secs(30),
            reply_timeout: Duration::from_secs(120),
            mails_per_connection: 100,
            connection_age: Duration::from_secs(60),
        }
    }
}

/// Settings that no mail can be sent with.
#[derive(Debug, thiserror::Error)]
pub enum MailSettingsError {
    #[error(
        "{from:?} is not a mailbox: expected an address, or a name and an address as in \"Service <service@example.com>\""
    )]
    From { from: String },
    #[error(transparent)]
    Ca(#[from] CaError),
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpMailer {
    shared: Arc<Shared>,
}

struct Shared {
    settings: MailSettings,
    from: Mailbox,
    tls: tls::Tls,
    /// Permits to use a connection: as many as may be open.
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpMailer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SmtpMailer {
    pub fn new(settings: MailSettings) -> Result<Self, MailSettingsError> {
        let from: Mailbox =
            settings.from.parse().map_err(|_| MailSettingsError::From { from: settings.from.clone() })?;
        let tls = tls::Tls::new(&settings)?;
        let permits = Semaphore::new(settings.connections.max(1));
        let idle = Mutex::new(Vec::new());
        Ok(Self { shared: Arc::new(Shared { settings, from, tls, permits, idle }) })
    }

    /// The name that customers see messages come from.
    pub fn brand(&self) -> String {
        let from = &self.shared.from;
        from.name.clone().unwrap_or_else(|| from.email.to_string())
    }

    /// Connects, says hello, logs in, and leaves: for checking a configuration.
    pub async fn probe(&self) -> Result<(), String> {
        let shared = &self.shared;
        let connection = Connection::open(&shared.settings, &shared.tls).await;
        match connection {
            Ok(connection) => {
                connection.leave().await;
                Ok(())
            }
            Err(trouble) => Err(trouble.to_string()),
        }
    }
}

impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail, permission: impl Future<Output = bool> + Send) -> Outcome {
        let shared = &self.shared;
        let address: Address = match mail.to.expose().trim().parse() {
            Ok(address) => address,
            Err(_) => return Outcome::Refused { reply: "the address is not a mail address".to_owned() },
        };
        let built = Envelope::new(Some(shared.from.email.clone()), vec![address.clone()])
            .map_err(|error| error.to_string())
            .and_then(|envelope| Ok((envelope, message::build(&shared.from, address, &mail)?)));
        let (envelope, bytes) = match built {
            Ok(built) => built,
            Err(error) => return Outcome::Refused { reply: format!("cannot write the message: {error}") },
        };
        // Closed never: the semaphore lives as long as the mailer.
        let Ok(_permit) = shared.permits.acquire().await else { return Outcome::Stopped };
        let mut connection = match self.begin(&envelope).await {
            Ok(connection) => connection,
            Err(trouble) => return shared.outcome(trouble, &mail),
        };
        if !permission.await {
            // There is no way to take DATA back but to hang up.
            return Outcome::Stopped;
        }
        match connection.finish(&bytes).await {
            Ok(reply) => {
                shared.put_back(connection).await;
                Outcome::Accepted { reply: redact(reply, &mail) }
            }
            Err(trouble) => {
                if trouble.connection_is_sound() {
                    shared.put_back(connection).await;
                }
                shared.outcome(trouble, &mail)
            }
        }
    }
}

impl SmtpMailer {
    /// A connection on which the server waits for the message. An idle connection may have been closed by the server in
    /// the meantime, which shows only when it is used: then a new one is tried, since nothing has been handed over.
    async fn begin(&self, envelope: &Envelope) -> Result<Connection, Trouble> {
        let Shared { settings, tls, .. } = &*self.shared;
        if let Some(mut connection) = self.shared.take_idle().await {
            match connection.begin(envelope).await {
                Ok(()) => return Ok(connection),
                Err(trouble) if trouble.connection_is_sound() => {
                    return Err(self.after_refusal(connection, trouble).await);
                }
                Err(_) => {}
            }
        }
        let mut connection = Connection::open(settings, tls).await?;
        match connection.begin(envelope).await {
            Ok(()) => Ok(connection),
            Err(trouble) => Err(self.after_refusal(connection, trouble).await),
        }
    }

    async fn after_refusal(&self, mut connection: Connection, trouble: Trouble) -> Trouble {
        if trouble.connection_is_sound() && connection.reset().await.is_ok() {
            self.shared.put_back(connection).await;
        }
        trouble
    }
}

impl Shared {
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let connection = self.idle.lock().ok()?.pop()?;
            if !connection.is_worn(&self.settings) {
                return Some(connection);
            }
            connection.leave().await;
        }
    }

    async fn put_back(&self, connection: Connection) {
        if connection.is_worn(&self.settings) {
            connection.leave().await;
        } else if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
    }

    fn outcome(&self, trouble: Trouble, mail: &Mail) -> Outcome {
        let (phase, code) = (trouble.phase(), trouble.code());
        let reply = redact(trouble.to_string(), mail);
        match (phase, code) {
            // A login that the server wants and does not get is no fault of the message.
            (_, Some(530 | 534 | 535 | 538))
            | (Phase::Connect | Phase::Greeting | Phase::Tls | Phase::Login, _) => {
                tracing::warn!(phase = phase.as_str(), ?code, "cannot talk to the mail server");
                Outcome::Unreached { reply }
            }
            // It hung, broke or closed before the message was on its way: that is not about the message either.
            (Phase::Sender | Phase::Recipient | Phase::Data, Some(421) | None) => {
                Outcome::Unreached { reply }
            }
            (Phase::Body, _) => Outcome::TryLater { reply },
            (Phase::Reply, None) => Outcome::Unconfirmed { reply },
            (_, Some(500..)) => Outcome::Refused { reply },
            (_, Some(_)) => Outcome::TryLater { reply },
        }
    }
}

/// The reply without the reader's address, which servers like to repeat: replies are kept and shown.
fn redact(reply: String, mail: &Mail) -> String {
    let address = mail.to.expose().trim();
    let lower = reply.to_lowercase();
    let mut reply =
        if lower.contains(&address.to_lowercase()) { replace_ignoring_case(&reply, address) } else { reply };
    if let Some((end, _)) = reply.char_indices().nth(500) {
        reply.truncate(end);
    }
    reply
}

fn replace_ignoring_case(text: &str, address: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        if rest.get(..address.len()).is_some_and(|start| start.eq_ignore_ascii_case(address)) {
            out.push_str("***");
            rest = rest.get(address.len()..).unwrap_or_default();
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests;
