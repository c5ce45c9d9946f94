//! `forewarn ticket`: the tickets in the store, for people and scripts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::core::time::Time;
use crate::delivery::store::{ActionResult, Store, TicketDetail, TicketFilter, TicketRow};
use crate::edge::clock;
use crate::edge::store::sqlite::SqliteStore;
use crate::settings::{Settings, Sources};

/// List, show, acknowledge and close tickets
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn ticket list --state open
  forewarn ticket list --account a42 --format json
  forewarn ticket show 3f2a
  forewarn ticket close 3f2a --actor li --note 'supplier has re-issued the keys'")]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The newest first
    List(ListArguments),
    /// One ticket: whom it touches, who was told what, every step
    Show(OneArguments),
    /// Say that somebody looks after it
    Ack(OneArguments),
    /// End it by hand
    Close(OneArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    common: Common,
    /// Only tickets that touch this account
    #[arg(long)]
    account: Option<String>,
    /// Only tickets about this order
    #[arg(long)]
    order: Option<String>,
    /// Only tickets in this state, such as open or resolved
    #[arg(long)]
    state: Option<String>,
    /// Only tickets opened since then (RFC 3339)
    #[arg(long)]
    since: Option<jiff::Timestamp>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, Args)]
struct OneArguments {
    #[command(flatten)]
    common: Common,
    /// The ticket's id, or its beginning
    id: String,
    /// Who acts, for the record
    #[arg(long, default_value = "cli")]
    actor: String,
    /// What was found or done
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Args)]
struct Common {
    /// The configuration; of it only the store is used
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let lines = runtime.block_on(act(&arguments.action))?;
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn act(action: &Action) -> anyhow::Result<Vec<String>> {
    match action {
        Action::List(arguments) => {
            let filter = TicketFilter {
                account: arguments.account.clone(),
                order: arguments.order.clone(),
                state: arguments.state.clone(),
                since: arguments.since.map(|since| Time::from_millis(since.as_millisecond())),
                limit: arguments.limit,
            };
            let tickets = open(arguments.common.config.as_deref()).await?.tickets(&filter).await?;
            let json = arguments.common.format == Format::Json;
            Ok(tickets.iter().map(|row| if json { json_of(row).to_string() } else { text_of(row) }).collect())
        }
        Action::Show(arguments) => {
            let store = open(arguments.common.config.as_deref()).await?;
            let detail = find(&store, &arguments.id).await?;
            Ok(shown(&detail, arguments.common.format))
        }
        Action::Ack(arguments) => {
            let store = open(arguments.common.config.as_deref()).await?;
            let id = find(&store, &arguments.id).await?.ticket.id;
            told(store.acknowledge(id, &arguments.actor, clock::now()).await?, "acknowledged")
        }
        Action::Close(arguments) => {
            let store = open(arguments.common.config.as_deref()).await?;
            let id = find(&store, &arguments.id).await?.ticket.id;
            let note = arguments.note.as_deref();
            told(store.close(id, &arguments.actor, clock::now(), note).await?, "closed")
        }
    }
}

async fn open(config: Option<&Path>) -> anyhow::Result<SqliteStore> {
    let sources = Sources { file: config.map(Path::to_owned), ..Sources::default() };
    let settings = Settings::load(&sources)?;
    Ok(SqliteStore::attach(&settings.store.path).await?)
}

async fn find(store: &SqliteStore, id: &str) -> anyhow::Result<TicketDetail> {
    let mut found = store.ticket(id).await?;
    match (found.pop(), found.len()) {
        (Some(detail), 0) => Ok(detail),
        (None, _) => bail!("there is no ticket {id}; see forewarn ticket list"),
        (Some(_), others) => bail!("{} tickets begin with {id}; expected more of the id", others + 1),
    }
}

fn told(result: ActionResult, done: &str) -> anyhow::Result<Vec<String>> {
    match result {
        ActionResult::Done => Ok(vec![done.to_owned()]),
        ActionResult::Already => bail!("the ticket was {done} before"),
        ActionResult::NotFound => bail!("the ticket is gone"),
        ActionResult::Ended => bail!("the ticket has ended, so it cannot be {done}"),
    }
}

fn json_of(row: &TicketRow) -> Value {
    let subject: Map<String, Value> =
        row.subject.0.iter().map(|(name, value)| (name.to_string(), Value::from(value.as_str()))).collect();
    json!({
        "id": row.id.to_string(), "rule": row.rule.as_str(), "subject": subject, "state": row.state,
        "reason": row.reason, "severity": row.severity, "summary": row.summary, "category": row.category,
        "department": row.department, "sla": row.sla, "since": row.since.to_string(),
        "opened_at": row.opened_at.to_string(), "ended_at": row.ended_at.map(|time| time.to_string()),
        "merged_into": row.merged_into.map(|id| id.to_string()), "value": row.value, "limit": row.limit,
        "samples": row.samples, "affected": row.affected, "told": row.told,
    })
}

fn text_of(row: &TicketRow) -> String {
    let subject: Vec<String> = row.subject.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!(
        "{}  {}  {:<9} {:<8} {:<28} {}  affected {}, told {}",
        row.id,
        row.opened_at,
        row.state,
        row.severity,
        row.rule,
        subject.join(" "),
        row.affected,
        row.told
    )
}

fn shown(detail: &TicketDetail, format: Format) -> Vec<String> {
    if format == Format::Json {
        return vec![json_of(&detail.ticket).to_string()];
    }
    let mut lines = vec![text_of(&detail.ticket), format!("  {}", detail.ticket.summary)];
    for affected in &detail.affected {
        let order = affected.order_id.as_deref().unwrap_or("-");
        let told = affected.told_at.map_or_else(|| "not told".to_owned(), |time| format!("told {time}"));
        lines.push(format!("  touches {} order {order} since {}: {told}", affected.account_id, affected.at));
    }
    for notice in &detail.notices {
        let reason = notice.reason.as_deref().unwrap_or_default();
        lines.push(format!("  {} {} {} {reason}", notice.template, notice.account_id, notice.state));
    }
    lines
}
