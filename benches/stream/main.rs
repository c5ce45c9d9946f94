//! What the benchmarks are made of: a stream of events, a bare loop to compare with, and a reader of ticket rows.
//! `scripts/bench` puts them together; each subcommand also stands alone.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its arguments")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod generator; // the stream: accounts, orders, logins, disorder, duplicates
mod latency; // from produce to the ticket's row
mod measure; // what a command costs
mod rules; // sets of rules of any size
mod topics; // writing the stream to Kafka, and the loop that only counts

use std::io::{BufWriter, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use generator::Generator;

#[derive(Parser)]
struct Arguments {
    /// Given by cargo to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Writes the stream as JSON lines, in order of arrival.
    Write {
        #[command(flatten)]
        stream: Stream,
        /// The file; stdout without it.
        #[arg(long)]
        to: Option<std::path::PathBuf>,
    },
    /// Writes the stream to the topics `PREFIX-orders` and `PREFIX-logins`, which it creates.
    Produce {
        #[command(flatten)]
        stream: Stream,
        #[command(flatten)]
        topics: Topics,
    },
    /// Reads both topics to their ends and only counts.
    Count {
        #[command(flatten)]
        topics: Topics,
    },
    /// Runs a command on one core, and writes what it has cost.
    Measure {
        #[arg(long, default_value_t = 1)]
        core: u32,
        /// Where the figures go.
        #[arg(long)]
        figures: std::path::PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Writes a set of rules into a folder.
    Rules {
        #[arg(long)]
        count: usize,
        #[arg(long)]
        to: std::path::PathBuf,
    },
    /// Produces at a steady rate for so long, and notes when the event that must fire a rule was handed over.
    Pace {
        #[command(flatten)]
        topics: Topics,
        #[arg(long, default_value_t = 10_000)]
        per_second: u32,
        /// Seconds before the first one that fires.
        #[arg(long, default_value_t = 15)]
        warm: u32,
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Where the notes go: one `account microseconds` a line.
        #[arg(long)]
        notes: std::path::PathBuf,
    },
    /// Watches a database for new ticket rows, and prints p50 and p99 from the notes to the sight of the row.
    Watch {
        #[arg(long)]
        database: std::path::PathBuf,
        #[arg(long)]
        notes: std::path::PathBuf,
        /// Ends so long after the last new row.
        #[arg(long, default_value_t = 10)]
        idle_seconds: u64,
    },
}

#[derive(Args, Clone)]
pub struct Stream {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 6_000_000)]
    events: u64,
    #[arg(long, default_value_t = 1_000_000)]
    accounts: u32,
    /// Events in one second of event time.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// The event time of the first event.
    #[arg(long, default_value = "2026-10-01T00:00:00Z")]
    start: jiff::Timestamp,
}

#[derive(Args, Clone)]
pub struct Topics {
    #[arg(long)]
    broker: String,
    #[arg(long, default_value = "bench")]
    prefix: String,
    #[arg(long, default_value_t = 8)]
    partitions: i32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    match arguments.verb {
        // `cargo bench` and `cargo test --benches` start every benchmark without a verb.
        None => {
            eprintln!("run scripts/bench, or give a verb (--help)");
            return Ok(());
        }
        Some(Verb::Write { stream, to }) => {
            match to {
                Some(path) => {
                    let file =
                        std::fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
                    write(&stream, file)
                }
                None => write(&stream, std::io::stdout().lock()),
            }?;
        }
        Some(Verb::Produce { stream, topics }) => {
            topics::create(&topics)?;
            topics::produce(&topics, &stream)?;
        }
        Some(Verb::Count { topics }) => {
            let (records, bytes) = topics::count(&topics)?;
            let mean = bytes / records.max(1);
            println!(
                "records={records} mean_bytes={mean} wall_seconds={:.2}",
                started.elapsed().as_secs_f64()
            );
        }
        Some(Verb::Measure { core, figures, command }) => {
            measure::measure(core, &figures, &command)?;
        }
        Some(Verb::Rules { count, to }) => rules::write(count, &to)?,
        Some(Verb::Pace { topics, per_second, warm, seconds, notes }) => {
            if per_second == 0 {
                bail!("--per-second must be at least 1");
            }
            topics::create(&topics)?;
            latency::pace(&topics, per_second, warm, seconds, &notes)?;
        }
        Some(Verb::Watch { database, notes, idle_seconds }) => {
            latency::watch(&database, &notes, idle_seconds)?;
        }
    }
    Ok(())
}

fn write(stream: &Stream, to: impl Write) -> Result<()> {
    let mut to = BufWriter::with_capacity(1 << 20, to);
    let mut generator = Generator::new(stream);
    let mut line = Vec::new();
    while let Some(event) = generator.next(&mut line) {
        let _ = event;
        line.push(b'\n');
        to.write_all(&line)?;
    }
    to.flush()?;
    Ok(())
}
