//! Who can be told, as the configuration says.

use std::sync::Arc;

use anyhow::bail;

use crate::delivery::customers::{Customers, Nobody};
use crate::edge::customers::CustomerFile;
use crate::settings::CustomerSettings;

/// The customers; without any configured nobody can be told, and tickets still open.
pub fn customers(settings: Option<&CustomerSettings>) -> anyhow::Result<Arc<dyn Customers>> {
    match settings {
        None => Ok(Arc::new(Nobody)),
        Some(CustomerSettings::File(path)) => Ok(Arc::new(CustomerFile::open(path)?)),
        Some(CustomerSettings::Topic(topic)) => bail!(
            "customers.topic is `{topic}`, but customers from a topic are not supported yet; expected customers.file"
        ),
    }
}
