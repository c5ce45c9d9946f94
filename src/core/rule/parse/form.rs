//! One document → one rule: the fields that every rule has, and what they must have to do with each other.

use std::ops::Range;

use super::super::{
    Audience, Cover, Detect, IncidentPolicy, NoticePolicy, OnRemove, Rule, RuleState, Severity, TicketPolicy,
};
use super::error::Place;
use super::examples;
use super::fields::{Fields, Reading};
use super::yaml::{Node, Value};
use super::{LoadedRule, Origin, defaults, kinds, proposals, version};
use crate::core::event::{TextField, TextSet, Topic, TypeSet};
use crate::core::rule::condition::Condition;
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::reconcile::Check;
use crate::core::rule::scope::Expected;
use crate::core::time::Span;

/// Reads a rule. [`None`] if something is wrong with it; what, was reported.
pub fn rule(node: &Node, reading: &mut Reading<'_>) -> Option<LoadedRule> {
    let errors = reading.errors.len();
    reading.files.clear();
    let mut fields = Fields::of(node, "a rule", reading)?;
    let name_node = fields.need("name");
    let name = name_node.and_then(|node| reading.name(node, "a name such as paid-not-delivered"));
    let head = head(&mut fields, name.as_deref().unwrap_or_default(), reading);
    let topics_node = fields.need("topics");
    let topics = topics_node.and_then(|node| topics(node, reading)).unwrap_or(TypeSet::ALL);
    let filter = fields.take("where").map_or(Some(Condition::Always), |node| reading.condition(node));
    let detect_node = fields.need("detect");
    let mut detect = detect_node.and_then(|node| kinds::detect(node, topics, reading));
    let groups = groups(&mut fields, detect.as_ref(), reading);
    let except = fields.take("except").map_or_else(|| Some(Vec::new()), |node| reading.calendars(node));
    let incident = incident(&mut fields, reading);
    let ticket = ticket(&mut fields, name.as_deref().unwrap_or_default(), reading);
    let local = groups.as_ref().is_none_or(|groups| groups.iter().all(|group| has_account(group)));
    let (notice, templates) = fields.take("notice").and_then(|node| notice(node, local, reading)).unzip();
    let tests = fields.take("tests").map(|node| examples::tests(node, name.as_deref(), reading));
    let compensation = fields
        .take("compensation")
        .and_then(|node| proposals::compensation(node, detect.as_ref(), reading))
        .map(|(compensation, of_step)| {
            if let (Some(Detect::Sequence(sequence)), Some(of_step)) = (&mut detect, of_step) {
                sequence.pay_for(of_step);
            }
            compensation
        });
    let action = fields.take("action").and_then(|node| proposals::action(node, reading));
    let span = fields.head();
    fields.finish(reading);
    if reading.errors.len() > errors {
        return None;
    }
    let (incident, covers) = incident?;
    let mut rule = Rule {
        name: name?,
        summary: head.summary,
        owner: head.owner,
        state: head.state,
        version: version::of(node, &reading.files),
        topics,
        filter: filter?,
        groups: groups?,
        detect: detect?,
        except: except?,
        pending: head.pending,
        keep_firing: head.keep_firing,
        grace: head.grace,
        lateness: head.lateness,
        incident,
        ticket: ticket?,
        notice,
        compensation,
        action,
        runbook: head.runbook,
        kept: TextSet::ALL,
    };
    agree(&mut rule, detect_node.map_or(&span, |node| &node.span), reading);
    if reading.errors.len() > errors {
        return None;
    }
    let name_place = reading.source.place(name_node.map_or(&span, |node| &node.span));
    let origin = Origin { name: name_place, covered_by: covers, templates: templates.unwrap_or_default() };
    Some(LoadedRule { rule, tests: tests.unwrap_or_default(), origin })
}

/// The plain fields.
struct Head {
    summary: String,
    owner: String,
    state: RuleState,
    pending: Span,
    keep_firing: Span,
    grace: Span,
    lateness: Span,
    runbook: Option<String>,
}

fn head(fields: &mut Fields<'_>, name: &str, reading: &mut Reading<'_>) -> Head {
    const STATES: [(&str, RuleState); 3] =
        [("active", RuleState::Active), ("shadow", RuleState::Shadow), ("paused", RuleState::Paused)];
    let mut duration = |field, default, reading: &mut Reading<'_>| {
        fields.take(field).and_then(|node| reading.duration(node)).unwrap_or(default)
    };
    let pending = duration("for", defaults::PENDING, reading);
    let keep_firing = duration("keep_firing_for", defaults::KEEP_FIRING_FOR, reading);
    let grace = duration("grace", defaults::GRACE, reading);
    let lateness = duration("lateness", defaults::LATENESS, reading);
    let summary = fields.take("summary").and_then(|node| reading.words(node, "one line about what is wrong"));
    let owner = fields.take("owner").and_then(|node| reading.words(node, "a team or a person"));
    let state = fields.take("state").and_then(|node| reading.choice(node, &STATES));
    let runbook = fields.take("runbook").and_then(|node| {
        let address = reading.words(node, "an address such as https://…")?;
        if !address.starts_with("https://") && !address.starts_with("http://") {
            reading.expected("an address such as https://…", node);
        }
        Some(address)
    });
    Head {
        summary: summary.unwrap_or_else(|| name.to_owned()),
        owner: owner.unwrap_or_default(),
        state: state.unwrap_or(defaults::STATE),
        pending,
        keep_firing,
        grace,
        lateness,
        runbook,
    }
}

fn topics(node: &Node, reading: &mut Reading<'_>) -> Option<TypeSet> {
    let names = Topic::ALL.map(|topic| (topic.as_str(), topic));
    let mut types = TypeSet::EMPTY;
    for item in reading.items(node) {
        types = types.or(TypeSet::of_topic(reading.choice(item, &names)?));
    }
    if types.is_empty() {
        reading.report(&node.span, "expected at least one topic");
        return None;
    }
    Some(types)
}

fn has_account(group: &[TextField]) -> bool {
    group.iter().any(|field| matches!(field, TextField::AccountId | TextField::OrderId))
}

fn groups(
    fields: &mut Fields<'_>,
    detect: Option<&Detect>,
    reading: &mut Reading<'_>,
) -> Option<Vec<Vec<TextField>>> {
    match (fields.take("group_by"), fields.take("slices")) {
        (Some(node), None) => {
            let group = reading.text_fields(node)?;
            if let Some(Detect::Reconcile(reconcile)) = detect {
                fixed_subject(node, &group, reconcile.check, reading);
            }
            Some(vec![group])
        }
        (None, Some(node)) => slices(node, detect, reading),
        (Some(_), Some(_)) => {
            reading.report(&fields.key_span("slices"), "a rule has either `group_by` or `slices`");
            None
        }
        (None, None) => match detect? {
            Detect::Deadline(deadline) => Some(vec![vec![deadline.key]]),
            Detect::Reconcile(reconcile) => Some(vec![vec![reconcile.check.subject()]]),
            Detect::Any
            | Detect::Cardinality(_)
            | Detect::Metric(_)
            | Detect::Spike(_)
            | Detect::Change(_)
            | Detect::List(_)
            | Detect::Frequency(_)
            | Detect::NewTerm(_)
            | Detect::Sequence(_)
            | Detect::Correlation(_)
            | Detect::Travel(_) => Some(vec![vec![TextField::AccountId]]),
            Detect::Ratio(_) | Detect::Flatline(_) => {
                fields.missing(&["group_by", "slices"], reading);
                None
            }
        },
    }
}

/// A check is about one thing, whatever else a rule would like to group by.
fn fixed_subject(node: &Node, group: &[TextField], check: Check, reading: &mut Reading<'_>) {
    let subject = check.subject();
    if group != [subject] {
        reading.report_help(
            &node.span,
            format!("the check {} is about `{subject}` alone", check.as_str()),
            format!("leave `group_by` out, or write `group_by: [{subject}]`"),
        );
    }
}

fn slices(node: &Node, detect: Option<&Detect>, reading: &mut Reading<'_>) -> Option<Vec<Vec<TextField>>> {
    let Value::List(items) = &node.value else {
        reading.expected("a list of lists such as [[channel], [channel, region]]", node);
        return None;
    };
    let mut groups = Vec::with_capacity(items.len());
    for item in items {
        if !matches!(item.value, Value::List(_)) {
            reading.expected("a list of fields such as [channel, region]", item);
            return None;
        }
        let group = reading.text_fields(item)?;
        if groups.contains(&group) {
            reading.report(&item.span, "this slice is given twice");
            return None;
        }
        groups.push(group);
    }
    if groups.is_empty() || groups.len() > 8 {
        reading.report(&node.span, "expected 1 to 8 slices");
        return None;
    }
    if let Some(detect) = detect
        && !matches!(detect, Detect::Ratio(_))
    {
        reading.report(&node.span, format!("slices are not supported for the kind {} yet", detect.kind()));
        return None;
    }
    if let Some(item) = items.iter().zip(&groups).find_map(|(item, group)| has_account(group).then_some(item))
    {
        reading.report_help(
            &item.span,
            "a slice can't be about one account or order",
            "slices find the narrowest channel, region, product or supplier that explains the trouble",
        );
        return None;
    }
    Some(groups)
}

fn incident(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<(IncidentPolicy, Vec<Place>)> {
    let mut policy = IncidentPolicy {
        cooldown: defaults::COOLDOWN,
        cooldown_max: defaults::COOLDOWN_MAX,
        resolve_when: None,
        resolve_on: Vec::new(),
        close_after: defaults::CLOSE_AFTER,
        covered_by: Vec::new(),
        wait: Span::ZERO,
        on_remove: OnRemove::default(),
    };
    let Some(node) = fields.take("incident") else { return Some((policy, Vec::new())) };
    let mut fields = Fields::of(node, "`incident`", reading)?;
    if let Some(span) = fields.take("cooldown").and_then(|node| reading.duration(node)) {
        policy.cooldown = span;
    }
    policy.cooldown_max = defaults::COOLDOWN_MAX.max(policy.cooldown);
    if let Some(node) = fields.take("cooldown_max")
        && let Some(span) = reading.duration(node)
    {
        if span < policy.cooldown {
            reading.report(
                &node.span,
                format!("`cooldown_max` is shorter than `cooldown`, {}", policy.cooldown),
            );
        }
        policy.cooldown_max = span;
    }
    policy.resolve_when = fields.take("resolve_when").and_then(|node| reading.condition(node));
    if let Some(node) = fields.take("resolve_on") {
        policy.resolve_on = reading.text_fields(node).unwrap_or_default();
        if policy.resolve_when.is_none() {
            reading
                .report(&fields.key_span("resolve_on"), "`resolve_on` says nothing without `resolve_when`");
        }
    }
    if let Some(span) = fields.take("close_after").and_then(|node| reading.length(node)) {
        policy.close_after = span;
    }
    let mut places = Vec::new();
    if let Some(node) = fields.take("covered_by") {
        for item in reading.items(node) {
            if let Some((cover, span)) = cover(item, reading) {
                places.push(reading.source.place(&span));
                policy.covered_by.push(cover);
            }
        }
    }
    let wait = fields.take("wait").and_then(|node| reading.duration(node));
    if !policy.covered_by.is_empty() {
        policy.wait = wait.unwrap_or(defaults::WAIT);
    }
    let fates = [("resolve", OnRemove::Resolve), ("keep", OnRemove::Keep)];
    if let Some(fate) = fields.take("on_remove").and_then(|node| reading.choice(node, &fates)) {
        policy.on_remove = fate;
    }
    fields.finish(reading);
    Some((policy, places))
}

/// A rule's name, or `{ rule: …, equal: [region] }`.
fn cover(node: &Node, reading: &mut Reading<'_>) -> Option<(Cover, Range<usize>)> {
    const EXPECTED: &str = "the name of a rule";
    if !matches!(node.value, Value::Map(_)) {
        let rule = reading.name(node, EXPECTED)?;
        return Some((Cover { rule, equal: None }, node.span.clone()));
    }
    let mut fields = Fields::of(node, "an entry of `covered_by`", reading)?;
    let rule_node = fields.need("rule");
    let rule = rule_node.and_then(|node| reading.name(node, EXPECTED));
    let equal = match fields.take("equal") {
        None => None,
        Some(node) => Some(reading.text_fields(node)?),
    };
    fields.finish(reading);
    Some((Cover { rule: rule?, equal }, rule_node?.span.clone()))
}

fn ticket(fields: &mut Fields<'_>, name: &str, reading: &mut Reading<'_>) -> Option<TicketPolicy> {
    let policy = TicketPolicy {
        category: name.replace('-', "_"),
        department: defaults::DEPARTMENT.to_owned(),
        severity: defaults::SEVERITY,
        sla: defaults::SLA.to_owned(),
    };
    let Some(node) = fields.take("ticket") else { return Some(policy) };
    let mut fields = Fields::of(node, "`ticket`", reading)?;
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let name = |name, expected, default: String, fields: &mut Fields<'_>, reading: &mut Reading<'_>| {
        fields.take(name).and_then(|node| reading.name(node, expected)).unwrap_or(default)
    };
    let TicketPolicy { category, department, sla, .. } = policy;
    let category = name("category", "a category such as topup_failure", category, &mut fields, reading);
    let department = name("department", "a department such as payments", department, &mut fields, reading);
    let sla = name("sla", "a service level such as emergency", sla, &mut fields, reading);
    let severity = fields.take("severity").and_then(|node| reading.choice(node, &severities));
    let policy = TicketPolicy { category, department, severity: severity.unwrap_or(defaults::SEVERITY), sla };
    fields.finish(reading);
    Some(policy)
}

fn notice(node: &Node, local: bool, reading: &mut Reading<'_>) -> Option<(NoticePolicy, Vec<Place>)> {
    const AUDIENCES: [(&str, Audience); 4] = [
        ("account", Audience::Account),
        ("affected", Audience::Affected),
        ("joined", Audience::Joined),
        ("manager", Audience::Manager),
    ];
    const TEMPLATE: &str = "the name of a template";
    let mut fields = Fields::of(node, "`notice`", reading)?;
    let mut places = Vec::new();
    let mut template = |node: Option<&Node>, reading: &mut Reading<'_>| {
        let node = node?;
        places.push(reading.source.place(&node.span));
        reading.name(node, TEMPLATE)
    };
    let first = template(fields.need("template"), reading);
    let default = if local { Audience::Account } else { Audience::Affected };
    let to_node = fields.take("to");
    let to = to_node.map_or(Some(default), |node| reading.choice(node, &AUDIENCES));
    if let (Some(node), Some(Audience::Account), false) = (to_node, to, local) {
        reading.report_help(
            &node.span,
            "this rule's subject has no account to tell",
            "expected `affected`: every account that met the trouble",
        );
    }
    if let (Some(node), Some(Audience::Joined), true) = (to_node, to, local) {
        reading.report_help(
            &node.span,
            "this rule's incidents have an account of their own to tell",
            "expected `account`; `joined` is for rules that span partitions",
        );
    }
    let recovered = template(fields.take("recovered"), reading);
    let corrected = template(fields.take("corrected"), reading);
    fields.finish(reading);
    Some((NoticePolicy { template: first?, to: to?, recovered, corrected }, places))
}

/// What the parts of a rule must have to do with each other.
fn agree(rule: &mut Rule, detect: &Range<usize>, reading: &mut Reading<'_>) {
    let (name, types) = match &rule.detect {
        Detect::Frequency(detect) => ("count", detect.count.types()),
        Detect::Ratio(detect) => ("of", detect.among.types().and(detect.of.types())),
        Detect::Deadline(detect) => ("start", detect.start.types()),
        Detect::Spike(detect) => ("count", detect.count.types()),
        Detect::Reconcile(detect) => ("check", detect.types()),
        Detect::Metric(metric) => {
            metric.pair().map_or(("where", TypeSet::ALL), |pair| ("start", pair.start.types()))
        }
        // A sequence of findings needs no event of its own.
        Detect::Sequence(detect) if detect.findings.is_empty() => ("steps", detect.types()),
        Detect::Any
        | Detect::Cardinality(_)
        | Detect::Change(_)
        | Detect::List(_)
        | Detect::Sequence(_)
        | Detect::Correlation(_)
        | Detect::Travel(_)
        | Detect::NewTerm(_)
        | Detect::Flatline(_) => ("where", TypeSet::ALL),
    };
    if rule.topics.and(rule.filter.types()).and(types).is_empty() {
        let help = if rule.filter.types().is_empty() {
            "no event passes `where`: one part of it rules out the other".to_owned()
        } else if types.is_empty() {
            format!("no event meets `{name}`: one part of it rules out the other")
        } else {
            format!("`topics`, `where` and `{name}` have no event type in common")
        };
        reading.report_help(detect, "no event can start or count here", help);
    }
    if let Detect::Flatline(detect_flatline) = &rule.detect
        && let Expected::Listed(_) = detect_flatline.expect
        && rule.groups.iter().any(|group| group.len() != 1)
    {
        reading.report_help(
            detect,
            "a list of expected values needs a subject of one field",
            "expected for instance `group_by: [channel]`",
        );
    }
    const NAMED: [TextField; 2] = [TextField::Product, TextField::Supplier];
    if let Detect::Flatline(detect_flatline) = &rule.detect
        && detect_flatline.expect == Expected::Catalog
        && !rule
            .groups
            .iter()
            .all(|group| !group.is_empty() && group.iter().all(|field| NAMED.contains(field)))
    {
        reading.report_help(
            detect,
            "the catalog names products and suppliers, and this subject is neither",
            "expected `group_by` of `product`, of `supplier`, or of both",
        );
    }
    if let Detect::Cardinality(cardinality) = &rule.detect
        && rule.groups.iter().any(|group| group.contains(&cardinality.field))
    {
        reading.report_help(
            detect,
            format!("each subject has one `{}`, since that is a part of it", cardinality.field),
            "expected another `field`, or a `group_by` without it",
        );
    }
    for field in limited_by(&rule.detect) {
        if !rule.groups.iter().all(|group| group.contains(&field)) {
            reading.report(
                detect,
                format!("the limit depends on `{field}`, which is not in the rule's subject"),
            );
        }
    }
}

/// The fields on whose values limits depend.
fn limited_by(detect: &Detect) -> Vec<TextField> {
    match detect {
        Detect::Ratio(ratio) => ratio.limit.field().into_iter().collect(),
        Detect::Metric(metric) => metric.limit.field().into_iter().collect(),
        Detect::Frequency(frequency) => {
            let limits = frequency.at_least.iter().chain(&frequency.at_most);
            limits.filter_map(WholeLimit::field).collect()
        }
        Detect::Cardinality(cardinality) => cardinality.limit.field().into_iter().collect(),
        Detect::Flatline(flatline) => flatline.fewer_than.field().into_iter().collect(),
        _ => Vec::new(),
    }
}
