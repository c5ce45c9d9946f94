//! `forewarn demo`: the whole product on a simulated platform, with nothing to install.
//!
//! An embedded broker in a process of its own, the daemon in another one as it runs in production, its database in a
//! temporary folder, a local mailbox; the platform's evening runs sixty times as fast as a real one.

mod broker;
mod clock;
mod daemon;
mod mailbox;
mod narrator;
mod play;
mod report;
mod screen;
mod story;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::core::time::{Span, Time};
use crate::edge::store::sqlite::SqliteStore;
use broker::Broker;
use clock::PlatformClock;
use daemon::Daemon;
use mailbox::Mailbox;
use narrator::{Narrator, clock_face};
use play::Player;
use screen::{Screen, Tone};
use story::Story;

pub use broker::{BrokerArguments, run as run_broker};
pub use daemon::{DaemonArguments, run as run_daemon};

/// Shows the whole product on a simulated platform; nothing needs to be installed.
///
/// An evening of a busy platform runs sixty times as fast as a real one, with planted problems and with things that
/// merely look like problems. Broker, database and mailbox are local and gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  forewarn demo --for 60s
  forewarn demo --seed 7")]
pub struct Arguments {
    /// Stop after this much real time; without it the evening ends after six minutes, or with Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = read_duration)]
    duration: Option<Duration>,
    /// Another evening
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep what was played, the database and the mails in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How much faster than real time the platform's evening runs.
const PACE: u32 = 60;
const WHOLE_EVENING: Duration = Duration::from_secs(360);
/// How often the demonstration looks at what has changed.
const LOOK: Duration = Duration::from_millis(200);

fn read_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time between 10s and 10m, as in 60s".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" | "" => number,
        "m" => number.saturating_mul(60),
        _ => return Err(wrong()),
    };
    if (10..=600).contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(show(arguments));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

/// Where everything of a demonstration is kept while it runs.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(keep: Option<&PathBuf>) -> Result<Self> {
        let path = match keep {
            Some(path) => path.clone(),
            None => std::env::temp_dir().join(format!("forewarn-demo-{}", std::process::id())),
        };
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, keep: keep.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the system's temporary folder anyway.
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

async fn show(arguments: &Arguments) -> Result<ExitCode> {
    let length = arguments.duration.unwrap_or(WHOLE_EVENING);
    let seed = arguments.seed;
    let mut screen = Screen::of_terminal();
    screen.heading("forewarn: customers are told before they complain")?;
    let world_length = Span::from_millis(length.as_millis() as i64 * i64::from(PACE));
    let story = tokio::task::spawn_blocking(move || Story::write(seed, world_length));
    let folder = Folder::make(arguments.keep.as_ref())?;
    let broker = Broker::start(&daemon::TOPICS)?;
    let story = story.await.context("cannot make up the platform's evening")?;
    let clock = PlatformClock::new(story.opening, PACE);
    let mailbox = Mailbox::open(clock.clone()).await?;
    let mut daemon = Daemon::start(&folder.path, &broker.address, mailbox.address, &story.customers).await?;
    let producer = play::producer(&broker.address)?;
    play::send_now(&producer, &story.earlier)?;
    introduce(&mut screen, &story, &broker, &mailbox, &daemon)?;

    clock.start();
    let player = Player::start(producer, story.lines.clone(), clock.clone())?;
    let store =
        SqliteStore::attach(&daemon.database).await.context("cannot read the demonstration's database")?;
    let mut narrator = Narrator::new(&story, clock.clone(), store, mailbox.clone(), screen);
    let ended = watch(&mut narrator, &clock, &mut daemon, length).await;
    close(narrator, player, daemon, &story, &clock, ended).await?;
    if let Some(keep) = &arguments.keep {
        keep_record(keep, &story, &mailbox)?;
    }
    drop(broker);
    drop(folder);
    Ok(ExitCode::SUCCESS)
}

fn introduce(
    screen: &mut Screen<std::io::Stdout>,
    story: &Story,
    broker: &Broker,
    mailbox: &Mailbox,
    daemon: &Daemon,
) -> Result<()> {
    screen.paragraph(
        2,
        Tone::Plain,
        "A simulated platform sells top-ups, card keys and memberships. One minute of its evening takes a second here. \
         Some things will go wrong; forewarn only sees the events that the platform sends to Kafka.",
    )?;
    screen.blank()?;
    for (label, text) in [
        (
            "platform",
            format!("{} customers, {:.0} orders a minute", story.customers.len(), story.orders_per_minute()),
        ),
        ("broker", format!("{} (embedded, in memory)", broker.address)),
        ("mailbox", format!("{} (local, nothing leaves this machine)", mailbox.address)),
        ("metrics", format!("http://{}/metrics", daemon.metrics)),
    ] {
        screen.item(label, 14, Tone::Plain, &text)?;
    }
    screen.blank()?;
    screen.item(&clock_face(story.opening), 8, Tone::Quiet, "the evening begins; all is well")?;
    Ok(())
}

/// Looks on until the time is over, somebody presses Ctrl-C, or the daemon ends.
async fn watch<W: std::io::Write>(
    narrator: &mut Narrator<'_, SqliteStore, W>,
    clock: &PlatformClock,
    daemon: &mut Daemon,
    length: Duration,
) -> Result<()> {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                narrator.look().await?;
                if clock.real() >= length {
                    return Ok(());
                }
            }
            interrupted = tokio::signal::ctrl_c() => return interrupted.context("cannot wait for Ctrl-C"),
            error = daemon.ended() => return Err(error),
        }
    }
}

/// Stops in order and tells the figures.
async fn close<W: std::io::Write>(
    mut narrator: Narrator<'_, SqliteStore, W>,
    mut player: Player,
    mut daemon: Daemon,
    story: &Story,
    clock: &PlatformClock,
    ended: Result<()>,
) -> Result<()> {
    let end: Time = clock.now().min(story.end);
    player.stop();
    ended?;
    // Mails on their way may still arrive, but count as what they are: later than the end.
    daemon.stop().await?;
    narrator.close(end).await?;
    Ok(())
}

/// Everything that the closing figures were computed from.
fn keep_record(folder: &std::path::Path, story: &Story, mailbox: &Mailbox) -> Result<()> {
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut events = Vec::new();
    for line in story.earlier.iter().chain(&story.lines) {
        events.extend_from_slice(&line.payload);
        events.push(b'\n');
    }
    write("events.jsonl", events)?;
    write("truth.json", serde_json::to_vec_pretty(&story.truth).context("cannot write the truth")?)?;
    let mut mails = Vec::new();
    for letter in mailbox.letters(0) {
        let mail = serde_json::json!({
            "at": letter.at.to_string(), "to": letter.to, "message_id": letter.message_id, "subject": letter.subject,
        });
        writeln!(mails, "{mail}").context("cannot write the mails")?;
    }
    write("mails.jsonl", mails)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_seconds_or_minutes_between_ten_seconds_and_ten_minutes() {
        for (text, expected) in [("60s", Some(60)), ("2m", Some(120)), ("30", Some(30))] {
            assert_eq!(read_duration(text).ok().map(|duration| duration.as_secs()), expected, "{text}");
        }
        for text in ["", "s", "5s", "11m", "1h", "-60s", "99999999999999999999s"] {
            assert!(read_duration(text).is_err(), "{text}");
        }
    }
}
