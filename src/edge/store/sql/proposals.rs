//! What is proposed: one row for each incident, account and kind, whatever is written again.

use crate::core::effect::{Effect, Proposal, ProposalState, Proposed};
use crate::core::event::TextField;
use crate::delivery::proposal::ProposalId;
use crate::delivery::store::ProposalRow;
use crate::edge::store::encode;
use crate::edge::store::sql::rows::time;
use crate::edge::store::sql::{Connection, Result, Row, known, values};

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
pub async fn write(connection: &mut dyn Connection, row: &NewProposal) -> Result<bool> {
    // The incident may have been merged into another one since.
    let merged = connection
        .fetch_first("SELECT merged_into FROM incidents WHERE id = $1", values![&row.incident])
        .await?;
    let merged: Option<String> = merged.map(|row| row.get("merged_into")).transpose()?.flatten();
    let incident = merged.unwrap_or_else(|| row.incident.clone());
    // An incident that had lost its state is found anew under another id, and takes over what the old one has proposed.
    let written = connection.execute("INSERT INTO proposals (id, incident, origin, account, rule, subject, kind, action, amount, currency, undecided,
                                order_id, card_id, state, number, decided_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
         WHERE NOT EXISTS (SELECT 1 FROM proposals o WHERE o.incident = $2 AND o.account = $4 AND o.rule = $5
                           AND o.subject = $6 AND o.kind = $7 AND o.state <> 'withdrawn' AND o.id <> $1)
         ON CONFLICT (id) DO UPDATE SET state = $14, number = $15 WHERE proposals.number < $15", values![&row.id, &incident, &row.origin, &row.account, &row.rule, &row.subject, row.kind, &row.action, &row.amount, &row.currency, row.undecided, &row.order_id, &row.card_id, row.state, row.number, row.decided_at]).await?;
    Ok(written > 0)
}

/// What one incident has proposed is shown on the ticket of the other.
pub async fn merge(connection: &mut dyn Connection, from: &str, into: &str) -> Result<()> {
    connection.execute("UPDATE proposals SET incident = $2 WHERE incident = $1", values![from, into]).await?;
    Ok(())
}

pub fn read(row: &Row) -> Result<ProposalRow> {
    let id: String = row.get("id")?;
    Ok(ProposalRow {
        id: ProposalId::parse(&id).ok_or_else(|| known::unreadable("id", &id))?,
        account_id: row.get("account")?,
        rule: row.get("rule")?,
        kind: row.get("kind")?,
        action: row.get("action")?,
        amount: row.get("amount")?,
        currency: row.get("currency")?,
        undecided: row.get("undecided")?,
        order_id: row.get("order_id")?,
        card_id: row.get("card_id")?,
        state: row.get("state")?,
        decided_at: time(row.get("decided_at")?),
    })
}
