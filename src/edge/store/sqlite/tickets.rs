//! Tickets as staff see them, and what staff do with them.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use crate::core::effect::{EndReason, IncidentId, TicketStep};
use crate::core::time::Time;
use crate::delivery::notice::NoticeId;
use crate::delivery::store::{
    ActionResult, AffectedRow, NoticeRow, StepRow, TicketDetail, TicketFilter, TicketRow,
};
use crate::edge::store::encode;
use crate::edge::store::sqlite::rows::time;
use crate::edge::store::sqlite::{apply, known, life, proposals};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Rows of each kind that a shown ticket holds; the counts say how many there are.
const SHOWN: i64 = 200;

/// Everything of a ticket. A macro, since SQL must be one constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.rule, i.rule_version, t.shadow, i.subject, i.since, i.started_at, i.opened_at, i.ended_at, i.merged_into, i.revision,
                    t.state, t.reason, t.severity, t.summary, t.category, t.department, t.sla, t.value, t.limit_value,
                    t.samples, t.approximate, t.facts,
                    max(t.affected, (SELECT count(*) FROM affected a WHERE a.incident = i.id)) AS affected,
                    (SELECT count(*) FROM notices n WHERE n.incident = i.id AND n.stage = 'opened'
                            AND n.state = 'sent') AS told
             FROM tickets t JOIN incidents i ON i.id = t.id ",
            $rest
        )
    };
}

pub async fn list(readers: &SqlitePool, filter: &TicketFilter) -> Result<Vec<TicketRow>> {
    let rows = sqlx::query(select!(
        "WHERE t.shadow = ?6 AND (?1 IS NULL OR t.state = ?1) AND (?2 IS NULL OR t.opened_at >= ?2)
           AND (?3 IS NULL OR t.id IN (SELECT incident FROM affected WHERE account = ?3))
           AND (?4 IS NULL OR t.id IN (SELECT incident FROM affected WHERE order_id = ?4))
         ORDER BY t.opened_at DESC, t.id LIMIT ?5"
    ))
    .bind(&filter.state)
    .bind(filter.since.map(Time::as_millis))
    .bind(&filter.account)
    .bind(&filter.order)
    .bind(i64::from(filter.limit))
    .bind(filter.shadow)
    .fetch_all(readers)
    .await?;
    rows.iter().map(ticket).collect()
}

pub async fn one(connection: &mut SqliteConnection, id: IncidentId) -> Result<Option<TicketRow>> {
    let row = sqlx::query(select!("WHERE t.id = ?1")).bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(ticket).transpose()
}

/// Tickets whose id begins like this; more than one: the beginning is too short.
pub async fn show(readers: &SqlitePool, beginning: &str) -> Result<Vec<TicketDetail>> {
    if beginning.is_empty() || !beginning.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(select!("WHERE t.id >= ?1 AND t.id < ?1 || 'g' ORDER BY t.id LIMIT 5"))
        .bind(beginning.to_ascii_lowercase())
        .fetch_all(readers)
        .await?;
    let mut details = Vec::new();
    for row in &rows {
        details.push(detail(readers, ticket(row)?).await?);
    }
    Ok(details)
}

async fn detail(readers: &SqlitePool, ticket: TicketRow) -> Result<TicketDetail> {
    let id = ticket.id.to_string();
    let affected = sqlx::query(
        "SELECT account, order_id, at, told_at FROM affected WHERE incident = ?1 ORDER BY at, account LIMIT ?2",
    )
    .bind(&id)
    .bind(SHOWN)
    .fetch_all(readers)
    .await?;
    let notices = sqlx::query(
        "SELECT id, account, stage, template, state, reason, decided_at, sent_at, attempts
         FROM notices WHERE incident = ?1 ORDER BY seq LIMIT ?2",
    )
    .bind(&id)
    .bind(SHOWN)
    .fetch_all(readers)
    .await?;
    let steps = sqlx::query(
        "SELECT at, actor, step, detail FROM ticket_steps WHERE incident = ?1 ORDER BY seq LIMIT ?2",
    )
    .bind(&id)
    .bind(SHOWN)
    .fetch_all(readers)
    .await?;
    let proposals = sqlx::query(
        "SELECT id, account, rule, kind, action, amount, currency, undecided, order_id, card_id, state, decided_at
         FROM proposals WHERE incident = ?1 ORDER BY seq LIMIT ?2",
    )
    .bind(&id)
    .bind(SHOWN)
    .fetch_all(readers)
    .await?;
    Ok(TicketDetail {
        ticket,
        affected: affected.iter().map(affected_row).collect::<Result<_>>()?,
        notices: notices.iter().map(notice_row).collect::<Result<_>>()?,
        steps: steps.iter().map(step_row).collect::<Result<_>>()?,
        proposals: proposals.iter().map(proposals::read).collect::<Result<_>>()?,
    })
}

fn ticket(row: &SqliteRow) -> Result<TicketRow> {
    let facts: Option<String> = row.try_get("facts")?;
    Ok(TicketRow {
        id: known::incident(row, "id")?,
        rule: row.try_get::<String, _>("rule")?.into(),
        rule_version: row.try_get::<i64, _>("rule_version")?.cast_unsigned(),
        shadow: row.try_get("shadow")?,
        subject: known::subject(row)?,
        state: row.try_get("state")?,
        reason: row.try_get("reason")?,
        severity: row.try_get("severity")?,
        summary: row.try_get("summary")?,
        category: row.try_get("category")?,
        department: row.try_get("department")?,
        sla: row.try_get("sla")?,
        since: time(row.try_get("since")?),
        started_at: time(row.try_get("started_at")?),
        opened_at: time(row.try_get("opened_at")?),
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(time),
        merged_into: known::merged_into(row)?,
        revision: known::number(row, "revision")?,
        value: row.try_get("value")?,
        limit: row.try_get("limit_value")?,
        samples: known::number(row, "samples")?,
        approximate: row.try_get("approximate")?,
        affected: known::number(row, "affected")?,
        told: known::number(row, "told")?,
        facts: facts.as_deref().and_then(encode::read_facts).map(Box::new),
    })
}

fn affected_row(row: &SqliteRow) -> Result<AffectedRow> {
    Ok(AffectedRow {
        account_id: row.try_get("account")?,
        order_id: row.try_get("order_id")?,
        at: time(row.try_get("at")?),
        told_at: row.try_get::<Option<i64>, _>("told_at")?.map(time),
    })
}

fn notice_row(row: &SqliteRow) -> Result<NoticeRow> {
    let id: String = row.try_get("id")?;
    Ok(NoticeRow {
        id: NoticeId::parse(&id).ok_or_else(|| known::unreadable("id", &id))?,
        account_id: row.try_get("account")?,
        stage: row.try_get("stage")?,
        template: row.try_get("template")?,
        state: row.try_get("state")?,
        reason: row.try_get("reason")?,
        decided_at: time(row.try_get("decided_at")?),
        sent_at: row.try_get::<Option<i64>, _>("sent_at")?.map(time),
        attempts: known::number(row, "attempts")?,
    })
}

fn step_row(row: &SqliteRow) -> Result<StepRow> {
    Ok(StepRow {
        at: time(row.try_get("at")?),
        actor: row.try_get("actor")?,
        step: row.try_get("step")?,
        detail: row.try_get("detail")?,
    })
}

pub async fn acknowledge(
    connection: &mut SqliteConnection,
    id: IncidentId,
    actor: &str,
    at: Time,
) -> Result<ActionResult> {
    let id = id.to_string();
    match known::ticket_state(connection, &id).await?.as_deref() {
        None => return Ok(ActionResult::NotFound),
        Some("open") => {}
        Some("acknowledged") => return Ok(ActionResult::Already),
        Some(_) => return Ok(ActionResult::Ended),
    }
    sqlx::query("UPDATE tickets SET state = 'acknowledged' WHERE id = ?1")
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    apply::add_step(connection, &id, None, at.as_millis(), actor, "acknowledged", None).await?;
    Ok(ActionResult::Done)
}

pub async fn close(
    connection: &mut SqliteConnection,
    id: IncidentId,
    actor: &str,
    at: Time,
    note: Option<&str>,
) -> Result<ActionResult> {
    let id = id.to_string();
    match known::ticket_state(connection, &id).await?.as_deref() {
        None => return Ok(ActionResult::NotFound),
        Some("closed") => return Ok(ActionResult::Already),
        Some(_) => {}
    }
    sqlx::query("UPDATE tickets SET state = 'closed', reason = 'closed' WHERE id = ?1")
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE incidents SET ended_at = coalesce(ended_at, ?2) WHERE id = ?1")
        .bind(&id)
        .bind(at.as_millis())
        .execute(&mut *connection)
        .await?;
    apply::add_step(connection, &id, None, at.as_millis(), actor, "closed", note).await?;
    apply::cancel_untold(connection, &id).await?;
    Ok(ActionResult::Done)
}

/// As the engine does it when a rule goes while it runs.
pub async fn end_without_rule(
    connection: &mut SqliteConnection,
    incidents: &[IncidentId],
    at: Time,
) -> Result<u64> {
    let (step, mut ended) = (TicketStep::Resolved(EndReason::RuleChanged), 0);
    for id in incidents.iter().map(IncidentId::to_string) {
        let revision: Option<i64> = sqlx::query_scalar(
            "UPDATE incidents SET ended_at = max(?2, opened_at), revision = revision + 1
             WHERE id = ?1 AND ended_at IS NULL RETURNING revision",
        )
        .bind(&id)
        .bind(at.as_millis())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(revision) = revision.and_then(|revision| u32::try_from(revision).ok()) else { continue };
        sqlx::query("UPDATE tickets SET state = 'resolved', reason = ?2 WHERE id = ?1")
            .bind(&id)
            .bind(EndReason::RuleChanged.as_str())
            .execute(&mut *connection)
            .await?;
        let (name, detail) = (life::name(step), life::detail(step));
        let at = at.as_millis();
        apply::add_step(connection, &id, Some(revision), at, "forewarn", name, detail.as_deref()).await?;
        apply::cancel_untold(connection, &id).await?;
        ended += 1;
    }
    Ok(ended)
}
