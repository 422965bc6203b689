//! TLS on a guarded port: both protocols inside of it, nothing in plain text, and clients that must show who they are.

use axum::Router;
use axum::routing::get;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use watchfire_model::Meter;
use watchfire_serve::{Guard, serve};

struct Secured {
    address: SocketAddr,
    meter: Meter,
    certificate: String,
    cancel: CancellationToken,
}

impl Secured {
    async fn start() -> Self {
        let _ = default_provider().install_default();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).expect("they belong together");
        let guard = Guard { tls: Some(Arc::new(config)), token: Some("a secret word".into()), ..Guard::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (meter, cancel) = (Meter::new(), CancellationToken::new());
        let router = Router::new().route("/", get(|| async { "hello" }));
        serve("test", listener, router, guard, &meter, cancel.clone());
        Secured { address, meter, certificate: cert.pem(), cancel }
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let trusted = reqwest::Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([trusted]).resolve("localhost", self.address)
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
