//! The demonstration's mailbox: an SMTP server on 127.0.0.1 that keeps what it is given and passes nothing on.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use mail_parser::MessageParser;
use mailin::response::OK;
use mailin::{Action, Handler, Response, SessionBuilder};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::core::time::Time;

use super::clock::PlatformClock;

/// Letters whose text is kept; of later ones only what the envelope and the headers say.
const TEXTS_KEPT: usize = 2_000;
/// Beyond this many letters they are only counted.
const LETTERS_KEPT: usize = 200_000;
/// A longer line is no mail's.
const LONGEST_LINE: usize = 64 * 1024;
/// A longer letter is refused.
const LONGEST_LETTER: usize = 4 << 20;

/// A mail as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// The platform's time at its arrival.
    pub(super) at: Time,
    pub(super) to: String,
    pub(super) message_id: String,
    pub(super) subject: String,
    pub(super) from: String,
    /// Empty for those beyond what is kept.
    pub(super) text: String,
}

#[derive(Debug, Default)]
struct Kept {
    letters: Vec<Letter>,
    arrived: u64,
}

/// The mailbox; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    kept: Arc<Mutex<Kept>>,
    pub(super) address: SocketAddr,
}

impl Mailbox {
    /// Opens the mailbox and receives for as long as the runtime lives.
    pub(super) async fn open(clock: PlatformClock) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot open a local mailbox")?;
        let address = listener.local_addr().context("cannot open a local mailbox")?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let mailbox = Self { kept: Arc::clone(&kept), address };
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let receiver =
                    Receiver { kept: Arc::clone(&kept), clock: clock.clone(), to: vec![], raw: vec![] };
                // A connection that breaks is the sender's affair; it tries again.
                tokio::spawn(async move { receive(stream, peer, receiver).await.ok() });
            }
        });
        Ok(mailbox)
    }

    /// The letters from the given place on.
    pub(super) fn letters(&self, from: usize) -> Vec<Letter> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.letters.get(from..).map(<[Letter]>::to_vec).unwrap_or_default()
    }

    pub(super) fn arrived(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).arrived
    }
}

/// One conversation with a sender.
struct Receiver {
    kept: Arc<Mutex<Kept>>,
    clock: PlatformClock,
    to: Vec<String>,
    raw: Vec<u8>,
}

impl Handler for Receiver {
    fn rcpt(&mut self, to: &str) -> Response {
        self.to.push(to.to_owned());
        OK
    }

    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, _to: &[String]) -> Response {
        self.raw.clear();
        OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        if self.raw.len() + line.len() > LONGEST_LETTER {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.raw.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let at = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.arrived += 1;
        if kept.letters.len() < LETTERS_KEPT
            && let Some(letter) = read_letter(&self.raw, &self.to, at, kept.letters.len() < TEXTS_KEPT)
        {
            kept.letters.push(letter);
        }
        self.to.clear();
        OK
    }
}

fn read_letter(raw: &[u8], to: &[String], at: Time, with_text: bool) -> Option<Letter> {
    let message = MessageParser::default().parse(raw)?;
    let sender = message.from().and_then(|from| from.first());
    let name = sender.and_then(|sender| sender.name()).unwrap_or_default();
    let address = sender.and_then(|sender| sender.address()).unwrap_or_default();
    Some(Letter {
        at,
        to: to.join(", "),
        message_id: message.message_id().unwrap_or_default().to_owned(),
        subject: message.subject().unwrap_or_default().to_owned(),
        from: if name.is_empty() { address.to_owned() } else { format!("{name} <{address}>") },
        text: if with_text { message.body_text(0).unwrap_or_default().into_owned() } else { String::new() },
    })
}

async fn receive(mut stream: TcpStream, peer: SocketAddr, receiver: Receiver) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut session = SessionBuilder::new("mailbox.demo").build(peer.ip(), receiver);
    write.write_all(&session.greeting().buffer()?).await?;
    let mut lines = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).await? == 0 || line.len() > LONGEST_LINE {
            return Ok(());
        }
        let response = session.process(&line);
        match response.action {
            Action::NoReply => {}
            Action::Close => return write.write_all(&response.buffer()?).await,
            Action::Reply | Action::UpgradeTls => write.write_all(&response.buffer()?).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speaks to the mailbox and returns its replies, one per command.
    async fn converse(address: SocketAddr, commands: &[&str]) -> Vec<String> {
        let stream = TcpStream::connect(address).await.expect("connects");
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut replies = vec![lines.next_line().await.expect("reads").expect("greets")];
        for command in commands {
            write.write_all(command.as_bytes()).await.expect("writes");
            write.write_all(b"\r\n").await.expect("writes");
            loop {
                let reply = lines.next_line().await.expect("reads").expect("replies");
                if reply.as_bytes().get(3) == Some(&b' ') {
                    replies.push(reply);
                    break;
                }
            }
        }
        replies
    }

    #[tokio::test]
    async fn a_mail_is_kept_and_its_words_are_readable() {
        let mailbox =
            Mailbox::open(PlatformClock::stopped_at(Time::from_millis(5_000))).await.expect("opens");
        let letter = "From: =?utf-8?B?5pyN5Yqh?= <service@platform.example>\r\nTo: <a1@mail.example>\r\n\
                      Subject: =?utf-8?B?5pSv5LuY?=\r\nMessage-ID: <n1@platform.example>\r\n\
                      Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n5L2g5aW9\r\n.";
        let replies = converse(
            mailbox.address,
            &[
                "EHLO here",
                "MAIL FROM:<service@platform.example>",
                "RCPT TO:<a1@mail.example>",
                "DATA",
                letter,
                "QUIT",
            ],
        )
        .await;
        let codes: Vec<&str> = replies.iter().map(|reply| &reply[..3]).collect();
        assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"]);
        let letters = mailbox.letters(0);
        let letter = &letters[0];
        assert_eq!((letter.subject.as_str(), letter.text.trim()), ("支付", "你好"));
        assert_eq!(letter.from, "服务 <service@platform.example>");
        assert_eq!(
            (letter.to.as_str(), letter.message_id.as_str()),
            ("a1@mail.example", "n1@platform.example")
        );
        assert_eq!((letter.at, mailbox.arrived()), (Time::from_millis(5_000), 1));
    }
}
