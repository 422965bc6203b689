//! Whose certificates are believed: the public authorities, those of the machine, and what the configured file names.

use crate::settings::Settings;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::{Arc, OnceLock};
use watchfire_config::Named;

/// # Errors
/// When the configured file cannot be read or holds no certificate.
pub fn trusted(settings: &Settings) -> Result<Arc<Named>, String> {
    // Reading the machine's bundle takes milliseconds, and every channel asks.
    static PUBLIC: OnceLock<RootCertStore> = OnceLock::new();
    let public = PUBLIC.get_or_init(|| {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // Receivers inside a company are often signed by an authority that only the machine knows.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let mut named = Vec::new();
    if let Some(path) = &settings.ca_file {
        let failed = |e: &dyn std::fmt::Display| format!("ca_file {}: {e}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
            named.push(certificate.map_err(|e| failed(&e))?);
        }
        if named.is_empty() {
            return Err(failed(&"it holds no certificate"));
        }
    }
    Named::new(public.clone(), named, Arc::new(ring::default_provider())).map(Arc::new).map_err(|e| format!("TLS: {e}"))
}

/// Nobody but these.
///
/// # Errors
/// When one of them cannot be used.
pub fn only(named: Vec<CertificateDer<'static>>) -> Result<Arc<Named>, String> {
    Named::new(RootCertStore::empty(), named, Arc::new(ring::default_provider())).map(Arc::new).map_err(|e| format!("TLS: {e}"))
}
