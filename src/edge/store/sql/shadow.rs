//! What rules in the shadow would have done, from their tickets and from the messages that nobody got.

use crate::core::time::Time;
use crate::delivery::store::ShadowRow;
use crate::edge::store::sql::known::number;
use crate::edge::store::sql::rows::time;
use crate::edge::store::sql::{Connection, Result, Row, values};

/// A day, in milliseconds: who was told by another rule within it need not be told again.
const DAY: i64 = 86_400_000;

pub async fn since(connection: &mut dyn Connection, since: Time) -> Result<Vec<ShadowRow>> {
    // The tickets are found by their index over time; everything else goes by their ids.
    let rows = connection.fetch("WITH mine AS MATERIALIZED (
             SELECT t.id, i.rule, i.rule_version, t.state, t.opened_at
             FROM tickets t JOIN incidents i ON i.id = t.id WHERE t.shadow AND t.opened_at >= $1
         ), unsaid AS MATERIALIZED (
             SELECT m.rule, n.account, n.decided_at
             FROM mine m JOIN notices n ON n.incident = m.id WHERE n.stage = 'opened' AND n.hold = 'shadow'
         )
         SELECT m.rule, count(*) AS tickets, count(DISTINCT m.rule_version) AS versions,
                (SELECT v.rule_version FROM mine v WHERE v.rule = m.rule ORDER BY v.opened_at DESC, v.id LIMIT 1) AS version,
                count(*) FILTER (WHERE m.state IN ('open', 'acknowledged')) AS open,
                count(*) FILTER (WHERE m.state = 'withdrawn') AS withdrawn,
                count(*) FILTER (WHERE m.state = 'merged') AS merged,
                min(m.opened_at) AS first_opened, max(m.opened_at) AS last_opened,
                (SELECT count(DISTINCT a.account) FROM mine o JOIN affected a ON a.incident = o.id
                 WHERE o.rule = m.rule) AS affected,
                (SELECT count(DISTINCT u.account) FROM unsaid u WHERE u.rule = m.rule) AS would_tell,
                (SELECT count(DISTINCT u.account) FROM unsaid u
                 WHERE u.rule = m.rule AND EXISTS (
                     SELECT 1 FROM notices n WHERE n.account = u.account AND n.account <> '' AND n.stage = 'opened'
                       AND n.state = 'sent' AND abs(n.decided_at - u.decided_at) < $2)) AS told_by_others
         FROM mine m GROUP BY m.rule ORDER BY m.rule", values![since.as_millis(), DAY]).await?;
    rows.iter().map(row).collect()
}

fn row(row: &Row) -> Result<ShadowRow> {
    Ok(ShadowRow {
        rule: row.get("rule")?,
        version: row.get::<i64>("version")?.cast_unsigned(),
        versions: number(row, "versions")?,
        tickets: number(row, "tickets")?,
        open: number(row, "open")?,
        withdrawn: number(row, "withdrawn")?,
        merged: number(row, "merged")?,
        affected: number(row, "affected")?,
        would_tell: number(row, "would_tell")?,
        told_by_others: number(row, "told_by_others")?,
        first_opened: row.get::<Option<i64>>("first_opened")?.map(time),
        last_opened: row.get::<Option<i64>>("last_opened")?.map(time),
    })
}
