//! Writing a batch of effects. Every statement is such that writing the same effect again changes nothing.

use crate::core::effect::{IncidentId, TicketStep};
use crate::delivery::store::Applied;
use crate::edge::store::sql::life::{self, Life};
use crate::edge::store::sql::proposals;
use crate::edge::store::sql::rows::{NoticeRow, Row, Ticket};
use crate::edge::store::sql::{Connection, Result, values};

pub async fn batch(connection: &mut dyn Connection, rows: &[Row]) -> Result<Applied> {
    let mut applied = Applied::default();
    for row in rows {
        let written = match row {
            Row::Ticket(ticket) => step(connection, ticket, &mut applied).await?,
            Row::Affected { incident, account, order_id, at } => {
                touch(connection, incident, account, order_id.as_deref(), *at).await?
            }
            Row::Notice(row) => notice(connection, row).await?,
            Row::Proposal(row) => proposals::write(connection, row).await?,
        };
        if written {
            applied.written += 1;
        } else {
            applied.repeated += 1;
        }
    }
    Ok(applied)
}

async fn step(connection: &mut dyn Connection, ticket: &Ticket, applied: &mut Applied) -> Result<bool> {
    let id = ticket.incident.to_string();
    let stored = connection
        .fetch_first(
            "SELECT i.revision, i.ended_at, i.merged_into, t.state, t.reason
         FROM incidents i JOIN tickets t ON t.id = i.id WHERE i.id = $1",
            values![&id],
        )
        .await?;
    let before = match &stored {
        Some(row) if row.get::<i64>("revision")? >= i64::from(ticket.revision) => return Ok(false),
        Some(row) => Life {
            state: row.get("state")?,
            reason: row.get("reason")?,
            ended_at: row.get("ended_at")?,
            merged_into: row.get::<Option<String>>("merged_into")?.and_then(|into| IncidentId::parse(&into)),
        },
        None => Life::new(),
    };
    if ticket.overtaken && stored.is_some() {
        return Ok(true);
    }
    let after = before.after(ticket.step, ticket.at);
    if after.ended_at.is_none() && (stored.is_none() || before.ended_at.is_some()) {
        applied.superseded += supersede_others(connection, ticket, &id).await?;
    }
    write_incident(connection, ticket, &id, &after).await?;
    write_ticket(connection, ticket, &id, &after).await?;
    audit(connection, ticket, &id).await?;
    if let Some((account, order_id)) = &ticket.account {
        touch(connection, &id, account, order_id.as_deref(), ticket.at).await?;
    }
    match ticket.step {
        TicketStep::Resolved(_) | TicketStep::Withdrawn => {
            cancel_untold(connection, &id).await?;
            if ticket.step == TicketStep::Withdrawn {
                cancel_staff(connection, &id).await?;
            }
        }
        // What nobody hears of brings nothing into a ticket that staff see.
        TicketStep::Merged(into) if ticket.shadow && !is_in_the_shadow(connection, into).await? => {
            cancel_untold(connection, &id).await?;
        }
        TicketStep::Merged(into) => merge(connection, &id, &into.to_string()).await?,
        TicketStep::Reopened => revive(connection, &id).await?,
        TicketStep::Opened | TicketStep::Updated | TicketStep::Escalated => {}
    }
    Ok(true)
}

async fn is_in_the_shadow(connection: &mut dyn Connection, incident: IncidentId) -> Result<bool> {
    connection.finds("SELECT id FROM tickets WHERE id = $1 AND shadow", values![&incident.to_string()]).await
}

/// Another open incident of the same rule and subject: the engine has lost it with its state, and made a new one.
/// The old one becomes part of the new one, so that there is one ticket and nobody is told twice.
async fn supersede_others(connection: &mut dyn Connection, ticket: &Ticket, id: &str) -> Result<u64> {
    let others = connection
        .fetch(
            "SELECT id FROM incidents WHERE rule = $1 AND subject = $2 AND ended_at IS NULL AND id <> $3",
            values![&ticket.rule, &ticket.subject, id],
        )
        .await?;
    for row in &others {
        let other: &str = &row.get::<String>("id")?;
        connection
            .execute(
                "UPDATE incidents SET ended_at = $2, merged_into = $3 WHERE id = $1",
                values![other, ticket.at, id],
            )
            .await?;
        connection
            .execute(
                "UPDATE tickets SET state = 'merged', reason = 'superseded' WHERE id = $1",
                values![other],
            )
            .await?;
        add_step(connection, other, None, ticket.at, "forewarn", "superseded", Some(id)).await?;
        merge(connection, other, id).await?;
    }
    Ok(others.len() as u64)
}

async fn write_incident(
    connection: &mut dyn Connection,
    ticket: &Ticket,
    id: &str,
    after: &Life,
) -> Result<()> {
    connection
        .execute(
            "INSERT INTO incidents (id, rule, rule_version, subject, since, started_at, opened_at, ended_at,
                                merged_into, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET rule_version = $3, since = $5, started_at = $6, ended_at = $8,
                                        merged_into = $9, revision = $10",
            values![
                id,
                &ticket.rule,
                ticket.rule_version,
                &ticket.subject,
                ticket.since,
                ticket.started_at,
                ticket.opened_at,
                after.ended_at,
                &after.merged_into.map(|into| into.to_string()),
                ticket.revision
            ],
        )
        .await?;
    Ok(())
}

async fn write_ticket(
    connection: &mut dyn Connection,
    ticket: &Ticket,
    id: &str,
    after: &Life,
) -> Result<()> {
    connection.execute("INSERT INTO tickets (id, state, reason, shadow, summary, category, department, severity, sla, opened_at,
                              value, limit_value, samples, approximate, affected, facts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (id) DO UPDATE SET state = $2, reason = $3, shadow = $4, summary = $5, category = $6,
             department = $7, severity = $8, sla = $9, value = $11, limit_value = $12, samples = $13,
             approximate = $14, affected = $15, facts = coalesce($16, tickets.facts)", values![id, &after.state, &after.reason, ticket.shadow, &ticket.summary, &ticket.category, &ticket.department, ticket.severity, &ticket.sla, ticket.opened_at, ticket.value, ticket.limit, ticket.samples, ticket.approximate, ticket.affected, &ticket.facts]).await?;
    Ok(())
}

/// Updates that follow each other share one row, so that a long trouble does not fill the audit trail with numbers.
async fn audit(connection: &mut dyn Connection, ticket: &Ticket, id: &str) -> Result<()> {
    let name = life::name(ticket.step);
    if ticket.step == TicketStep::Updated {
        let updated = connection
            .execute(
                "UPDATE ticket_steps SET revision = $2, at = $3
             WHERE step = 'updated' AND seq = (SELECT max(seq) FROM ticket_steps WHERE incident = $1)",
                values![id, ticket.revision, ticket.at],
            )
            .await?;
        if updated > 0 {
            return Ok(());
        }
    }
    let detail = life::detail(ticket.step);
    add_step(connection, id, Some(ticket.revision), ticket.at, "forewarn", name, detail.as_deref()).await
}

pub async fn add_step(
    connection: &mut dyn Connection,
    incident: &str,
    revision: Option<u32>,
    at: i64,
    actor: &str,
    step: &str,
    detail: Option<&str>,
) -> Result<()> {
    connection.execute("INSERT INTO ticket_steps (incident, revision, at, actor, step, detail) VALUES ($1, $2, $3, $4, $5, $6)", values![incident, revision.map(i64::from), at, actor, step, detail]).await?;
    Ok(())
}

async fn touch(
    connection: &mut dyn Connection,
    incident: &str,
    account: &str,
    order_id: Option<&str>,
    at: i64,
) -> Result<bool> {
    let inserted = connection.execute("INSERT INTO affected (incident, account, order_id, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", values![incident, account, order_id, at]).await?;
    Ok(inserted > 0)
}

/// Nobody is told after the trouble is over what is no longer true.
pub async fn cancel_untold(connection: &mut dyn Connection, incident: &str) -> Result<()> {
    connection
        .execute(
            "UPDATE notices SET state = 'cancelled', reason = 'over'
         WHERE incident = $1 AND state IN ('pending', 'held') AND stage IN ('opened', 'held')",
            values![incident],
        )
        .await?;
    cancel_ends_of_untold(connection, incident).await
}

/// Who was never told of the trouble is not told of its end either.
pub async fn cancel_ends_of_untold(connection: &mut dyn Connection, incident: &str) -> Result<()> {
    connection
        .execute(
            "UPDATE notices SET state = 'cancelled', reason = 'never_told'
         WHERE incident = $1 AND state IN ('pending', 'held') AND stage IN ('recovered', 'corrected')
           AND NOT EXISTS (SELECT 1 FROM notices o WHERE o.incident = notices.incident
                           AND o.account = notices.account AND o.stage = 'opened'
                           AND o.state IN ('sent', 'unknown', 'sending'))",
            values![incident],
        )
        .await?;
    Ok(())
}

async fn cancel_staff(connection: &mut dyn Connection, incident: &str) -> Result<()> {
    connection
        .execute(
            "UPDATE notices SET state = 'cancelled', reason = 'over'
         WHERE incident = $1 AND state IN ('pending', 'held') AND account = ''",
            values![incident],
        )
        .await?;
    Ok(())
}

/// The trouble is back: what was cancelled only because it had ended is due again.
async fn revive(connection: &mut dyn Connection, incident: &str) -> Result<()> {
    connection
        .execute(
            "UPDATE notices SET state = CASE WHEN hold IS NULL THEN 'pending' ELSE 'held' END, reason = hold
         WHERE incident = $1 AND stage = 'opened' AND state = 'cancelled' AND reason = 'over'",
            values![incident],
        )
        .await?;
    Ok(())
}

/// What was told of one incident counts as told of the other, and what waits to be told goes with it.
async fn merge(connection: &mut dyn Connection, from: &str, into: &str) -> Result<()> {
    // Who has been told of the symptom need not hear of the cause.
    connection
        .execute(
            "UPDATE notices SET state = 'cancelled', reason = 'merged'
         WHERE incident = $2 AND state IN ('pending', 'held') AND stage = 'opened'
           AND EXISTS (SELECT 1 FROM notices o WHERE o.incident = $1 AND o.account = notices.account
                       AND o.stage = 'opened' AND o.state IN ('sent', 'unknown', 'sending'))",
            values![from, into],
        )
        .await?;
    connection
        .execute(
            "UPDATE notices SET incident = $2 WHERE incident = $1 AND account <> ''
           AND NOT EXISTS (SELECT 1 FROM notices o WHERE o.incident = $2 AND o.account = notices.account
                           AND o.stage = notices.stage)",
            values![from, into],
        )
        .await?;
    connection
        .execute(
            "UPDATE notices SET state = 'cancelled', reason = 'merged'
         WHERE incident = $1 AND state IN ('pending', 'held')",
            values![from],
        )
        .await?;
    connection.execute("INSERT INTO affected (incident, account, order_id, at, told_at)
         SELECT $2, account, order_id, at, told_at FROM affected WHERE incident = $1
         ON CONFLICT (incident, account) DO UPDATE SET told_at = coalesce(affected.told_at, excluded.told_at)", values![from, into]).await?;
    proposals::merge(connection, from, into).await?;
    if is_over(connection, into).await? {
        cancel_untold(connection, into).await?;
    }
    Ok(())
}

pub async fn is_over(connection: &mut dyn Connection, incident: &str) -> Result<bool> {
    connection
        .finds("SELECT id FROM incidents WHERE id = $1 AND ended_at IS NOT NULL", values![incident])
        .await
}

/// Puts a message into the outbox, in the state that what is known of its incident calls for.
async fn notice(connection: &mut dyn Connection, row: &NoticeRow) -> Result<bool> {
    let known = connection
        .fetch_first("SELECT ended_at, merged_into FROM incidents WHERE id = $1", values![&row.incident])
        .await?;
    let (mut over, mut incident) = (false, row.incident.clone());
    if let Some(known) = known {
        over = known.get::<Option<i64>>("ended_at")?.is_some();
        if let Some(into) = known.get::<Option<String>>("merged_into")?
            && !row.account.is_empty()
        {
            over = is_over(connection, &into).await?;
            incident = into;
        }
    }
    let (state, reason) = match row.stage {
        "opened" | "held" if over => ("cancelled", Some("over")),
        "recovered" | "corrected" => end_state(connection, row, &incident).await?,
        _ => match row.hold {
            Some(hold) => ("held", Some(hold.as_str())),
            None => ("pending", None),
        },
    };
    let hold = row.hold.filter(|_| state != "pending").map(|hold| hold.as_str());
    let inserted = connection.execute("INSERT INTO notices (id, incident, origin, account, stage, rule, subject, template, recipient, via, locale,
                              facts, decided_at, state, hold, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT DO NOTHING", values![&row.id, &incident, &row.incident, &row.account, row.stage, &row.rule, &row.subject, &row.template, row.recipient, row.via, row.locale, &row.facts, row.decided_at, state, hold, reason]).await?;
    if row.stage == "opened" {
        touch(connection, &incident, &row.account, row.order_id.as_deref(), row.decided_at).await?;
    }
    Ok(inserted > 0)
}

/// A message about the end waits until the one about the beginning has gone, and is not sent if that never goes.
async fn end_state(
    connection: &mut dyn Connection,
    row: &NoticeRow,
    incident: &str,
) -> Result<(&'static str, Option<&'static str>)> {
    let opened = connection
        .fetch_first(
            "SELECT state FROM notices WHERE incident = $1 AND account = $2 AND stage = 'opened'",
            values![incident, &row.account],
        )
        .await?;
    let opened: Option<String> = opened.map(|opened| opened.get("state")).transpose()?;
    Ok(match (opened.as_deref(), row.hold) {
        // A person has let the first one go, so that the limit that held it no longer holds this one.
        (Some("sent" | "unknown" | "sending"), Some(hold)) if hold.is_limit() => ("pending", None),
        (Some("sent" | "unknown" | "sending"), Some(hold)) => ("held", Some(hold.as_str())),
        (Some("sent" | "unknown" | "sending"), None) => ("pending", None),
        (Some("pending" | "held"), _) => {
            connection
                .execute(
                    "UPDATE notices SET state = 'cancelled', reason = 'over'
                 WHERE incident = $1 AND account = $2 AND stage = 'opened'",
                    values![incident, &row.account],
                )
                .await?;
            ("cancelled", Some("never_told"))
        }
        _ => ("cancelled", Some("never_told")),
    })
}
