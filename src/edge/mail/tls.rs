//! Whom to trust: the authorities of the system, and those of the configuration.

use std::io;
use std::sync::Arc;

use lettre::transport::smtp::client::{Certificate, TlsParameters};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::edge::mail::{MailSettings, Protection};

/// Authorities that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("the authorities for the mail server are not certificates in PEM: {0}")]
    Pem(String),
    #[error("{host:?} is not a name that a certificate can be checked against: {problem}")]
    Host { host: String, problem: String },
}

/// What an encrypted connection needs; nothing where there is none.
pub enum Tls {
    Off,
    Upgrade(TlsParameters),
    Implicit { connector: TlsConnector, name: ServerName<'static> },
}

impl Tls {
    pub fn new(settings: &MailSettings) -> Result<Self, CaError> {
        let host = || settings.host.clone();
        let unusable = |problem: String| CaError::Host { host: host(), problem };
        Ok(match settings.protection {
            Protection::None => Self::Off,
            Protection::StartTls => {
                let mut builder = TlsParameters::builder(host());
                if let Some(pem) = &settings.ca_pem {
                    // Read twice, since a text without any certificate is no error to the first reader.
                    authorities(pem)?;
                    let own = Certificate::from_pem(pem).map_err(|error| CaError::Pem(error.to_string()))?;
                    builder = builder.add_root_certificate(own);
                }
                Self::Upgrade(builder.build().map_err(|error| unusable(error.to_string()))?)
            }
            Protection::Implicit => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                for own in settings.ca_pem.iter().map(|pem| authorities(pem)) {
                    roots.add_parsable_certificates(own?);
                }
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| unusable(error.to_string()))?
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let name = ServerName::try_from(host()).map_err(|error| unusable(error.to_string()))?;
                Self::Implicit { connector: TlsConnector::from(Arc::new(config)), name }
            }
        })
    }

    pub async fn connect(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        match self {
            Self::Implicit { connector, name } => connector.connect(name.clone(), tcp).await,
            Self::Off | Self::Upgrade(_) => Err(io::Error::other("no implicit TLS is set up")),
        }
    }

    pub fn parameters(&self) -> Option<TlsParameters> {
        match self {
            Self::Upgrade(parameters) => Some(parameters.clone()),
            Self::Off | Self::Implicit { .. } => None,
        }
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let own: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let own = own.map_err(|error| CaError::Pem(error.to_string()))?;
    if own.is_empty() { Err(CaError::Pem("there is none in it".to_owned())) } else { Ok(own) }
}
