//! `forewarn demo`: the whole product on a simulated platform, with nothing to install.
//!
//! An embedded broker in a process of its own, the daemon in another one as it runs in production, its database in a
//! temporary folder, a local mailbox; the platform's evening runs sixty times as fast as a real one.

mod broker;
mod clock;
mod daemon;
mod interrupt;
mod mailbox;
mod narrator;
mod play;
mod report;
mod screen;
mod story;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::core::time::{Span, Time};
use crate::edge::store::Database;
use broker::Broker;
use clock::PlatformClock;
use daemon::Daemon;
use interrupt::Interrupts;
use mailbox::Mailbox;
use narrator::{Narrator, clock_face};
use play::Player;
use screen::{Screen, Tone};
use story::{Cast, Story};

pub use broker::{BrokerArguments, run as run_broker};
pub use daemon::{DaemonArguments, run as run_daemon};

/// Show the whole product on a simulated platform; nothing needs to be installed
///
/// A busy evening passes sixty times as fast as a real one, with planted problems and with things that merely look like
/// problems. Broker, daemon, database and mailbox are local and gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  forewarn demo --for 60s
  forewarn demo --seed 7 --for 2m
  forewarn demo --for 60s --keep evening      keep events, database and mails in the folder `evening`")]
pub struct Arguments {
    /// Stop after this much real time [default: six minutes, or Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = read_duration)]
    duration: Option<Duration>,
    /// Which evening; another number is another one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the events, the database and the mails in this folder, which is new or empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How much faster than real time the platform's evening runs.
const PACE: u32 = 60;
const WHOLE_EVENING: Duration = Duration::from_secs(360);
/// How often the demonstration looks at what has changed.
const LOOK: Duration = Duration::from_millis(200);
/// The column behind the labels of what is there.
const LABELS: usize = 12;
const INTRODUCTION: &str = "A simulated platform sells top-ups, card keys and memberships. One minute of its evening takes a \
    second here. Some things will go wrong, some will only look like it; forewarn sees nothing but the events that the \
    platform sends to Kafka.";

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
        let mut entries =
            std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if entries.next().is_some() {
            bail!("{} is not empty (--keep), expected a new or an empty folder", path.display());
        }
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
    let interrupts = Interrupts::listen()?;
    // Declared first, so that it goes last: by then nobody writes to it any more.
    let folder = Folder::make(arguments.keep.as_ref())?;
    let mut screen = Screen::of_terminal();
    screen.heading("forewarn: customers are told before they complain")?;
    screen.paragraph(2, Tone::Plain, INTRODUCTION)?;
    screen.blank()?;
    let mut platform = tokio::select! {
        platform = Platform::set_up(arguments.seed, length, &folder.path, &mut screen) => platform?,
        () = interrupts.at_least(1) => bail!("stopped before the evening began"),
    };
    tokio::select! {
        end = platform.play(&interrupts, length, screen) => {
            let end = end?;
            if folder.keep {
                keep_record(&folder.path, &platform.story, &platform.mailbox, end)?;
            }
        }
        () = interrupts.at_least(2) => bail!("stopped at once, without the figures"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The simulated platform with everything around it. What is dropped first is named first: the daemon before its
/// broker.
struct Platform {
    player: Player,
    daemon: Daemon,
    _broker: Broker,
    mailbox: Mailbox,
    clock: PlatformClock,
    story: Story,
}

impl Platform {
    /// Starts everything and makes up the evening meanwhile.
    async fn set_up<W: std::io::Write>(
        seed: u64,
        length: Duration,
        folder: &Path,
        screen: &mut Screen<W>,
    ) -> Result<Self> {
        let world_length = Span::from_millis(length.as_millis() as i64 * i64::from(PACE));
        let cast = tokio::task::spawn_blocking(move || Cast::new(seed, world_length));
        let broker = Broker::start(&daemon::TOPICS)?;
        screen.item("broker", LABELS, Tone::Plain, &format!("{} (embedded, in memory)", broker.address))?;
        let cast = Arc::new(cast.await.context("cannot make up the platform")?);
        let clock = PlatformClock::new(cast.opening(), PACE);
        let mailbox = Mailbox::open(clock.clone()).await?;
        let text = format!("{} (local, nothing leaves this machine)", mailbox.address);
        screen.item("mailbox", LABELS, Tone::Plain, &text)?;
        let writing = Arc::clone(&cast);
        let story = tokio::task::spawn_blocking(move || Story::write(&writing));
        let daemon =
            Daemon::start(folder, &broker.address, mailbox.address, &cast.customers, clock.opening()).await?;
        screen.item("daemon", LABELS, Tone::Plain, &format!("http://{}/metrics", daemon.metrics))?;
        let story = story.await.context("cannot make up the platform's evening")?;
        let producer = play::producer(&broker.address)?;
        play::send_now(&producer, &story.earlier)?;
        let (customers, orders) = (cast.customers.len(), story.orders_per_minute());
        let text = format!("{customers} customers, {orders:.0} orders a minute");
        screen.item("platform", LABELS, Tone::Plain, &text)?;
        let player = Player::start(producer, Arc::clone(&story.lines), clock.clone())?;
        Ok(Self { player, daemon, _broker: broker, mailbox, clock, story })
    }

    /// Plays the evening, tells what happens, and ends with the figures of what there was by the returned time.
    async fn play(
        &mut self,
        interrupts: &Interrupts,
        length: Duration,
        mut screen: Screen<std::io::Stdout>,
    ) -> Result<Time> {
        screen.blank()?;
        let opening = clock_face(self.story.opening);
        screen.item(&opening, narrator::COLUMN, Tone::Quiet, "the evening begins; all is well")?;
        self.daemon.start_clock().await?;
        self.clock.start();
        let store = Database::attach(&self.daemon.database)
            .await
            .context("cannot read the demonstration's database")?;
        let mut narrator =
            Narrator::new(&self.story, self.clock.clone(), store, self.mailbox.clone(), screen);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.clock.real() < length {
            tokio::select! {
                _ = looks.tick() => narrator.look().await?,
                () = interrupts.at_least(1) => break,
                error = self.daemon.ended() => return Err(error),
            }
        }
        let end = self.clock.now().min(self.story.end);
        self.player.stop();
        // Mails on their way may still arrive, but count as what they are: later than the end.
        self.daemon.stop().await?;
        narrator.close(end).await?;
        Ok(end)
    }
}

/// Everything that the closing figures were computed from.
fn keep_record(folder: &Path, story: &Story, mailbox: &Mailbox, end: Time) -> Result<()> {
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut events = Vec::new();
    let played = story.lines.iter().take_while(|line| line.at <= end);
    for line in story.earlier.iter().chain(played) {
        events.extend_from_slice(&line.payload);
        events.push(b'\n');
    }
    write("events.jsonl", events)?;
    let evening = serde_json::json!({ "opening": story.opening.to_string(), "end": end.to_string() });
    write("evening.json", evening.to_string().into_bytes())?;
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
