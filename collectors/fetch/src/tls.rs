//! TLS of the client side: whom to trust, and who we are.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use watchfire_config::{AcceptAny, Named};

/// The `tls_config` block of a scrape job or a probe. Empty: the system's authorities, or Mozilla's where the system has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate chain, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the key to `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Accept every certificate. The connection is then encrypted to nobody in particular.
    pub insecure_skip_verify: bool,
}

/// A TLS setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {why}")]
    File { path: String, why: String },
    #[error("{path} holds no certificate")]
    NoCertificate { path: String },
    #[error("cert_file and key_file must be given together")]
    HalfPair,
    #[error("TLS configuration: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A client configuration from settings. Reads the named files.
///
/// # Errors
/// When a file cannot be read, holds nothing useful, or certificate and key do not fit.
pub fn client_config(settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = if settings.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
    } else if let Some(path) = &settings.ca_file {
        let named = Named::new(RootCertStore::empty(), certificates(path)?, provider)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(named))
    } else {
        builder.with_root_certificates(system_roots())
    };
    Ok(match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| file_error(key, &e))?;
            builder.with_client_auth_cert(certificates(cert)?, key)?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(TlsError::HalfPair),
    })
}

/// The system's authorities, read once: hundreds of clients share them.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(store)
    };
    ROOTS.get_or_init(read).clone()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|e| file_error(path, &e))?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.display().to_string() }) } else { Ok(found) }
}

fn file_error(path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { path: path.display().to_string(), why: error.to_string() }
}
