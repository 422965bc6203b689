//! Whom a `ca_file` makes trusted: the same for what is scraped and probed and for those who are told.

use chrono::{DateTime, SecondsFormat};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Authorities, and servers that are named among them themselves: what `openssl req -x509` writes is an authority that signed itself, and is served
/// by many as it is.
#[derive(Clone, Debug)]
pub struct Named {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
    server_name: Option<ServerName<'static>>,
}

impl Named {
    /// What a `ca_file` holds, beside other authorities.
    ///
    /// # Errors
    /// When one of the certificates cannot be used.
    pub fn new(
        mut authorities: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        for certificate in &certificates {
            authorities.add(certificate.clone())?;
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider)
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        Ok(Named { authorities, certificates, server_name: None })
    }

    /// The same for servers whose certificates are for this name, whatever their address is.
    #[must_use]
    pub fn of_server(&self, server_name: ServerName<'static>) -> Self {
        Named { server_name: Some(server_name), ..self.clone() }
    }
}

/// Whether a certificate was refused for being an authority's, and nothing else: what is checked before that, its dates among it, is as it should be.
fn is_authority(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let server_name = self.server_name.as_ref().unwrap_or(server_name);
        match self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(error) if is_authority(&error) && self.certificates.iter().any(|named| named == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Checks signatures, not who signed.
#[derive(Debug)]
pub struct AcceptAny(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A refused server in words. `setting` names the file of those who are trusted.
pub fn tls_refusal(error: &rustls::Error, setting: &str) -> String {
    match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "the port answers without TLS; write http://".to_owned()
        }
        error if is_authority(error) => format!("the certificate signed itself; name its file in {setting} to trust it"),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("invalid peer certificate: UnknownIssuer; name the file of its authority in {setting} to trust it")
        }
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            format!(
                "the authority of that name in {setting} has another key than the one that signed the certificate (BadSignature); name its newer file"
            )
        }
        other => handshake_failure(other),
    }
}

/// Why a handshake failed, whichever side presented a certificate; with dates where one is out of its time.
pub fn handshake_failure(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            format!("the certificate expired at {}; by the clock of this machine it is {}", date(*not_after), date(*time))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            format!("the certificate is valid only from {} on; by the clock of this machine it is {}", date(*not_before), date(*time))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) if !presented.is_empty() => {
            let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            let (is_for, asked) = (names.join(", "), expected.to_str());
            format!("the certificate is for {is_for} and not for {asked}; reach the server by a name that its certificate has")
        }
        other => other.to_string(),
    }
}

/// A name as people write it: rustls says `DnsName("a.example")`.
fn plain_name(name: &str) -> &str {
    let bare = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    bare.trim_matches('"')
}

/// As RFC 3339.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).map_or_else(|| format!("{seconds} s after 1970"), |t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_certificate_out_of_its_time_is_refused_with_dates() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext { time: at(1_795_932_418), not_after: at(1_700_000_000) };
        assert_eq!(
            tls_refusal(&expired.into(), "ca_file"),
            "the certificate expired at 2023-11-14T22:13:20Z; by the clock of this machine it is 2026-11-29T06:06:58Z"
        );
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(1_700_000_000) };
        assert_eq!(
            tls_refusal(&early.into(), "ca_file"),
            "the certificate is valid only from 2023-11-14T22:13:20Z on; by the clock of this machine it is 1970-01-01T00:00:00Z"
        );
    }
}
