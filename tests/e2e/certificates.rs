//! TLS of the program: renewed certificates are in force without a restart, and mistakes with them change nothing.

use crate::instance::{PATIENCE, Watchfire, until_true};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CertifiedKey, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd, generate_simple_self_signed,
};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
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
    until_true(what, PATIENCE, async || is_served(watchfire, certificate).await).await;
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

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Signs certificates of clients, and lists of those that no longer hold.
fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A client's certificate with this number and its key, good until the given year.
fn identity(authority: &Authority, number: u64, until: i32) -> reqwest::Identity {
    let mut params = CertificateParams::new(["client".to_owned()]).expect("parameters");
    params.serial_number = Some(SerialNumber::from(number));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("signed");
    reqwest::Identity::from_pem(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes()).expect("an identity")
}

fn revocation_list(authority: &Authority, revoked: &[u64]) -> String {
    let entry = |number: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*number),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2096, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).expect("signed").pem().expect("as text")
}

/// Whether a client that shows this gets an answer.
async fn is_let_in(watchfire: &Watchfire, certificate: &str, identity: Option<reqwest::Identity>) -> bool {
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([trusted]);
    let client = identity.into_iter().fold(client, reqwest::ClientBuilder::identity).build().expect("a client");
    let port = watchfire.api.rsplit(':').next().expect("a port");
    client.get(format!("https://localhost:{port}/-/ready")).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// What is left of a TLS session of so old a version: nothing.
fn old_tls_fails(address: &str, version: &str) {
    let s_client = Command::new("openssl")
        .args(["s_client", "-connect", address, version, "-cipher", "ALL:@SECLEVEL=0"])
        .stdin(Stdio::null())
        .output();
    let Ok(output) = s_client else { return println!("skipped: openssl is not there") };
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && said.contains("alert"), "{version}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_whose_certificates_hold_are_let_in_and_a_revoked_one_is_out_without_a_restart() {
    let files = TempDir::new().expect("a directory");
    let served = renew(files.path());
    let (ours, theirs) = (authority(), authority());
    let place = |name: &str| files.path().join(name);
    std::fs::write(place("clients.pem"), ours.as_ref().pem()).expect("written");
    std::fs::write(place("revoked.pem"), revocation_list(&ours, &[7])).expect("written");
    let named = |key: &str, name: &str| format!("{key} = {:?}\n", place(name).display().to_string());
    let keys = [
        ("tls_certificate", "certificate.pem"),
        ("tls_key", "key.pem"),
        ("tls_client_ca", "clients.pem"),
        ("tls_client_crl", "revoked.pem"),
    ];
    let text: String = keys.iter().map(|(key, name)| named(key, name)).collect();
    std::fs::write(place("config.toml"), format!("[security]\n{text}")).expect("written");
    let log = place("log");
    let watchfire = Watchfire::start_logging(&log, &["--config", &place("config.toml").display().to_string()]);
    let (good, doubtful) = (|| Some(identity(&ours, 1, 2096)), || Some(identity(&ours, 8, 2096)));
    assert!(is_let_in(&watchfire, &served, good()).await && is_let_in(&watchfire, &served, doubtful()).await);
    for (what, shown) in [
        ("none", None),
        ("of another authority", Some(identity(&theirs, 1, 2096))),
        ("expired", Some(identity(&ours, 2, 2021))),
        ("revoked", Some(identity(&ours, 7, 2096))),
    ] {
        assert!(!is_let_in(&watchfire, &served, shown).await, "a certificate {what}");
    }
    for version in ["-tls1", "-tls1_1"] {
        old_tls_fails(&watchfire.api, version);
    }
    let mut plain = std::net::TcpStream::connect(&watchfire.api).expect("listening");
    plain.write_all(b"GET /-/ready HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));

    // Taken back while it runs; and a list that cannot be read changes nothing.
    std::fs::write(place("revoked.pem"), revocation_list(&ours, &[7, 8])).expect("written");
    watchfire.signal("HUP");
    until_true("a reload takes the new list", PATIENCE, async || !is_let_in(&watchfire, &served, doubtful()).await).await;
    assert!(is_let_in(&watchfire, &served, good()).await);
    std::fs::write(place("revoked.pem"), "no list").expect("written");
    watchfire.signal("HUP");
    let failed = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains("revoked.pem holds no revocation list"));
    until_true("it is said what is wrong", PATIENCE, async || failed()).await;
    assert!(is_let_in(&watchfire, &served, good()).await && !is_let_in(&watchfire, &served, doubtful()).await);
    let said = std::fs::read_to_string(&log).expect("a log");
    // Eight were refused, and a loaded machine takes more than a minute.
    assert!((1..=3).contains(&said.matches("TLS refused").count()), "one reason a minute: {said}");
    assert_eq!(watchfire.stop("TERM"), Some(0));
}
