//! grpc.health.v1 over plain or TLS connections, made through the shared resolver.

use crate::judgement::Outcome;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use watchfire_fetch::Resolver;
use watchfire_model::HealthState;

const NO_GRPC: &str = "the port does not speak gRPC over HTTP/2, or closed the connection; write grpcs:// if the server speaks TLS";

/// Asks once. `service` empty asks for the whole server. Gives the peer's certificate where there is one.
pub(crate) async fn check(
    resolver: &Arc<Resolver>,
    host: &str,
    port: u16,
    service: &str,
    tls: Option<Arc<rustls::ClientConfig>>,
    unknown_as: HealthState,
) -> (Outcome, Option<Vec<u8>>) {
    let certificate: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let outcome = match connect(resolver, host, port, tls, &certificate).await {
        Ok(mut client) => match client.check(HealthCheckRequest { service: service.to_owned() }).await {
            Ok(answer) => judge_status(answer.into_inner().status, service, unknown_as),
            Err(status) => judge_error(&status, service),
        },
        Err(outcome) => outcome,
    };
    let certificate = certificate.lock().take();
    (outcome, certificate)
}

async fn connect(
    resolver: &Arc<Resolver>,
    host: &str,
    port: u16,
    tls: Option<Arc<rustls::ClientConfig>>,
    certificate: &Arc<Mutex<Option<Vec<u8>>>>,
) -> Result<HealthClient<tonic::transport::Channel>, Outcome> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{host}:{port}"))
        .map_err(Outcome::misconfigured)?
        .user_agent(concat!("watchfire/", env!("CARGO_PKG_VERSION")))
        .map_err(Outcome::misconfigured)?;
    let (resolver, host, certificate) = (resolver.clone(), host.to_owned(), certificate.clone());
    let failure: Arc<Mutex<Option<Outcome>>> = Arc::default();
    let reported = failure.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (resolver, host, certificate, tls, failure) =
            (resolver.clone(), host.clone(), certificate.clone(), tls.clone(), failure.clone());
        async move {
            let made = async {
                let stream = crate::attempt::connect_tcp(&resolver, &host, port).await?;
                match tls {
                    None => Ok(Connection::Plain(stream)),
                    Some(tls) => secure(stream, &host, tls, &certificate).await,
                }
            };
            made.await.map(TokioIo::new).map_err(|outcome: Outcome| {
                let error = io::Error::other(outcome.detail.clone());
                *failure.lock() = Some(outcome);
                error
            })
        }
    });
    match endpoint.connect_with_connector(connector).await {
        Ok(channel) => Ok(HealthClient::new(channel).max_decoding_message_size(64 << 10)),
        Err(e) => Err(reported.lock().take().unwrap_or_else(|| Outcome::unhealthy("connect", format!("cannot connect: {e}")))),
    }
}

async fn secure(
    stream: TcpStream,
    host: &str,
    tls: Arc<rustls::ClientConfig>,
    certificate: &Mutex<Option<Vec<u8>>>,
) -> Result<Connection, Outcome> {
    let name = rustls::pki_types::ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(Outcome::misconfigured)?;
    let connected = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await;
    let stream = connected.map_err(|e| Outcome::unhealthy("tls", format!("TLS: {}", refusal(&e))))?;
    *certificate.lock() = stream.get_ref().1.peer_certificates().and_then(|c| c.first()).map(|c| c.to_vec());
    Ok(Connection::Tls(Box::new(stream)))
}

/// Why there is no TLS connection, and what to write where that helps.
fn refusal(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            "the port answers without TLS; write grpc://".to_owned()
        }
        Some(refused) => watchfire_config::tls_refusal(refused, "ca_file"),
        None => error.to_string(),
    }
}

fn judge_status(status: i32, service: &str, unknown_as: HealthState) -> Outcome {
    match ServingStatus::try_from(status) {
        Ok(ServingStatus::Serving) => Outcome::healthy("SERVING"),
        Ok(ServingStatus::NotServing) => Outcome::unhealthy("body", "NOT_SERVING"),
        Ok(ServingStatus::ServiceUnknown) => Outcome::misconfigured(format!("the server does not know service {service:?}")),
        Ok(ServingStatus::Unknown) | Err(_) => Outcome::unknown(unknown_as, "the service says UNKNOWN"),
    }
}

fn judge_error(status: &Status, service: &str) -> Outcome {
    let message: String = status.message().chars().take(200).collect();
    match status.code() {
        Code::NotFound => Outcome::misconfigured(format!("the server does not know service {service:?}")),
        Code::Unimplemented => Outcome::misconfigured("the server has no grpc.health.v1 service"),
        Code::Unauthenticated | Code::PermissionDenied => Outcome::misconfigured(format!("credentials are needed: {message:?}")),
        Code::ResourceExhausted => Outcome::degraded(format!("RESOURCE_EXHAUSTED: {message:?}")),
        // Made on this side when the connection ends under the call.
        Code::Cancelled => Outcome::unhealthy("exchange", NO_GRPC),
        Code::Unknown if message == "transport error" => Outcome::unhealthy("exchange", NO_GRPC),
        code => Outcome::unhealthy("status", format!("{code:?}: {message:?}")),
    }
}

/// A connection with or without TLS.
enum Connection {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Connection::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Connection::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(context),
            Connection::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
