//! One record of a file of customers, in either form.

use serde::Deserialize;

use crate::core::event::Tier;
use crate::delivery::customers::{Customer, Personal};

/// How the file writes a customer.
pub(super) enum Form {
    JsonLines,
    Csv { columns: Vec<String> },
}

/// A customer as it is written. Fields that we don't know are the platform's own business.
#[derive(Deserialize)]
struct RawCustomer {
    account_id: Option<String>,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    tier: Option<String>,
    manager: Option<String>,
    quiet_hours: Option<String>,
    #[serde(default)]
    opt_outs: Vec<String>,
}

impl Form {
    /// The form that a header line describes.
    pub(super) fn csv(header: &[u8]) -> Result<Self, String> {
        let columns: Vec<String> =
            fields(header)?.into_iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
        if !columns.iter().any(|name| name == "account_id") {
            return Err("the header line has no column `account_id`".to_owned());
        }
        Ok(Self::Csv { columns })
    }

    pub(super) fn read(&self, record: &[u8]) -> Result<Customer, String> {
        let raw = match self {
            // The message of the parser would quote the record, which is personal.
            Self::JsonLines => serde_json::from_slice(record)
                .map_err(|error| format!("not one JSON object of a customer (column {})", error.column()))?,
            Self::Csv { columns } => raw_of(columns, fields(record)?)?,
        };
        checked(raw)
    }
}

/// Whether the quotes of a CSV record are closed.
pub(super) fn is_whole(record: &[u8]) -> bool {
    record.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2)
}

fn fields(record: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
    match reader.records().next() {
        Some(Ok(fields)) => Ok(fields.iter().map(str::to_owned).collect()),
        Some(Err(_)) | None => Err("not a CSV record in UTF-8".to_owned()),
    }
}

fn raw_of(columns: &[String], fields: Vec<String>) -> Result<RawCustomer, String> {
    if fields.len() != columns.len() {
        return Err(format!("expected {} columns as in the header, found {}", columns.len(), fields.len()));
    }
    let value = |wanted: &str| {
        let place = columns.iter().position(|name| name == wanted)?;
        fields.get(place).filter(|value| !value.is_empty()).cloned()
    };
    let opt_outs = value("opt_outs").map_or_else(Vec::new, |list| {
        list.split(';').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    });
    Ok(RawCustomer {
        account_id: value("account_id"),
        name: value("name"),
        email: value("email"),
        phone: value("phone"),
        locale: value("locale"),
        time_zone: value("time_zone"),
        tier: value("tier"),
        manager: value("manager"),
        quiet_hours: value("quiet_hours"),
        opt_outs,
    })
}

fn checked(raw: RawCustomer) -> Result<Customer, String> {
    let account_id = raw.account_id.filter(|account| !account.is_empty());
    let account_id = account_id.ok_or("the customer has no `account_id`")?;
    let tier = match raw.tier {
        None => Tier::default(),
        Some(written) => Tier::parse(&written).ok_or_else(|| {
            format!("unknown tier `{written}`; expected individual, merchant or enterprise")
        })?,
    };
    let personal = |value: Option<String>| value.filter(|value| !value.trim().is_empty()).map(Personal::new);
    Ok(Customer {
        account_id,
        name: personal(raw.name),
        email: personal(raw.email),
        phone: personal(raw.phone),
        locale: raw.locale,
        time_zone: raw.time_zone,
        tier,
        manager: personal(raw.manager),
        quiet_hours: raw.quiet_hours,
        opt_outs: raw.opt_outs,
    })
}
