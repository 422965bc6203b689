//! `tls_config` of an `email_configs`: whom a mail server's certificate makes believed, which certificate of ours it is shown, and what is said
//! where a connection does not come about. Each over both ways to encrypt.

use crate::trust::{Encrypted, Session, mail, with_config};
use crate::{eventually, notice, start};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;
use watchfire_model::NoticeState::Firing;
use watchfire_notifiers::Settings;

/// An authority, another one, and one of its name; a server of the first for `localhost`, one for `mail.example.org`, and a client of it.
fn certificates() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, certificate: String, key: String| {
        std::fs::write(directory.path().join(format!("{name}.pem")), certificate).unwrap();
        std::fs::write(directory.path().join(format!("{name}.key")), key).unwrap();
    };
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let ours = authority("ours");
    write("ca", ours.pem(), String::new());
    write("other", authority("other").pem(), String::new());
    write("namesake", authority("ours").pem(), String::new());
    for (file, name) in [("good", "localhost"), ("named", "mail.example.org"), ("client", "watchfire")] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
        write(file, certificate.pem(), key.serialize_pem());
    }
    directory
}

struct Server {
    certificate: &'static str,
    wants_ours: bool,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
}

impl Server {
    const fn of(certificate: &'static str) -> Self {
        Server { certificate, wants_ours: false, versions: rustls::ALL_VERSIONS }
    }

    /// The ports for STARTTLS and for TLS from the first byte, and what is heard there.
    fn serve(&self, directory: &Path) -> ([u16; 2], Receiver<String>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let file = |name: &str| directory.join(name);
        let config = rustls::ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(self.versions).unwrap();
        let config = if self.wants_ours {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
            config.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(file(&format!("{}.pem", self.certificate))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file(&format!("{}.key", self.certificate))).unwrap();
        let config = config.with_single_cert(chain, key).unwrap();
        let (sender, heard) = channel();
        let later = sender.clone();
        let starttls = after_starttls(config.clone(), move |tls| mail(tls, Session::Upgraded, &later));
        let implicit = with_config(config, move |tls| mail(tls, Session::New, &sender));
        ([starttls, implicit], heard)
    }
}

/// Speaks in the clear until it is asked to encrypt.
fn after_starttls(config: rustls::ServerConfig, serve: impl Fn(Encrypted) -> std::io::Result<()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if upgrade(&stream).unwrap_or(false) {
                serve(rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream)).ok();
            }
        }
    });
    port
}

fn upgrade(mut stream: &TcpStream) -> std::io::Result<bool> {
    stream.write_all(b"220 test\r\n")?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        match line.trim_end() {
            "STARTTLS" => return stream.write_all(b"220 go on\r\n").map(|()| true),
            said if said.starts_with("EHLO") => stream.write_all(b"250-test\r\n250 STARTTLS\r\n")?,
            _ => stream.write_all(b"530 Must issue a STARTTLS command first\r\n")?,
        }
        line.clear();
    }
    Ok(false)
}

fn written(directory: &Path, port: u16, entry: &str) -> Settings {
    let path = directory.join("alertmanager.yml");
    let text = format!(
        "route: {{receiver: ops, group_wait: 0s}}\nreceivers:\n- name: ops\n  email_configs: [{{to: b@example.org, from: a@example.org, \
         smarthost: 'localhost:{port}', {entry}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    let mut settings = Settings { alertmanager_config: Some(path), ..Settings::default() };
    settings.limits.backoff_min = std::time::Duration::from_millis(10);
    settings.limits.attempt_timeout = std::time::Duration::from_secs(2);
    settings
}

/// Whether an alert is told, or what is said instead.
async fn tell(settings: Settings, expected: Result<(), &str>, what: &str) {
    let running = start(settings, None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually(&format!("{what}: {expected:?}, not {:?}", running.handle.paths()), || match expected {
        Ok(()) => running.handle.owed() == 0 && running.handle.dead_letters().is_empty(),
        Err(why) => running.handle.paths().into_iter().any(|(_, works, told)| !works && told.contains(why)),
    })
    .await;
    running.cancel.cancel();
}

const NO_AUTHORITY: &str = "name the file of its authority in ca_file to trust it";

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_is_believed_by_its_authority_and_its_name() {
    let files = certificates();
    let (good, named) = (Server::of("good").serve(files.path()), Server::of("named").serve(files.path()));
    for (server, tls, expected) in [
        (&good, "{ca_file: ca.pem}", Ok(())),
        (&good, "{}", Err(NO_AUTHORITY)),
        (&good, "{ca_file: other.pem}", Err(NO_AUTHORITY)),
        (&good, "{ca_file: namesake.pem}", Err("has another key than the one that signed the certificate")),
        (
            &good,
            "{ca_file: ca.pem, server_name: mail.example.org}",
            Err("is for localhost and not for mail.example.org; reach the server by a name"),
        ),
        (&named, "{ca_file: ca.pem}", Err("is for mail.example.org and not for localhost; reach the server by a name")),
        (&named, "{ca_file: ca.pem, server_name: mail.example.org}", Ok(())),
        (&named, "{insecure_skip_verify: true}", Ok(())),
    ] {
        for (port, implicit) in server.0.into_iter().zip([false, true]) {
            let entry = format!("force_implicit_tls: {implicit}, auth_username: u, auth_password: p, tls_config: {tls}");
            tell(written(files.path(), port, &entry), expected, &format!("{tls}, implicit: {implicit}")).await;
            let heard: Vec<String> = server.1.try_iter().collect();
            let is_told = |start: &str| heard.iter().any(|line| line.starts_with(start));
            assert_eq!((is_told("AUTH PLAIN"), is_told("Subject: ")), (expected.is_ok(), expected.is_ok()), "{tls} {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_asks_who_we_are_is_shown_our_certificate() {
    let files = certificates();
    let (ports, heard) = Server { wants_ours: true, ..Server::of("good") }.serve(files.path());
    for (tls, expected) in
        [("{ca_file: ca.pem, cert_file: client.pem, key_file: client.key}", Ok(())), ("{ca_file: ca.pem}", Err("cert_file and key_file"))]
    {
        for (port, implicit) in ports.into_iter().zip([false, true]) {
            let entry = format!("force_implicit_tls: {implicit}, tls_config: {tls}");
            tell(written(files.path(), port, &entry), expected, &format!("{tls}, implicit: {implicit}")).await;
            let subjects = heard.try_iter().filter(|line| line.starts_with("Subject: ")).count();
            assert_eq!(subjects, usize::from(expected.is_ok()), "{tls}, implicit: {implicit}");
        }
    }
    // A key of another certificate is found out before the first alert.
    let entry = "tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: good.key}";
    let refused = watchfire_notifiers::check(&written(files.path(), ports[0], entry)).unwrap_err();
    assert!(refused.contains("certificate") && refused.contains("\"ops\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oldest_version_of_tls_holds_for_mail() {
    let files = certificates();
    const OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let (ports, _heard) = Server { versions: OLD, ..Server::of("good") }.serve(files.path());
    for (port, implicit) in ports.into_iter().zip([false, true]) {
        for (oldest, expected) in [("TLS12", Ok(())), ("TLS13", Err("ProtocolVersion"))] {
            let entry = format!("force_implicit_tls: {implicit}, tls_config: {{ca_file: ca.pem, min_version: {oldest}}}");
            tell(written(files.path(), port, &entry), expected, &format!("{oldest}, implicit: {implicit}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_encrypts_otherwise_is_told_apart() {
    let files = certificates();
    let ([starttls, implicit], _heard) = Server::of("good").serve(files.path());
    let plain = crate::smtp::MailServer::start().await;
    let plain: u16 = plain.address.rsplit(':').next().unwrap().parse().unwrap();
    for (port, entry, why) in [
        (implicit, "require_tls: true", "force_implicit_tls: true"),
        (implicit, "require_tls: false", "force_implicit_tls: true"),
        (starttls, "force_implicit_tls: true", "the port answers without TLS; leave force_implicit_tls out"),
        (plain, "require_tls: true", "offers no STARTTLS; require_tls: false sends mail in clear text"),
        (plain, "require_tls: false, auth_username: u, auth_password: p", "takes no login by PLAIN or LOGIN"),
    ] {
        tell(written(files.path(), port, &format!("{entry}, tls_config: {{ca_file: ca.pem}}")), Err(why), entry).await;
    }
}
