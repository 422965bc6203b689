//! E-mail over SMTP. Recipients come from configuration only; everything a header takes from outside has been made one harmless line.

use super::connection::TlsSettings;
use super::recipients::Recipients;
use super::smtp::{MailServer, Trouble};
use super::{Channel, Delivery, Failure, Outcome, Probe, destination, fixed_destination, worded};
use crate::message::Message;
use crate::settings::Settings;
use crate::wording::{EmailWording, WordedMail};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
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
    server: MailServer,
    from: Mailbox,
    to: Vec<String>,
    allowed: Vec<String>,
    wording: Option<Arc<EmailWording>>,
    recipients: Recipients,
}

impl Email {
    /// # Errors
    /// When an address does not parse, credentials would travel in clear text, or recipients are templates without an allow-list.
    pub fn new(settings: &EmailSettings, all: &Settings) -> Result<Self, String> {
        let server = MailServer::new(settings, all)?;
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
        Ok(Email {
            server,
            from,
            to: settings.to.clone(),
            allowed: all.allow_label_destinations.clone(),
            wording: settings.wording.clone(),
            recipients: Recipients::default(),
        })
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
            match self.server.transmit(&envelope, &bytes).await {
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
                Ok(one) => self.server.transmit(&one, &bytes).await.map_err(|trouble| self.failure(&trouble)),
                Err(error) => Err(Failure::Refused(error.to_string())),
            };
            if let Err(retry) = self.recipients.settle(message, name, told) {
                return Outcome::of(message, Err(retry));
            }
        }
        self.recipients.outcome(message)
    }

    fn failure(&self, trouble: &Trouble) -> Failure {
        let reason = self.told(trouble);
        // 5xx is final; everything else (4xx, connection, TLS, time) may pass.
        if trouble.is_final() { Failure::Refused(reason) } else { Failure::retry(reason) }
    }

    fn told(&self, trouble: &Trouble) -> String {
        format!("{} {}", self.server.place(), trouble.reason())
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
            let mut connection = self.server.connect().await.map_err(|trouble| self.told(&trouble))?;
            let answers = connection.test_connected().await;
            let _ = connection.quit().await;
            match answers {
                true => Ok(format!("{} answers", self.server.place())),
                false => Err(format!("{} does not answer NOOP", self.server.place())),
            }
        })
    }
}
