//! What every rule has, beside what it detects: the frame, the incident, the ticket, the notice and the tests.

use super::super::super::Severity;
use super::super::defaults;
use super::super::examples::TicketWord;
use super::Shape::{AnyOf, ListOf, Of, Whole, Words};
use super::{Choice, Form, Map, Shape, field, map};
use crate::core::event::Tier;

pub fn maps() -> Vec<Map> {
    let of_tests = [test(), customer(), silence(), event(), geo(), expectation(), subject()];
    [rule(), incident(), cover(), ticket(), notice(), compensation(), action()]
        .into_iter()
        .chain(of_tests)
        .collect()
}

fn text_fields() -> Shape {
    Of("text_field").several()
}

fn rule() -> Map {
    let fields = vec![
        field("name", Of("name"), "What the rule is called; unique").needed(),
        field("summary", Of("text"), "One line about what is wrong").default("the name"),
        field("owner", Of("text"), "The team or person that answers for the rule"),
        field("state", Words(vec!["active", "shadow", "paused"]), "`shadow` does everything but telling people")
            .default("active"),
        field("topics", Of("topic").several(), "One topic or a list: whose events start or count").needed(),
        field("where", Of("condition"), "What starts or counts; it never limits `end`, `unless` or `resolve_when`"),
        field("group_by", text_fields(), "The subject. With account_id or order_id the rule is local to a partition, without them it spans partitions")
            .default("[account_id] for kinds that are about one account, the key of a deadline, the subject of a reconcile check"),
        field("slices", ListOf(Box::new(ListOf(Box::new(Of("text_field"))))), "Several groupings in place of `group_by`, of which the narrowest that explains the trouble is the ticket"),
        field("detect", Of("detect"), "What is looked for").needed(),
        field("except", Of("name").several(), "Calendars of the configuration during which nothing is found"),
        field("for", Of("duration"), "Pending so long before it opens").default(defaults::PENDING),
        field("keep_firing_for", Of("duration"), "Healthy so long before it resolves").default(defaults::KEEP_FIRING_FOR),
        field("grace", Of("duration"), "Absence is judged so long after its limit").default(defaults::GRACE),
        field("lateness", Of("duration"), "How late an event may be and still count where it belongs").default(defaults::LATENESS),
        field("incident", Of("incident"), "The life of the rule's incidents"),
        field("ticket", Of("ticket"), "The ticket for staff"),
        field("notice", Of("notice"), "What customers are told; left out, nobody is"),
        field("compensation", Of("compensation"), "What is offered to those who are told; a person decides"),
        field("action", Of("action"), "What the platform could do about it; proposed, never done"),
        field("runbook", Of("text"), "The address of what to do about it, https://…"),
        field("tests", ListOf(Box::new(Of("test"))), "Tests on virtual time; `forewarn test` runs them"),
    ];
    map("rule", fields).choose(Choice::AtMostOne(&["group_by", "slices"]))
}

fn incident() -> Map {
    let fields = vec![
        field("cooldown", Of("duration"), "After its end the same subject reopens it for so long")
            .default(defaults::COOLDOWN),
        field("cooldown_max", Of("duration"), "The cooldown doubles with each reopening, up to this")
            .default(defaults::COOLDOWN_MAX),
        field("resolve_when", Of("condition"), "An event that ends the incident: recovered"),
        field("resolve_on", text_fields(), "The fields that tie `resolve_when` to the incident")
            .default("the subject"),
        field(
            "close_after",
            Of("duration"),
            "Kinds without a lasting condition close so long after the last finding",
        )
        .default(defaults::CLOSE_AFTER),
        field(
            "covered_by",
            AnyOf(vec![Of("name"), Of("cover")]).several(),
            "Rules whose open incident explains this rule's findings, which then join it",
        ),
        field(
            "wait",
            Of("duration"),
            "How long a finding waits for such a cause before it opens its own ticket",
        )
        .default(defaults::WAIT),
        field(
            "on_remove",
            Words(vec!["resolve", "keep"]),
            "What becomes of open incidents when the rule is taken away",
        )
        .default("resolve"),
    ];
    map("incident", fields)
}

fn cover() -> Map {
    let fields = vec![
        field("rule", Of("name"), "The other rule").needed(),
        field(
            "equal",
            text_fields(),
            "Fields of the finding's event that must equal the other incident's subject; [] means any",
        )
        .default("all of that subject"),
    ];
    map("cover", fields)
}

fn ticket() -> Map {
    let severities = Severity::ALL.map(Severity::as_str).to_vec();
    let fields = vec![
        field("category", Of("name"), "What kind of trouble it is")
            .default("the rule's name with underscores"),
        field("department", Of("name"), "Who works on it").default(defaults::DEPARTMENT),
        field("severity", Words(severities), "How bad it is").default(defaults::SEVERITY.as_str()),
        field("sla", Of("name"), "The service level that its clocks run by").default(defaults::SLA),
    ];
    map("ticket", fields)
}

fn notice() -> Map {
    let audiences = vec!["account", "affected", "joined", "manager"];
    let fields = vec![
        field("template", Of("name"), "The template of the message").needed(),
        field("to", Words(audiences), "account: the subject's; affected: all who met the trouble; joined: those whose own incident has joined; manager: their account managers")
            .default("account where the subject has one, else affected"),
        field("recovered", Of("name"), "The template that tells that it is over"),
        field("corrected", Of("name"), "The template that tells that it was never true"),
    ];
    map("notice", fields)
}

fn compensation() -> Map {
    let fields = vec![
        field("propose", Of("text"), "A share such as 5% of amount, 5% of start.amount (a deadline's start) or 5% of order.amount (a sequence's step); or a fixed amount such as \"10.00 CNY\"")
            .needed(),
        field("cap", Of("text"), "The most that is offered, such as \"50.00 CNY\""),
    ];
    map("compensation", fields)
}

fn action() -> Map {
    let fields = vec![
        field("propose", Of("name"), "A name that the platform knows, such as reissue_key").needed(),
        field(
            "for",
            Words(vec!["affected", "subject"]),
            "For each account, or once for the subject as a whole",
        )
        .default("affected"),
    ];
    map("action", fields)
}

fn test() -> Map {
    let events = || ListOf(Box::new(Of("event")));
    let fields = vec![
        field("name", Of("text"), "A sentence about what is tested").needed(),
        field("with", Of("name").several(), "Other rules that are loaded beside this one"),
        field("customers", ListOf(Box::new(Of("customer"))), "The customers that rules and messages know"),
        field("silences", ListOf(Box::new(Of("silence"))), "What opens no ticket and tells nobody"),
        field("history", events(), "Events that warm the rule and may not fire"),
        field("events", events(), "What happens; `- { at: 40m }` lets time pass").needed(),
        field(
            "expect",
            ListOf(Box::new(Of("expectation"))),
            "All effects, in any order; [] means none at all",
        )
        .needed(),
    ];
    map("test", fields)
}

fn customer() -> Map {
    let fields = vec![
        field("account_id", Of("text"), "Whose record it is").needed(),
        field("tier", Words(Tier::ALL.map(Tier::as_str).to_vec()), "How the customer is looked after")
            .default(Tier::default()),
        field("locale", Of("text"), "A language such as zh-CN"),
        field("time_zone", Of("text"), "A time zone such as Asia/Shanghai"),
        field("manager", Of("text"), "The address of the account manager"),
        field(
            "opt_outs",
            Of("text").several(),
            "What the customer does not want to hear: a rule, a template, email or all",
        ),
    ];
    map("customer", fields)
}

fn silence() -> Map {
    let fields = vec![
        field("match", Of("subject"), "A `rule`, values of the subject, or both").needed(),
        field("from", Of("moment"), "When it begins").needed(),
        field("until", Of("moment"), "When it is over").needed(),
        field("reason", Of("text"), "Why"),
        field("author", Of("text"), "Who asked for it"),
    ];
    map("silence", fields)
}

/// The fields of an event are those of the platform too, whose names an editor does not know.
fn event() -> Map {
    use crate::core::event::{NumberField, TextField};
    let mut fields = vec![
        field("at", Of("moment"), "When, from the test's start"),
        field("time", Of("moment"), "When, as a time"),
        field("repeat", Whole(1..=100_000), "So many of it; {n} in a text stands for the number"),
        field("every", Of("duration"), "How far apart they are"),
        field("type", Of("event_type"), "What happened"),
        field("fault", Of("fault"), "In place of an error code"),
        field("expires_at", Of("moment"), "When the order expires"),
        field("geo", Of("geo"), "Where it happened"),
    ];
    let plain = TextField::ALL.into_iter().filter(|field| {
        !TextField::EXTRA.contains(field) && *field != TextField::Id && !field.as_str().contains('.')
    });
    fields.extend(plain.map(|name| field(name.as_str(), Of("text"), "A field of the event")));
    fields.extend(NumberField::ALL.map(|name| field(name.as_str(), Of("number"), "A number of the event")));
    map("event", fields).choose(Choice::One(&["at", "time"])).others(Of("text"))
}

fn geo() -> Map {
    let texts = ["country", "region", "city", "asn", "network"];
    let mut fields: Vec<Form> =
        texts.map(|name| field(name, Of("text"), "A field of the event's location")).into();
    fields.extend(
        ["latitude", "longitude", "accuracy_km"]
            .map(|name| field(name, Of("number"), "In degrees, or kilometres")),
    );
    map("geo", fields)
}

fn expectation() -> Map {
    let words = TicketWord::ALL.map(|(word, _)| word).to_vec();
    let fields = vec![
        field("rule", Of("name"), "Which rule does it, where several are loaded"),
        field("finding", Of("name"), "The rule that finds something"),
        field("ticket", Words(words), "What becomes of a ticket"),
        field("notice", Of("name"), "The template that a customer is told by"),
        field("compensation", Of("text"), "The amount that is offered, or proposed or withdrawn"),
        field("amount", Of("text"), "How much, beside `compensation: proposed` or `withdrawn`"),
        field("action", Of("name"), "The action that is proposed, or proposed or withdrawn"),
        field("subject", Of("subject"), "Values of the subject; those not given may be anything"),
        field("account_id", Of("text"), "Who is told, or whose ticket it is"),
        field("at", Of("moment"), "Exactly when it is decided"),
        field("by", Of("moment"), "When it is decided at the latest"),
        field("since", Of("moment"), "The event time that it belongs to"),
        field(
            "repeat",
            Whole(1..=1_000),
            "So many of it; {n} in the account or subject stands for the number",
        ),
    ];
    map("expectation", fields)
        .choose(Choice::One(&["finding", "ticket", "notice", "compensation", "action"]))
        .choose(Choice::AtMostOne(&["at", "by"]))
}

fn subject() -> Map {
    map("subject", Vec::new()).others(Of("text"))
}
