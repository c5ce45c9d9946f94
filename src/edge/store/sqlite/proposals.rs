//! What is proposed: one row for each incident, account and kind, whatever is written again.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::core::effect::{Effect, Proposal, ProposalState, Proposed};
use crate::core::event::TextField;
use crate::delivery::proposal::ProposalId;
use crate::delivery::store::ProposalRow;
use crate::edge::store::encode;
use crate::edge::store::sqlite::known;
use crate::edge::store::sqlite::rows::time;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A row to be written.
pub struct NewProposal {
    id: String,
    incident: String,
    origin: String,
    account: String,
    rule: String,
    subject: String,
    kind: &'static str,
    action: Option<String>,
    amount: Option<String>,
    currency: Option<String>,
    undecided: Option<&'static str>,
    order_id: Option<String>,
    card_id: Option<String>,
    state: &'static str,
    number: i64,
    decided_at: i64,
}

pub fn encode(effect: &Effect, proposal: &Proposal) -> NewProposal {
    let text = |field| proposal.facts.as_ref().and_then(|facts| facts.text(field)).map(str::to_owned);
    let (action, money, undecided) = match &proposal.what {
        Proposed::Action(name) => (Some(name.to_string()), None, None),
        Proposed::Compensation(Ok(money)) => (None, Some(money), None),
        Proposed::Compensation(Err(undecided)) => (None, None, Some(undecided.as_str())),
    };
    NewProposal {
        id: ProposalId::of(proposal).to_string(),
        incident: effect.incident.to_string(),
        origin: proposal.origin.to_string(),
        account: proposal.account_id.to_string(),
        rule: effect.rule.to_string(),
        subject: encode::subject(&effect.subject),
        kind: proposal.what.kind(),
        action,
        amount: money.map(|money| money.amount.to_string()),
        currency: money.map(|money| money.currency.to_string()),
        undecided,
        order_id: text(TextField::OrderId),
        card_id: text(TextField::CardId),
        state: match proposal.state {
            ProposalState::Withdrawn => "withdrawn",
            ProposalState::Proposed if proposal.shadow => "shadow",
            ProposalState::Proposed => "proposed",
        },
        number: i64::from(proposal.number),
        decided_at: effect.at.as_millis(),
    }
}

/// Writes a proposal, or what became of it. Says whether anything changed.
pub async fn write(connection: &mut SqliteConnection, row: &NewProposal) -> Result<bool> {
    // The incident may have been merged into another one since.
    let merged: Option<Option<String>> =
        sqlx::query_scalar("SELECT merged_into FROM incidents WHERE id = ?1")
            .bind(&row.incident)
            .fetch_optional(&mut *connection)
            .await?;
    let incident = merged.flatten().unwrap_or_else(|| row.incident.clone());
    // An incident that had lost its state is found anew under another id, and takes over what the old one has proposed.
    let written = sqlx::query(
        "INSERT INTO proposals (id, incident, origin, account, rule, subject, kind, action, amount, currency, undecided,
                                order_id, card_id, state, number, decided_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16
         WHERE NOT EXISTS (SELECT 1 FROM proposals o WHERE o.incident = ?2 AND o.account = ?4 AND o.rule = ?5
                           AND o.subject = ?6 AND o.kind = ?7 AND o.state <> 'withdrawn' AND o.id <> ?1)
         ON CONFLICT (id) DO UPDATE SET state = ?14, number = ?15 WHERE number < ?15",
    )
    .bind(&row.id)
    .bind(&incident)
    .bind(&row.origin)
    .bind(&row.account)
    .bind(&row.rule)
    .bind(&row.subject)
    .bind(row.kind)
    .bind(&row.action)
    .bind(&row.amount)
    .bind(&row.currency)
    .bind(row.undecided)
    .bind(&row.order_id)
    .bind(&row.card_id)
    .bind(row.state)
    .bind(row.number)
    .bind(row.decided_at)
    .execute(connection)
    .await?;
    Ok(written.rows_affected() > 0)
}

/// What one incident has proposed is shown on the ticket of the other.
pub async fn merge(connection: &mut SqliteConnection, from: &str, into: &str) -> Result<()> {
    sqlx::query("UPDATE proposals SET incident = ?2 WHERE incident = ?1")
        .bind(from)
        .bind(into)
        .execute(connection)
        .await?;
    Ok(())
}

pub fn read(row: &SqliteRow) -> Result<ProposalRow> {
    let id: String = row.try_get("id")?;
    Ok(ProposalRow {
        id: ProposalId::parse(&id).ok_or_else(|| known::unreadable("id", &id))?,
        account_id: row.try_get("account")?,
        rule: row.try_get("rule")?,
        kind: row.try_get("kind")?,
        action: row.try_get("action")?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        undecided: row.try_get("undecided")?,
        order_id: row.try_get("order_id")?,
        card_id: row.try_get("card_id")?,
        state: row.try_get("state")?,
        decided_at: time(row.try_get("decided_at")?),
    })
}
