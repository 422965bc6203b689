//! What each channel says on the wire, and how it takes hostile text and hostile answers.

use crate::receiver::{Answer, Receiver};
use crate::smtp::MailServer;
use crate::{Running, eventually, notice, settings, start};
use std::time::{Duration, Instant};
use watchfire_model::{Labels, NoticeState::*, Timestamp};
use watchfire_notifiers::{Dispatcher, Settings, probe_paths, test_paths};

/// One receiver with one channel, sent to at once.
fn over(channel: &str) -> Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ {channel} }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n\
         [limits]\nattempt_timeout = \"2s\"\nbackoff_min = \"20ms\"\nbackoff_max = \"100ms\"\n"
    ))
}

async fn refused(settings: Settings) -> String {
    match Dispatcher::start(settings, None, watchfire_model::Meter::new(), crate::RealClock::shared(), Default::default()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

async fn settled(running: &Running) {
    eventually("settled", || running.handle.owed() == 0).await;
}

#[tokio::test]
async fn slack_text_is_escaped_and_mentions_nobody() {
    let slack = Receiver::start().await;
    let running = start(over(&format!("type = \"slack\", url = \"{}/services/T/B/x\"", slack.url)), None);
    let mut hostile = notice("<!channel>", 1, Firing);
    hostile.annotations = Labels::from_pairs([
        ("summary", "<@U123> <http://evil.example|your bank> `x` & *y*"),
        ("runbook_url", "https://runbooks.example/x"),
    ]);
    running.commit(vec![hostile]).await;
    settled(&running).await;
    let body = slack.received()[0].json();
    let text = body["attachments"][0]["text"].as_str().unwrap();
    assert!(text.contains("&lt;@U123&gt; &lt;http://evil.example|your bank&gt; `x` &amp; *y*"), "{text}");
    assert!(text.contains("<https://runbooks.example/x|runbook>"), "{text}");
    assert!(body["text"].as_str().unwrap().contains("&lt;!channel&gt;"));
    assert_eq!(text.matches('<').count(), 1, "only our own link");
    assert_eq!((body["link_names"].as_bool(), body["mrkdwn"].as_bool()), (Some(false), Some(false)));
    running.stop().await;
}

#[tokio::test]
async fn slack_gets_at_most_one_message_a_second_whoever_shares_the_webhook() {
    let receiver = Receiver::start().await;
    let mut ours = over(&format!("type = \"slack\", url = \"{}/hook\"", receiver.url));
    let mut other = ours.receivers[0].clone();
    other.name = "others".to_owned();
    ours.receivers.push(other);
    ours.routes[0].to.push("others".to_owned());
    let running = start(ours, None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    settled(&running).await;
    running.commit(vec![notice("A", 2, Resolved)]).await;
    settled(&running).await;
    let times: Vec<Instant> = receiver.received().iter().map(|r| r.at).collect();
    assert_eq!(times.len(), 4);
    // As they arrive: each was sent a second after the one before, and may have been underway a little less long.
    assert!(times[3] - times[0] >= Duration::from_millis(2900), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(800)), "{times:?}");
    running.stop().await;
}

#[tokio::test]
async fn pagerduty_events_share_a_dedup_key_from_trigger_to_resolve() {
    let pagerduty = Receiver::start().await;
    let running = start(over(&format!("type = \"pagerduty\", routing_key = \"R0\", url = \"{}/v2/enqueue\"", pagerduty.url)), None);
    running.commit(vec![notice("A", 1, Firing), notice("B", 1, Firing)]).await;
    settled(&running).await;
    let handle = running.handle.clone();
    tokio::task::spawn_blocking(move || handle.acknowledge("fp-A", "alex", None).unwrap()).await.unwrap();
    eventually("acknowledged", || pagerduty.count() == 3).await;
    running.commit(vec![notice("A", 2, Resolved)]).await;
    eventually("resolved", || pagerduty.count() == 4).await;
    let events: Vec<serde_json::Value> = pagerduty.received().iter().map(|r| r.json()).collect();
    let of = |event: &serde_json::Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(events.iter().map(|e| of(e, "event_action")).collect::<Vec<_>>(), ["trigger", "trigger", "acknowledge", "resolve"]);
    assert_eq!(of(&events[0], "dedup_key"), of(&events[2], "dedup_key"));
    assert_eq!(of(&events[0], "dedup_key"), of(&events[3], "dedup_key"));
    assert_ne!(of(&events[0], "dedup_key"), of(&events[1], "dedup_key"));
    assert_eq!((of(&events[0], "routing_key"), of(&events[0]["payload"], "severity")), ("R0".to_owned(), "critical".to_owned()));
    assert_eq!(of(&events[0]["payload"], "source"), "social-service");
    running.stop().await;
}

#[tokio::test]
async fn pagerduty_that_fails_halfway_is_only_asked_for_the_rest() {
    let pagerduty = Receiver::start().await;
    pagerduty.answers([Answer::Status(202), Answer::Status(500)]);
    let running = start(over(&format!("type = \"pagerduty\", routing_key = \"R0\", url = \"{}\"", pagerduty.url)), None);
    running.commit((0..4).map(|n| notice(&format!("A{n}"), 1, Firing)).collect()).await;
    settled(&running).await;
    assert_eq!(pagerduty.count(), 5, "four alerts, one of them twice");
    running.stop().await;
}

#[tokio::test]
async fn mail_headers_stay_one_line_and_recipients_come_from_configuration() {
    let server = MailServer::start().await;
    let channel = format!(
        "type = \"email\", smarthost = \"{}\", from = \"watchfire <wf@example.org>\", to = [\"ops@example.org\"], security = \"none\"",
        server.address
    );
    let running = start(over(&channel), None);
    let mut hostile = notice("Down\r\nBcc: thief@example.org\r\n\r\nbody\0", 1, Firing);
    hostile.annotations = Labels::from_pairs([("summary", ".\r\nMAIL FROM:<evil@example.org>\n.")]);
    running.commit(vec![hostile.clone()]).await;
    settled(&running).await;
    let mail = &server.mails()[0];
    assert_eq!(mail.to, ["<ops@example.org>"]);
    let names: Vec<String> = mail.headers().iter().map(|h| h.split(':').next().unwrap_or("").to_ascii_lowercase()).collect();
    assert!(!names.contains(&"bcc".to_owned()), "{names:?}");
    assert_eq!(names.iter().filter(|n| *n == "subject").count(), 1);
    assert_eq!(server.mails().len(), 1, "the dot did not end the mail");
    running.stop().await;
}

#[tokio::test]
async fn a_mail_that_must_wait_comes_again_with_the_same_message_id_and_a_refused_one_does_not() {
    let server = MailServer::start().await;
    *server.verdict.lock() = "451 later";
    let channel = format!(
        "type = \"email\", smarthost = \"{}\", from = \"wf@example.org\", to = [\"ops@example.org\"], security = \"none\"",
        server.address
    );
    let running = start(over(&channel), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("tried twice", || server.mails().len() >= 2).await;
    *server.verdict.lock() = "250 queued";
    settled(&running).await;
    let ids: std::collections::BTreeSet<Option<String>> = server.mails().iter().map(|m| m.header("Message-ID")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(ids.first().is_some_and(|id| id.as_ref().is_some_and(|id| id.ends_with("@watchfire.invalid>"))), "{ids:?}");
    let before = server.mails().len();
    *server.verdict.lock() = "554 no";
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("given up", || running.handle.dead_letters().len() == 1).await;
    assert_eq!(server.mails().len(), before + 1);
    running.stop().await;
}

#[tokio::test]
async fn a_mailbox_that_is_gone_keeps_nobody_else_from_being_told_and_nobody_is_told_twice() {
    let server = MailServer::start().await;
    let channel = format!(
        "type = \"email\", smarthost = \"{}\", from = \"wf@example.org\", to = [\"ops@example.org\", \"gone@example.org\", \"dev@example.org\"], \
         security = \"none\"",
        server.address
    );
    let running = start(over(&channel), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    settled(&running).await;
    let told: Vec<Vec<String>> = server.mails().into_iter().map(|m| m.to).collect();
    assert_eq!(told, [["<ops@example.org>"], ["<dev@example.org>"]]);
    let letters = running.handle.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("gone@example.org") && letters[0].reason.contains("550"), "{}", letters[0].reason);
    running.stop().await;
}

#[tokio::test]
async fn every_channel_leads_to_the_runbook() {
    const LINK: &str = "https://runbooks.example/commerce.md#co-01";
    let (http, mail) = (Receiver::start().await, MailServer::start().await);
    let running = start(
        settings(&format!(
            "alertmanagers = [\"{url}\"]\n[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"slack\", url = \"{url}/slack\" }}, \
             {{ type = \"pagerduty\", routing_key = \"R0\", url = \"{url}/pagerduty\" }}, {{ type = \"webhook\", url = \"{url}/webhook\" }}, \
             {{ type = \"sms\", url = \"{url}/sms\", to = [\"+491\"] }}, \
             {{ type = \"email\", smarthost = \"{}\", from = \"wf@example.org\", to = [\"ops@example.org\"], security = \"none\" }}]\n\
             [[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\n",
            mail.address,
            url = http.url,
        )),
        None,
    );
    let mut paged = notice("Slow", 1, Firing);
    paged.annotations = Labels::from_pairs([("summary", "publishing is slow"), ("runbook_url", LINK)]);
    running.commit(vec![paged]).await;
    settled(&running).await;
    eventually("all have heard", || http.count() == 5 && mail.mails().len() == 1).await;
    let said: std::collections::BTreeMap<String, String> = http.received().into_iter().map(|r| (r.path.clone(), r.body.clone())).collect();
    assert_eq!(said.len(), 5, "{:?}", said.keys());
    for (path, body) in &said {
        assert!(body.contains(LINK), "{path}: {body}");
    }
    let clicked = |path: &str| serde_json::from_str::<serde_json::Value>(&said[path]).expect("JSON");
    assert_eq!(clicked("/pagerduty")["links"][0]["href"], LINK);
    assert!(clicked("/slack").to_string().contains(&format!("<{LINK}|runbook>")));
    // Long lines of a mail go on after `=`.
    let mail = mail.mails()[0].lines.join("\n").replace("=\n", "");
    assert!(mail.contains(LINK), "{mail}");
    running.stop().await;
}

#[tokio::test]
async fn an_sms_gateway_gets_its_own_fields_per_number() {
    let gateway = Receiver::start().await;
    let channel = format!(
        "type = \"sms\", url = \"{}/send\", to = [\"+491\", \"+492\"], format = \"form\", fields = {{ recipient = \"{{to}}\", body = \"{{text}}\" }}",
        gateway.url
    );
    let running = start(over(&channel), None);
    let mut hostile = notice("A&b=c {to}", 1, Firing);
    hostile.annotations = Labels::empty();
    running.commit(vec![hostile]).await;
    settled(&running).await;
    let received = gateway.received();
    assert_eq!(received.len(), 2);
    assert!(received[0].body.contains("recipient=%2B491") && received[1].body.contains("recipient=%2B492"), "{}", received[0].body);
    assert!(received[0].body.contains("A%26b%3Dc+%7Bto%7D"), "{}", received[0].body);
    assert_ne!(received[0].key(), received[1].key());
    running.stop().await;
}

#[tokio::test]
async fn the_webhook_body_is_alertmanagers_version_4() {
    let receiver = Receiver::start().await;
    let running = start(
        over(&format!("type = \"webhook\", url = \"{}/hook\", bearer_token = \"t0k\", headers = {{ X-Team = \"ops\" }}", receiver.url)),
        None,
    );
    running.commit(vec![notice("A", 1, Firing)]).await;
    settled(&running).await;
    let received = &receiver.received()[0];
    assert_eq!(received.headers["authorization"], "Bearer t0k");
    assert_eq!(received.headers["x-team"], "ops");
    let body = received.json();
    assert_eq!(body["version"], "4");
    assert_eq!(body["groupLabels"], serde_json::json!({"alertname": "A"}));
    assert_eq!(body["commonLabels"]["service"], "social-service");
    assert_eq!(
        (body["status"].as_str(), body["receiver"].as_str(), body["truncatedAlerts"].as_u64()),
        (Some("firing"), Some("ops"), Some(0))
    );
    assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(body["alerts"][0]["evidence"]["value"], 0.08);
    running.stop().await;
}

#[tokio::test]
async fn configured_headers_with_line_breaks_are_refused_at_start() {
    let text = refused(over("type = \"webhook\", url = \"http://127.0.0.1:1/\", headers = { X-Team = \"a\\r\\nX-Evil: 1\" }")).await;
    assert!(text.contains("x-team") || text.contains("X-Team"), "{text}");
}

#[tokio::test]
async fn labels_cannot_choose_a_destination_without_an_allow_list() {
    let text = refused(over("type = \"slack\", url = \"http://127.0.0.1:1/\", channel = \"#{{ .CommonLabels.team }}\"")).await;
    assert!(text.contains("allow_label_destinations"), "{text}");
    for channel in [
        "type = \"email\", smarthost = \"127.0.0.1:25\", from = \"a@example.org\", to = [\"{{ .CommonLabels.mail }}\"]",
        "type = \"sms\", url = \"http://127.0.0.1:1/\", to = [\"{{ .CommonLabels.phone }}\"]",
    ] {
        assert!(refused(over(channel)).await.contains("allow_label_destinations"));
    }
    let slack = Receiver::start().await;
    let mut allowed = over(&format!("type = \"slack\", url = \"{}\", channel = \"#{{{{ .CommonLabels.service }}}}\"", slack.url));
    allowed.allow_label_destinations = vec!["#social-service".to_owned()];
    let running = start(allowed, None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    settled(&running).await;
    assert_eq!(slack.received()[0].json()["channel"], "#social-service");
    let mut elsewhere = notice("B", 1, Firing);
    elsewhere.labels = Labels::from_pairs([("alertname", "B"), ("service", "general")]);
    running.commit(vec![elsewhere]).await;
    eventually("refused", || running.handle.dead_letters().len() == 1).await;
    assert_eq!(slack.count(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_flood_of_an_answer_is_read_to_64_kib_and_the_message_counts_as_sent() {
    let receiver = Receiver::start().await;
    receiver.answers([Answer::Flood(1024)]);
    let running = start(over(&format!("type = \"webhook\", url = \"{}\"", receiver.url)), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    settled(&running).await;
    // What is beyond the 64 KiB sits in socket buffers of a closed connection.
    assert!(receiver.flooded() < 32 << 20, "{} bytes taken", receiver.flooded());
    assert_eq!(receiver.count(), 1);
    running.stop().await;
}

#[tokio::test]
async fn redirects_are_not_followed_and_credentials_do_not_travel() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    receiver.answers([Answer::Moved(format!("{}/stolen", elsewhere.url))]);
    let running = start(over(&format!("type = \"webhook\", url = \"{}\", bearer_token = \"t0k\"", receiver.url)), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("refused", || running.handle.dead_letters().len() == 1).await;
    assert!(running.handle.dead_letters()[0].reason.contains("redirects to 127.0.0.1"));
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_test_of_the_paths_says_which_work_and_why_the_others_do_not() {
    let good = Receiver::start().await;
    let bad = Receiver::start().await;
    bad.always(Some(Answer::Status(403)));
    let server = MailServer::start().await;
    let settings = settings(&format!(
        "default_to = [\"ops\"]\n[[receivers]]\nname = \"ops\"\nchannels = [\n{{ type = \"webhook\", url = \"{}/canary-path\" }},\n{{ type = \"slack\", url = \"{}/canary-path\" }},\n\
         {{ type = \"pagerduty\", routing_key_env = \"WATCHFIRE_TEST_UNSET\" }},\n\
         {{ type = \"email\", smarthost = \"{}\", from = \"a@example.org\", to = [\"b@example.org\"], security = \"none\" }}]\n[limits]\nattempt_timeout = \"3s\"\n",
        good.url, bad.url, server.address
    ));
    let found = probe_paths(&settings).await.unwrap();
    assert_eq!((good.count(), bad.count()), (0, 0), "looking sends nothing");
    let works = |reports: &[watchfire_notifiers::PathReport], path: &str| reports.iter().find(|r| r.path == path).unwrap().clone();
    assert!(works(&found, "ops/webhook").works && !works(&found, "ops/pagerduty").works);
    let reports = test_paths(&settings, Timestamp(1_772_334_900_000)).await.unwrap();
    assert!(works(&reports, "ops/webhook").works && works(&reports, "ops/email").works, "{reports:?}");
    assert!(works(&reports, "ops/slack").detail.contains("403"), "{reports:?}");
    assert!(works(&reports, "ops/pagerduty").detail.contains("WATCHFIRE_TEST_UNSET"), "{reports:?}");
    assert!(!works(&reports, "terminal").works);
    assert_eq!(good.alerts(), [("WatchfireTest".to_owned(), "firing".to_owned()), ("WatchfireTest".to_owned(), "resolved".to_owned())]);
    assert!(!format!("{reports:?} {settings:?}").contains("canary-path"), "an address is a secret");
}

#[tokio::test]
async fn a_real_mail_server_takes_a_mail_over_starttls_once_ca_file_names_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = crate::trust::signed_itself(directory.path(), "localhost");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = directory.path().join("mails");
    let mut server = std::process::Command::new("/usr/bin/python3")
        .args(["-u", "-m", "aiosmtpd", "-n", "-l", &address.to_string(), "-c", "aiosmtpd.handlers.Debugging", "stdout", "--tlscert"])
        .arg(&certificate)
        .arg("--tlskey")
        .arg(&key)
        .stdout(std::fs::File::create(&log).unwrap())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        if server.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(20) {
            println!("skipped: aiosmtpd does not start (Debian package python3-aiosmtpd)");
            return;
        }
        // Another process, which can only be asked again.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut ours = over(&format!(
        "type = \"email\", smarthost = \"localhost:{}\", from = \"wf@example.org\", to = [\"ops@example.org\"]",
        address.port()
    ));
    let running = start(ours.clone(), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("refused", || {
        running.handle.paths().iter().any(|(p, works, why)| p == "ops/email" && !works && why.contains("name its file in ca_file"))
    })
    .await;
    running.cancel.cancel();
    ours.ca_file = Some(certificate);
    let running = start(ours, None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    settled(&running).await;
    eventually("the server shows it", || std::fs::read_to_string(&log).unwrap().contains("END MESSAGE")).await;
    let mail = std::fs::read_to_string(&log).unwrap();
    // Without it a reader may show the encoding instead of the text.
    assert!(mail.contains("MIME-Version: 1.0"), "{mail}");
    assert!(mail.contains("Subject: [FIRING] A: social-service (critical)") && mail.contains("value: 0.08, threshold > 0.05"), "{mail}");
    running.stop().await;
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::test]
async fn secrets_are_in_no_error_no_state_file_and_no_debug_output() {
    let failing = Receiver::start().await;
    failing.always(Some(Answer::Status(500)));
    let refusing = Receiver::start().await;
    refusing.always(Some(Answer::Status(401)));
    let ours = settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [\n{{ type = \"webhook\", url = \"{0}/canary-1\", bearer_token = \"canary-2\" }},\n\
         {{ type = \"slack\", url = \"{1}/canary-3\" }},\n{{ type = \"pagerduty\", url = \"{1}\", routing_key = \"canary-4\" }},\n\
         {{ type = \"sms\", url = \"http://127.0.0.1:1/canary-5\", to = [\"+49\"], username = \"u\", password = \"canary-6\" }},\n\
         {{ type = \"email\", smarthost = \"127.0.0.1:1\", from = \"a@example.org\", to = [\"b@example.org\"], username = \"u\", password = \"canary-7\" }}]\n\
         [[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\n[limits]\nbackoff_min = \"10ms\"\ndrain = \"100ms\"",
        failing.url, refusing.url
    ));
    let shown = format!("{ours:?}");
    let directory = tempfile::tempdir().unwrap();
    let running = start(ours, Some(directory.path()));
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("every path has failed", || {
        running.handle.paths().iter().filter(|(p, works, _)| p.starts_with("ops/") && !works).count() == 5
    })
    .await;
    eventually("two refused", || running.handle.dead_letters().len() >= 2).await;
    let said = format!("{shown} {:?} {:?} {:?}", running.handle.paths(), running.handle.dead_letters(), running.handle.banners());
    let metrics = format!("{:?}", running.meter.readings());
    running.stop().await;
    let mut written = String::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        written.push_str(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(written.contains("fp-A"), "the journal was looked at");
    for (place, text) in [("said", said), ("metrics", metrics), ("written", written)] {
        assert!(!text.contains("canary"), "{place}: {text}");
    }
}

#[tokio::test]
async fn a_real_alertmanager_shows_the_alert_and_lets_it_go() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("alertmanager.yml");
    std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let spawned = std::process::Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", directory.path().display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut server) = spawned else {
        println!("skipped: prometheus-alertmanager is not installed (Debian package prometheus-alertmanager)");
        return;
    };
    let client = reqwest::Client::builder().tls_backend_preconfigured(no_tls()).build().unwrap();
    let names = async || -> Option<Vec<String>> {
        let answer = client.get(format!("http://{address}/api/v2/alerts")).send().await.ok()?.text().await.ok()?;
        let alerts: Vec<serde_json::Value> = serde_json::from_str(&answer).ok()?;
        Some(alerts.iter().map(|a| a["labels"]["alertname"].as_str().unwrap_or_default().to_owned()).collect())
    };
    let wait_for = async |expected: &[&str]| {
        let begun = Instant::now();
        while names().await.is_none_or(|found| found != expected) {
            assert!(begun.elapsed() < Duration::from_secs(20), "never showed {expected:?}");
            // Another process, which can only be asked again.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    wait_for(&[]).await;
    let mut ours = settings("default_to = []");
    ours.alertmanagers = vec![format!("http://{address}")];
    let running = start(ours, None);
    let now = crate::RealClock::shared().now();
    let mut firing = notice("A", 1, Firing);
    (firing.starts_at, firing.ends_at) = (now, now.saturating_add(Duration::from_secs(240)));
    running.commit(vec![firing.clone()]).await;
    wait_for(&["A"]).await;
    let mut resolved = firing;
    (resolved.revision, resolved.state, resolved.ends_at) = (2, Resolved, now.saturating_add(Duration::from_millis(1)));
    running.commit(vec![resolved]).await;
    wait_for(&[]).await;
    running.stop().await;
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Loopback needs none, and the client wants to be told whose.
fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
