//! The guarded HTTP client behind scrapes and probes: bounded in time, bytes and hops, and never led where its target must not lead it.
//! It asks and reads; what an answer means is the caller's business.
//!
//! Types to know
//! - [`Fetcher`]: sends an [`Order`], follows redirects by the rules of [`Guard`], gives an [`Answer`] whose body is read with a limit.
//! - [`Resolver`]: names to addresses, at most two seconds, the last known addresses when the name service is down. One per process, shared.
//! - [`TlsSettings`]: authorities and client certificate; the settings part of every `tls_config`.
//! - [`read_secret`]: a secret that stands in a file.
//! - [`FetchError`]: why there is no answer, in words for the target page.
//!
//! Invariants
//! - The address that was checked is the address that is connected: the check sits in the resolver the connection is made with.
//! - Proxies of the environment are not used: a probe through a proxy measures the proxy.
//! - Credentials never follow a redirect to another host, another port or from https to http.
//! - No function here waits longer than its caller lets it: callers wrap calls in their own deadline.

mod error;
mod fetcher;
mod guard;
mod inflate;
mod resolver;
mod secret_file;
mod tls;

pub use error::FetchError;
pub use fetcher::{Answer, Body, Fetcher, Order, Redirects, basic_authorization};
pub use guard::Guard;
pub use resolver::Resolver;
pub use secret_file::read_secret;
pub use tls::{TlsError, TlsSettings, client_config};
