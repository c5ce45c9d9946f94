//! An SMTP server of the test's own: every mail it has accepted, and what it answers while it is out of order.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use mail_parser::MessageParser;
use mailin::{Action, Handler, Response, SessionBuilder};

/// A mail as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub to: Vec<String>,
    pub message_id: String,
    /// The header `X-Forewarn-Rule`.
    pub rule: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// What the server does with the next mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Accept,
    /// 451 for every mail: try again later.
    Defer,
    /// Every connection is closed before its greeting.
    HangUp,
}

pub struct Mailbox {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    mood: Mood,
    mails: Vec<Mail>,
}

impl Mailbox {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared { mood: Mood::Accept, mails: Vec::new() }));
        let served = Arc::clone(&shared);
        // The threads live as long as the test process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                thread::spawn(move || {
                    // A client that hangs up in the middle is the client's business.
                    drop(converse(&stream, shared));
                });
            }
        });
        Self { address, shared }
    }

    pub fn set_mood(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.shared.lock().unwrap().mails.clone()
    }
}

fn converse(stream: &TcpStream, shared: Arc<Mutex<Shared>>) -> std::io::Result<()> {
    if shared.lock().unwrap().mood == Mood::HangUp {
        return Ok(());
    }
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?.ip();
    let receiver = Receiver { shared, to: Vec::new(), data: Vec::new() };
    let mut session = SessionBuilder::new("mail.test").build(peer, receiver);
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    session.greeting().write_to(&mut writer)?;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let response = session.process(&line);
        line.clear();
        match response.action {
            Action::Reply => response.write_to(&mut writer)?,
            Action::Close => return response.write_to(&mut writer),
            Action::NoReply | Action::UpgradeTls => {}
        }
        writer.flush()?;
    }
    Ok(())
}

struct Receiver {
    shared: Arc<Mutex<Shared>>,
    to: Vec<String>,
    data: Vec<u8>,
}

impl Handler for Receiver {
    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, to: &[String]) -> Response {
        self.to = to.to_vec();
        self.data.clear();
        mailin::response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mut shared = self.shared.lock().unwrap();
        if shared.mood != Mood::Accept {
            return mailin::response::INTERNAL_ERROR;
        }
        shared.mails.push(read(std::mem::take(&mut self.to), &self.data));
        mailin::response::OK
    }

    fn helo(&mut self, _ip: IpAddr, _domain: &str) -> Response {
        mailin::response::OK
    }
}

fn read(to: Vec<String>, data: &[u8]) -> Mail {
    let message = MessageParser::default().parse(data).unwrap_or_default();
    let header =
        |name: &str| message.header(name).and_then(|value| value.as_text()).unwrap_or_default().to_owned();
    Mail {
        to,
        message_id: message.message_id().unwrap_or_default().to_owned(),
        rule: header("X-Forewarn-Rule"),
        subject: message.subject().unwrap_or_default().to_owned(),
        text: message.body_text(0).unwrap_or_default().into_owned(),
        html: message.body_html(0).unwrap_or_default().into_owned(),
    }
}
