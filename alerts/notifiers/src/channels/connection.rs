//! How a channel's connections are made, beside the rules for all: through which proxy, with whose certificates, and as whom. An `http_config` of an
//! `alertmanager.yml` says so; otherwise the environment's proxies hold, and whom the settings trust.

use super::token::{OAuth2Settings, Tokens};
use super::{Failure, http};
use crate::secret::SecretSource;
use crate::settings::one_secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use watchfire_config::{AcceptAny, Named};
use watchfire_model::Secret;

/// As configured.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub proxy: ProxySettings,
    pub tls: TlsSettings,
    pub headers: BTreeMap<String, String>,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub oauth2: Option<OAuth2Settings>,
}

/// Through what.
#[derive(Clone, Debug, Default)]
pub enum ProxySettings {
    /// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    #[default]
    Environment,
    None,
    Url {
        /// It may hold a password.
        url: Secret,
        /// Hosts that are reached without it.
        except: String,
        /// For `CONNECT`.
        headers: BTreeMap<String, Vec<String>>,
    },
}

/// Whom to believe, and who we are.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    pub authorities: Option<Pem>,
    pub certificate: Option<(Pem, Pem)>,
    /// The name that the server's certificate is to be for, where that is not the host's.
    pub server_name: Option<String>,
    pub is_insecure: bool,
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

/// What a file or the configuration itself holds.
#[derive(Clone, Debug)]
pub enum Pem {
    File(PathBuf),
    Text(Secret),
}

impl Pem {
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Pem::Text(text) => Ok(text.expose().as_bytes().to_vec()),
            Pem::File(path) => std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display())),
        }
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let read: Vec<_> = CertificateDer::pem_slice_iter(&self.read()?).collect::<Result<_, _>>().map_err(|e| self.unfit(&e))?;
        if read.is_empty() { Err(self.unfit(&"it holds no certificate")) } else { Ok(read) }
    }

    fn unfit(&self, why: &dyn std::fmt::Display) -> String {
        match self {
            Pem::File(path) => format!("{}: {why}", path.display()),
            Pem::Text(_) => why.to_string(),
        }
    }
}

impl TlsSettings {
    /// # Errors
    /// When a file cannot be read or does not hold what it should.
    pub fn client(&self, trusted: Arc<Named>) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = match self.versions.as_slice() {
            [] => builder.with_safe_default_protocol_versions(),
            some => builder.with_protocol_versions(some),
        };
        let builder = builder.map_err(|e| format!("TLS: {e}"))?.dangerous().with_custom_certificate_verifier(self.verifier(trusted)?);
        let Some((certificate, key)) = &self.certificate else { return Ok(builder.with_no_client_auth()) };
        let chain = certificate.certificates().map_err(|e| format!("tls_config: certificate: {e}"))?;
        let key = PrivateKeyDer::from_pem_slice(&key.read()?).map_err(|e| format!("tls_config: key: {}", key.unfit(&e)))?;
        builder.with_client_auth_cert(chain, key).map_err(|e| format!("tls_config: certificate: {e}"))
    }

    /// # Errors
    /// As [`client`](Self::client).
    pub fn verifier(&self, trusted: Arc<Named>) -> Result<Arc<dyn ServerCertVerifier>, String> {
        if self.is_insecure {
            return Ok(Arc::new(AcceptAny(Arc::new(rustls::crypto::ring::default_provider()))));
        }
        let trusted = match &self.authorities {
            Some(pem) => {
                let named = pem.certificates().map_err(|e| format!("tls_config: authorities: {e}"))?;
                super::trust::only(named)?
            }
            None => trusted,
        };
        let Some(name) = &self.server_name else { return Ok(trusted) };
        let name = ServerName::try_from(name.clone()).map_err(|e| format!("tls_config: server_name: {e}"))?;
        Ok(Arc::new(trusted.of_server(name)))
    }
}

impl ProxySettings {
    pub(super) fn apply(&self, client: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, String> {
        let (url, except, headers) = match self {
            ProxySettings::Environment => return Ok(client),
            ProxySettings::None => return Ok(client.no_proxy()),
            ProxySettings::Url { url, except, headers } => (url, except, headers),
        };
        let address = http::url("proxy_url", url.expose())?;
        let mut made = HeaderMap::new();
        for (name, values) in headers {
            for value in values {
                let (name, value) = http::header(name, value).map_err(|e| format!("proxy_connect_header: {e}"))?;
                made.append(name, value);
            }
        }
        let proxy = reqwest::Proxy::all(address).map_err(|e| format!("proxy_url: {}", e.without_url()))?;
        Ok(client.proxy(proxy.headers(made).no_proxy(reqwest::NoProxy::from_string(except))))
    }
}

/// Who asks: a bearer token, name and password, tokens that are asked for, or nobody in particular.
#[derive(Debug)]
pub(super) enum Authorization {
    None,
    Bearer(SecretSource),
    Basic(String, SecretSource),
    Tokens(Tokens),
}

impl Authorization {
    pub(super) fn new(bearer: Option<SecretSource>, username: Option<String>, password: Option<SecretSource>) -> Result<Self, String> {
        match (bearer, username, password) {
            (None, None, None) => Ok(Authorization::None),
            (Some(token), None, None) => Ok(Authorization::Bearer(token)),
            (None, Some(name), Some(password)) => Ok(Authorization::Basic(name, password)),
            _ => Err("give either bearer_token, or username and password".to_owned()),
        }
    }

    /// As an `http_config` says.
    pub(super) fn of(connection: &Connection) -> Result<Self, String> {
        if let Some(oauth2) = &connection.oauth2 {
            return Tokens::new(oauth2).map(Authorization::Tokens);
        }
        let bearer = one_secret("bearer_token", &connection.bearer_token, &connection.bearer_token_file, &None)?;
        let password = one_secret("password", &connection.password, &connection.password_file, &None)?;
        match (&connection.username, password) {
            // A name alone has an empty password.
            (Some(name), None) => Ok(Authorization::Basic(name.clone(), SecretSource::Inline(Secret::new("")))),
            (name, password) => Authorization::new(bearer, name.clone(), password),
        }
    }

    pub(super) fn add(&self, headers: &mut HeaderMap) -> Result<(), Failure> {
        let text = match self {
            Authorization::None | Authorization::Tokens(_) => return Ok(()),
            Authorization::Bearer(token) => format!("Bearer {}", token.reveal().map_err(Failure::retry)?),
            Authorization::Basic(name, password) => basic(name, &password.reveal().map_err(Failure::retry)?),
        };
        headers.insert(AUTHORIZATION, sensitive(&text)?);
        Ok(())
    }
}

pub(super) fn basic(name: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Failure::Refused("the credential holds control characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
