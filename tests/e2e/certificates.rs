//! TLS of the program: renewed certificates are in force without a restart, and mistakes with them change nothing.

use crate::instance::Watchfire;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Puts a new certificate and its key in place; the certificate.
fn renew(directory: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("key.pem"), signing_key.serialize_pem()).expect("written");
    std::fs::write(directory.join("certificate.pem"), cert.pem()).expect("written");
    cert.pem()
}

async fn is_served(watchfire: &Watchfire, certificate: &str) -> bool {
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([trusted]).build().expect("a client");
    let port = watchfire.api.rsplit(':').next().expect("a port");
    client.get(format!("https://localhost:{port}/-/ready")).send().await.is_ok_and(|answer| answer.status() == 200)
}

async fn until_served(watchfire: &Watchfire, certificate: &str, what: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_served(watchfire, certificate).await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let files = TempDir::new().expect("a directory");
    let first = renew(files.path());
    let place = files.path().display();
    let config = files.path().join("config.toml");
    let text = format!("[security]\ntls_certificate = \"{place}/certificate.pem\"\ntls_key = \"{place}/key.pem\"\n");
    std::fs::write(&config, text).expect("written");
    let watchfire = Watchfire::start(&["--config", &config.display().to_string()]);
    assert!(is_served(&watchfire, &first).await);
    let second = renew(files.path());
    watchfire.signal("HUP");
    until_served(&watchfire, &second, "a reload takes the new certificate").await;
    assert!(!is_served(&watchfire, &first).await, "the old one is gone");
    // A key that does not belong to its certificate: what was served before stays.
    let other = TempDir::new().expect("a directory");
    renew(other.path());
    std::fs::copy(other.path().join("key.pem"), files.path().join("key.pem")).expect("copied");
    watchfire.signal("HUP");
    let third = {
        until_served(&watchfire, &second, "the certificate of before").await;
        renew(files.path())
    };
    until_served(&watchfire, &third, "files that change are noticed by themselves").await;
    assert_eq!(watchfire.stop("TERM"), Some(0));
}
