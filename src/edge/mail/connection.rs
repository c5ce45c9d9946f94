//! One connection to a mail server, used for one message after the other. Each phase has its own time limit.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use secrecy::ExposeSecret;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::edge::mail::stream::Stream;
use crate::edge::mail::tls::Tls;
use crate::edge::mail::{MailSettings, Protection};

/// How long a polite goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where in a conversation something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connect,
    Tls,
    Greeting,
    Login,
    Sender,
    Recipient,
    Data,
    /// The message, up to but not including the dot that ends it.
    Body,
    /// The dot and the reply to it.
    Reply,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Data => "data",
            Self::Body => "body",
            Self::Reply => "reply",
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    TimedOut {
        phase: Phase,
        after: Duration,
    },
    /// The server said no.
    Refused {
        phase: Phase,
        code: u16,
        text: String,
    },
    Broken {
        phase: Phase,
        text: String,
    },
}

impl Trouble {
    pub const fn phase(&self) -> Phase {
        match self {
            Self::TimedOut { phase, .. } | Self::Refused { phase, .. } | Self::Broken { phase, .. } => *phase,
        }
    }

    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::TimedOut { .. } | Self::Broken { .. } => None,
        }
    }

    /// Whether the server has answered in order and goes on listening.
    pub const fn connection_is_sound(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code != 421,
            Self::TimedOut { .. } | Self::Broken { .. } => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { phase, after } => {
                write!(f, "{}: no answer within {} s", phase.as_str(), after.as_secs_f64())
            }
            Self::Refused { phase, code, text } => write!(f, "{}: {code} {text}", phase.as_str()),
            Self::Broken { phase, text } => write!(f, "{}: {text}", phase.as_str()),
        }
    }
}

pub struct Connection {
    smtp: AsyncSmtpConnection,
    /// Set by the stream when a write failed: then the last thing written has not left.
    write_failed: Arc<AtomicBool>,
    opened_at: Instant,
    mails: u32,
    timeout: Duration,
    reply_timeout: Duration,
}

impl Connection {
    pub async fn open(settings: &MailSettings, tls: &Tls) -> Result<Self, Trouble> {
        let limit = settings.timeout;
        let tcp = within(Phase::Connect, limit, connect(&settings.host, settings.port)).await?;
        let write_failed = Arc::new(AtomicBool::new(false));
        let stream = match settings.protection {
            Protection::Implicit => {
                let encrypted = within(Phase::Tls, limit, tls.connect(tcp)).await?;
                Stream::boxed(encrypted, &write_failed)
            }
            Protection::StartTls | Protection::None => Stream::boxed(tcp, &write_failed),
        };
        let stream = stream.map_err(|error| broken(Phase::Connect, &error))?;
        let hello = ClientId::default();
        let greeting = AsyncSmtpConnection::connect_with_transport(stream, &hello);
        let mut smtp = within(Phase::Greeting, limit, greeting).await?;
        if settings.protection == Protection::StartTls {
            let Some(parameters) = tls.parameters() else {
                return Err(broken(Phase::Tls, &"no TLS parameters"));
            };
            if !smtp.can_starttls() {
                return Err(broken(Phase::Tls, &"the server does not offer STARTTLS"));
            }
            within(Phase::Tls, limit, smtp.starttls(parameters, &hello)).await?;
        }
        if let Some((user, password)) = &settings.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            let login = smtp.auth(&[Mechanism::Plain, Mechanism::Login], &credentials);
            within(Phase::Login, limit, login).await?;
        }
        Ok(Self {
            smtp,
            write_failed,
            opened_at: Instant::now(),
            mails: 0,
            timeout: limit,
            reply_timeout: settings.reply_timeout,
        })
    }

    /// Everything up to the server's readiness to take the message.
    pub async fn begin(&mut self, envelope: &Envelope) -> Result<(), Trouble> {
        let limit = self.timeout;
        let mut parameters = Vec::new();
        let addresses = envelope.to().iter().chain(envelope.from());
        if addresses.map(AsRef::<str>::as_ref).any(|address| !address.is_ascii()) {
            if !self.smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
                let text = "the server takes no address with other than ASCII letters".to_owned();
                return Err(Trouble::Refused { phase: Phase::Recipient, code: 553, text });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let sender = Mail::new(envelope.from().cloned(), parameters);
        within(Phase::Sender, limit, self.smtp.command(sender)).await?;
        for address in envelope.to() {
            let recipient = Rcpt::new(address.clone(), Vec::new());
            within(Phase::Recipient, limit, self.smtp.command(recipient)).await?;
        }
        let reply = within(Phase::Data, limit, self.smtp.command(Data)).await?;
        if !reply.has_code(354) {
            return Err(unexpected(Phase::Data, &reply));
        }
        Ok(())
    }

    /// Hands over the message and waits for the verdict.
    pub async fn finish(&mut self, message: &[u8]) -> Result<String, Trouble> {
        self.mails = self.mails.saturating_add(1);
        // The parts are taken one by one, each after the one before has been written; the dot follows the last. So when
        // the end has been asked for, the whole message is on its way.
        let body_written = AtomicBool::new(false);
        let mut whole = Some(message);
        let parts = std::iter::from_fn(|| {
            let part = whole.take();
            body_written.store(part.is_none(), Ordering::Relaxed);
            part
        });
        let limit = self.timeout.saturating_add(self.reply_timeout);
        let result = within(Phase::Reply, limit, self.smtp.message_iter(parts)).await;
        let dot_may_have_left =
            body_written.load(Ordering::Relaxed) && !self.write_failed.load(Ordering::Relaxed);
        match result {
            Ok(reply) if reply.code().severity == Severity::PositiveCompletion => Ok(text_of(&reply)),
            Ok(reply) => Err(unexpected(Phase::Reply, &reply)),
            Err(trouble @ Trouble::Refused { .. }) => Err(trouble),
            Err(trouble) if dot_may_have_left => Err(trouble),
            Err(Trouble::TimedOut { after, .. }) => Err(Trouble::TimedOut { phase: Phase::Body, after }),
            Err(Trouble::Broken { text, .. }) => Err(Trouble::Broken { phase: Phase::Body, text }),
        }
    }

    /// Forgets a message that was begun.
    pub async fn reset(&mut self) -> Result<(), Trouble> {
        within(Phase::Sender, self.timeout, self.smtp.command(Rset)).await.map(drop)
    }

    /// Whether the connection has served long enough.
    pub fn is_worn(&self, settings: &MailSettings) -> bool {
        self.mails >= settings.mails_per_connection || self.opened_at.elapsed() >= settings.connection_age
    }

    /// Says goodbye; whoever does not listen is left without one.
    pub async fn leave(mut self) {
        drop(timeout(GOODBYE, self.smtp.command(Quit)).await);
    }
}

/// The first address that answers.
async fn connect(host: &str, port: u16) -> Result<TcpStream, std::io::Error> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A message and the dot that ends it are written one after the other; Nagle's algorithm would hold the
                // dot back until the message is acknowledged.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// An error that came with or without a reply of the server.
trait IntoTrouble: fmt::Display {
    fn into_trouble(self, phase: Phase) -> Trouble;
}

impl IntoTrouble for std::io::Error {
    fn into_trouble(self, phase: Phase) -> Trouble {
        broken(phase, &self)
    }
}

impl IntoTrouble for SmtpError {
    fn into_trouble(self, phase: Phase) -> Trouble {
        let text = std::error::Error::source(&self).map_or_else(|| self.to_string(), ToString::to_string);
        match self.status() {
            Some(code) => Trouble::Refused { phase, code: u16::from(code), text },
            None => Trouble::Broken { phase, text },
        }
    }
}

async fn within<T, E: IntoTrouble>(
    phase: Phase,
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(|error| error.into_trouble(phase)),
        Err(_) => Err(Trouble::TimedOut { phase, after: limit }),
    }
}

fn broken(phase: Phase, error: &dyn fmt::Display) -> Trouble {
    Trouble::Broken { phase, text: error.to_string() }
}

fn unexpected(phase: Phase, reply: &Response) -> Trouble {
    Trouble::Broken { phase, text: format!("unexpected reply {}", text_of(reply)) }
}

fn text_of(reply: &Response) -> String {
    format!("{} {}", reply.code(), reply.message().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::edge::mail::stream::Peer;

    impl Peer for DuplexStream {
        fn peer(&self) -> std::io::Result<std::net::SocketAddr> {
            Ok(([127, 0, 0, 1], 25).into())
        }
    }

    /// Hands over a message on a line that holds 64 bytes, of which the server reads so many before it hangs up.
    fn trouble(message: &[u8], reads: usize) -> Trouble {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (client, mut server) = tokio::io::duplex(64);
            let write_failed = Arc::new(AtomicBool::new(false));
            let stream = Stream::boxed(client, &write_failed).expect("a stream");
            let serve = async {
                server.write_all(b"220 ready\r\n").await.expect("greeted");
                let mut hello = Vec::new();
                while !hello.ends_with(b"\r\n") {
                    hello.push(server.read_u8().await.expect("hello"));
                }
                server.write_all(b"250 test\r\n").await.expect("answered");
                server.read_exact(&mut vec![0; reads]).await.expect("read");
                drop(server);
            };
            let talk = async {
                let smtp = AsyncSmtpConnection::connect_with_transport(stream, &ClientId::default()).await;
                let mut connection = Connection {
                    smtp: smtp.expect("connected"),
                    write_failed,
                    opened_at: Instant::now(),
                    mails: 0,
                    timeout: Duration::from_secs(5),
                    reply_timeout: Duration::from_secs(5),
                };
                connection.finish(message).await.expect_err("hung up")
            };
            tokio::join!(talk, serve).0
        })
    }

    #[test]
    fn only_a_message_whose_dot_may_have_left_may_have_arrived() {
        let long = vec![b'x'; 1_000];
        for (reads, expected) in [(10, Phase::Body), (1_000 - 64, Phase::Body), (1_005, Phase::Reply)] {
            assert_eq!(trouble(&long, reads).phase(), expected, "{reads} bytes were read");
        }
    }
}
