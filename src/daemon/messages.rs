//! The sender of messages, built from the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::sync::Notify;

use crate::delivery::customers::Customers;
use crate::delivery::outbox::{Observer, Outbox, OutboxSettings, Parts};
use crate::delivery::render::{RenderSettings, Templates};
use crate::delivery::store::OutboxStore;
use crate::edge::clock;
use crate::edge::mail::{MailSettings, Protection, SmtpMailer};
use crate::settings::{Settings, SmtpSettings, Tls};

/// The sender; [`None`] without a mail server: messages then wait in the outbox.
pub fn outbox<S: OutboxStore + 'static>(
    settings: &Settings,
    store: S,
    customers: Arc<dyn Customers>,
    wake: Arc<Notify>,
    observer: Arc<dyn Observer>,
) -> anyhow::Result<Option<Outbox<S, SmtpMailer>>> {
    let Some(smtp) = &settings.smtp else { return Ok(None) };
    let parts = Parts {
        store,
        mailer: SmtpMailer::new(mail_settings(smtp)?).context("smtp.from or smtp.ca_file cannot be used")?,
        templates: Arc::new(templates(settings)?),
        customers,
        clock: Arc::new(clock::now),
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
fn templates(settings: &Settings) -> anyhow::Result<Templates> {
    let render = RenderSettings {
        brand: settings.notices.brand.clone(),
        time_zone: settings.time_zone.clone(),
        locale: settings.locale,
        ..RenderSettings::default()
    };
    let mut overrides = BTreeMap::new();
    if let Some(folder) = &settings.notices.templates {
        let problem = || format!("cannot read the templates in {} (notices.templates)", folder.display());
        for locale in std::fs::read_dir(folder).with_context(problem)? {
            let locale = locale.with_context(problem)?;
            if !locale.path().is_dir() {
                continue;
            }
            for file in std::fs::read_dir(locale.path()).with_context(problem)? {
                let file = file.with_context(problem)?;
                let name = format!("{}/{}", locale.file_name().display(), file.file_name().display());
                overrides.insert(name, std::fs::read_to_string(file.path()).with_context(problem)?);
            }
        }
    }
    Templates::load(render, overrides).map_err(|errors| {
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("the templates cannot be used\n{}", shown.join("\n"))
    })
}
