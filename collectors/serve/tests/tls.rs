//! TLS on a guarded port: both protocols inside of it, nothing in plain text, and clients that must show who they are.

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use watchfire_model::Meter;
use watchfire_serve::{Certificates, Guard, serve};

struct Secured {
    address: SocketAddr,
    meter: Meter,
    certificate: String,
    certificates: Certificates,
    cancel: CancellationToken,
}

/// A server's certificate of its own making, and what serves with it; clients are asked for one of `clients` where that is given.
fn self_signed(clients: Option<&rcgen::Certificate>) -> (String, ServerConfig) {
    let _ = default_provider().install_default();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("an authority");
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier"))
        }
    };
    (cert.pem(), builder.with_single_cert(vec![cert.der().clone()], key).expect("they belong together"))
}

impl Secured {
    async fn start() -> Self {
        Self::serving(self_signed(None)).await
    }

    async fn serving((certificate, config): (String, ServerConfig)) -> Self {
        let certificates = Certificates::new(config);
        let guard = Guard { tls: Some(certificates.clone()), token: Some("a secret word".into()), ..Guard::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (meter, cancel) = (Meter::new(), CancellationToken::new());
        let router = Router::new().route("/", get(|| async { "hello" }));
        serve("test", listener, router, guard, &meter, cancel.clone());
        Secured { address, meter, certificate, certificates, cancel }
    }

    fn client(&self) -> reqwest::ClientBuilder {
        self.client_that_trusts(&self.certificate)
    }

    fn client_that_trusts(&self, certificate: &str) -> reqwest::ClientBuilder {
        let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([trusted]).resolve("localhost", self.address)
    }

    /// Whether a client of this make gets an answer.
    async fn answers(&self, client: reqwest::ClientBuilder) -> bool {
        let client = client.build().expect("a client");
        client.get(self.url()).bearer_auth("a secret word").send().await.is_ok_and(|a| a.status() == 200)
    }

    fn refused(&self) -> u64 {
        self.meter.counter("watchfire_http_rejected_total", &[("reason", "tls")]).get()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/", self.address.port())
    }
}

#[tokio::test]
async fn both_protocols_and_the_token_work_inside_of_tls() {
    let server = Secured::start().await;
    for builder in [server.client(), server.client().http1_only()] {
        let client = builder.build().expect("a client");
        for _ in 0..2 {
            let answer = client.get(server.url()).bearer_auth("a secret word").send().await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.text().await.expect("text").as_str()), (200, "hello"));
        }
        let refused = client.get(server.url()).send().await.expect("an answer");
        assert_eq!(refused.status().as_u16(), 401);
    }
    server.cancel.cancel();
}

#[tokio::test]
async fn plain_text_and_strangers_get_nothing() {
    let server = Secured::start().await;
    let mut plain = TcpStream::connect(server.address).await.expect("listening");
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.windows(5).any(|w| w == b"hello") && !answer.starts_with(b"HTTP"), "{answer:?}");
    let other = Secured::start().await;
    let stranger = other.client().build().expect("a client");
    assert!(stranger.get(server.url()).send().await.is_err(), "the certificate of another server is not trusted");
    let rejected = server.meter.counter("watchfire_http_rejected_total", &[("reason", "tls")]);
    assert!(rejected.get() >= 1, "{}", rejected.get());
    server.cancel.cancel();
    other.cancel.cancel();
}

/// Signs certificates of clients.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A client's certificate and key, good until the given year.
fn identity(authority: &CertifiedIssuer<'static, KeyPair>, until: i32) -> reqwest::Identity {
    let mut params = CertificateParams::new(["client".to_owned()]).expect("parameters");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("signed");
    reqwest::Identity::from_pem(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes()).expect("an identity")
}

#[tokio::test]
async fn only_clients_with_a_certificate_that_holds_are_let_in() {
    let (ours, theirs) = (authority(), authority());
    let server = Secured::serving(self_signed(Some(ours.as_ref()))).await;
    assert!(server.answers(server.client().identity(identity(&ours, 2096))).await);
    assert_eq!(server.refused(), 0);
    for (what, client) in [
        ("none", server.client()),
        ("of another authority", server.client().identity(identity(&theirs, 2096))),
        ("expired", server.client().identity(identity(&ours, 2021))),
    ] {
        assert!(!server.answers(client).await, "a certificate {what}");
    }
    assert_eq!(server.refused(), 3);
    assert!(server.answers(server.client().identity(identity(&ours, 2096))).await, "good clients are served as before");
    server.cancel.cancel();
}

#[tokio::test]
async fn a_replaced_certificate_serves_new_connections_and_open_ones_go_on() {
    let server = Secured::start().await;
    let old = server.client().build().expect("a client");
    let ask = || old.get(server.url()).bearer_auth("a secret word").send();
    assert_eq!(ask().await.expect("an answer").status(), 200);
    let (certificate, config) = self_signed(None);
    server.certificates.replace(config);
    assert_eq!(ask().await.expect("the open connection").status(), 200);
    assert!(server.answers(server.client_that_trusts(&certificate)).await, "who trusts the new one is served");
    assert!(!server.answers(server.client()).await, "the old one is gone");
    server.cancel.cancel();
}
