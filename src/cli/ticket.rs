//! `forewarn ticket`: tickets in the store, for the support desk. Reads and writes the database beside the daemon.

mod print;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::format::Format;
use super::setup;
use crate::core::effect::IncidentId;
use crate::core::rule::parse::parse_duration;
use crate::core::time::{Span, Time};
use crate::delivery::store::{ActionResult, Store, TicketDetail, TicketFilter};
use crate::edge::clock;
use crate::edge::store::Database;
use crate::settings::Settings;

/// List, show, acknowledge and close tickets
#[derive(Debug, Args)]
#[command(
    after_help = "A ticket is named by its id, by the beginning of it, or by the reference that the customer has (FW-1A2B3C4D).\n\nExamples:\n  forewarn ticket list -c forewarn.toml --state open\n  forewarn ticket show -c forewarn.toml FW-1A2B3C4D\n  forewarn ticket ack -c forewarn.toml FW-1A2B3C4D --actor li"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List tickets, the newest first
    #[command(after_help = "Examples:
  forewarn ticket list -c forewarn.toml
  forewarn ticket list -c forewarn.toml --state open --since 24h
  forewarn ticket list -c forewarn.toml --order o1234 --format json
  forewarn ticket list -c forewarn.toml --shadow --since 7d")]
    List(ListArguments),
    /// Show one ticket: evidence, customers affected, what they were told, every step
    #[command(after_help = "Examples:
  forewarn ticket show -c forewarn.toml FW-1A2B3C4D
  forewarn ticket show -c forewarn.toml 1a2b3c4d --format json")]
    Show(OneArguments),
    /// Acknowledge a ticket: somebody works on it
    #[command(after_help = "Examples:
  forewarn ticket ack -c forewarn.toml FW-1A2B3C4D --actor li")]
    Ack(ActArguments),
    /// Close a ticket; nobody is told of it any more
    #[command(after_help = "Examples:
  forewarn ticket close -c forewarn.toml FW-1A2B3C4D --actor li --note 'the bank has confirmed it'")]
    Close(CloseArguments),
    /// Let go the messages of a ticket that wait for approval
    #[command(after_help = "Examples:
  forewarn ticket release -c forewarn.toml FW-1A2B3C4D --actor li")]
    Release(ActArguments),
}

#[derive(Debug, Args)]
struct Common {
    /// The configuration file; its store.url says where the tickets are
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    common: Common,
    /// Only tickets that touch this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only tickets that touch this order
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// Only tickets in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only tickets opened since: a time as 2026-10-01T08:00:00Z, or how long ago as 90m, 2h, 7d
    #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
    since: Option<Since>,
    /// Tickets of rules in the shadow, in place of those that staff see
    #[arg(long)]
    shadow: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

#[derive(Debug, Args)]
struct OneArguments {
    #[command(flatten)]
    common: Common,
    /// Its id, the beginning of it, or its reference
    ticket: String,
}

#[derive(Debug, Args)]
struct ActArguments {
    #[command(flatten)]
    one: OneArguments,
    /// Who does it, for the record
    #[arg(long, value_name = "NAME", default_value = "cli")]
    actor: String,
}

#[derive(Debug, Args)]
struct CloseArguments {
    #[command(flatten)]
    act: ActArguments,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Open,
    Acknowledged,
    Resolved,
    Withdrawn,
    Merged,
    Closed,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Withdrawn => "withdrawn",
            Self::Merged => "merged",
            Self::Closed => "closed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    At(Time),
    Ago(Span),
}

pub(super) fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::At(Time::from_millis(timestamp.as_millisecond())));
    }
    let expected = || "expected a time as 2026-10-01T08:00:00Z, or a span as 90m, 2h, 7d".to_owned();
    let span = parse_duration(text).filter(|span| *span >= Span::ZERO);
    span.map(Since::Ago).ok_or_else(expected)
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let printed = runtime.block_on(async {
        match &arguments.action {
            Action::List(list_arguments) => list(list_arguments).await,
            Action::Show(one) => show(one).await,
            Action::Ack(act) => acknowledge(act).await,
            Action::Close(close_arguments) => close(close_arguments).await,
            Action::Release(act) => release(act).await,
        }
    })?;
    std::io::stdout().lock().write_all(printed.as_bytes()).context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

struct Desk {
    settings: Settings,
    store: Database,
}

impl Desk {
    async fn open(common: &Common) -> anyhow::Result<Self> {
        let settings = setup::settings(common.config.as_deref())?;
        let store = Database::attach(&settings.store).await?;
        Ok(Self { settings, store })
    }

    /// The one ticket that is meant.
    async fn find(&self, named: &str) -> anyhow::Result<TicketDetail> {
        let lower = named.trim().to_ascii_lowercase();
        let beginning = lower.strip_prefix("fw-").unwrap_or(&lower);
        let mut found = self.store.ticket(beginning).await?;
        match (found.pop(), found.is_empty()) {
            (Some(detail), true) => Ok(detail),
            (None, _) => bail!("there is no ticket {named:?} in {}", self.settings.store),
            (Some(_), false) => bail!("more than one ticket begins with {named:?}; give more of its id"),
        }
    }
}

async fn list(arguments: &ListArguments) -> anyhow::Result<String> {
    let desk = Desk::open(&arguments.common).await?;
    let since = arguments.since.map(|since| match since {
        Since::At(time) => time,
        Since::Ago(span) => clock::now() - span,
    });
    let filter = TicketFilter {
        account: arguments.account.clone(),
        order: arguments.order.clone(),
        state: arguments.state.map(|state| state.as_str().to_owned()),
        since,
        shadow: arguments.shadow,
        limit: arguments.limit,
    };
    let tickets = desk.store.tickets(&filter).await?;
    Ok(match arguments.common.format {
        Format::Json => print::json_list(&tickets),
        Format::Text => print::table(&tickets, &desk.settings.time_zone),
    })
}

async fn show(arguments: &OneArguments) -> anyhow::Result<String> {
    let desk = Desk::open(&arguments.common).await?;
    let detail = desk.find(&arguments.ticket).await?;
    Ok(match arguments.common.format {
        Format::Json => print::json_detail(&detail),
        Format::Text => print::sheet(&detail, &desk.settings.time_zone),
    })
}

async fn acknowledge(arguments: &ActArguments) -> anyhow::Result<String> {
    let desk = Desk::open(&arguments.one.common).await?;
    let id = desk.find(&arguments.one.ticket).await?.ticket.id;
    let result = desk.store.acknowledge(id, &arguments.actor, clock::now()).await?;
    done(arguments.one.common.format, id, "acknowledged", result)
}

async fn close(arguments: &CloseArguments) -> anyhow::Result<String> {
    let ActArguments { one, actor } = &arguments.act;
    let desk = Desk::open(&one.common).await?;
    let id = desk.find(&one.ticket).await?.ticket.id;
    // The store itself has a method of this name, which closes a ticket.
    let result = Store::close(&desk.store, id, actor, clock::now(), arguments.note.as_deref()).await?;
    done(one.common.format, id, "closed", result)
}

async fn release(arguments: &ActArguments) -> anyhow::Result<String> {
    let desk = Desk::open(&arguments.one.common).await?;
    let id = desk.find(&arguments.one.ticket).await?.ticket.id;
    let count = desk.store.release_held(Some(id), &arguments.actor, clock::now()).await?;
    Ok(match arguments.one.common.format {
        Format::Json => format!("{}\n", serde_json::json!({"id": id.to_string(), "released": count})),
        Format::Text if count == 0 => format!("no message of ticket {id} waits for approval\n"),
        Format::Text => format!("{count} messages of ticket {id} will be sent\n"),
    })
}

fn done(format: Format, id: IncidentId, state: &str, result: ActionResult) -> anyhow::Result<String> {
    let words = match result {
        ActionResult::Done => format!("ticket {id} is {state}\n"),
        ActionResult::Already => format!("ticket {id} was {state} before\n"),
        ActionResult::NotFound => bail!("there is no ticket {id}"),
        ActionResult::Ended => bail!("ticket {id} has ended; only an open ticket can be {state}"),
    };
    Ok(match format {
        Format::Json => {
            let changed = result == ActionResult::Done;
            format!("{}\n", serde_json::json!({"id": id.to_string(), "state": state, "changed": changed}))
        }
        Format::Text => words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let time = Since::At(Time::from_millis(1_790_842_320_000));
        let cases = [
            ("2026-10-01T08:12:00Z", Some(time)),
            ("2026-10-01T16:12:00+08:00", Some(time)),
            ("90m", Some(Since::Ago(Span::from_mins(90)))),
            ("7d", Some(Since::Ago(Span::from_secs(7 * 86_400)))),
            ("0s", Some(Since::Ago(Span::ZERO))),
            ("-5m", None),
            ("7", None),
            ("d", None),
            ("7w", None),
            ("yesterday", None),
            ("99999999999999999999d", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_since(text).ok(), expected, "{text}");
        }
    }
}
