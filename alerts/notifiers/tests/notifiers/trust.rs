//! Servers that show a certificate which signed itself: `openssl req -x509` makes it an authority's.

use crate::{eventually, notice, settings, start};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use watchfire_model::NoticeState::Firing;

/// Files of a certificate and its key.
pub fn signed_itself(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let files = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    std::fs::write(&files.0, certificate.pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    files
}

pub type Encrypted = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

/// Serves one connection after the other over TLS, for as long as the test runs. A client that does not trust us breaks off: that is an error of `serve`.
pub fn over_tls(certificate: &Path, key: &Path, serve: impl Fn(Encrypted) -> std::io::Result<()> + Send + 'static) -> u16 {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(certificate).unwrap()], PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    with_config(config, serve)
}

pub fn with_config(config: rustls::ServerConfig, serve: impl Fn(Encrypted) -> std::io::Result<()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream)).ok();
        }
    });
    port
}

/// Answers every request with 200.
pub fn web(mut tls: Encrypted) -> std::io::Result<()> {
    if tls.read(&mut [0; 16 << 10])? == 0 {
        return Ok(());
    }
    tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Whether a mail server has greeted already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Session {
    New,
    Upgraded,
}

/// Takes every mail and login, and gives each line that it hears to `heard`.
pub fn mail(tls: Encrypted, session: Session, heard: &Sender<String>) -> std::io::Result<()> {
    let mut tls = BufReader::new(tls);
    if session == Session::New {
        tls.get_mut().write_all(b"220 test\r\n")?;
    }
    let mut in_mail = false;
    loop {
        let mut line = String::new();
        if tls.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        let answer = match line.split(' ').next().unwrap_or_default() {
            _ if in_mail && line != "." => "",
            "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 welcome\r\n",
            "DATA" => "354 go on\r\n",
            _ => "250 ok\r\n",
        };
        in_mail = answer.is_empty() || answer.starts_with("354");
        heard.send(line).ok();
        tls.get_mut().write_all(answer.as_bytes())?;
    }
}

#[tokio::test]
async fn a_receiver_that_ca_file_names_is_trusted_under_its_own_name_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = signed_itself(directory.path(), "localhost");
    let (other, _) = signed_itself(directory.path(), "elsewhere");
    let port = over_tls(&certificate, &key, web);
    for (host, ca_file, expected) in [
        ("localhost", None, Err("name its file in ca_file to trust it")),
        ("localhost", Some(other), Err("name its file in ca_file to trust it")),
        ("127.0.0.1", Some(certificate.clone()), Err("not for 127.0.0.1; reach the server by a name")),
        ("localhost", Some(certificate.clone()), Ok(())),
    ] {
        let mut ours = settings(&format!(
            "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"webhook\", url = \"https://{host}:{port}/\" }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\n"
        ));
        ours.ca_file = ca_file;
        let running = start(ours, None);
        running.commit(vec![notice("A", 1, Firing)]).await;
        eventually(&format!("{host}: {expected:?}"), || {
            let tried = running.handle.paths().into_iter().find(|(path, _, _)| path == "ops/webhook").unwrap();
            match expected {
                Ok(()) => running.handle.owed() == 0,
                Err(why) => !tried.1 && tried.2.contains(why),
            }
        })
        .await;
        running.cancel.cancel();
    }
}

#[tokio::test]
async fn a_mail_server_that_is_not_trusted_hears_neither_password_nor_mail() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = signed_itself(directory.path(), "localhost");
    let (sender, heard) = channel();
    let port = over_tls(&certificate, &key, move |tls| mail(tls, Session::New, &sender));
    let mut ours = settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"email\", smarthost = \"localhost:{port}\", security = \"tls\", from = \"a@example.org\", \
         to = [\"b@example.org\"], username = \"u\", password = \"p\" }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\n"
    ));
    let running = start(ours.clone(), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("refused", || {
        running
            .handle
            .paths()
            .into_iter()
            .any(|(path, works, why)| path == "ops/email" && !works && why.contains("name its file in ca_file"))
    })
    .await;
    running.cancel.cancel();
    let said: Vec<String> = heard.try_iter().collect();
    assert!(said.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{said:?}");
    ours.ca_file = Some(certificate);
    let running = start(ours, None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("told", || running.handle.owed() == 0).await;
    running.cancel.cancel();
    let said: Vec<String> = heard.try_iter().collect();
    assert!(said.iter().any(|line| line.starts_with("AUTH PLAIN")) && said.iter().any(|line| line.starts_with("Subject: ")), "{said:?}");
}
