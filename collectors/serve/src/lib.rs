//! The guarded accept loop behind every HTTP port of watchfire: [`serve`] takes a listener and a tower service, and nothing that a client does
//! or omits to do costs more than its own connection.
//!
//! Types to know
//! - [`Guard`]: every limit of one port, with safe defaults; [`Http2`] its window sizes.
//! - [`serve`]: runs a service under a guard until the token is cancelled, then drains.
//! - [`Certificates`]: what TLS is spoken with, replaceable while the port is open.
//! - [`Listener`]: TCP or a Unix socket; the rules are the same.
//! - [`BodyError`]: why a request could not be read to its end, wherever it was read.
//! - [`Refusal`]: what was refused and in which words; a port renders it in its own dialect through [`Guard::render`].
//!
//! Invariants
//! - Loopback is no boundary: `Host` and `Origin` are checked on every request, and no answer ever carries a CORS header.
//! - Every wait has an end: header, body, write, idle, connection age and drain. Every count has a limit: connections, streams, headers, bytes.
//! - Whatever is refused counts under `watchfire_http_rejected_total{reason}` or `watchfire_connections_*_total`.
//! - A token is compared and TLS is spoken here where the guard says so; what somebody may do is the service's business.
//!
//! To add a check on requests: one function in `admission.rs` that returns a [`Refusal`], and its reason in the table of that file.

mod accept;
mod admission;
mod attempts;
mod body;
mod connection;
mod guard;
mod host;
mod registry;
mod stream;
mod tls;

pub use accept::serve;
pub use admission::HttpService;
pub use attempts::Attempts;
pub use body::BodyError;
pub use guard::{Guard, Http2, Refusal, RequestHead, plain_refusal};
pub use stream::Listener;
pub use tls::Certificates;
