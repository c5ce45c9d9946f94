//! The sender of messages and its parts, built from the configuration.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::sync::Notify;

use crate::delivery::customers::Customers;
use crate::delivery::outbox::{Observer, Outbox, OutboxSettings, Parts, WallClock};
use crate::delivery::render::{RenderSettings, Templates};
use crate::delivery::store::OutboxStore;
use crate::edge::mail::{MailSettings, Protection, SmtpMailer};
use crate::edge::templates;
use crate::settings::{Settings, SmtpSettings, Tls};

/// The sender; [`None`] without a mail server: messages then wait in the outbox.
pub fn outbox<S: OutboxStore + 'static>(
    settings: &Settings,
    store: S,
    customers: Arc<dyn Customers>,
    wake: Arc<Notify>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn WallClock>,
) -> anyhow::Result<Option<Outbox<S, SmtpMailer>>> {
    let Some(smtp) = &settings.smtp else { return Ok(None) };
    let parts = Parts {
        store,
        mailer: mailer(smtp)?,
        templates: Arc::new(load_templates(settings)?),
        customers,
        clock,
        observer,
        wake,
    };
    let outbox_settings = OutboxSettings {
        max_age: settings.notices.max_age,
        concurrency: smtp.connections.max(1),
        departments: settings.departments.clone(),
        locale: settings.locale,
        ..OutboxSettings::default()
    };
    Ok(Some(Outbox::new(parts, outbox_settings)))
}

/// The way to the mail server.
pub fn mailer(smtp: &SmtpSettings) -> anyhow::Result<SmtpMailer> {
    SmtpMailer::new(mail_settings(smtp)?).context("smtp.from or smtp.ca_file cannot be used")
}

fn mail_settings(smtp: &SmtpSettings) -> anyhow::Result<MailSettings> {
    let protection = match smtp.tls {
        Tls::StartTls => Protection::StartTls,
        Tls::Implicit => Protection::Implicit,
        Tls::None => Protection::None,
    };
    let ca_pem = smtp.ca_file.as_ref().map(|path| {
        std::fs::read(path).with_context(|| format!("cannot read {} (smtp.ca_file)", path.display()))
    });
    Ok(MailSettings {
        login: smtp.login.as_ref().map(|login| (login.user.clone(), login.password.clone())),
        ca_pem: ca_pem.transpose()?,
        connections: smtp.connections.max(1),
        timeout: smtp.timeout,
        ..MailSettings::new(smtp.host.clone(), smtp.port, protection, smtp.from.clone())
    })
}

/// The shipped templates, with those of the folder `notices.templates` in place of the ones of the same name:
/// `zh-CN/topup_failing.subject`, `.txt`, `.html`.
pub fn load_templates(settings: &Settings) -> anyhow::Result<Templates> {
    let render = RenderSettings {
        brand: settings.notices.brand.clone(),
        time_zone: settings.time_zone.clone(),
        locale: settings.locale,
        ..RenderSettings::default()
    };
    let overrides = settings.notices.templates.as_deref().map(templates::read).transpose();
    let overrides = overrides.context("notices.templates")?.unwrap_or_default();
    Templates::load(render, overrides).map_err(|errors| {
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("the templates cannot be used\n{}", shown.join("\n"))
    })
}
