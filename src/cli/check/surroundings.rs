//! What the configuration leans on: templates, database, broker and mail server, each tried as the daemon would use it.

use std::path::Path;

use crate::core::event::Topic;
use crate::daemon::messages::{load_templates, mailer};
use crate::edge::customers::CustomerFile;
use crate::edge::kafka::{Cluster, Probe};
use crate::edge::store::sqlite::{OpenError, SqliteStore};
use crate::settings::{CustomerSettings, KafkaSettings, Settings, SmtpSettings, TopicSettings};

/// What is wrong with the templates, one line each.
pub(super) fn templates(settings: &Settings) -> Vec<String> {
    match load_templates(settings) {
        Ok(_) => Vec::new(),
        Err(error) => format!("{error:#}").lines().map(str::to_owned).collect(),
    }
}

/// What does not answer as it should, one line each.
pub(super) fn neighbours(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let problems = [
        customers(settings.customers.as_ref()),
        runtime.block_on(database(&settings.store.path)),
        broker(&settings.kafka, &settings.topics),
        runtime.block_on(mail(settings.smtp.as_ref())),
    ];
    Ok(problems.into_iter().filter_map(Result::err).collect())
}

/// The daemon makes the database and brings an older one up to date; what it can't do is told here.
async fn database(path: &Path) -> Result<(), String> {
    if path.exists() {
        return match SqliteStore::attach(path).await {
            Ok(store) => {
                store.finish().await;
                Ok(())
            }
            Err(OpenError::OtherVersion { found, needed, .. }) if found < needed => Ok(()),
            Err(error) => Err(error.to_string()),
        };
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        Ok(())
    } else {
        Err(format!("there is no folder {} for the database (store.url)", folder.display()))
    }
}

/// A topic of customers is found by the daemon when it starts.
fn customers(settings: Option<&CustomerSettings>) -> Result<(), String> {
    let Some(CustomerSettings::File(path)) = settings else { return Ok(()) };
    CustomerFile::open(path).map(|_| ()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

/// Connects, says hello, logs in and leaves, as the sender would before its first message.
async fn mail(settings: Option<&SmtpSettings>) -> Result<(), String> {
    let Some(settings) = settings else { return Ok(()) };
    let mailer = mailer(settings).map_err(|error| format!("{error:#}"))?;
    let problem = |trouble| format!("smtp: cannot talk to {}:{}: {trouble}", settings.host, settings.port);
    mailer.probe().await.map_err(problem)
}

fn broker(settings: &KafkaSettings, topics: &TopicSettings) -> Result<(), String> {
    let options =
        settings.options.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())).collect();
    let cluster = Cluster { brokers: settings.brokers.clone(), group: settings.group.clone(), options };
    let named = [
        (Topic::Orders, &topics.orders),
        (Topic::Logins, &topics.logins),
        (Topic::Catalog, &topics.catalog),
        (Topic::Feedback, &topics.feedback),
    ];
    let named: Vec<(Topic, String)> =
        named.into_iter().filter_map(|(topic, name)| Some((topic, name.clone()?))).collect();
    let counts = Probe::new(&cluster).and_then(|probe| probe.partitions(&named));
    counts.map(|_| ()).map_err(|error| error.to_string())
}
