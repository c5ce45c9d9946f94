//! What the configuration leans on: templates, database, broker and mail server, each tried as the daemon would use it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::core::event::Topic;
use crate::delivery::render::{RenderSettings, Templates};
use crate::edge::kafka::{Cluster, Probe};
use crate::edge::store::sqlite::{OpenError, SqliteStore};
use crate::settings::{KafkaSettings, Settings, TopicSettings};

/// The largest template that is read.
const MAX_TEMPLATE: u64 = 1 << 20;

/// What is wrong with the templates, one line each.
pub(super) fn templates(settings: &Settings) -> Vec<String> {
    let overrides = match settings.notices.templates.as_deref().map(read_templates).transpose() {
        Ok(overrides) => overrides.unwrap_or_default(),
        Err(problem) => return vec![problem],
    };
    let render = RenderSettings {
        brand: settings.notices.brand.clone(),
        time_zone: settings.time_zone.clone(),
        locale: settings.locale,
        ..RenderSettings::default()
    };
    match Templates::load(render, overrides) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The templates of a folder, one folder deep, named as they are registered: `zh-CN/topup_failing.subject`.
fn read_templates(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let failed = |path: &Path, error: std::io::Error| {
        format!("notices.templates: cannot read {}: {error}", path.display())
    };
    let mut found = BTreeMap::new();
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let files = if path.is_dir() {
            std::fs::read_dir(&path)
                .map_err(|error| failed(&path, error))?
                .flatten()
                .map(|file| file.path())
                .collect()
        } else {
            vec![path]
        };
        for file in files.into_iter().filter(|file| file.is_file()) {
            let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            let size = file.metadata().map_err(|error| failed(&file, error))?.len();
            if size > MAX_TEMPLATE {
                return Err(format!("notices.templates: {} is larger than 1 MiB", file.display()));
            }
            found.insert(name, std::fs::read_to_string(&file).map_err(|error| failed(&file, error))?);
        }
    }
    Ok(found)
}

/// What does not answer as it should, one line each.
pub(super) fn neighbours(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let problems =
        [runtime.block_on(database(&settings.store.path)), broker(&settings.kafka, &settings.topics)];
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
        Err(format!("store.url: there is no folder {} for the database", folder.display()))
    }
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
