//! `forewarn score`: how well the effects of a replay meet the truth of a simulated world, beside plain thresholds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::sim::plain::Plain;
use crate::sim::score::{Claim, Score, score, share};
use crate::sim::truth::{ProblemKind, Truth};

/// Measure the effects of replays against what was planted in simulated worlds
///
/// Prints a table with the figures that are wanted, beside what plain thresholds reach on the same worlds, and fails where
/// a figure is missed. Several worlds are given by repeating the options, in the same order.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  forewarn simulate --seed 7 --out world
  forewarn replay --rules rules --input world/events.jsonl --customers world/customers.jsonl \\
    --format json > effects.jsonl
  forewarn score --world world --effects effects.jsonl --explain 10
  forewarn score --world world --effects effects.jsonl --clean-world quiet --clean-effects quiet.jsonl")]
pub struct Arguments {
    /// A world that `simulate` wrote
    #[arg(long, value_name = "DIR", required = true)]
    world: Vec<PathBuf>,
    /// What `replay --format json` said of it
    #[arg(long, value_name = "FILE", required = true)]
    effects: Vec<PathBuf>,
    /// A world without planted problems
    #[arg(long, value_name = "DIR")]
    clean_world: Vec<PathBuf>,
    /// What `replay --format json` said of that one
    #[arg(long, value_name = "FILE")]
    clean_effects: Vec<PathBuf>,
    /// Do without the comparison with plain thresholds
    #[arg(long)]
    no_plain: bool,
    /// List so many of what was missed, false and untold
    #[arg(long, default_value_t = 0, value_name = "N")]
    explain: usize,
}

/// The score of one detector on a world and, where there is one, on a clean one.
struct Measured {
    score: Score,
    clean: Option<Score>,
}

/// Both detectors on one world.
struct Compared {
    truth: Truth,
    rules: Measured,
    plain: Option<Measured>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (worlds, clean) = (arguments.world.len(), arguments.clean_world.len());
    if arguments.effects.len() != worlds {
        bail!("{worlds} times --world and {} times --effects: expected as many", arguments.effects.len());
    }
    if clean != arguments.clean_effects.len() || clean != 0 && clean != worlds {
        bail!("expected --clean-world and --clean-effects for each --world, or for none");
    }
    let compared: Vec<Compared> =
        (0..worlds).map(|place| compare(arguments, place)).collect::<Result<_>>()?;
    let mut out = std::io::stdout().lock();
    let missed = print_table(&mut out, &compared)?;
    for compared in compared.iter().filter(|_| worlds == 1 || arguments.explain > 0) {
        writeln!(out, "\nseed {}", compared.truth.seed)?;
        print_kinds(&mut out, &compared.rules.score)?;
        print_false(&mut out, "rules", &compared.rules)?;
        if let Some(plain) = &compared.plain {
            print_false(&mut out, "plain thresholds", plain)?;
        }
        if arguments.explain > 0 {
            explain(&mut out, &compared.truth, &compared.rules, arguments.explain)?;
        }
    }
    for figure in &missed {
        writeln!(out, "missed: {figure}")?;
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compare(arguments: &Arguments, place: usize) -> Result<Compared> {
    let at = |paths: &[PathBuf]| paths.get(place).cloned();
    let world = at(&arguments.world).unwrap_or_default();
    let effects = at(&arguments.effects).unwrap_or_default();
    let truth = read_truth(&world)?;
    let clean = match (at(&arguments.clean_world), at(&arguments.clean_effects)) {
        (Some(world), Some(effects)) => Some((read_truth(&world)?, world, effects)),
        _ => None,
    };
    let of_clean = |claims: &dyn Fn(&Path, &Path) -> Result<Vec<Claim>>| {
        let score = |(truth, world, effects): &(Truth, PathBuf, PathBuf)| {
            Ok::<Score, anyhow::Error>(score(truth, &claims(world, effects)?))
        };
        clean.as_ref().map(score).transpose()
    };
    let rules = Measured {
        score: score(&truth, &read_effects(&effects)?),
        clean: of_clean(&|_, effects| read_effects(effects))?,
    };
    let plain = if arguments.no_plain {
        None
    } else {
        let clean = of_clean(&|world, _| plain_claims(world))?;
        Some(Measured { score: score(&truth, &plain_claims(&world)?), clean })
    };
    Ok(Compared { truth, rules, plain })
}

fn read_truth(world: &Path) -> Result<Truth> {
    let path = world.join("truth.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("reading {}: expected what simulate writes", path.display()))
}

fn lines_of(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
}

fn read_effects(path: &Path) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for (number, line) in lines_of(path)?.lines().enumerate() {
        let line = line.with_context(|| format!("reading {}", path.display()))?;
        let value: serde_json::Value = serde_json::from_str(&line)
            .with_context(|| format!("{}:{}: expected a line of JSON", path.display(), number + 1))?;
        claims.extend(Claim::of_line(&value));
    }
    Ok(claims)
}

fn plain_claims(world: &Path) -> Result<Vec<Claim>> {
    let path = world.join("events.jsonl");
    let mut plain = Plain::default();
    let mut lines = lines_of(&path)?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).with_context(|| format!("reading {}", path.display()))? == 0 {
            return Ok(plain.into_claims());
        }
        plain.observe(&line);
    }
}

/// One figure: what is wanted of the rules, and how badly plain thresholds must do lest the worlds be too easy.
struct Row {
    name: &'static str,
    wanted: &'static str,
    plain_wanted: &'static str,
    value: fn(&Measured) -> Option<f64>,
    unit: Unit,
    meets: fn(f64) -> bool,
    plain_meets: fn(f64) -> bool,
}

#[derive(Clone, Copy)]
enum Unit {
    Percent,
    Minutes,
    Ratio,
    Count,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value:.1} %"),
            Self::Minutes => format!("{value:.0} min"),
            Self::Ratio => format!("{value:.2}"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Row {
    const fn new(name: &'static str, unit: Unit, value: fn(&Measured) -> Option<f64>) -> Self {
        let any: fn(f64) -> bool = |_| true;
        Self { name, wanted: "", plain_wanted: "", value, unit, meets: any, plain_meets: any }
    }

    const fn wants(self, wanted: &'static str, meets: fn(f64) -> bool) -> Self {
        Self { wanted, meets, ..self }
    }

    const fn wants_of_plain(self, plain_wanted: &'static str, plain_meets: fn(f64) -> bool) -> Self {
        Self { plain_wanted, plain_meets, ..self }
    }
}

const ROWS: [Row; 8] = [
    Row::new("planted problems with their ticket", Unit::Percent, |m| {
        percent_of(m.score.all.ticketed, m.score.all.planted)
    })
    .wants("≥ 95 %", |value| value >= 95.0),
    Row::new("complainers told before", Unit::Percent, |m| {
        percent_of(m.score.all.told_before, m.score.all.complaints)
    })
    .wants("≥ 93 %", |value| value >= 93.0),
    Row::new("lead of the told, median", Unit::Minutes, |m| {
        m.score.lead_median().map(|lead| lead.as_secs_f64() / 60.0)
    }),
    Row::new("tickets per cause", Unit::Ratio, |m| Some(m.score.all.tickets_per_cause()))
        .wants("≤ 1.3", |value| value <= 1.3)
        .wants_of_plain("≥ 4", |value| value >= 4.0),
    Row::new("notices that are true", Unit::Percent, |m| percent_of(m.score.true_notices, m.score.notices))
        .wants("≥ 97 %", |value| value >= 97.0),
    Row::new("of these needless", Unit::Percent, |m| {
        percent_of(m.score.needless_notices, m.score.true_notices)
    })
    .wants("≤ 5 %", |value| value <= 5.0),
    Row::new("false tickets beside the planted", Unit::Count, |m| Some(m.score.false_tickets.len() as f64)),
    Row::new("false tickets in the clean world", Unit::Count, |m| {
        m.clean.as_ref().map(|clean| clean.false_tickets.len() as f64)
    })
    .wants("≤ 3", |value| value <= 3.0)
    .wants_of_plain("≥ 300", |value| value >= 300.0),
];

/// Prints a column for each detector and world; returns the figures that miss what is wanted.
fn print_table(out: &mut impl Write, worlds: &[Compared]) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    write!(out, "{:<36}{:>8}{:>8}", "", "rules", "plain")?;
    for compared in worlds {
        let seed = format!("seed {}", compared.truth.seed);
        write!(out, "{:>12}{:>10}", seed, if compared.plain.is_some() { "plain" } else { "" })?;
    }
    writeln!(out)?;
    for row in &ROWS {
        write!(out, "{:<36}{:>8}{:>8}", row.name, row.wanted, row.plain_wanted)?;
        for compared in worlds {
            let cell = |measured: Option<&Measured>, meets: fn(f64) -> bool| {
                let value = measured.and_then(row.value);
                let text = value.map_or_else(|| "–".to_owned(), |value| row.unit.write(value));
                (text, value.is_none_or(meets))
            };
            let (rules, rules_meet) = cell(Some(&compared.rules), row.meets);
            let (plain, plain_meets) = cell(compared.plain.as_ref(), row.plain_meets);
            write!(out, "{rules:>12}{:>10}", if compared.plain.is_some() { &plain } else { "" })?;
            let seed = compared.truth.seed;
            if !rules_meet {
                missed.push(format!("seed {seed}: {}: {rules}, wanted {}", row.name, row.wanted));
            }
            if !plain_meets {
                let (name, wanted) = (row.name, row.plain_wanted);
                missed.push(format!("seed {seed}: {name} of plain thresholds: {plain}, wanted {wanted}"));
            }
        }
        writeln!(out)?;
    }
    Ok(missed)
}

fn percent_of(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| 100.0 * share(part, whole))
}

fn print_kinds(out: &mut impl Write, score: &Score) -> Result<()> {
    writeln!(
        out,
        "\n{:<30}{:>9}{:>10}{:>9}{:>10}{:>12}{:>13}{:>10}",
        "kind", "planted", "ticketed", "tickets", "touched", "complaints", "told before", "lead"
    )?;
    for kind in ProblemKind::ALL {
        let Some(figures) = score.kinds.get(&kind) else { continue };
        writeln!(
            out,
            "{:<30}{:>9}{:>10}{:>9}{:>10}{:>12}{:>13}{:>10}",
            kind.as_str(),
            figures.planted,
            figures.ticketed,
            figures.tickets,
            figures.touched,
            figures.complaints,
            figures.told_before,
            score
                .lead_median_of(kind)
                .map_or_else(String::new, |lead| { Unit::Minutes.write(lead.as_secs_f64() / 60.0) })
        )?;
    }
    writeln!(
        out,
        "merged tickets: {}; notices: {}, false: {}, needless: {}; hiccups with a ticket: {}",
        score.merged,
        score.notices,
        score.false_notices.len(),
        score.needless_notices,
        score.needless_tickets
    )?;
    Ok(())
}

/// False tickets and notices by rule, beside the planted problems and in the clean world.
fn print_false(out: &mut impl Write, name: &str, measured: &Measured) -> Result<()> {
    for (place, score) in [("", Some(&measured.score)), (" in the clean world", measured.clean.as_ref())] {
        let Some(score) = score else { continue };
        let tickets = by_rule(score.false_tickets.iter().map(|ticket| ticket.rule.as_str()));
        let notices = by_rule(score.false_notices.iter().map(|notice| notice.rule.as_str()));
        writeln!(out, "{name}{place}: false tickets: {tickets}; false notices: {notices}")?;
    }
    Ok(())
}

fn by_rule<'a>(rules: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for rule in rules {
        *counts.entry(rule).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    let counts: Vec<String> = counts.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    counts.join(", ")
}

fn explain(out: &mut impl Write, truth: &Truth, rules: &Measured, limit: usize) -> Result<()> {
    writeln!(out, "\nmissed:")?;
    for problem in rules.score.missed.iter().filter_map(|index| truth.problems.get(*index)).take(limit) {
        let strength = problem.strength;
        writeln!(
            out,
            "  {} {:?} {:?} {} to {} strength {strength:.2} touched {}",
            problem.id,
            problem.kind,
            problem.subject,
            problem.from,
            problem.to,
            problem.affected.len()
        )?;
    }
    for (name, score) in [("", Some(&rules.score)), (" in the clean world", rules.clean.as_ref())] {
        let Some(score) = score else { continue };
        writeln!(out, "false tickets{name}:")?;
        for ticket in score.false_tickets.iter().take(limit) {
            let again = if ticket.reopened { " (reopened)" } else { "" };
            writeln!(
                out,
                "  {} {} {:?} since {}{again}",
                ticket.at, ticket.rule, ticket.subject, ticket.since
            )?;
        }
    }
    writeln!(out, "false notices:")?;
    for notice in rules.score.false_notices.iter().take(limit) {
        writeln!(out, "  {} {} {} of {}", notice.at, notice.rule, notice.account_id, notice.incident)?;
    }
    writeln!(out, "complainers not told before:")?;
    for (problem, complaint) in rules.score.untold.iter().take(limit) {
        let Some(problem) = truth.problems.get(*problem) else { continue };
        let Some(complaint) = problem.complaints.get(*complaint) else { continue };
        writeln!(out, "  {} {} of {} {:?}", complaint.at, complaint.account_id, problem.id, problem.kind)?;
    }
    Ok(())
}
