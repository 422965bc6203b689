//! E-mail over SMTP. Recipients come from configuration only; everything a header takes from outside has been made one harmless line.

use super::connection::TlsSettings;
use super::recipients::Recipients;
use super::{Channel, Delivery, Failure, Outcome, Probe, destination, fixed_destination, worded};
use crate::message::Message;
use crate::secret::SecretSource;
use crate::settings::{Settings, one_secret};
use crate::wording::{EmailWording, WordedMail};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Category;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use watchfire_config::tls_refusal;
use watchfire_model::{Secret, causes, harmless_limited};

/// Bytes of a body.
const BODY: usize = 64 << 10;
/// Characters of a subject.
const SUBJECT: usize = 300;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailSettings {
    /// `host:port` of the server that takes the mail.
    pub smarthost: String,
    pub from: String,
    pub to: Vec<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
    pub security: Security,
    /// What we call ourselves in EHLO.
    pub hello: Option<String>,
    /// The texts of an `alertmanager.yml`.
    #[serde(skip)]
    pub wording: Option<Arc<EmailWording>>,
    /// Its `tls_config`.
    #[serde(skip)]
    pub tls: TlsSettings,
}

/// How the connection is protected. There is no "if possible": a downgrade would go unnoticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    #[default]
    Starttls,
    Tls,
    /// Only towards a loopback address or when credentials are not used.
    None,
}

pub struct Email {
    host: String,
    port: u16,
    from: Mailbox,
    to: Vec<String>,
    allowed: Vec<String>,
    username: Option<String>,
    password: Option<SecretSource>,
    security: Security,
    hello: ClientId,
    wording: Option<Arc<EmailWording>>,
    timeout: Duration,
    trusted: Arc<dyn ServerCertVerifier>,
    /// The certificate may be for another name than the host's.
    is_other_name: bool,
    recipients: Recipients,
}

impl Email {
    /// # Errors
    /// When an address does not parse, credentials would travel in clear text, or recipients are templates without an allow-list.
    pub fn new(settings: &EmailSettings, all: &Settings) -> Result<Self, String> {
        let (host, port) = settings
            .smarthost
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?)))
            .ok_or_else(|| format!("email smarthost {:?} is not host:port", settings.smarthost))?;
        let from = settings.from.parse().map_err(|e| format!("email from {:?}: {e}", settings.from))?;
        if settings.to.is_empty() {
            return Err("email needs at least one recipient in `to`".to_owned());
        }
        for recipient in &settings.to {
            fixed_destination("email recipient", recipient, all)?;
            if !recipient.contains("{{") {
                recipient.parse::<Mailbox>().map_err(|e| format!("email recipient {recipient:?}: {e}"))?;
            }
        }
        let password = one_secret("password", &settings.password, &settings.password_file, &settings.password_env)?;
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if settings.security == Security::None && password.is_some() && !loopback {
            return Err("email: security = \"none\" would send the password in clear text; use starttls or tls".to_owned());
        }
        Ok(Email {
            host,
            port,
            from,
            to: settings.to.clone(),
            allowed: all.allow_label_destinations.clone(),
            username: settings.username.clone(),
            password,
            security: settings.security,
            hello: settings.hello.clone().map_or_else(ClientId::default, ClientId::Domain),
            wording: settings.wording.clone(),
            timeout: all.limits.attempt_timeout,
            trusted: settings.tls.verifier(super::trust::trusted(all)?)?,
            is_other_name: settings.tls.is_insecure || settings.tls.server_name.is_some(),
            recipients: Recipients::default(),
        })
    }

    /// Connects, encrypts and logs in, in this order.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Trouble> {
        // lettre takes no verifier of ours: it checks the name and that the key is there, and `judge` the rest before anything is said.
        let tls = || {
            let tls = TlsParameters::builder(self.host.clone()).dangerous_accept_invalid_certs(true);
            tls.dangerous_accept_invalid_hostnames(self.is_other_name).build_rustls()
        };
        let wrapper = if self.security == Security::Tls { Some(tls()?) } else { None };
        let place = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(place, Some(self.timeout), &self.hello, wrapper, None).await?;
        if self.security == Security::Starttls {
            connection.starttls(tls()?, &self.hello).await?;
        }
        if self.security != Security::None {
            self.judge(&connection)?;
        }
        if let (Some(name), Some(password)) = (&self.username, &self.password) {
            let password = password.reveal().map_err(Trouble::Other)?;
            connection.auth(DEFAULT_MECHANISMS, &Credentials::new(name.clone(), password)).await?;
        }
        Ok(connection)
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

    async fn transmit(&self, envelope: &Envelope, mail: &[u8]) -> Result<(), Trouble> {
        let mut connection = self.connect().await?;
        connection.send(envelope, mail).await?;
        // It is taken; how the server says goodbye changes nothing.
        let _ = connection.quit().await;
        Ok(())
    }

    /// Subject, plain text, HTML and further headers: as the receiver words them, or our own.
    async fn words(&self, message: &Arc<Message>) -> WordedMail {
        let Some(wording) = self.wording.clone().filter(|_| message.note.is_none()) else { return own_words(message, "") };
        match worded(message, move |message| wording.mail(message)).await {
            Ok(mail) if mail.text.is_empty() => WordedMail { text: message.plain(BODY), ..mail },
            Ok(mail) => mail,
            Err(reason) => own_words(message, &format!("\n{reason}")),
        }
    }

    fn mail(&self, message: &Message, words: WordedMail) -> Result<lettre::Message, Failure> {
        let refused =
            |e: &dyn std::fmt::Display| Failure::Refused(format!("cannot compose the mail: {}", harmless_limited(&e.to_string(), 200)));
        // The same message has the same id, so a mail store that has it already can tell.
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .message_id(Some(format!("<{}@watchfire.invalid>", message.key)))
            .subject(harmless_limited(&words.subject, SUBJECT).into_owned())
            .date(std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(message.at.millis()).unwrap_or(0)));
        for recipient in &self.to {
            let address = destination(recipient, message, &self.allowed)?;
            builder = builder.to(address.parse().map_err(|e| refused(&e))?);
        }
        let mut mail = if words.html.is_empty() {
            builder.singlepart(SinglePart::plain(words.text))
        } else {
            builder.multipart(MultiPart::alternative_plain_html(words.text, words.html))
        }
        .map_err(|e| refused(&e))?;
        for (name, value) in words.headers {
            let name = HeaderName::new_from_ascii(name).map_err(|e| refused(&e))?;
            mail.headers_mut().insert_raw(HeaderValue::new(name, value));
        }
        Ok(mail)
    }

    /// One mail to all, as everybody sends it. Where the server refuses it, and with it everybody, for one of several recipients, each gets their own.
    async fn send(&self, message: &Arc<Message>) -> Outcome {
        let words = self.words(message).await;
        let mail = match self.mail(message, words) {
            Ok(mail) => mail,
            Err(failure) => return Outcome::of(message, Err(failure)),
        };
        let (envelope, bytes) = (mail.envelope().clone(), mail.formatted());
        if !self.recipients.begun(message) {
            match self.transmit(&envelope, &bytes).await {
                Err(trouble) if envelope.to().len() > 1 && trouble.is_of_mailbox() => {}
                result => return Outcome::of(message, result.map_err(|trouble| self.failure(&trouble))),
            }
        }
        for recipient in envelope.to() {
            let name: &str = recipient.as_ref();
            if self.recipients.knows(message, name) {
                continue;
            }
            let told = match Envelope::new(envelope.from().cloned(), vec![recipient.clone()]) {
                Ok(one) => self.transmit(&one, &bytes).await.map_err(|trouble| self.failure(&trouble)),
                Err(error) => Err(Failure::Refused(error.to_string())),
            };
            if let Err(retry) = self.recipients.settle(message, name, told) {
                return Outcome::of(message, Err(retry));
            }
        }
        self.recipients.outcome(message)
    }

    fn failure(&self, trouble: &Trouble) -> Failure {
        let reason = format!("{}:{} {}", self.host, self.port, trouble.reason());
        // 5xx is final; everything else (4xx, connection, TLS, time) may pass.
        match trouble {
            Trouble::Smtp(error) if error.is_permanent() => Failure::Refused(reason),
            _ => Failure::retry(reason),
        }
    }
}

/// What came between us and the server.
enum Trouble {
    Smtp(lettre::transport::smtp::Error),
    Other(String),
}

impl From<lettre::transport::smtp::Error> for Trouble {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        Trouble::Smtp(error)
    }
}

impl Trouble {
    /// A final refusal of a mailbox or a mail (55x), and not of who sends it (53x): trying a wrong password once per recipient locks an account.
    fn is_of_mailbox(&self) -> bool {
        let Trouble::Smtp(error) = self else { return false };
        error.is_permanent() && error.status().is_some_and(|code| code.category == Category::MailSystem)
    }

    fn reason(&self) -> String {
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

/// `problem` says why these are not the words the receiver asked for.
fn own_words(message: &Message, problem: &str) -> WordedMail {
    WordedMail { subject: message.title(), text: format!("{}{problem}", message.plain(BODY)), html: String::new(), headers: Vec::new() }
}

impl Channel for Email {
    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { self.send(&message).await })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        let words = own_words(message, "");
        vec![format!("{}\n\n{}", words.subject, words.text)]
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            let mut connection = self.connect().await.map_err(|trouble| trouble.reason())?;
            let answers = connection.test_connected().await;
            let _ = connection.quit().await;
            match answers {
                true => Ok(format!("{}:{} answers", self.host, self.port)),
                false => Err(format!("{}:{} does not answer NOOP", self.host, self.port)),
            }
        })
    }
}
