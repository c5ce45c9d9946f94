//! `forewarn replay`: recorded events through the engine of production, on virtual time.

mod by_rule;
mod compare;
mod coverage;
mod difference;
mod explain;
mod input;
mod output;
mod play;
mod progress;
mod source;
mod stretch;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use crate::core::engine::Observed;
use crate::core::event::Event;
use crate::core::event::decode::EventSettings;
use crate::core::rule::RuleSet;
use crate::core::rule::silence::Silences;
use crate::core::time::Time;
use crate::daemon;
use crate::delivery::customers::{Customers, Everybody};
use crate::delivery::dispatch::NoticeSettings;
use crate::delivery::store::Planned;
use crate::edge::customers::CustomerFile;
use crate::edge::geo::Locator;
use crate::edge::kafka::Bound;
use crate::settings::{Settings, Sources};
use by_rule::ByRule;
use compare::Comparison;
use coverage::Coverage;
use explain::{Asked, Explanation};
use input::Lines;
use output::Printer;
use play::{Onlooker, Play};
use progress::Progress;
use source::{Feed, Source};

use super::format::Format;

/// Run recorded events through the rules and print every effect in the order of decision
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn replay --rules rules --input events.jsonl
  forewarn replay --rules rules --input october-*.jsonl.gz --format json
  forewarn replay -c forewarn.toml --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z
  forewarn replay -c forewarn.toml --topic orders logins --from 7d
  kcat … | forewarn replay --rules rules --input -
  forewarn replay -c forewarn.toml --input orders.jsonl logins.jsonl --customers customers.csv
  forewarn replay --rules changed --against rules --input october.jsonl
  forewarn replay --rules rules --input october.jsonl --explain a42
  forewarn replay --rules rules --input october.jsonl --explain channel=alipay
  forewarn replay --rules rules --input october.jsonl --silences silences.yaml

Files may be packed as gzip or zstd. Kafka is read without its group taking note of it; nothing is committed. A time means
the records' times in Kafka; an offset means the same one in each partition, or as 0:1200,1:1187 one for each. What --to names
is not part of it any more.

With --against, what only `--rules` has is gained, and what only the other directory has is lost.
Tickets are the same when rule and subject are, and their spans overlap.

A file of silences is a YAML list:
  - match: { rule: channel-success-drop, channel: alipay }
    from: 2026-10-01T02:00:00Z
    until: 2026-10-01T04:00:00Z
    reason: maintenance of the channel
    author: payments")]
pub struct ReplayArguments {
    /// The configuration: event mapping, faults, notices. Without it their defaults hold.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory or file of rules; where left out, the configuration's.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Events as JSON lines in order of arrival, also packed (gzip, zstd), `-` for standard input; several are merged,
    /// lowest time first.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["topic", "from", "to"], num_args = 1..)]
    input: Vec<PathBuf>,
    /// Topics of the configuration's Kafka in place of files; where left out beside --from or --to, all that it names.
    #[arg(long, value_name = "TOPIC", num_args = 1.., conflicts_with = "input")]
    topic: Vec<String>,
    /// From where on: a time (RFC 3339), how long ago (12h, 30d), offsets, `earliest` or `latest` [default: earliest].
    #[arg(long, value_name = "PLACE", conflicts_with = "input", value_parser = stretch::parse_bound)]
    from: Option<Bound>,
    /// Up to where [default: latest, as it is when the replay starts].
    #[arg(long, value_name = "PLACE", conflicts_with = "input", value_parser = stretch::parse_bound)]
    to: Option<Bound>,
    /// Customers as JSON lines or CSV; without it everybody can be told.
    #[arg(long, value_name = "FILE")]
    customers: Option<PathBuf>,
    /// Silences that hold meanwhile: what they cover opens no ticket and tells nobody.
    #[arg(long, value_name = "FILE")]
    silences: Option<PathBuf>,
    /// Let time pass to here after the last event (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// Show only the difference: what `--rules` does and the rules in DIR would not have done, and the other way round.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Tell only what happened to one account, order or other subject, and why it got a ticket or got none.
    #[arg(long, value_name = "SUBJECT", conflicts_with = "against")]
    explain: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The rules of a replay, and whom they can tell.
struct RulesSetup {
    rules: Arc<RuleSet>,
    notices: NoticeSettings,
    customers: Arc<dyn Customers>,
    /// [`None`] where no file of them is given.
    silences: Option<Arc<Silences>>,
    /// [`None`] where no rule asks where an event was, or nothing is configured that knows it.
    locator: Option<Locator>,
}

pub fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let file = arguments.config.clone();
    // Where Kafka is may be said in the environment alone.
    let is_configured = file.is_some() || arguments.input.is_empty();
    let settings =
        is_configured.then(|| Settings::load(&Sources { file, ..Sources::default() })).transpose()?;
    let configured = settings.as_ref().map(|settings| settings.rules.path.clone());
    let path = arguments.rules.clone().or(configured).unwrap_or_else(|| PathBuf::from("rules"));
    let events = settings.as_ref().map_or_else(EventSettings::default, |settings| settings.events.clone());
    let mut rules = setup(&path, arguments, settings.as_ref())?;
    let against = arguments.against.as_deref();
    let mut against = against.map(|path| setup(path, arguments, settings.as_ref())).transpose()?;
    if arguments.silences.is_some() {
        let sets: Vec<&RuleSet> = std::iter::once(&rules).chain(&against).map(|side| &*side.rules).collect();
        let options = super::setup::load_options_without(settings.as_ref());
        let silences = super::setup::silences(arguments.silences.as_deref(), &options, &sets)?;
        for side in std::iter::once(&mut rules).chain(&mut against) {
            side.silences = Some(Arc::clone(&silences));
        }
    }
    let sources = match &settings {
        Some(settings) if arguments.input.is_empty() => {
            let from = arguments.from.clone().unwrap_or(Bound::Earliest);
            let to = arguments.to.clone().unwrap_or(Bound::Latest);
            stretch::sources(settings, &arguments.topic, &from, &to, |said| progress::say(&said))?
        }
        _ => files(&arguments.input)?,
    };
    let progress = Progress::new();
    let until = arguments.until.map(|time| Time::from_millis(time.as_millisecond()));
    let mut out = io::BufWriter::with_capacity(1 << 16, progress.beside(io::stdout().lock()));
    match (&arguments.explain, against) {
        (Some(subject), _) => {
            let asked = Asked::parse(subject, &events.extra);
            let silences = rules.silences.clone().unwrap_or_default();
            let onlooker = Explanation::new(asked, Arc::clone(&rules.rules), silences);
            let play = played(Play::new(&events, &[&rules], sources, progress, onlooker)?, until)?;
            if !play.onlooker.knows_anything() {
                bail!(
                    "none of the {} events names `{subject}`; expected an account, an order or the value of another field",
                    play.counts.events
                );
            }
            explain::write(&play.onlooker, &play.counts, arguments.format, &mut out)?;
        }
        (None, None) => {
            let onlooker = Effects {
                printer: Printer::new(&mut out, arguments.format),
                coverage: Coverage::default(),
                by_rule: ByRule::default(),
            };
            let play = played(Play::new(&events, &[&rules], sources, progress, onlooker)?, until)?;
            let Effects { mut printer, coverage, by_rule } = play.onlooker;
            printer.summarize(&play.counts, &coverage, &by_rule, &rules.rules)?;
        }
        (None, Some(against)) => {
            let comparison = Comparison::default();
            let play =
                played(Play::new(&events, &[&rules, &against], sources, progress, comparison)?, until)?;
            let difference = play.onlooker.difference(&rules.rules, &against.rules);
            difference::write(&difference, &play.counts, arguments.format, &mut out)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The files of one replay: one shard.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let open = |path: &PathBuf| Ok(Source::new(Feed::Lines(Box::new(Lines::open(path)?)), 0));
    paths.iter().map(open).collect()
}

fn setup(
    path: &Path,
    arguments: &ReplayArguments,
    settings: Option<&Settings>,
) -> anyhow::Result<RulesSetup> {
    let rules = super::setup::rule_set(path, &super::setup::load_options_without(settings))?;
    let notices = match settings {
        Some(settings) => daemon::notice_settings(settings, &rules),
        None => NoticeSettings::default(),
    };
    let customers: Arc<dyn Customers> = match (&arguments.customers, settings) {
        (Some(path), _) => Arc::new(CustomerFile::open(path)?),
        (None, Some(settings)) if settings.customers.is_some() => {
            daemon::people::customers(settings.customers.as_ref())?
        }
        (None, _) => {
            if rules.names_customers() {
                let note =
                    "note: rules look at fields of the customer, and no customers are given (--customers)";
                writeln!(io::stderr(), "{note}")?;
            }
            Arc::new(Everybody)
        }
    };
    let geo = settings.and_then(|settings| settings.geo.as_ref());
    let locator = daemon::locating::locator(geo, rules.located_types())?;
    Ok(RulesSetup { rules, notices, customers, silences: None, locator })
}

fn played<O: Onlooker>(mut play: Play<O>, until: Option<Time>) -> anyhow::Result<Play<O>> {
    play.run()?;
    if let Some(until) = until {
        play.pass(until)?;
    }
    Ok(play)
}

/// Prints every effect as it is decided.
struct Effects<W> {
    printer: Printer<W>,
    coverage: Coverage,
    by_rule: ByRule,
}

impl<W: Write> Onlooker for Effects<W> {
    fn event(&mut self, event: &Event<'_>, observed: Observed) {
        self.coverage.event(event, observed);
        self.by_rule.event(event, observed);
    }

    fn planned(&mut self, _side: usize, planned: &Planned) -> anyhow::Result<()> {
        self.coverage.planned(planned);
        self.by_rule.planned(planned);
        Ok(self.printer.print(planned)?)
    }
}
