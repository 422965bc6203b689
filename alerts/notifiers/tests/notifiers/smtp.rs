//! A mail server on loopback that speaks enough SMTP to take mails, refuse them, or ask for patience. Nobody whose name begins with `gone` is there.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub to: Vec<String>,
    /// As it came, dots not unstuffed.
    pub lines: Vec<String>,
}

impl Mail {
    pub fn header(&self, name: &str) -> Option<String> {
        let prefix = format!("{name}: ").to_ascii_lowercase();
        self.headers().into_iter().find(|l| l.to_ascii_lowercase().starts_with(&prefix)).map(|l| l[prefix.len()..].to_owned())
    }

    /// Unfolded header lines.
    pub fn headers(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for line in self.lines.iter().take_while(|l| !l.is_empty()) {
            match (line.starts_with([' ', '\t']), out.last_mut()) {
                (true, Some(last)) => last.push_str(line),
                _ => out.push(line.clone()),
            }
        }
        out
    }
}

pub struct MailServer {
    pub address: String,
    mails: Arc<Mutex<Vec<Mail>>>,
    /// Answer to the end of DATA.
    pub verdict: Arc<Mutex<&'static str>>,
    task: tokio::task::JoinHandle<()>,
}

impl MailServer {
    pub async fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let verdict = Arc::new(Mutex::new("250 queued"));
        let (kept, answer) = (mails.clone(), verdict.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (kept.clone(), answer.clone());
                // A client that goes away ends its conversation, nothing else.
                tokio::spawn(async move { converse(stream, kept, answer).await.ok() });
            }
        });
        MailServer { address, mails, verdict, task }
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, mails: Arc<Mutex<Vec<Mail>>>, verdict: Arc<Mutex<&'static str>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await?;
    let mut mail = Mail::default();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let upper = command.to_ascii_uppercase();
        let answer = if upper.starts_with("EHLO") {
            "250-test\r\n250 8BITMIME"
        } else if upper.starts_with("MAIL FROM:") {
            mail = Mail::default();
            "250 ok"
        } else if upper.starts_with("RCPT TO:<GONE") {
            "550 no such mailbox"
        } else if upper.starts_with("RCPT TO:") {
            mail.to.push(command[8..].to_owned());
            "250 ok"
        } else if upper == "DATA" {
            stream.write_all(b"354 go on\r\n").await?;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                let line = line.trim_end_matches("\r\n").to_owned();
                if line == "." {
                    break;
                }
                mail.lines.push(line);
            }
            mails.lock().push(mail.clone());
            *verdict.lock()
        } else if upper == "QUIT" {
            stream.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else {
            "250 ok"
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}
