//! Rendering decides the words of a message: which template in which language, filled with which facts.
//!
//! Templates are Jinja, compiled in and overridable. A name that a template uses and the facts lack is an error, found
//! when the templates are loaded: each is rendered then, in every language, with all facts and with as few as can be.

mod context;
mod labels;
mod registry;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use crate::core::time::{Span, Time};
use crate::delivery::customers::{Customer, Locale};
use crate::delivery::store::Outgoing;

pub use registry::SHIPPED;

/// Instructions that one template may take: some hundred times what the shipped ones need.
const FUEL: u64 = 200_000;

/// The longest subject line, in characters. What is longer is cut.
const SUBJECT_MAX: usize = 150;

/// What all messages of one installation share.
#[derive(Clone, Debug)]
pub struct RenderSettings {
    /// Who the messages come from, as customers know it.
    pub brand: String,
    /// For staff, and for customers whose own is not known.
    pub time_zone: String,
    pub locale: Locale,
    /// How long after it is sent a message aims to have its trouble settled, by template; the rest in half an hour.
    pub aims: BTreeMap<String, Span>,
}

impl Default for RenderSettings {
    fn default() -> Self {
        Self {
            brand: "forewarn".to_owned(),
            time_zone: "Asia/Shanghai".to_owned(),
            locale: Locale::default(),
            aims: [("delivery_late", 120), ("login_new_place", 60), ("login_travel", 60)]
                .map(|(template, minutes)| (template.to_owned(), Span::from_mins(minutes)))
                .into(),
        }
    }
}

/// A message in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub text: String,
    /// The same in HTML, where the template has that form.
    pub html: Option<String>,
}

/// A template that can't be used: which one, where in it, and why.
#[derive(Debug, thiserror::Error)]
#[error("template {template}: {problem}")]
pub struct TemplateError {
    pub template: String,
    pub problem: String,
}

impl TemplateError {
    fn new(template: &str, error: &minijinja::Error) -> Self {
        let at = error.name().filter(|name| *name != template).map(|name| format!(" in {name}"));
        let line = error.line().map(|line| format!(" line {line}"));
        let place = [at, line].into_iter().flatten().collect::<String>();
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let place = if place.is_empty() { place } else { format!("{}: ", place.trim_start()) };
        Self { template: template.to_owned(), problem: format!("{place}{}{detail}", error.kind()) }
    }
}

/// The templates of an installation, checked.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    settings: RenderSettings,
    zone: TimeZone,
}

impl Templates {
    /// The shipped templates with `overrides` over them, named as the files are: `zh-CN/topup_failing.subject`.
    pub fn load(
        settings: RenderSettings,
        overrides: BTreeMap<String, String>,
    ) -> Result<Self, Vec<TemplateError>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        // Tags stand on lines of their own without leaving these lines behind. The delimiters are the usual ones.
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        });
        let zone = labels::zone(&settings.time_zone).ok_or_else(|| {
            let problem = format!("there is no time zone {:?} on this machine", settings.time_zone);
            vec![TemplateError { template: "all".to_owned(), problem }]
        })?;
        let mut errors = Vec::new();
        let shipped =
            registry::SOURCES.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned()));
        for (name, source) in shipped.chain(overrides) {
            if let Err(error) = environment.add_template_owned(name.clone(), source) {
                errors.push(TemplateError::new(&name, &error));
            }
        }
        let templates = Self { environment, settings, zone };
        if errors.is_empty() {
            errors = templates.check();
        }
        if errors.is_empty() { Ok(templates) } else { Err(errors) }
    }

    /// The shipped templates.
    pub fn shipped(settings: RenderSettings) -> Result<Self, Vec<TemplateError>> {
        Self::load(settings, BTreeMap::new())
    }

    /// The files that make a template whole.
    pub const PARTS: usize = 2 * Locale::ALL.len();

    /// Whether there is a template of this name that rules can use.
    pub fn has(&self, name: &str) -> bool {
        self.missing(name).is_empty()
    }

    /// The files that it lacks: a subject and a text in every language make it whole.
    pub fn missing(&self, name: &str) -> Vec<String> {
        let needed = Locale::ALL
            .into_iter()
            .flat_map(|locale| ["subject", "txt"].map(|part| format!("{locale}/{name}.{part}")));
        needed.filter(|file| self.environment.get_template(file).is_err()).collect()
    }

    /// The names that rules can use, see [`Templates::has`].
    pub fn names(&self) -> BTreeSet<String> {
        let parts = self.environment.templates().filter_map(|(part, _)| part.split_once('/'));
        let names = parts.filter_map(|(_, part)| part.strip_suffix(".subject"));
        names.filter(|name| self.has(name)).map(str::to_owned).collect()
    }

    /// The words for a customer, or for their account manager.
    pub fn customer(
        &self,
        message: &Outgoing,
        customer: &Customer,
        locale: Locale,
        now: Time,
    ) -> Result<Rendered, TemplateError> {
        let crate::delivery::store::Addressee::Account { template, facts, recipient, .. } = &message.to
        else {
            let problem = "a message to staff was to be rendered for a customer".to_owned();
            return Err(TemplateError { template: "ticket".to_owned(), problem });
        };
        let zone = customer.time_zone.as_deref().and_then(labels::zone);
        let zone = zone.as_ref().unwrap_or(&self.zone);
        let aim = self.settings.aims.get(template.as_str()).copied().unwrap_or(Span::from_mins(30));
        let context = context::Customer {
            brand: &self.settings.brand,
            locale,
            zone,
            customer,
            to_manager: *recipient == crate::delivery::notice::Recipient::Manager,
            subject: &message.subject,
            incident: message.incident,
            facts,
            next_by: (now + aim).round_up(Span::from_mins(5)),
        };
        self.render(template, locale, context.values())
    }

    /// The words for staff.
    pub fn staff(&self, message: &Outgoing, held: u64, template: &str) -> Result<Rendered, TemplateError> {
        let Some(ticket) = &message.ticket else {
            let problem = format!("ticket {} is not in the store", message.incident);
            return Err(TemplateError { template: template.to_owned(), problem });
        };
        let locale = self.settings.locale;
        let values = context::staff(&self.settings.brand, locale, &self.zone, ticket, held);
        self.render(template, locale, values)
    }

    fn render(&self, template: &str, locale: Locale, context: Value) -> Result<Rendered, TemplateError> {
        let part = |extension: &str| {
            let name = format!("{locale}/{template}.{extension}");
            let found = self.environment.get_template(&name);
            let rendered = found.and_then(|template| template.render(&context));
            rendered.map_err(|error| TemplateError::new(&name, &error))
        };
        let html = format!("{locale}/{template}.html");
        let has_html = self.environment.templates().any(|(name, _)| name == html);
        Ok(Rendered {
            subject: one_line(&part("subject")?),
            text: tidy(&part("txt")?),
            html: has_html.then(|| part("html")).transpose()?,
        })
    }

    fn check(&self) -> Vec<TemplateError> {
        let mut errors = Vec::new();
        for (template, locale) in
            self.names().iter().flat_map(|name| Locale::ALL.map(|locale| (name.clone(), locale)))
        {
            for values in context::samples(&self.settings.brand, locale, &self.zone) {
                match self.render(&template, locale, values) {
                    Ok(rendered) if rendered.subject.is_empty() || rendered.text.trim().is_empty() => {
                        let problem = "the subject or the text is empty".to_owned();
                        errors.push(TemplateError { template: format!("{locale}/{template}"), problem });
                    }
                    Ok(_) => continue,
                    Err(error) => errors.push(error),
                }
                break;
            }
        }
        errors
    }
}

/// A subject on one line, without control characters: nothing from an event can start another header.
fn one_line(subject: &str) -> String {
    let words: Vec<&str> = subject
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= SUBJECT_MAX {
        return line;
    }
    line.chars().take(SUBJECT_MAX - 1).chain(['…']).collect()
}

/// Text without the blank lines that optional parts leave behind.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() && blank {
            continue;
        }
        blank = line.is_empty();
        out.push_str(line);
        out.push('\n');
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests;
