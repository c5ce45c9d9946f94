//! Tickets as staff see them, and what staff do with them.

use crate::core::effect::{EndReason, IncidentId, TicketStep};
use crate::core::time::Time;
use crate::delivery::notice::NoticeId;
use crate::delivery::store::{
    ActionResult, AffectedRow, NoticeRow, StepRow, TicketDetail, TicketFilter, TicketRow,
};
use crate::edge::store::encode;
use crate::edge::store::sql::rows::time;
use crate::edge::store::sql::{Connection, Result, Row, apply, known, life, proposals, values};

/// Rows of each kind that a shown ticket holds; the counts say how many there are.
const SHOWN: i64 = 200;

/// Everything of a ticket. A macro, since SQL must be one constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.rule, i.rule_version, t.shadow, i.subject, i.since, i.started_at, i.opened_at, i.ended_at, i.merged_into, i.revision,
                    t.state, t.reason, t.severity, t.summary, t.category, t.department, t.sla, t.value, t.limit_value,
                    t.samples, t.approximate, t.facts,
                    t.affected AS touched, (SELECT count(*) FROM affected a WHERE a.incident = i.id) AS listed,
                    (SELECT count(*) FROM notices n WHERE n.incident = i.id AND n.stage = 'opened'
                            AND n.state = 'sent') AS told
             FROM tickets t JOIN incidents i ON i.id = t.id ",
            $rest
        )
    };
}

pub async fn list(connection: &mut dyn Connection, filter: &TicketFilter) -> Result<Vec<TicketRow>> {
    let rows = connection
        .fetch(
            select!(
                "WHERE t.shadow = $6 AND ($1 IS NULL OR t.state = $1) AND ($2 IS NULL OR t.opened_at >= $2)
           AND ($3 IS NULL OR t.id IN (SELECT incident FROM affected WHERE account = $3))
           AND ($4 IS NULL OR t.id IN (SELECT incident FROM affected WHERE order_id = $4))
         ORDER BY t.opened_at DESC, t.id LIMIT $5"
            ),
            values![
                &filter.state,
                filter.since.map(Time::as_millis),
                &filter.account,
                &filter.order,
                filter.limit,
                filter.shadow
            ],
        )
        .await?;
    rows.iter().map(ticket).collect()
}

pub async fn one(connection: &mut dyn Connection, id: IncidentId) -> Result<Option<TicketRow>> {
    let row = connection.fetch_first(select!("WHERE t.id = $1"), values![&id.to_string()]).await?;
    row.as_ref().map(ticket).transpose()
}

/// Tickets whose id begins like this; more than one: the beginning is too short.
pub async fn show(connection: &mut dyn Connection, beginning: &str) -> Result<Vec<TicketDetail>> {
    if beginning.is_empty() || !beginning.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let rows = connection
        .fetch(
            select!("WHERE t.id >= $1 AND t.id < $1 || 'g' ORDER BY t.id LIMIT 5"),
            values![&beginning.to_ascii_lowercase()],
        )
        .await?;
    let mut details = Vec::new();
    for row in &rows {
        details.push(detail(connection, ticket(row)?).await?);
    }
    Ok(details)
}

async fn detail(connection: &mut dyn Connection, ticket: TicketRow) -> Result<TicketDetail> {
    let id = ticket.id.to_string();
    let affected = connection
        .fetch(
            "SELECT account, order_id, at, told_at FROM affected
             WHERE incident = $1 ORDER BY at, account LIMIT $2",
            values![&id, SHOWN],
        )
        .await?;
    let notices = connection
        .fetch(
            "SELECT id, account, stage, template, state, reason, decided_at, sent_at, attempts
         FROM notices WHERE incident = $1 ORDER BY seq LIMIT $2",
            values![&id, SHOWN],
        )
        .await?;
    let steps = connection
        .fetch(
            "SELECT at, actor, step, detail FROM ticket_steps WHERE incident = $1 ORDER BY seq LIMIT $2",
            values![&id, SHOWN],
        )
        .await?;
    let proposals = connection
        .fetch(
            "SELECT id, account, rule, kind, action, amount, currency, undecided, order_id, card_id, state,
                decided_at
         FROM proposals WHERE incident = $1 ORDER BY seq LIMIT $2",
            values![&id, SHOWN],
        )
        .await?;
    Ok(TicketDetail {
        ticket,
        affected: affected.iter().map(affected_row).collect::<Result<_>>()?,
        notices: notices.iter().map(notice_row).collect::<Result<_>>()?,
        steps: steps.iter().map(step_row).collect::<Result<_>>()?,
        proposals: proposals.iter().map(proposals::read).collect::<Result<_>>()?,
    })
}

fn ticket(row: &Row) -> Result<TicketRow> {
    let facts: Option<String> = row.get("facts")?;
    Ok(TicketRow {
        id: known::incident(row, "id")?,
        rule: row.get::<String>("rule")?.into(),
        rule_version: row.get::<i64>("rule_version")?.cast_unsigned(),
        shadow: row.get("shadow")?,
        subject: known::subject(row)?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        severity: row.get("severity")?,
        summary: row.get("summary")?,
        category: row.get("category")?,
        department: row.get("department")?,
        sla: row.get("sla")?,
        since: time(row.get("since")?),
        started_at: time(row.get("started_at")?),
        opened_at: time(row.get("opened_at")?),
        ended_at: row.get::<Option<i64>>("ended_at")?.map(time),
        merged_into: known::merged_into(row)?,
        revision: known::number(row, "revision")?,
        value: row.get("value")?,
        limit: row.get("limit_value")?,
        samples: known::number(row, "samples")?,
        approximate: row.get("approximate")?,
        // The engine counts on where the list of accounts is cut, and the list knows of merged tickets.
        affected: known::number::<u64>(row, "touched")?.max(known::number(row, "listed")?),
        told: known::number(row, "told")?,
        facts: facts.as_deref().and_then(encode::read_facts).map(Box::new),
    })
}

fn affected_row(row: &Row) -> Result<AffectedRow> {
    Ok(AffectedRow {
        account_id: row.get("account")?,
        order_id: row.get("order_id")?,
        at: time(row.get("at")?),
        told_at: row.get::<Option<i64>>("told_at")?.map(time),
    })
}

fn notice_row(row: &Row) -> Result<NoticeRow> {
    let id: String = row.get("id")?;
    Ok(NoticeRow {
        id: NoticeId::parse(&id).ok_or_else(|| known::unreadable("id", &id))?,
        account_id: row.get("account")?,
        stage: row.get("stage")?,
        template: row.get("template")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        decided_at: time(row.get("decided_at")?),
        sent_at: row.get::<Option<i64>>("sent_at")?.map(time),
        attempts: known::number(row, "attempts")?,
    })
}

fn step_row(row: &Row) -> Result<StepRow> {
    Ok(StepRow {
        at: time(row.get("at")?),
        actor: row.get("actor")?,
        step: row.get("step")?,
        detail: row.get("detail")?,
    })
}

pub async fn acknowledge(
    connection: &mut dyn Connection,
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
    connection.execute("UPDATE tickets SET state = 'acknowledged' WHERE id = $1", values![&id]).await?;
    apply::add_step(connection, &id, None, at.as_millis(), actor, "acknowledged", None).await?;
    Ok(ActionResult::Done)
}

pub async fn close(
    connection: &mut dyn Connection,
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
    connection
        .execute("UPDATE tickets SET state = 'closed', reason = 'closed' WHERE id = $1", values![&id])
        .await?;
    connection
        .execute(
            "UPDATE incidents SET ended_at = coalesce(ended_at, $2) WHERE id = $1",
            values![&id, at.as_millis()],
        )
        .await?;
    apply::add_step(connection, &id, None, at.as_millis(), actor, "closed", note).await?;
    apply::cancel_untold(connection, &id).await?;
    Ok(ActionResult::Done)
}

/// As the engine does it when a rule goes while it runs.
pub async fn end_without_rule(
    connection: &mut dyn Connection,
    incidents: &[IncidentId],
    at: Time,
) -> Result<u64> {
    let (step, mut ended) = (TicketStep::Resolved(EndReason::RuleChanged), 0);
    for id in incidents.iter().map(IncidentId::to_string) {
        let ended_now = connection
            .fetch_first(
                "UPDATE incidents SET revision = revision + 1,
                 ended_at = CASE WHEN $2 < opened_at THEN opened_at ELSE $2 END
             WHERE id = $1 AND ended_at IS NULL RETURNING revision",
                values![&id, at.as_millis()],
            )
            .await?;
        let Some(row) = ended_now else { continue };
        let revision: u32 = known::number(&row, "revision")?;
        connection
            .execute(
                "UPDATE tickets SET state = 'resolved', reason = $2 WHERE id = $1",
                values![&id, EndReason::RuleChanged.as_str()],
            )
            .await?;
        let (name, detail) = (life::name(step), life::detail(step));
        let at = at.as_millis();
        apply::add_step(connection, &id, Some(revision), at, "forewarn", name, detail.as_deref()).await?;
        apply::cancel_untold(connection, &id).await?;
        ended += 1;
    }
    Ok(ended)
}
