//! `forewarn simulate`: writes a simulated world into a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::core::event::Topic;
use crate::core::time::{Span, Time};
use crate::sim::Settings;
use crate::sim::truth::{Truth, parse_time};
use crate::sim::world::World;

/// Write a simulated world: events, customers and what was planted
///
/// The folder then holds `events.jsonl` (every event in its order of arrival, with duplicates, stragglers and junk),
/// `customers.jsonl` and `truth.json`. The same seed writes the same files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  forewarn simulate --seed 7 --out world
  forewarn simulate --seed 7 --clean --days 1 --accounts 5000 --out quiet-day
  forewarn replay --rules rules --input world/events.jsonl --customers world/customers.jsonl")]
pub struct Arguments {
    /// What the world is drawn from
    #[arg(long)]
    seed: u64,
    /// How long it lasts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// How many customers it has
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    accounts: u32,
    /// When it begins, as RFC 3339
    #[arg(long, default_value = "2026-10-04T16:00:00Z", value_name = "TIME", value_parser = read_time)]
    start: Time,
    /// Plant no problem; what merely looks like one stays
    #[arg(long)]
    clean: bool,
    /// Write one file per topic (orders.jsonl, logins.jsonl, feedback.jsonl) in place of events.jsonl
    #[arg(long)]
    per_topic: bool,
    /// The folder to write to; created if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn read_time(text: &str) -> Result<Time, String> {
    parse_time(text).ok_or_else(|| "expected an RFC 3339 time, as in 2026-10-05T00:00:00+08:00".to_owned())
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let settings = Settings {
        seed: arguments.seed,
        start: arguments.start,
        length: Span::from_mins(i64::from(arguments.days) * 24 * 60),
        accounts: arguments.accounts,
        clean: arguments.clean,
    };
    let folder = &arguments.out;
    fs::create_dir_all(folder).with_context(|| format!("creating the folder {}", folder.display()))?;
    let world = World::new(settings);
    let truth = write_events(&world, folder, arguments.per_topic)?;
    write_customers(&world, &folder.join("customers.jsonl"))?;
    let path = folder.join("truth.json");
    let mut file = create(&path)?;
    serde_json::to_writer_pretty(&mut file, &truth)
        .map_err(std::io::Error::from)
        .and_then(|()| file.flush())
        .with_context(|| format!("writing {}", path.display()))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}: {} events and {} customers from {} to {}, {} problems planted, {} duplicates, {} unreadable lines",
        folder.display(),
        truth.events,
        truth.accounts,
        truth.from,
        truth.to,
        truth.problems.len(),
        truth.duplicates,
        truth.junk
    )?;
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 18, file))
}

fn write_events(world: &World, folder: &Path, per_topic: bool) -> Result<Truth> {
    let mut files: BTreeMap<Option<Topic>, BufWriter<File>> = BTreeMap::new();
    if per_topic {
        for topic in [Topic::Orders, Topic::Logins, Topic::Feedback] {
            files.insert(Some(topic), create(&folder.join(format!("{topic}.jsonl")))?);
        }
    } else {
        files.insert(None, create(&folder.join("events.jsonl"))?);
    }
    let mut line = Vec::with_capacity(1_024);
    let truth = world
        .tell(|arrival| {
            line.clear();
            arrival.write(&mut line);
            line.push(b'\n');
            match files.get_mut(&per_topic.then(|| arrival.topic())) {
                Some(file) => file.write_all(&line),
                None => Ok(()),
            }
        })
        .and_then(|truth| {
            files.values_mut().try_for_each(BufWriter::flush)?;
            Ok(truth)
        });
    truth.with_context(|| format!("writing events to {}", folder.display()))
}

fn write_customers(world: &World, path: &Path) -> Result<()> {
    let mut file = create(path)?;
    let written: std::io::Result<()> = world.customers().try_for_each(|customer| {
        serde_json::to_writer(&mut file, &customer)?;
        file.write_all(b"\n")
    });
    written.and_then(|()| file.flush()).with_context(|| format!("writing {}", path.display()))
}
