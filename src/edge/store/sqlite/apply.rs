//! Writing a batch of effects. Every statement is such that writing the same effect again changes nothing.

use sqlx::{Row as _, SqliteConnection};

use crate::core::effect::{IncidentId, TicketStep};
use crate::delivery::store::Applied;
use crate::edge::store::sqlite::life::{self, Life};
use crate::edge::store::sqlite::proposals;
use crate::edge::store::sqlite::rows::{NoticeRow, Row, Ticket};

type Result<T> = std::result::Result<T, sqlx::Error>;

pub async fn batch(connection: &mut SqliteConnection, rows: Vec<Row>) -> Result<Applied> {
    let mut applied = Applied::default();
    for row in rows {
        let written = match row {
            Row::Ticket(ticket) => step(connection, &ticket, &mut applied).await?,
            Row::Affected { incident, account, order_id, at } => {
                touch(connection, &incident, &account, order_id.as_deref(), at).await?
            }
            Row::Notice(row) => notice(connection, &row).await?,
            Row::Proposal(row) => proposals::write(connection, &row).await?,
        };
        if written {
            applied.written += 1;
        } else {
            applied.repeated += 1;
        }
    }
    Ok(applied)
}

async fn step(connection: &mut SqliteConnection, ticket: &Ticket, applied: &mut Applied) -> Result<bool> {
    let id = ticket.incident.to_string();
    let stored = sqlx::query(
        "SELECT i.revision, i.ended_at, i.merged_into, t.state, t.reason
         FROM incidents i JOIN tickets t ON t.id = i.id WHERE i.id = ?1",
    )
    .bind(&id)
    .fetch_optional(&mut *connection)
    .await?;
    let before = match &stored {
        Some(row) if row.try_get::<i64, _>("revision")? >= i64::from(ticket.revision) => return Ok(false),
        Some(row) => Life {
            state: row.try_get("state")?,
            reason: row.try_get("reason")?,
            ended_at: row.try_get("ended_at")?,
            merged_into: row
                .try_get::<Option<String>, _>("merged_into")?
                .and_then(|into| IncidentId::parse(&into)),
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

async fn is_in_the_shadow(connection: &mut SqliteConnection, incident: IncidentId) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tickets WHERE id = ?1 AND shadow = 1)")
        .bind(incident.to_string())
        .fetch_one(connection)
        .await
}

/// Another open incident of the same rule and subject: the engine has lost it with its state, and made a new one.
/// The old one becomes part of the new one, so that there is one ticket and nobody is told twice.
async fn supersede_others(connection: &mut SqliteConnection, ticket: &Ticket, id: &str) -> Result<u64> {
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM incidents WHERE rule = ?1 AND subject = ?2 AND ended_at IS NULL AND id <> ?3",
    )
    .bind(&ticket.rule)
    .bind(&ticket.subject)
    .bind(id)
    .fetch_all(&mut *connection)
    .await?;
    for other in &others {
        sqlx::query("UPDATE incidents SET ended_at = ?2, merged_into = ?3 WHERE id = ?1")
            .bind(other)
            .bind(ticket.at)
            .bind(id)
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE tickets SET state = 'merged', reason = 'superseded' WHERE id = ?1")
            .bind(other)
            .execute(&mut *connection)
            .await?;
        add_step(connection, other, None, ticket.at, "forewarn", "superseded", Some(id)).await?;
        merge(connection, other, id).await?;
    }
    Ok(others.len() as u64)
}

async fn write_incident(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    id: &str,
    after: &Life,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO incidents (id, rule, rule_version, subject, since, started_at, opened_at, ended_at,
                                merged_into, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET rule_version = ?3, since = ?5, started_at = ?6, ended_at = ?8,
                                        merged_into = ?9, revision = ?10",
    )
    .bind(id)
    .bind(&ticket.rule)
    .bind(ticket.rule_version)
    .bind(&ticket.subject)
    .bind(ticket.since)
    .bind(ticket.started_at)
    .bind(ticket.opened_at)
    .bind(after.ended_at)
    .bind(after.merged_into.map(|into| into.to_string()))
    .bind(i64::from(ticket.revision))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_ticket(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    id: &str,
    after: &Life,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO tickets (id, state, reason, shadow, summary, category, department, severity, sla, opened_at,
                              value, limit_value, samples, approximate, affected, facts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id) DO UPDATE SET state = ?2, reason = ?3, shadow = ?4, summary = ?5, category = ?6,
             department = ?7, severity = ?8, sla = ?9, value = ?11, limit_value = ?12, samples = ?13,
             approximate = ?14, affected = ?15, facts = coalesce(?16, facts)",
    )
    .bind(id)
    .bind(&after.state)
    .bind(&after.reason)
    .bind(ticket.shadow)
    .bind(&ticket.summary)
    .bind(&ticket.category)
    .bind(&ticket.department)
    .bind(ticket.severity)
    .bind(&ticket.sla)
    .bind(ticket.opened_at)
    .bind(ticket.value)
    .bind(ticket.limit)
    .bind(ticket.samples)
    .bind(ticket.approximate)
    .bind(ticket.affected)
    .bind(&ticket.facts)
    .execute(connection)
    .await?;
    Ok(())
}

/// Updates that follow each other share one row, so that a long trouble does not fill the audit trail with numbers.
async fn audit(connection: &mut SqliteConnection, ticket: &Ticket, id: &str) -> Result<()> {
    let name = life::name(ticket.step);
    if ticket.step == TicketStep::Updated {
        let updated = sqlx::query(
            "UPDATE ticket_steps SET revision = ?2, at = ?3
             WHERE step = 'updated' AND seq = (SELECT max(seq) FROM ticket_steps WHERE incident = ?1)",
        )
        .bind(id)
        .bind(i64::from(ticket.revision))
        .bind(ticket.at)
        .execute(&mut *connection)
        .await?;
        if updated.rows_affected() > 0 {
            return Ok(());
        }
    }
    let detail = life::detail(ticket.step);
    add_step(connection, id, Some(ticket.revision), ticket.at, "forewarn", name, detail.as_deref()).await
}

pub async fn add_step(
    connection: &mut SqliteConnection,
    incident: &str,
    revision: Option<u32>,
    at: i64,
    actor: &str,
    step: &str,
    detail: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO ticket_steps (incident, revision, at, actor, step, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(incident)
    .bind(revision.map(i64::from))
    .bind(at)
    .bind(actor)
    .bind(step)
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}

async fn touch(
    connection: &mut SqliteConnection,
    incident: &str,
    account: &str,
    order_id: Option<&str>,
    at: i64,
) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO affected (incident, account, order_id, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )
    .bind(incident)
    .bind(account)
    .bind(order_id)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Nobody is told after the trouble is over what is no longer true.
pub async fn cancel_untold(connection: &mut SqliteConnection, incident: &str) -> Result<()> {
    sqlx::query(
        "UPDATE notices SET state = 'cancelled', reason = 'over'
         WHERE incident = ?1 AND state IN ('pending', 'held') AND stage IN ('opened', 'held')",
    )
    .bind(incident)
    .execute(&mut *connection)
    .await?;
    cancel_ends_of_untold(connection, incident).await
}

/// Who was never told of the trouble is not told of its end either.
pub async fn cancel_ends_of_untold(connection: &mut SqliteConnection, incident: &str) -> Result<()> {
    sqlx::query(
        "UPDATE notices SET state = 'cancelled', reason = 'never_told'
         WHERE incident = ?1 AND state IN ('pending', 'held') AND stage IN ('recovered', 'corrected')
           AND NOT EXISTS (SELECT 1 FROM notices o WHERE o.incident = notices.incident
                           AND o.account = notices.account AND o.stage = 'opened'
                           AND o.state IN ('sent', 'unknown', 'sending'))",
    )
    .bind(incident)
    .execute(connection)
    .await?;
    Ok(())
}

async fn cancel_staff(connection: &mut SqliteConnection, incident: &str) -> Result<()> {
    sqlx::query(
        "UPDATE notices SET state = 'cancelled', reason = 'over'
         WHERE incident = ?1 AND state IN ('pending', 'held') AND account = ''",
    )
    .bind(incident)
    .execute(connection)
    .await?;
    Ok(())
}

/// The trouble is back: what was cancelled only because it had ended is due again.
async fn revive(connection: &mut SqliteConnection, incident: &str) -> Result<()> {
    sqlx::query(
        "UPDATE notices SET state = CASE WHEN hold IS NULL THEN 'pending' ELSE 'held' END, reason = hold
         WHERE incident = ?1 AND stage = 'opened' AND state = 'cancelled' AND reason = 'over'",
    )
    .bind(incident)
    .execute(connection)
    .await?;
    Ok(())
}

/// What was told of one incident counts as told of the other, and what waits to be told goes with it.
async fn merge(connection: &mut SqliteConnection, from: &str, into: &str) -> Result<()> {
    // Who has been told of the symptom need not hear of the cause.
    sqlx::query(
        "UPDATE notices SET state = 'cancelled', reason = 'merged'
         WHERE incident = ?2 AND state IN ('pending', 'held') AND stage = 'opened'
           AND EXISTS (SELECT 1 FROM notices o WHERE o.incident = ?1 AND o.account = notices.account
                       AND o.stage = 'opened' AND o.state IN ('sent', 'unknown', 'sending'))",
    )
    .bind(from)
    .bind(into)
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE OR IGNORE notices SET incident = ?2 WHERE incident = ?1 AND account <> ''")
        .bind(from)
        .bind(into)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "UPDATE notices SET state = 'cancelled', reason = 'merged'
         WHERE incident = ?1 AND state IN ('pending', 'held')",
    )
    .bind(from)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO affected (incident, account, order_id, at, told_at)
         SELECT ?2, account, order_id, at, told_at FROM affected WHERE incident = ?1
         ON CONFLICT (incident, account) DO UPDATE SET told_at = coalesce(told_at, excluded.told_at)",
    )
    .bind(from)
    .bind(into)
    .execute(&mut *connection)
    .await?;
    proposals::merge(connection, from, into).await?;
    if is_over(connection, into).await? {
        cancel_untold(connection, into).await?;
    }
    Ok(())
}

async fn is_over(connection: &mut SqliteConnection, incident: &str) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM incidents WHERE id = ?1 AND ended_at IS NOT NULL)")
        .bind(incident)
        .fetch_one(connection)
        .await
}

/// Puts a message into the outbox, in the state that what is known of its incident calls for.
async fn notice(connection: &mut SqliteConnection, row: &NoticeRow) -> Result<bool> {
    let known = sqlx::query("SELECT ended_at, merged_into FROM incidents WHERE id = ?1")
        .bind(&row.incident)
        .fetch_optional(&mut *connection)
        .await?;
    let (mut over, mut incident) = (false, row.incident.clone());
    if let Some(known) = known {
        over = known.try_get::<Option<i64>, _>("ended_at")?.is_some();
        if let Some(into) = known.try_get::<Option<String>, _>("merged_into")?
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
    let inserted = sqlx::query(
        "INSERT INTO notices (id, incident, origin, account, stage, rule, subject, template, recipient, via, locale,
                              facts, decided_at, state, hold, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT DO NOTHING",
    )
    .bind(&row.id)
    .bind(&incident)
    .bind(&row.incident)
    .bind(&row.account)
    .bind(row.stage)
    .bind(&row.rule)
    .bind(&row.subject)
    .bind(&row.template)
    .bind(row.recipient)
    .bind(row.via)
    .bind(row.locale)
    .bind(&row.facts)
    .bind(row.decided_at)
    .bind(state)
    .bind(hold)
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    if row.stage == "opened" {
        touch(connection, &incident, &row.account, row.order_id.as_deref(), row.decided_at).await?;
    }
    Ok(inserted.rows_affected() > 0)
}

/// A message about the end waits until the one about the beginning has gone, and is not sent if that never goes.
async fn end_state(
    connection: &mut SqliteConnection,
    row: &NoticeRow,
    incident: &str,
) -> Result<(&'static str, Option<&'static str>)> {
    let opened: Option<String> = sqlx::query_scalar(
        "SELECT state FROM notices WHERE incident = ?1 AND account = ?2 AND stage = 'opened'",
    )
    .bind(incident)
    .bind(&row.account)
    .fetch_optional(&mut *connection)
    .await?;
    Ok(match (opened.as_deref(), row.hold) {
        // A person has let the first one go, so that the limit that held it no longer holds this one.
        (Some("sent" | "unknown" | "sending"), Some(hold)) if hold.is_limit() => ("pending", None),
        (Some("sent" | "unknown" | "sending"), Some(hold)) => ("held", Some(hold.as_str())),
        (Some("sent" | "unknown" | "sending"), None) => ("pending", None),
        (Some("pending" | "held"), _) => {
            sqlx::query(
                "UPDATE notices SET state = 'cancelled', reason = 'over'
                 WHERE incident = ?1 AND account = ?2 AND stage = 'opened'",
            )
            .bind(incident)
            .bind(&row.account)
            .execute(connection)
            .await?;
            ("cancelled", Some("never_told"))
        }
        _ => ("cancelled", Some("never_told")),
    })
}
