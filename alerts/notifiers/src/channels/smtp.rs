//! The session with a mail server: connecting, encrypting, believing it, logging in, and what to do where one of them fails.

use super::connection::TlsSettings;
use super::email::{EmailSettings, Security};
use crate::secret::SecretSource;
use crate::settings::{Settings, one_secret};
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Identity, TlsParameters, TlsVersion};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Category;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, InvalidMessage};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use watchfire_config::tls_refusal;
use watchfire_model::{causes, harmless_limited};

/// Who takes the mail, and how it is reached.
pub struct MailServer {
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<SecretSource>,
    security: Security,
    hello: ClientId,
    timeout: Duration,
    trusted: Arc<dyn ServerCertVerifier>,
    /// What is shown to a server that asks who we are.
    identity: Option<Identity>,
    oldest: TlsVersion,
}

impl MailServer {
    /// # Errors
    /// When its address does not parse, credentials would travel in clear text, or a certificate cannot be used.
    pub fn new(settings: &EmailSettings, all: &Settings) -> Result<Self, String> {
        let (host, port) = settings
            .smarthost
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?)))
            .ok_or_else(|| format!("email smarthost {:?} is not host:port", settings.smarthost))?;
        let password = one_secret("password", &settings.password, &settings.password_file, &settings.password_env)?;
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if settings.security == Security::None && password.is_some() && !loopback {
            return Err("email: security = \"none\" would send the password in clear text; use starttls or tls".to_owned());
        }
        let trusted = super::trust::trusted(all)?;
        Ok(MailServer {
            host,
            port,
            username: settings.username.clone(),
            password,
            security: settings.security,
            hello: settings.hello.clone().map_or_else(ClientId::default, ClientId::Domain),
            timeout: all.limits.attempt_timeout,
            identity: identity(&settings.tls, &trusted)?,
            oldest: match settings.tls.versions.as_slice() {
                [only] if only.version == rustls::ProtocolVersion::TLSv1_3 => TlsVersion::Tlsv13,
                _ => TlsVersion::Tlsv12,
            },
            trusted: settings.tls.verifier(trusted)?,
        })
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Connects, encrypts and logs in, in this order.
    pub async fn connect(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let wrapper = if self.security == Security::Tls { Some(self.tls()?) } else { None };
        let place = (self.host.as_str(), self.port);
        // Who speaks TLS from the first byte waits for ours: that is told before the attempt as a whole is given up.
        let greeting = AsyncSmtpConnection::connect_tokio1(place, Some(self.timeout), &self.hello, wrapper, None);
        let mut connection = match tokio::time::timeout(self.timeout.mul_f64(0.9), greeting).await {
            Ok(greeted) => greeted.map_err(|error| self.of_handshake(error))?,
            Err(_) if self.security == Security::Tls => return Err(Trouble::Other("does not answer".to_owned())),
            Err(_) => {
                let advice = "a port that speaks TLS from the first byte needs security = \"tls\" (force_implicit_tls: true)";
                return Err(Trouble::Other(format!("does not greet; {advice}")));
            }
        };
        if self.security == Security::Starttls {
            if !connection.can_starttls() {
                let advice = "require_tls: false sends mail in clear text (security = \"none\")";
                return Err(Trouble::Other(format!("offers no STARTTLS; {advice}")));
            }
            connection.starttls(self.tls()?, &self.hello).await.map_err(|error| self.of_handshake(error))?;
        }
        if self.security != Security::None {
            self.judge(&connection)?;
        }
        if let (Some(name), Some(password)) = (&self.username, &self.password) {
            if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
                let only = if self.security == Security::None { "; many do so only once the connection is encrypted" } else { "" };
                return Err(Trouble::Other(format!("takes no login by PLAIN or LOGIN{only}")));
            }
            let password = password.reveal().map_err(Trouble::Other)?;
            connection.auth(DEFAULT_MECHANISMS, &Credentials::new(name.clone(), password)).await?;
        }
        Ok(connection)
    }

    pub async fn transmit(&self, envelope: &Envelope, mail: &[u8]) -> Result<(), Trouble> {
        let mut connection = self.connect().await?;
        connection.send(envelope, mail).await?;
        // It is taken; how the server says goodbye changes nothing.
        let _ = connection.quit().await;
        Ok(())
    }

    /// lettre takes no verifier of ours: it checks that the server has the key of what it shows, and `judge` the rest before anything is said.
    fn tls(&self) -> Result<TlsParameters, lettre::transport::smtp::Error> {
        let mut tls = TlsParameters::builder(self.host.clone())
            .dangerous_accept_invalid_certs(true)
            .dangerous_accept_invalid_hostnames(true)
            .set_min_tls_version(self.oldest);
        if let Some(identity) = &self.identity {
            tls = tls.identify_with(identity.clone());
        }
        tls.build_rustls()
    }

    /// Whether the server's certificate is to be believed.
    fn judge(&self, connection: &AsyncSmtpConnection) -> Result<(), Trouble> {
        let chain: Vec<CertificateDer<'_>> = connection.certificate_chain()?.into_iter().map(CertificateDer::from).collect();
        let name = ServerName::try_from(self.host.as_str()).map_err(|e| Trouble::Other(format!("TLS: {e}")))?;
        let [server, between @ ..] = chain.as_slice() else {
            return Err(Trouble::Other("TLS: the server shows no certificate".to_owned()));
        };
        let judged = self.trusted.verify_server_cert(server, between, &name, &[], UnixTime::now());
        judged.map(|_| ()).map_err(|e| Trouble::Other(format!("TLS: {}", tls_refusal(&e, "ca_file"))))
    }

    /// What failed while the connection was encrypted, and what to do about it where that is known.
    fn of_handshake(&self, error: lettre::transport::smtp::Error) -> Trouble {
        let is_cut_off = |e: &io::Error| matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
        let cut_off = causes(&error).filter_map(|cause| cause.downcast_ref()).any(is_cut_off);
        let asks = "the server may ask for a certificate of ours: cert_file and key_file of a tls_config";
        let refused = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>()).cloned();
        match refused {
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                let advice = "leave force_implicit_tls out, or say security = \"starttls\"";
                Trouble::Other(format!("the port answers without TLS; {advice}"))
            }
            Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => Trouble::Other(asks.to_owned()),
            None if cut_off && self.security != Security::None && self.identity.is_none() => {
                Trouble::Other(format!("breaks the connection off as soon as it is encrypted; {asks}"))
            }
            _ => Trouble::Smtp(error),
        }
    }
}

/// The certificate of ours and its key, once it is known that they fit. lettre shows this one alone, without those between it and its authority.
fn identity(tls: &TlsSettings, trusted: &Arc<watchfire_config::Named>) -> Result<Option<Identity>, String> {
    let Some((certificate, key)) = &tls.certificate else { return Ok(None) };
    tls.client(trusted.clone())?;
    let chain = certificate.certificates()?;
    let first = chain.first().ok_or("tls_config: no certificate")?;
    Identity::from_pem(first, &key.read()?).map(Some).map_err(|e| format!("tls_config: key: {e}"))
}

/// What came between us and the server.
pub enum Trouble {
    Smtp(lettre::transport::smtp::Error),
    Other(String),
}

impl From<lettre::transport::smtp::Error> for Trouble {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        Trouble::Smtp(error)
    }
}

impl Trouble {
    /// The server's last word: it will say the same of another attempt.
    pub fn is_final(&self) -> bool {
        matches!(self, Trouble::Smtp(error) if error.is_permanent())
    }

    /// A final refusal of a mailbox or a mail (55x), and not of who sends it (53x): trying a wrong password once per recipient locks an account.
    pub fn is_of_mailbox(&self) -> bool {
        let Trouble::Smtp(error) = self else { return false };
        error.is_permanent() && error.status().is_some_and(|code| code.category == Category::MailSystem)
    }

    pub fn reason(&self) -> String {
        let reason = match self {
            Trouble::Smtp(error) => {
                // Some say what they wrap, alone or after words of their own.
                let all = causes(error).map(|cause| cause.to_string());
                all.fold(String::new(), |told, cause| match told.as_str() {
                    "" => cause,
                    said if said.ends_with(&cause) => told,
                    said => format!("{said}: {cause}"),
                })
            }
            Trouble::Other(reason) => reason.clone(),
        };
        harmless_limited(&reason, 200).into_owned()
    }
}
