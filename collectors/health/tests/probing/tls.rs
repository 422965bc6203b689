//! Checks over TLS: whose certificate is believed, and when it ends.

use crate::rig::{Rig, check, serve};
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use watchfire_health::CheckSettings;
use watchfire_model::HealthState::{Healthy, Unhealthy};
use watchfire_model::Timestamp;

/// A server with a certificate for an address that answers every request over HTTP/1.1, and the file of its authority.
async fn serve_tls(folder: &std::path::Path, is_ca: rcgen::IsCa, name: &str) -> (SocketAddr, std::path::PathBuf) {
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = is_ca;
    parameters.not_after = rcgen::date_time_ymd(2099, 12, 31);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    (address, authority)
}

#[tokio::test]
async fn the_certificate_is_checked_and_its_end_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (address, authority) = serve_tls(folder.path(), rcgen::IsCa::NoCa, "127.0.0.1").await;
    let mut settings = CheckSettings {
        failures_before_down: 1,
        interval: Duration::from_secs(3),
        timeout: Duration::from_secs(3),
        ..check(&format!("https://{address}/"))
    };
    let untrusted = Rig::start(vec![settings.clone()]);
    let report = untrusted.until("a refusal", |_| true).await;
    assert_eq!(report.state, Unhealthy);
    assert!(report.detail.contains("TLS") && report.detail.contains("UnknownIssuer"), "{}", report.detail);

    settings.tls.ca_file = Some(authority);
    let trusted = Rig::start(vec![settings.clone()]);
    let report = trusted.until("a report", |_| true).await;
    assert_eq!(report.state, Healthy, "{}", report.detail);
    assert_eq!(report.certificate_expires, Some(Timestamp::from_millis(4_102_358_400_000)));

    settings.tls = watchfire_fetch::TlsSettings { insecure_skip_verify: true, ..Default::default() };
    let careless = Rig::start(vec![settings]);
    assert_eq!(careless.until("a report", |_| true).await.state, Healthy);
}

/// `openssl req -x509` makes such a certificate: an authority that signed itself.
#[tokio::test]
async fn a_server_that_ca_file_names_is_trusted_under_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = || rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for (name, state, detail) in [("127.0.0.1", Healthy, "HTTP 200"), ("192.0.2.1", Unhealthy, "is for 192.0.2.1 and not for 127.0.0.1")] {
        let (address, file) = serve_tls(folder.path(), authority(), name).await;
        let mut settings = CheckSettings { failures_before_down: 1, ..check(&format!("https://{address}/")) };
        let unnamed = Rig::start(vec![settings.clone()]).until("a refusal", |_| true).await;
        assert_eq!(
            (unnamed.state, &*unnamed.detail),
            (Unhealthy, "TLS: the certificate signed itself; name its file in ca_file to trust it")
        );
        settings.tls.ca_file = Some(file);
        let named = Rig::start(vec![settings]).until("a report", |_| true).await;
        assert_eq!(named.state, state, "{}", named.detail);
        assert!(named.detail.contains(detail), "{}", named.detail);
    }
    // Another authority that signed itself is not trusted for that.
    let (_, other) = serve_tls(folder.path(), authority(), "127.0.0.1").await;
    let kept = folder.path().join("other.pem");
    std::fs::rename(other, &kept).unwrap();
    let (address, _) = serve_tls(folder.path(), authority(), "127.0.0.1").await;
    let mut settings = CheckSettings { failures_before_down: 1, ..check(&format!("https://{address}/")) };
    settings.tls.ca_file = Some(kept);
    assert_eq!(Rig::start(vec![settings]).until("a refusal", |_| true).await.state, Unhealthy);
}

#[tokio::test]
async fn a_grpc_server_whose_tls_is_refused_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (address, file) = serve_tls(folder.path(), rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), "127.0.0.1").await;
    let plain = serve(Router::new()).await;
    let report = async |url: String, ca_file: Option<std::path::PathBuf>| {
        let mut settings = CheckSettings { failures_before_down: 1, ..check(&url) };
        settings.tls.ca_file = ca_file;
        Rig::start(vec![settings]).until(&url, |_| true).await
    };
    let refused = report(format!("grpcs://{address}"), None).await;
    assert_eq!((refused.state, &*refused.detail), (Unhealthy, "TLS: the certificate signed itself; name its file in ca_file to trust it"));
    let trusted = report(format!("grpcs://{address}"), Some(file)).await;
    assert!(!trusted.detail.contains("TLS"), "it is connected to: {}", trusted.detail);
    let refused = report(format!("grpcs://{}", plain.address), None).await;
    assert_eq!((refused.state, &*refused.detail), (Unhealthy, "TLS: the port answers without TLS; write grpc://"));
    let refused = report(format!("grpc://{address}"), None).await;
    assert!(refused.state == Unhealthy && refused.detail.contains("write grpcs:// if"), "{}", refused.detail);
}
