//! `forewarn replay`: recorded events through the engine of production, on virtual time.

mod coverage;
mod input;
mod output;

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::core::engine::{Engine, Observed};
use crate::core::event::decode::{Decoder, EventSettings, RejectReason, Scratch};
use crate::core::event::{EventType, Topic};
use crate::core::rule::RuleSet;
use crate::core::time::{Span, Time};
use crate::daemon;
use crate::delivery::customers::{Customers, Everybody};
use crate::delivery::dispatch::{Dispatcher, NoticeSettings};
use crate::edge::customers::CustomerFile;
use crate::settings::{Settings, Sources};
use coverage::Coverage;
use input::Lines;
use output::Printer;

pub use output::Format;

/// Run recorded events through the rules and print every effect in the order of decision
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn replay --rules rules --input events.jsonl
  zcat october.jsonl.gz | forewarn replay --rules rules --input - --format json
  forewarn replay -c forewarn.toml --input orders.jsonl logins.jsonl --customers customers.csv")]
pub struct ReplayArguments {
    /// The configuration: event mapping, faults, notices. Without it their defaults hold.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory or file of rules; where left out, the configuration's.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Events as JSON lines in order of arrival, `-` for standard input; several are merged, lowest time first.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Customers as JSON lines or CSV; without it everybody can be told.
    #[arg(long, value_name = "FILE")]
    customers: Option<PathBuf>,
    /// Let time pass to here after the last event (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What a replay needs besides its input.
pub struct ReplaySetup {
    pub rules: Arc<RuleSet>,
    pub events: EventSettings,
    pub notices: NoticeSettings,
    pub customers: Arc<dyn Customers>,
}

/// The number of later lines of its topic that an event which jumps ahead is compared with.
const COMPARED_AHEAD: usize = 10;

pub fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let setup = setup(arguments)?;
    let until = arguments.until.map(|time| Time::from_millis(time.as_millisecond()));
    let inputs = input::open_all(&arguments.input)?;
    let out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    replay(&setup, inputs, until, arguments.format, out)?;
    Ok(ExitCode::SUCCESS)
}

fn setup(arguments: &ReplayArguments) -> anyhow::Result<ReplaySetup> {
    let file = arguments.config.clone();
    let settings = file.map(|file| Settings::load(&Sources { file: Some(file), ..Sources::default() }));
    let settings = settings.transpose()?;
    let events = settings.as_ref().map_or_else(EventSettings::default, |settings| settings.events.clone());
    let configured = settings.as_ref().map(|settings| settings.rules.path.clone());
    let path = arguments.rules.clone().or(configured).unwrap_or_else(|| PathBuf::from("rules"));
    let rules = super::setup::rule_set(&path, &super::setup::load_options(&events.extra))?;
    let notices = match &settings {
        Some(settings) => daemon::notice_settings(settings, &rules),
        None => NoticeSettings::default(),
    };
    let customers: Arc<dyn Customers> = match (&arguments.customers, &settings) {
        (Some(path), _) => Arc::new(CustomerFile::open(path)?),
        (None, Some(settings)) if settings.customers.is_some() => {
            daemon::people::customers(settings.customers.as_ref())?
        }
        (None, _) => Arc::new(Everybody),
    };
    Ok(ReplaySetup { rules, events, notices, customers })
}

fn replay(
    setup: &ReplaySetup,
    inputs: Vec<Lines>,
    until: Option<Time>,
    format: Format,
    out: impl Write,
) -> anyhow::Result<()> {
    let mut replay = Replay::new(setup, inputs, format, out)?;
    replay.run()?;
    if let Some(until) = until {
        replay.pass(until)?;
    }
    let Replay { mut printer, coverage, .. } = replay;
    printer.summarize(&coverage)?;
    Ok(())
}

struct Source {
    lines: Lines,
    newest: Time,
    more: bool,
}

struct Replay<W> {
    sources: Vec<Source>,
    decoder: Decoder,
    scratch: Scratch,
    max_ahead: Span,
    engine: Engine,
    dispatcher: Dispatcher,
    printer: Printer<W>,
    coverage: Coverage,
    now: Time,
    newest_of_topic: [Time; Topic::ALL.len()],
    progress: Progress,
}

/// There is one shard: in a replayed file each topic is one partition.
const SHARD: u32 = 0;

impl<W: Write> Replay<W> {
    fn new(setup: &ReplaySetup, inputs: Vec<Lines>, format: Format, out: W) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        for mut lines in inputs {
            let more = lines.advance().context("cannot read the events")?;
            sources.push(Source { lines, newest: Time::MIN, more });
        }
        Ok(Self {
            sources,
            decoder: Decoder::new(setup.events.clone()),
            scratch: Scratch::default(),
            max_ahead: setup.events.max_ahead,
            engine: Engine::new(Arc::clone(&setup.rules), &[SHARD]),
            dispatcher: Dispatcher::new(setup.notices.clone(), Arc::clone(&setup.customers)),
            printer: Printer::new(out, format),
            coverage: Coverage::default(),
            now: Time::MIN,
            newest_of_topic: [Time::MIN; Topic::ALL.len()],
            progress: Progress::new(),
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        while let Some(place) = self.lowest() {
            self.read_one(place, false)?;
            if let Some(source) = self.sources.get_mut(place) {
                source.more = source.lines.advance().context("cannot read the events")?;
            }
            if self.engine.has_effects() {
                self.print_effects()?;
            }
        }
        self.time_passes();
        self.engine.advance(SHARD, self.now);
        self.engine.advance_scope(self.now);
        self.progress.finish(self.printer.counts.events);
        self.print_effects()
    }

    /// The source to read next: of those with unread lines the one whose newest event is oldest.
    fn lowest(&self) -> Option<usize> {
        let unread = self.sources.iter().enumerate().filter(|(_, source)| source.more);
        unread.min_by_key(|(_, source)| source.newest).map(|(place, _)| place)
    }

    /// `vouched`: the lines that follow have been looked at already and bear out the event's time.
    fn read_one(&mut self, place: usize, vouched: bool) -> anyhow::Result<()> {
        let others = self.sources.iter().enumerate().filter(|(other, source)| source.more && *other != place);
        let lowest_other = others.map(|(_, source)| source.newest).min();
        let Some(Source { lines, newest, .. }) = self.sources.get_mut(place) else { return Ok(()) };
        let mut event = match self.decoder.decode(lines.current(), &mut self.scratch) {
            Ok(event) => event,
            Err(reason) => {
                self.reject(reason);
                return Ok(());
            }
        };
        let (time, topic) = (event.time, event.event_type.topic());
        if !vouched && time.since(self.newest_of_topic[topic as usize]) > self.max_ahead {
            return if self.jumps_ahead(place, time, topic)? {
                self.reject(RejectReason::TooFarAhead);
                Ok(())
            } else {
                self.read_one(place, true)
            };
        }
        *newest = event.time.max(*newest);
        let newest_of_topic = &mut self.newest_of_topic[event.event_type.topic() as usize];
        *newest_of_topic = event.time.max(*newest_of_topic);
        self.now = self.now.max(lowest_other.map_or(*newest, |lowest| lowest.min(*newest)));
        let observed = self.engine.observe(SHARD, &mut event, self.now);
        self.printer.counts.events += 1;
        match observed {
            Observed::Fresh => {}
            Observed::Late => self.printer.counts.late += 1,
            Observed::Duplicate => self.printer.counts.duplicates += 1,
        }
        if event.event_type == EventType::ComplaintFiled && observed != Observed::Duplicate {
            self.coverage.complaint(&event);
        }
        self.engine.advance_scope(self.now);
        self.progress.tick(self.printer.counts.events);
        Ok(())
    }

    fn reject(&mut self, reason: RejectReason) {
        *self.printer.counts.rejected.entry(reason.as_str()).or_default() += 1;
    }

    /// Whether the current line is an event far ahead of its topic that the next lines of the topic do not follow: it
    /// would drag the clock along. A file has no arrival times to compare with.
    fn jumps_ahead(&mut self, place: usize, time: Time, topic: Topic) -> anyhow::Result<bool> {
        let Some(source) = self.sources.get_mut(place) else { return Ok(false) };
        let (mut compared, mut ahead_of) = (0, 0);
        let (decoder, scratch, max_ahead) = (&self.decoder, &mut self.scratch, self.max_ahead);
        source
            .lines
            .look_ahead(|line| {
                if let Ok(next) = decoder.decode(line, scratch)
                    && next.event_type.topic() == topic
                {
                    compared += 1;
                    ahead_of += usize::from(time.since(next.time) > max_ahead);
                }
                compared < COMPARED_AHEAD && ahead_of == compared
            })
            .context("cannot read the events")?;
        Ok(compared > 0 && ahead_of == compared)
    }

    /// At the end of the input everything is read: time is that of the newest event.
    fn time_passes(&mut self) {
        let newest = self.sources.iter().map(|source| source.newest).max().unwrap_or(Time::MIN);
        self.now = self.now.max(newest);
    }

    fn pass(&mut self, until: Time) -> anyhow::Result<()> {
        if until < self.now {
            bail!("--until {until} lies before the last event, {}", self.now);
        }
        // In steps, so that what spans partitions is judged step by step as it would be in production.
        while self.now < until {
            self.now = (self.now + Span::from_secs(1)).min(until);
            self.engine.advance(SHARD, self.now);
            self.engine.advance_scope(self.now);
            self.print_effects()?;
        }
        Ok(())
    }

    fn print_effects(&mut self) -> anyhow::Result<()> {
        for effect in self.engine.drain_effects() {
            let planned = self.dispatcher.plan(effect);
            if let Some(notice) = output::told(&planned) {
                self.coverage.told(planned.effect.at, notice);
            }
            self.printer.print(&planned)?;
        }
        Ok(())
    }
}

/// Events per second on standard error, when somebody watches.
struct Progress {
    watched: bool,
    began: crate::edge::clock::Stopwatch,
}

impl Progress {
    fn new() -> Self {
        Self { watched: io::stderr().is_terminal(), began: crate::edge::clock::Stopwatch::start() }
    }

    fn tick(&self, events: u64) {
        if self.watched && events.is_multiple_of(500_000) {
            self.write(events, "\r");
        }
    }

    fn finish(&self, events: u64) {
        if self.watched {
            self.write(events, "\n");
        }
    }

    fn write(&self, events: u64, end: &str) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = events as f64 / seconds;
        let line = format!("{events} events, {rate:.0} events/s{end}");
        // A terminal that is gone does not stop the replay.
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}
