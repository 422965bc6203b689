//! The certificates of `[security]`, ready to serve with.

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use watchfire_config::Security;

/// What the ports speak TLS with; `None` when the configuration names no certificate.
///
/// # Errors
/// When a file cannot be read, or certificate and key do not belong together.
pub fn server_config(security: &Security) -> anyhow::Result<Option<ServerConfig>> {
    let (Some(certificate), Some(key)) = (&security.tls_certificate, &security.tls_key) else {
        anyhow::ensure!(security.tls_client_ca.is_none(), "security.tls_client_ca needs security.tls_certificate and security.tls_key");
        return Ok(None);
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read a private key from {}", key.display()))?;
    let builder = ServerConfig::builder();
    let builder = match &security.tls_client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).with_context(|| format!("{} holds something else than certificates", path.display()))?;
            }
            let mut verifier = WebPkiClientVerifier::builder(Arc::new(roots));
            if let Some(path) = &security.tls_client_crl {
                verifier = verifier.with_crls(revocation_lists(path)?);
            }
            let verifier = verifier.build().with_context(|| format!("cannot ask clients for certificates of {}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key).with_context(|| format!("{} does not fit its key", certificate.display()))?;
    Ok(Some(config))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().with_context(|| format!("cannot read certificates from {}", path.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

fn revocation_lists(path: &Path) -> anyhow::Result<Vec<CertificateRevocationListDer<'static>>> {
    let read = || CertificateRevocationListDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().with_context(|| format!("cannot read revocation lists from {}", path.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} holds no revocation list", path.display());
    Ok(found)
}
