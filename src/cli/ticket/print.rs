//! How tickets are printed: a table and a sheet for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::core::effect::Subject;
use crate::core::time::Time;
use crate::delivery::store::{ProposalRow, TicketDetail, TicketRow};

/// One JSON object a line.
pub fn json_list(tickets: &[TicketRow]) -> String {
    tickets.iter().map(|ticket| format!("{}\n", Value::Object(json_ticket(ticket)))).collect()
}

pub fn json_detail(detail: &TicketDetail) -> String {
    let mut ticket = json_ticket(&detail.ticket);
    let affected = detail.affected.iter().map(|row| {
        json!({
            "account_id": row.account_id,
            "order_id": row.order_id,
            "at": row.at.to_string(),
            "told_at": row.told_at.map(|at| at.to_string()),
        })
    });
    let notices = detail.notices.iter().map(|row| {
        json!({
            "id": row.id.to_string(),
            "account_id": (!row.account_id.is_empty()).then_some(&row.account_id),
            "stage": row.stage,
            "template": row.template,
            "state": row.state,
            "reason": row.reason,
            "decided_at": row.decided_at.to_string(),
            "sent_at": row.sent_at.map(|at| at.to_string()),
            "attempts": row.attempts,
        })
    });
    let steps = detail.steps.iter().map(
        |row| json!({ "at": row.at.to_string(), "actor": row.actor, "step": row.step, "detail": row.detail }),
    );
    ticket.insert("customers".to_owned(), affected.collect());
    ticket.insert("messages".to_owned(), notices.collect());
    let proposals = detail.proposals.iter().map(|row| {
        json!({
            "id": row.id.to_string(),
            "account_id": (!row.account_id.is_empty()).then_some(&row.account_id),
            "rule": row.rule,
            "kind": row.kind,
            "action": row.action,
            "amount": row.amount,
            "currency": row.currency,
            "reason": row.undecided,
            "order_id": row.order_id,
            "card_id": row.card_id,
            "state": row.state,
            "decided_at": row.decided_at.to_string(),
        })
    });
    ticket.insert("steps".to_owned(), steps.collect());
    ticket.insert("proposals".to_owned(), proposals.collect());
    format!("{:#}\n", Value::Object(ticket))
}

fn json_ticket(ticket: &TicketRow) -> Map<String, Value> {
    let subject: Map<String, Value> =
        ticket.subject.0.iter().map(|(field, value)| (field.to_string(), json!(value.as_str()))).collect();
    let value = json!({
        "id": ticket.id.to_string(),
        "rule": ticket.rule.as_str(),
        "version": format!("{:016x}", ticket.rule_version),
        "shadow": ticket.shadow,
        "subject": subject,
        "state": ticket.state,
        "reason": ticket.reason,
        "severity": ticket.severity,
        "summary": ticket.summary,
        "category": ticket.category,
        "department": ticket.department,
        "sla": ticket.sla,
        "since": ticket.since.to_string(),
        "started_at": ticket.started_at.to_string(),
        "opened_at": ticket.opened_at.to_string(),
        "ended_at": ticket.ended_at.map(|at| at.to_string()),
        "merged_into": ticket.merged_into.map(|into| into.to_string()),
        "revision": ticket.revision,
        "value": ticket.value,
        "limit": ticket.limit,
        "samples": ticket.samples,
        "affected": ticket.affected,
        "told": ticket.told,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What is wide or of any script stands last, so that the columns before it stay straight.
pub fn table(tickets: &[TicketRow], zone: &str) -> String {
    if tickets.is_empty() {
        return "no tickets\n".to_owned();
    }
    let mut text = format!(
        "{:<10} {:<17} {:<9} {:<13} {:>8} {:>6}  RULE AND SUBJECT\n",
        "TICKET", "OPENED", "SEVERITY", "STATE", "AFFECTED", "TOLD"
    );
    for ticket in tickets {
        let id = ticket.id.to_string();
        let (id, opened) = (id.get(..8).unwrap_or(&id), moment(ticket.opened_at, zone));
        let (rule, subject) = (&ticket.rule, words(&ticket.subject));
        line(
            &mut text,
            format_args!(
                "{id:<10} {opened:<17} {:<9} {:<13} {:>8} {:>6}  {rule}  {subject}",
                ticket.severity, ticket.state, ticket.affected, ticket.told
            ),
        );
    }
    text
}

/// One ticket on one page.
pub fn sheet(detail: &TicketDetail, zone: &str) -> String {
    let TicketDetail { ticket, affected, notices, steps, proposals } = detail;
    let mut text = String::new();
    let out = &mut text;
    line(out, format_args!("{}: {}", ticket.summary, words(&ticket.subject)));
    line(out, format_args!(""));
    let reason = ticket.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    field(out, "ticket", &ticket.id);
    field(out, "state", &format_args!("{}{reason}", ticket.state));
    if let Some(into) = ticket.merged_into {
        field(out, "merged into", &into);
    }
    field(out, "severity", &ticket.severity);
    field(out, "category", &format_args!("{}, for {}, {}", ticket.category, ticket.department, ticket.sla));
    field(out, "rule", &format_args!("{}, version {:016x}", ticket.rule, ticket.rule_version));
    if ticket.shadow {
        field(out, "shadow", &"the rule is in the shadow: staff do not see this, and nobody is told");
    }
    let about = if ticket.approximate { "about " } else { "" };
    let evidence = format!("{about}{}, limit {}, {} samples", ticket.value, ticket.limit, ticket.samples);
    field(out, "evidence", &evidence);
    field(out, "began", &moment(ticket.started_at, zone));
    field(out, "opened", &moment(ticket.opened_at, zone));
    if let Some(ended_at) = ticket.ended_at {
        field(out, "ended", &moment(ended_at, zone));
    }
    field(out, "affected", &format_args!("{} accounts, {} told", ticket.affected, ticket.told));
    if !affected.is_empty() {
        line(out, format_args!("\ncustomers"));
        for row in affected {
            let told =
                row.told_at.map_or_else(|| "not told".to_owned(), |at| format!("told {}", moment(at, zone)));
            let order = row.order_id.as_deref().unwrap_or("-");
            line(out, format_args!("  {}  {told:<22}  {}  {order}", moment(row.at, zone), row.account_id));
        }
        more(out, affected.len() as u64, ticket.affected);
    }
    if !notices.is_empty() {
        line(out, format_args!("\nmessages"));
        for row in notices {
            let reason = row.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let to = if row.account_id.is_empty() { "staff" } else { &row.account_id };
            let when = moment(row.sent_at.unwrap_or(row.decided_at), zone);
            line(out, format_args!("  {when}  {} {to}: {}{reason}", row.template, row.state));
        }
    }
    if !proposals.is_empty() {
        line(out, format_args!("\nproposed"));
        for row in proposals {
            let what = offered(row);
            let whom = if row.account_id.is_empty() { "the subject" } else { &row.account_id };
            let about: Vec<&str> =
                [&row.order_id, &row.card_id].into_iter().flatten().map(String::as_str).collect();
            let about = if about.is_empty() { String::new() } else { format!("  {}", about.join(" ")) };
            let when = moment(row.decided_at, zone);
            line(out, format_args!("  {when}  {what} for {whom}: {}{about}", row.state));
        }
    }
    line(out, format_args!("\nsteps"));
    for row in steps {
        let detail = row.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        line(out, format_args!("  {}  {} by {}{detail}", moment(row.at, zone), row.step, row.actor));
    }
    text
}

/// `reissue_key`, `compensation 2.50 CNY`, `compensation (no_amount)`.
fn offered(row: &ProposalRow) -> String {
    match (&row.action, &row.amount, &row.currency) {
        (Some(action), ..) => action.clone(),
        (None, Some(amount), Some(currency)) => format!("{} {amount} {currency}", row.kind),
        _ => format!("{} ({})", row.kind, row.undecided.as_deref().unwrap_or("unknown")),
    }
}

fn more(text: &mut String, shown: u64, all: u64) {
    if let Some(rest) = all.checked_sub(shown).filter(|rest| *rest > 0) {
        line(text, format_args!("  and {rest} more"));
    }
}

fn field(text: &mut String, name: &str, value: &dyn std::fmt::Display) {
    line(text, format_args!("{name:<12} {value}"));
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a text can't fail.
    let _written = writeln!(text, "{arguments}");
}

/// `channel=alipay region=east`; nothing for a rule over everything.
fn words(subject: &Subject) -> String {
    let parts: Vec<String> = subject.0.iter().map(|(field, value)| format!("{field}={value}")).collect();
    parts.join(" ")
}

fn moment(time: Time, zone: &str) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(time.as_millis());
    match timestamp.map(|timestamp| timestamp.in_tz(zone)) {
        Ok(Ok(local)) => local.strftime("%Y-%m-%d %H:%M").to_string(),
        _ => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::effect::IncidentId;
    use crate::delivery::notice::NoticeId;
    use crate::delivery::proposal::ProposalId;
    use crate::delivery::store::{AffectedRow, NoticeRow, StepRow};

    fn ticket() -> TicketRow {
        let time = Time::from_millis(1_790_842_320_000);
        TicketRow {
            id: IncidentId(0x1a2b_3c4d << 96),
            rule: "channel-success-drop".into(),
            rule_version: 0x1a2b,
            shadow: false,
            subject: Subject(vec![("channel".into(), "alipay".into()), ("region".into(), "华东".into())]),
            state: "acknowledged".to_owned(),
            reason: None,
            severity: "high".to_owned(),
            summary: "A payment channel fails more often than usual".to_owned(),
            category: "payment_channel".to_owned(),
            department: "payments".to_owned(),
            sla: "emergency".to_owned(),
            since: time,
            started_at: time,
            opened_at: time,
            ended_at: None,
            merged_into: None,
            revision: 3,
            value: 0.41,
            limit: 0.2,
            samples: 64,
            approximate: false,
            affected: 23,
            told: 1,
            facts: None,
        }
    }

    fn detail() -> TicketDetail {
        let time = ticket().opened_at;
        let account = || "a42".to_owned();
        TicketDetail {
            ticket: ticket(),
            affected: vec![AffectedRow {
                account_id: account(),
                order_id: Some("o7".to_owned()),
                at: time,
                told_at: Some(time),
            }],
            notices: vec![NoticeRow {
                id: NoticeId(7),
                account_id: account(),
                stage: "opened".to_owned(),
                template: "channel_trouble".to_owned(),
                state: "sent".to_owned(),
                reason: None,
                decided_at: time,
                sent_at: Some(time),
                attempts: 1,
            }],
            steps: vec![StepRow {
                at: time,
                actor: "li".to_owned(),
                step: "acknowledged".to_owned(),
                detail: None,
            }],
            proposals: vec![
                ProposalRow {
                    id: ProposalId(8),
                    account_id: account(),
                    rule: "channel-success-drop".to_owned(),
                    kind: "compensation".to_owned(),
                    action: None,
                    amount: Some("2.50".to_owned()),
                    currency: Some("CNY".to_owned()),
                    undecided: None,
                    order_id: Some("o7".to_owned()),
                    card_id: None,
                    state: "proposed".to_owned(),
                    decided_at: time,
                },
                ProposalRow {
                    id: ProposalId(9),
                    account_id: String::new(),
                    rule: "channel-success-drop".to_owned(),
                    kind: "action".to_owned(),
                    action: Some("route_around".to_owned()),
                    amount: None,
                    currency: None,
                    undecided: None,
                    order_id: None,
                    card_id: None,
                    state: "withdrawn".to_owned(),
                    decided_at: time,
                },
            ],
        }
    }

    #[test]
    fn a_table_has_a_line_a_ticket_with_straight_columns() {
        insta::assert_snapshot!(table(&[ticket()], "Asia/Shanghai"), @r"
        TICKET     OPENED            SEVERITY  STATE         AFFECTED   TOLD  RULE AND SUBJECT
        1a2b3c4d   2026-10-01 16:12  high      acknowledged        23      1  channel-success-drop  channel=alipay region=华东
        ");
        assert_eq!(table(&[], "UTC"), "no tickets\n");
    }

    #[test]
    fn a_sheet_says_what_is_known_of_a_ticket() {
        insta::assert_snapshot!(sheet(&detail(), "UTC"), @r"
        A payment channel fails more often than usual: channel=alipay region=华东

        ticket       1a2b3c4d000000000000000000000000
        state        acknowledged
        severity     high
        category     payment_channel, for payments, emergency
        rule         channel-success-drop, version 0000000000001a2b
        evidence     0.41, limit 0.2, 64 samples
        began        2026-10-01 08:12
        opened       2026-10-01 08:12
        affected     23 accounts, 1 told

        customers
          2026-10-01 08:12  told 2026-10-01 08:12   a42  o7
          and 22 more

        messages
          2026-10-01 08:12  channel_trouble a42: sent

        proposed
          2026-10-01 08:12  compensation 2.50 CNY for a42: proposed  o7
          2026-10-01 08:12  route_around for the subject: withdrawn

        steps
          2026-10-01 08:12  acknowledged by li
        ");
    }

    #[test]
    fn the_json_has_the_fields_of_the_contract() {
        let text = json_list(&[ticket(), ticket()]);
        let list: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
        assert_eq!(list.len(), 2);
        for field in ["id", "rule", "subject", "state", "severity", "opened_at", "affected", "told"] {
            assert!(list[0].get(field).is_some(), "{field}");
        }
        assert_eq!(list[0]["opened_at"], "2026-10-01T08:12:00Z");
        assert_eq!(list[0]["subject"], json!({"channel": "alipay", "region": "华东"}));
        assert_eq!(json_list(&[]), "");
        let detail: Value = serde_json::from_str(&json_detail(&detail())).expect("JSON");
        assert_eq!(detail["customers"][0]["account_id"], "a42");
        assert_eq!(detail["messages"][0]["state"], "sent");
        assert_eq!(detail["steps"][0]["actor"], "li");
        assert_eq!(detail["proposals"][0]["amount"], "2.50");
        assert_eq!(detail["proposals"][1]["account_id"], Value::Null);
    }
}
