//! What the configuration leans on: templates, database, broker and mail server, each tried as the daemon would use it.

use std::path::Path;

use crate::core::event::Topic;
use crate::core::time::Span;
use crate::daemon::messages::{load_templates, mailer};
use crate::delivery::render::Templates;
use crate::edge::customers::CustomerFile;
use crate::edge::geo::Locations;
use crate::edge::kafka::{Cluster, ConnectError, Probe};
use crate::edge::store::{Database, OpenError};
use crate::settings::{
    CustomerSettings, KafkaSettings, Settings, SmtpSettings, StoreSettings, TopicSettings,
};

/// The templates, or what is wrong with them, one line each.
pub(super) fn templates(settings: &Settings) -> Result<Templates, Vec<String>> {
    load_templates(settings).map_err(|error| format!("{error:#}").lines().map(str::to_owned).collect())
}

/// What is wrong with the location files.
pub(super) fn locations(settings: &Settings) -> Option<String> {
    let error = Locations::load(settings.geo.as_ref()?).err()?;
    Some(format!("geo: {:#}", anyhow::Error::from(error)))
}

/// How long Kafka keeps the events of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) topic: Topic,
    pub(super) name: String,
    pub(super) span: Span,
}

/// What does not answer as it should, one line each; and how long the topics are kept that are not kept for good.
pub(super) fn neighbours(settings: &Settings) -> anyhow::Result<(Vec<String>, Vec<Kept>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (kept, broker) = match runtime.block_on(broker(&settings.kafka, &settings.topics)) {
        Ok(kept) => (kept, Ok(())),
        Err(problem) => (Vec::new(), Err(problem)),
    };
    let problems = [
        customers(settings.customers.as_ref()),
        runtime.block_on(database(&settings.store)),
        broker,
        runtime.block_on(mail(settings.smtp.as_ref())),
    ];
    Ok((problems.into_iter().filter_map(Result::err).collect(), kept))
}

/// The daemon makes the database or its tables, and brings older ones up to date; what it can't do is told here.
async fn database(settings: &StoreSettings) -> Result<(), String> {
    match Database::attach(settings).await {
        Ok(store) => {
            store.finish().await;
            Ok(())
        }
        Err(OpenError::OtherVersion { found, needed, .. }) if found < needed => Ok(()),
        Err(OpenError::Empty { .. }) => Ok(()),
        Err(OpenError::Missing(path)) => folder_of(&path),
        Err(error) => Err(error.to_string()),
    }
}

fn folder_of(path: &Path) -> Result<(), String> {
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

async fn broker(settings: &KafkaSettings, topics: &TopicSettings) -> Result<Vec<Kept>, String> {
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
    let said = |error: ConnectError| error.to_string();
    let probe = Probe::new(&cluster).map_err(said)?;
    probe.partitions(&named).map_err(said)?;
    let names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
    // Reading events needs no right to read a topic's settings, so who lacks that hears nothing of retention.
    let spans = probe.retention(&cluster, &names).await.unwrap_or_default();
    let kept = named.into_iter().filter_map(|(topic, name)| {
        let span = *spans.get(&name)?;
        Some(Kept { topic, name, span })
    });
    Ok(kept.collect())
}
