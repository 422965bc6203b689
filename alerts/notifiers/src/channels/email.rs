//! E-mail over SMTP. Recipients come from configuration only; everything a header takes from outside has been made one harmless line.

use super::recipients::Recipients;
use super::{Channel, Delivery, Failure, Outcome, Probe, destination, fixed_destination, worded};
use crate::message::Message;
use crate::secret::SecretSource;
use crate::settings::{Settings, one_secret};
use crate::wording::{EmailWording, WordedMail};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Category;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Secret, harmless_limited};

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
    authorities: Vec<Certificate>,
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
            authorities: super::trust::authorities(all)?.iter().filter_map(|der| Certificate::from_der(der.to_vec()).ok()).collect(),
            recipients: Recipients::default(),
        })
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        let tls = || {
            let builder = self.authorities.iter().fold(TlsParameters::builder(self.host.clone()), |b, a| b.add_root_certificate(a.clone()));
            builder.build().map_err(|e| Failure::retry(format!("TLS: {e}")))
        };
        let tls = match self.security {
            Security::Starttls => Tls::Required(tls()?),
            Security::Tls => Tls::Wrapper(tls()?),
            Security::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host.clone())
            .port(self.port)
            .tls(tls)
            .hello_name(self.hello.clone())
            .timeout(Some(self.timeout));
        if let (Some(name), Some(password)) = (&self.username, &self.password) {
            builder = builder.credentials(Credentials::new(name.clone(), password.reveal().map_err(Failure::retry)?));
        }
        Ok(builder.build())
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
        let composed = self.mail(message, words).and_then(|mail| Ok((mail, self.transport()?)));
        let (mail, transport) = match composed {
            Ok(composed) => composed,
            Err(failure) => return Outcome::of(message, Err(failure)),
        };
        let (envelope, bytes) = (mail.envelope().clone(), mail.formatted());
        if !self.recipients.begun(message) {
            match transport.send_raw(&envelope, &bytes).await {
                Err(error) if envelope.to().len() > 1 && of_mailbox(&error) => {}
                result => return Outcome::of(message, result.map(|_| ()).map_err(|e| self.failure(&e))),
            }
        }
        for recipient in envelope.to() {
            let name: &str = recipient.as_ref();
            if self.recipients.knows(message, name) {
                continue;
            }
            let told = match Envelope::new(envelope.from().cloned(), vec![recipient.clone()]) {
                Ok(one) => transport.send_raw(&one, &bytes).await.map(|_| ()).map_err(|e| self.failure(&e)),
                Err(error) => Err(Failure::Refused(error.to_string())),
            };
            if let Err(retry) = self.recipients.settle(message, name, told) {
                return Outcome::of(message, Err(retry));
            }
        }
        self.recipients.outcome(message)
    }

    fn failure(&self, error: &lettre::transport::smtp::Error) -> Failure {
        let reason = format!("{}:{} {}", self.host, self.port, harmless_limited(&chain(error), 200));
        // 5xx is final; everything else (4xx, connection, TLS, time) may pass.
        if error.is_permanent() { Failure::Refused(reason) } else { Failure::retry(reason) }
    }
}

/// A final refusal of a mailbox or a mail (55x), and not of who sends it (53x): trying a wrong password once per recipient locks an account.
fn of_mailbox(error: &lettre::transport::smtp::Error) -> bool {
    error.is_permanent() && error.status().is_some_and(|code| code.category == Category::MailSystem)
}

/// `problem` says why these are not the words the receiver asked for.
fn own_words(message: &Message, problem: &str) -> WordedMail {
    WordedMail { subject: message.title(), text: format!("{}{problem}", message.plain(BODY)), html: String::new(), headers: Vec::new() }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
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
            let transport = self.transport().map_err(|f| f.reason().to_owned())?;
            match transport.test_connection().await {
                Ok(true) => Ok(format!("{}:{} answers", self.host, self.port)),
                Ok(false) => Err(format!("{}:{} does not answer NOOP", self.host, self.port)),
                Err(error) => Err(harmless_limited(&chain(&error), 200).into_owned()),
            }
        })
    }
}
