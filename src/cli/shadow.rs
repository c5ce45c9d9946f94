//! `forewarn shadow`: what the rules in the shadow would have done, from the daemon's store, so that their author can decide.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::format::Format;
use super::setup;
use super::ticket::{Since, parse_since};
use crate::core::rule::RuleState;
use crate::core::time::{Span, Time};
use crate::delivery::store::{ShadowRow, Store as _};
use crate::edge::clock;
use crate::edge::store::Database;

/// Show what the rules in the shadow would have done
#[derive(Debug, Args)]
#[command(
    after_help = "Rules with `state: shadow` do everything but tell people; their tickets are kept for this. A customer counts once
for each rule. \"Told by others\" are those of them whom rules that are active told of something within a day.

Examples:
  forewarn shadow -c forewarn.toml
  forewarn shadow -c forewarn.toml --since 30d --format json
  forewarn ticket list -c forewarn.toml --shadow                 the tickets themselves"
)]
pub(super) struct Arguments {
    /// The configuration file; its store.url says where the tickets are
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Since when: a time as 2026-10-01T08:00:00Z, or how long ago as 90m, 2h, 7d
    #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since, default_value = "7d")]
    since: Since,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = setup::settings(arguments.config.as_deref())?;
    let now = clock::now();
    let since = match arguments.since {
        Since::At(time) => time,
        Since::Ago(span) => now - span,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let found = runtime.block_on(async {
        let store = Database::attach(&settings.store).await?;
        anyhow::Ok(store.in_the_shadow(since).await?)
    })?;
    // Rules that have found nothing are worth a line as well; where the rules can't be read, the store still can.
    let options = setup::load_options(&settings);
    let rules = setup::rule_set(&settings.rules.path, &options);
    let quiet = rules.iter().flat_map(|rules| &rules.rules).filter(|rule| rule.state == RuleState::Shadow);
    let mut rows: BTreeMap<String, (ShadowRow, bool)> = quiet
        .map(|rule| {
            let row = ShadowRow { rule: rule.name.clone(), version: rule.version, ..ShadowRow::default() };
            (rule.name.clone(), (row, true))
        })
        .collect();
    for row in found {
        let still = rows.contains_key(&row.rule);
        rows.insert(row.rule.clone(), (row, still));
    }
    let rows: Vec<(ShadowRow, bool)> = rows.into_values().collect();
    let printed = match arguments.format {
        Format::Json => rows.iter().map(|(row, still)| line(row, *still)).collect(),
        Format::Text => table(&rows, since, now.since(since)),
    };
    std::io::stdout().lock().write_all(printed.as_bytes()).context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn line(row: &ShadowRow, still: bool) -> String {
    let moment = |time: Option<Time>| time.map(|time| time.to_string());
    let line = json!({
        "rule": row.rule, "version": format!("{:016x}", row.version), "versions": row.versions, "in_the_shadow": still,
        "tickets": row.tickets, "open": row.open, "withdrawn": row.withdrawn, "merged": row.merged,
        "affected": row.affected, "would_tell": row.would_tell, "told_by_others": row.told_by_others,
        "first_opened": moment(row.first_opened), "last_opened": moment(row.last_opened),
    });
    format!("{line}\n")
}

fn table(rows: &[(ShadowRow, bool)], since: Time, span: Span) -> String {
    if rows.is_empty() {
        return "no rule is in the shadow, and none was\n".to_owned();
    }
    let days = (span.as_secs_f64() / 86_400.0).max(1.0 / 24.0);
    let width = rows.iter().map(|(row, _)| row.rule.len()).max().unwrap_or(0).max("RULE".len());
    let mut text = format!(
        "since {since}: what would have been\n\n{:<width$}  {:>7}  {:>7}  {:>9}  {:>6}  {:>8}  {:>10}  {:>14}  LAST\n",
        "RULE", "TICKETS", "PER DAY", "WITHDRAWN", "MERGED", "AFFECTED", "WOULD TELL", "TOLD BY OTHERS"
    );
    for (row, still) in rows {
        let last = row.last_opened.map_or_else(|| "-".to_owned(), |time| time.to_string());
        let changed = match (still, row.versions) {
            (false, _) => "  (not in the shadow any more)".to_owned(),
            (true, 2..) => format!("  ({} versions)", row.versions),
            (true, _) => String::new(),
        };
        let per_day = row.tickets as f64 / days;
        text.push_str(&format!(
            "{:<width$}  {:>7}  {per_day:>7.1}  {:>9}  {:>6}  {:>8}  {:>10}  {:>14}  {last}{changed}\n",
            row.rule,
            row.tickets,
            row.withdrawn,
            row.merged,
            row.affected,
            row.would_tell,
            row.told_by_others
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_would_have_been_and_what_has_changed_since() {
        let row = |rule: &str, tickets, versions| ShadowRow {
            rule: rule.to_owned(),
            tickets,
            versions,
            would_tell: 3 * tickets,
            ..ShadowRow::default()
        };
        let rows = [
            (row("a", 14, 1), true),
            (row("bb", 7, 2), true),
            (row("c", 1, 1), false),
            (row("d", 0, 0), true),
        ];
        let since = Time::from_millis(1_790_842_320_000);
        let shown = table(&rows, since, Span::from_secs(7 * 86_400));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "since 2026-10-01T08:12:00Z: what would have been");
        assert!(lines[3].starts_with("a          14      2.0 "), "{shown}");
        assert!(lines[4].ends_with("(2 versions)") && lines[4].contains(" 21 "), "{shown}");
        assert!(lines[5].ends_with("(not in the shadow any more)"), "{shown}");
        assert!(lines[6].ends_with(" 0  -"), "{shown}");
        assert_eq!(table(&[], since, Span::ZERO), "no rule is in the shadow, and none was\n");
    }
}
