//! `forewarn score`: how well the effects of a replay meet the truth of a simulated world, beside plain thresholds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::sim::plain::Plain;
use crate::sim::score::{Claim, Score, score, share};
use crate::sim::truth::{ProblemKind, Truth};

/// Measure the effects of a replay against what was planted in a simulated world
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  forewarn simulate --seed 7 --out world
  forewarn replay --rules rules --input world/events.jsonl --customers world/customers.jsonl \\
    --format json > effects.jsonl
  forewarn score --world world --effects effects.jsonl")]
pub struct Arguments {
    /// A world that `simulate` wrote
    #[arg(long, value_name = "DIR")]
    world: PathBuf,
    /// What `replay --format json` said of it; `-` for stdin
    #[arg(long, value_name = "FILE")]
    effects: PathBuf,
    /// A world without planted problems
    #[arg(long, value_name = "DIR", requires = "clean_effects")]
    clean_world: Option<PathBuf>,
    /// What `replay --format json` said of that one
    #[arg(long, value_name = "FILE", requires = "clean_world")]
    clean_effects: Option<PathBuf>,
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

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let truth = read_truth(&arguments.world)?;
    let clean_truth = arguments.clean_world.as_deref().map(read_truth).transpose()?;
    let rules = Measured {
        score: score(&truth, &read_effects(&arguments.effects)?),
        clean: match (&clean_truth, &arguments.clean_effects) {
            (Some(truth), Some(effects)) => Some(score(truth, &read_effects(effects)?)),
            _ => None,
        },
    };
    let plain = if arguments.no_plain {
        None
    } else {
        let clean = match (&clean_truth, &arguments.clean_world) {
            (Some(truth), Some(world)) => Some(score(truth, &plain_claims(world)?)),
            _ => None,
        };
        Some(Measured { score: score(&truth, &plain_claims(&arguments.world)?), clean })
    };
    let mut out = std::io::stdout().lock();
    print_table(&mut out, &rules, plain.as_ref())?;
    print_kinds(&mut out, &rules.score)?;
    print_false(&mut out, "rules", &rules)?;
    if let Some(plain) = &plain {
        print_false(&mut out, "plain thresholds", plain)?;
    }
    if arguments.explain > 0 {
        explain(&mut out, &truth, &rules, arguments.explain)?;
    }
    Ok(ExitCode::SUCCESS)
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

fn print_table(out: &mut impl Write, rules: &Measured, plain: Option<&Measured>) -> Result<()> {
    type Row = (&'static str, &'static str, fn(&Measured) -> Option<String>);
    let rows: [Row; 7] = [
        ("planted problems with their ticket", "≥ 95 %", |m| {
            percent_of(m.score.all.ticketed, m.score.all.planted)
        }),
        ("complainers told before", "≥ 90 %", |m| {
            percent_of(m.score.all.told_before, m.score.all.complaints)
        }),
        ("lead of the told, median", "", |m| {
            m.score.lead_median().map(|lead| format!("{:.0} min", lead.as_secs_f64() / 60.0))
        }),
        ("tickets per cause", "≤ 1.3", |m| Some(format!("{:.2}", m.score.all.tickets_per_cause()))),
        ("notices that are true", "≥ 97 %", |m| percent_of(m.score.true_notices, m.score.notices)),
        ("false tickets beside the planted", "", |m| Some(m.score.false_tickets.len().to_string())),
        ("false tickets in a clean world", "≤ 2", |m| {
            m.clean.as_ref().map(|clean| clean.false_tickets.len().to_string())
        }),
    ];
    writeln!(out, "{:<36}{:>10}{:>10}{:>18}", "", "rules", "wanted", "plain thresholds")?;
    for (name, wanted, value) in rows {
        let cell = |measured: Option<&Measured>| measured.and_then(value).unwrap_or_else(|| "–".to_owned());
        writeln!(out, "{name:<36}{:>10}{wanted:>10}{:>18}", cell(Some(rules)), cell(plain))?;
    }
    Ok(())
}

fn percent_of(part: u32, whole: u32) -> Option<String> {
    (whole > 0).then(|| format!("{:.1} %", 100.0 * share(part, whole)))
}

fn print_kinds(out: &mut impl Write, score: &Score) -> Result<()> {
    writeln!(
        out,
        "\n{:<28}{:>9}{:>10}{:>9}{:>10}{:>12}{:>13}",
        "kind", "planted", "ticketed", "tickets", "touched", "complaints", "told before"
    )?;
    for kind in ProblemKind::ALL {
        let Some(figures) = score.kinds.get(&kind) else { continue };
        writeln!(
            out,
            "{:<28}{:>9}{:>10}{:>9}{:>10}{:>12}{:>13}",
            kind.as_str(),
            figures.planted,
            figures.ticketed,
            figures.tickets,
            figures.touched,
            figures.complaints,
            figures.told_before
        )?;
    }
    writeln!(
        out,
        "merged tickets: {}; notices: {}, false: {}",
        score.merged,
        score.notices,
        score.false_notices.len()
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
