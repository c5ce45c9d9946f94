//! A mail server on a port of its own that behaves as it is told to, connection by connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How a connection behaves. Each answer is used once; the server says yes where there is none.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Never says anything.
    pub mute: bool,
    pub greeting: Option<&'static str>,
    pub sender: Option<&'static str>,
    pub recipients: VecDeque<&'static str>,
    pub data: Option<&'static str>,
    /// Replies to the dots; `stall` and `hang up` are no replies.
    pub dots: VecDeque<&'static str>,
    /// Hangs up after a message was taken, as servers do with idle connections.
    pub hang_up_when_idle: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    #[default]
    None,
    StartTls,
    Implicit,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub connections: u32,
    pub messages: Vec<String>,
    pub logins: Vec<String>,
    pub commands: Vec<String>,
}

pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    /// The certificate of the server, to be trusted.
    pub ca_pem: Vec<u8>,
}

impl Server {
    pub async fn start(security: Security, behaviours: impl IntoIterator<Item = Behaviour>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let certificate =
            rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let ca_pem = certificate.cert.pem().into_bytes();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .expect("a sound certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut behaviours: VecDeque<Behaviour> = behaviours.into_iter().collect();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let behaviour = behaviours.pop_front().unwrap_or_default();
                let (seen, acceptor) = (Arc::clone(&shared), acceptor.clone());
                seen.lock().unwrap().connections += 1;
                tokio::spawn(async move { serve(stream, security, acceptor, behaviour, seen).await });
            }
        });
        Self { address, seen, ca_pem }
    }

    pub fn messages(&self) -> usize {
        self.seen.lock().unwrap().messages.len()
    }

    pub fn connections(&self) -> u32 {
        self.seen.lock().unwrap().connections
    }
}

trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Wire for S {}

async fn serve(
    stream: TcpStream,
    security: Security,
    acceptor: TlsAcceptor,
    mut behaviour: Behaviour,
    seen: Arc<Mutex<Seen>>,
) {
    if behaviour.mute {
        return std::future::pending().await;
    }
    let (mut wire, mut secure): (Box<dyn Wire>, bool) = match security {
        Security::Implicit => match acceptor.accept(stream).await {
            Ok(stream) => (Box::new(stream), true),
            Err(_) => return,
        },
        Security::None | Security::StartTls => (Box::new(stream), false),
    };
    let mut greeting = Some(behaviour.greeting.unwrap_or("220 ready"));
    loop {
        let offers = security == Security::StartTls && !secure;
        match talk(wire, offers, greeting.take(), &mut behaviour, &seen).await {
            Some(plain) => match acceptor.accept(plain).await {
                Ok(encrypted) => wire = Box::new(encrypted),
                Err(_) => return,
            },
            None => return,
        }
        secure = true;
    }
}

/// Talks until the end of the connection, or until TLS shall begin on it.
async fn talk(
    wire: Box<dyn Wire>,
    offers_tls: bool,
    greeting: Option<&str>,
    behaviour: &mut Behaviour,
    seen: &Arc<Mutex<Seen>>,
) -> Option<Box<dyn Wire>> {
    let mut wire = BufReader::new(wire);
    if let Some(greeting) = greeting {
        say(&mut wire, greeting).await?;
    }
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        seen.lock().unwrap().commands.push(line.clone());
        let command: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
        match command.as_str() {
            "EHLO" if offers_tls => say(&mut wire, "250-test\r\n250 STARTTLS").await?,
            "EHLO" => say(&mut wire, "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN").await?,
            "STAR" => {
                say(&mut wire, "220 go on").await?;
                return Some(wire.into_inner());
            }
            "AUTH" => {
                let good = line == "AUTH PLAIN AHNlcnZpY2UAc2VjcmV0";
                seen.lock().unwrap().logins.push(line);
                say(&mut wire, if good { "235 welcome" } else { "535 5.7.8 who are you" }).await?;
            }
            "MAIL" => say(&mut wire, behaviour.sender.take().unwrap_or("250 ok")).await?,
            "RCPT" => say(&mut wire, behaviour.recipients.pop_front().unwrap_or("250 ok")).await?,
            "DATA" => {
                let answer = behaviour.data.take().unwrap_or("354 go on");
                say(&mut wire, answer).await?;
                if answer.starts_with("354") {
                    take_message(&mut wire, behaviour, seen).await?;
                }
            }
            "QUIT" => {
                say(&mut wire, "221 bye").await?;
                return None;
            }
            _ => say(&mut wire, "250 ok").await?,
        }
    }
}

async fn take_message(
    wire: &mut BufReader<Box<dyn Wire>>,
    behaviour: &mut Behaviour,
    seen: &Arc<Mutex<Seen>>,
) -> Option<()> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            break;
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
    match behaviour.dots.pop_front().unwrap_or("250 taken") {
        "stall" => {
            seen.lock().unwrap().messages.push(message);
            std::future::pending().await
        }
        "hang up" => None,
        answer => {
            if answer.starts_with('2') {
                seen.lock().unwrap().messages.push(message);
            }
            say(wire, answer).await?;
            (!behaviour.hang_up_when_idle).then_some(())
        }
    }
}

async fn say(wire: &mut BufReader<Box<dyn Wire>>, text: &str) -> Option<()> {
    wire.write_all(text.as_bytes()).await.ok()?;
    wire.write_all(b"\r\n").await.ok()?;
    wire.flush().await.ok()
}
