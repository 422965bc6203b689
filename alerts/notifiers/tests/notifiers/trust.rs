//! Servers that show a certificate which signed itself: `openssl req -x509` makes it an authority's.

use crate::{eventually, notice, settings, start};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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

/// Answers every request with 200, over TLS, for as long as the test runs.
fn https(certificate: &Path, key: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(certificate).unwrap()], PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut tls = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream);
            // A client that does not trust us breaks off here.
            if tls.read(&mut [0; 16 << 10]).is_ok() {
                tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
            }
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_receiver_that_ca_file_names_is_trusted_under_its_own_name_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = signed_itself(directory.path(), "localhost");
    let (other, _) = signed_itself(directory.path(), "elsewhere");
    let address = https(&certificate, &key);
    let port = address.rsplit(':').next().unwrap().to_owned();
    for (host, ca_file, expected) in [
        ("localhost", None, Err("name its file in ca_file to trust it")),
        ("localhost", Some(other), Err("name its file in ca_file to trust it")),
        ("127.0.0.1", Some(certificate.clone()), Err("not valid for name")),
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
