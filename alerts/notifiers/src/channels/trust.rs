//! Whose certificates are believed: the public authorities, those of the machine, and those of the configured file.

use crate::settings::Settings;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::OnceLock;

/// Authorities beside the public ones, which every TLS library here carries itself.
///
/// # Errors
/// When the configured file cannot be read or holds no certificate.
pub fn authorities(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, String> {
    // Reading the machine's bundle takes milliseconds, and every channel asks.
    static MACHINE: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    let mut found = MACHINE.get_or_init(|| rustls_native_certs::load_native_certs().certs).clone();
    if let Some(path) = &settings.ca_file {
        let failed = |e: &dyn std::fmt::Display| format!("ca_file {}: {e}", path.display());
        let before = found.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
            found.push(certificate.map_err(|e| failed(&e))?);
        }
        if found.len() == before {
            return Err(failed(&"it holds no certificate"));
        }
    }
    Ok(found)
}
