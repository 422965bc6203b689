//! Messages as an `alertmanager.yml` words them, against amtool and a running Alertmanager, and over every channel that has words.

use crate::receiver::Receiver;
use crate::smtp::MailServer;
use crate::{Running, eventually, notice, settings, start};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use watchfire_model::{Labels, Notice, NoticeState::*, Severity, Timestamp};
use watchfire_notifiers::routing::Routing;
use watchfire_template::TemplateLimits;
use watchfire_template::receiver::{AlertData, Execution, MessageData, Templates};

const TEAM: &str = r##"
{{ define "team.title" }}[{{ .Status | toUpper }}:{{ .Alerts.Firing | len }}/{{ .Alerts.Resolved | len }}] {{ .CommonLabels.alertname }}{{ end }}
{{ define "team.text" -}}
{{ range .Alerts }}*{{ .Labels.instance | title }}* {{ .Annotations.summary }} since {{ .StartsAt.Format "15:04:05" }}{{ if eq .Status "resolved" }} until {{ .EndsAt }}{{ end }}
{{ range .Labels.SortedPairs }} - {{ .Name }}: `{{ .Value }}`
{{ end }}{{ end }}{{ end }}
{{ define "slack.default.footer" }}told by {{ .Receiver }}{{ end }}
"##;

/// The `alertmanager.yml` of a team that worded its own messages.
fn file(url: &str) -> String {
    format!(
        r##"
templates: ['*.tmpl']
route: {{receiver: team.x, group_by: [alertname], group_wait: 1s, group_interval: 1s}}
receivers:
- name: team.x
  slack_configs:
  - api_url: {url}/services/a
    channel: '#ops'
    send_resolved: true
    username: 'on call'
    title: '{{{{ template "team.title" . }}}}'
    text: '{{{{ template "team.text" . }}}}'
    color: '{{{{ if eq .Status "firing" }}}}#ff0000{{{{ else }}}}#00ff00{{{{ end }}}}'
    icon_emoji: ':fire:'
    image_url: 'https://example.org/{{{{ .GroupLabels.alertname | urlquery }}}}.png'
    short_fields: true
    fields:
    - {{title: Alerts, value: '{{{{ .Alerts | len }}}}'}}
    - {{title: Who, value: '{{{{ range .Alerts.Firing }}}}{{{{ .Labels.instance }}}} {{{{ end }}}}', short: false}}
    actions:
    - {{type: button, text: 'Runbook', url: '{{{{ (index .Alerts 0).Annotations.runbook }}}}', style: danger}}
  - api_url: {url}/services/b
    channel: '#all'
    send_resolved: true
    username: 'on call'
    pretext: '{{{{ .CommonAnnotations.SortedPairs.Values | join "; " }}}}'
    text: '{{{{ template "__text_alert_list" .Alerts }}}}{{{{ with .CommonLabels.Remove (stringSlice "alertname") }}}}{{{{ .Names | join "," }}}}{{{{ end }}}}'
"##
    )
}

/// Alerts about two instances of one job.
fn alert(instance: &str, revision: u64, state: watchfire_model::NoticeState) -> Notice {
    let mut alert = notice(instance, revision, state);
    // As loud as its labels, which name no severity.
    alert.severity = Severity::Warning;
    alert.labels = Labels::from_pairs([("alertname", "Slow Calls"), ("instance", instance), ("job", "api"), ("team", "x")]);
    alert.annotations = Labels::from_pairs([("summary", "95% above 1s"), ("runbook", "https://runbooks.example/slow?a=1")]);
    alert
}

fn posted(notice: &Notice) -> Value {
    let pairs = |labels: &Labels| labels.iter().map(|l| (l.name.to_string(), Value::from(&*l.value))).collect::<serde_json::Map<_, _>>();
    let time = |at: Timestamp| chrono::DateTime::from_timestamp_millis(at.millis()).unwrap().to_rfc3339();
    let mut alert = json!({"labels": pairs(&notice.labels), "annotations": pairs(&notice.annotations), "startsAt": time(notice.starts_at), "generatorURL": notice.generator_url});
    if notice.state == Resolved {
        alert["endsAt"] = Value::from(time(notice.ends_at));
    }
    alert
}

/// Starts with an `alertmanager.yml` in a directory with a file of templates.
fn with_file(directory: &Path, yaml: &str) -> Running {
    std::fs::write(directory.join("team.tmpl"), TEAM).unwrap();
    let path = directory.join("alertmanager.yml");
    std::fs::write(&path, yaml).unwrap();
    let mut ours = settings("external_url = \"http://am.example\"");
    ours.alertmanager_config = Some(path);
    start(ours, None)
}

struct Alertmanager(Child);

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bodies by path, in order.
fn bodies(receiver: &Receiver, path: &str) -> Vec<Value> {
    receiver.received().iter().filter(|r| r.path == path).map(|r| r.json()).collect()
}

#[tokio::test]
async fn slack_messages_are_those_of_a_running_alertmanager() {
    let (theirs, ours) = (Receiver::start().await, Receiver::start().await);
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(directory.path().join("team.tmpl"), TEAM).unwrap();
    let config = directory.path().join("their.yml");
    std::fs::write(&config, file(&theirs.url)).unwrap();
    let started = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", directory.path().join("data").display()))
        .arg(format!("--web.listen-address={free}"))
        .args(["--cluster.listen-address=", "--web.external-url=http://am.example/"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        println!("skipped: prometheus-alertmanager is not installed");
        return;
    };
    let _alertmanager = Alertmanager(child);
    let running = with_file(directory.path(), &file(&ours.url));
    // No TLS is spoken here, but the client wants to know how it would be.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut tries = 0;
    while !client.get(format!("http://{free}/-/ready")).send().await.is_ok_and(|r| r.status().is_success()) {
        tries += 1;
        assert!(tries < 400, "alertmanager does not get ready");
        // Another process, which can only be asked again.
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    // Of alerts that began longer ago than its group waits, Alertmanager sends the first before it has seen the second.
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let begun = Timestamp(wall.as_millis() as i64);
    let tell = async |mut alerts: Vec<Notice>| {
        for alert in &mut alerts {
            alert.starts_at = begun;
            alert.ends_at = Timestamp(begun.0 + 1);
        }
        let body = Value::from(alerts.iter().map(posted).collect::<Vec<_>>());
        let answer = client.post(format!("http://{free}/api/v2/alerts")).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        running.commit(alerts).await;
    };
    tell(vec![alert("web-2", 1, Firing), alert("web-1", 1, Firing)]).await;
    eventually("both told", || theirs.count() >= 2 && ours.count() >= 2).await;
    tell(vec![alert("web-2", 2, Resolved)]).await;
    eventually("both told of the end", || theirs.count() >= 4 && ours.count() >= 4).await;
    for path in ["/services/a", "/services/b"] {
        let (theirs, ours) = (bodies(&theirs, path), bodies(&ours, path));
        assert_eq!(ours.len(), 2);
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(serde_json::to_string_pretty(ours).unwrap(), serde_json::to_string_pretty(theirs).unwrap(), "{path}");
        }
    }
    running.stop().await;
}

fn example() -> (MessageData, Value) {
    let labels = |name: &str| Labels::from_pairs([("alertname", "Slow"), ("instance", name), ("job", "api")]);
    let annotations = Labels::from_pairs([("summary", "a <b> & \"c\" 'd' +e"), ("runbook", "https://x.example/a b?q=<1>&r=2#f")]);
    let alert = |name: &str, firing: bool| AlertData {
        firing,
        labels: labels(name),
        annotations: annotations.clone(),
        starts_at: Timestamp(1_772_334_661_250),
        ends_at: (!firing).then_some(Timestamp(1_772_338_841_000)),
        generator_url: "http://p.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
    };
    let data = MessageData {
        receiver: "team\\.x".to_owned(),
        firing: true,
        alerts: vec![alert("db-1:9100", true), alert("web-1:80", false)],
        group_labels: Labels::from_pairs([("alertname", "Slow")]),
        common_labels: Labels::from_pairs([("alertname", "Slow"), ("job", "api")]),
        common_annotations: annotations,
        external_url: "http://am.example".to_owned(),
    };
    let pairs = |labels: &Labels| labels.iter().map(|l| (l.name.to_string(), Value::from(&*l.value))).collect::<serde_json::Map<_, _>>();
    let alerts: Vec<Value> = data
        .alerts
        .iter()
        .map(|a| {
            json!({
                "status": if a.firing { "firing" } else { "resolved" }, "labels": pairs(&a.labels), "annotations": pairs(&a.annotations),
                "startsAt": "2026-03-01T03:11:01.25Z", "endsAt": if a.firing { "0001-01-01T00:00:00Z" } else { "2026-03-01T04:20:41Z" },
                "generatorURL": a.generator_url, "fingerprint": a.fingerprint,
            })
        })
        .collect();
    let shown = json!({
        "receiver": data.receiver, "status": "firing", "alerts": alerts, "groupLabels": pairs(&data.group_labels),
        "commonLabels": pairs(&data.common_labels), "commonAnnotations": pairs(&data.common_annotations), "externalURL": data.external_url,
    });
    (data, shown)
}

const TEXTS: &[&str] = &[
    "plain text",
    "{{ .Receiver }} {{ .Status }} {{ .ExternalURL }} {{ len .Alerts }} {{ .CommonLabels.missing }}|",
    "{{ range .Alerts }}{{ .Status }} {{ .Labels.instance }} {{ .StartsAt }} {{ .EndsAt }} {{ .Fingerprint }} {{ .GeneratorURL }}\n{{ end }}",
    "{{ range .Alerts.Firing }}{{ .Labels.instance }}{{ end }}|{{ range .Alerts.Resolved }}{{ .Labels.instance }}{{ end }}",
    "{{ range $i, $a := .Alerts }}{{ if $i }}, {{ end }}{{ $a.Labels.instance }}{{ end }}",
    "{{ range $name, $value := .CommonLabels }}{{ $name }}={{ $value }};{{ end }}",
    "{{ range .CommonLabels.SortedPairs }}{{ .Name }}: {{ .Value }}\n{{ end }}",
    "{{ .CommonLabels.SortedPairs.Names | join \",\" }} {{ .CommonLabels.Values | join \" \" }} {{ .CommonLabels.Names }}",
    "{{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join \" \" }}{{ else }}none{{ end }}",
    "{{ (.CommonLabels.Remove (stringSlice \"job\" \"x\")).Names | join \",\" }}",
    "{{ if gt (len .CommonLabels) (len .GroupLabels) }}more{{ end }} {{ if eq .Status \"firing\" \"x\" }}yes{{ end }}",
    "{{ .Status | toUpper }} {{ \"ABC\" | toLower }} {{ title \"hELLO wORLD o'neil a_b x-ray 3rd foo.bar foo/bar\" }}",
    "{{ match \"^db\" (index .Alerts 0).Labels.instance }} {{ reReplaceAll \"(.*):(.*)\" \"$2/$1\" (index .Alerts 0).Labels.instance }}",
    "{{ reReplaceAll \"\\\\d\" \"#\" \"a1b2\" }} {{ match \"(?i)SLOW\" .CommonLabels.alertname }} {{ reReplaceAll \"[[:alpha:]]+\" \"<$0>\" \"ab 12\" }}",
    "{{ (index .Alerts 0).StartsAt.Format \"2006-01-02T15:04:05.000Z07:00\" }} {{ (index .Alerts 0).StartsAt.Format \"Mon, 2 Jan _2 3:04PM MST -0700 002 .999\" }}",
    "{{ (index .Alerts 0).StartsAt.Unix }} {{ (index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt }} {{ (index .Alerts 0).EndsAt.IsZero }}",
    "{{ ((index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt).Minutes }} {{ (index .Alerts 0).StartsAt.Weekday }} {{ (index .Alerts 0).StartsAt.Month }}",
    "{{ printf \"%s %q %5d|%-5s|%v\" .Status .Status (len .Alerts) \"ab\" .GroupLabels.alertname }} {{ print 1 2 \"a\" }} {{ println .Status }}",
    "{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" .Status }}{{ template \"x\" \"lit\" }}",
    "{{ define \"list\" }}{{ range . }}- {{ .Labels.instance }}\n{{ end }}{{ end }}{{ template \"list\" .Alerts.Firing }}",
    "{{- /* a comment */ -}} x {{- \" y\" -}}  z",
    "{{ $first := index .Alerts 0 }}{{ $first.Labels.instance }} {{ $.Status }} {{ with $first }}{{ .Status }}{{ end }}",
    "{{ range .Alerts }}{{ if eq .Status \"resolved\" }}{{ continue }}{{ end }}{{ .Labels.instance }}{{ end }}{{ range .Alerts }}{{ break }}{{ end }}",
    "{{ urlquery .CommonAnnotations.runbook }} {{ html .CommonAnnotations.summary }} {{ js .CommonAnnotations.summary }}",
    "{{ and .Status \"b\" }} {{ or \"\" .Status }} {{ not true }} {{ len .GroupLabels }} {{ slice \"abcdef\" 1 3 }} {{ index .CommonLabels \"job\" }}",
    "{{ safeHtml \"<i>\" }} {{ (index .Alerts 0).Annotations.summary }} {{ printf \"%s\" (safeHtml \"<b>\") }}",
    "{{ if .Alerts.Resolved }}some{{ else if .Alerts.Firing }}firing{{ else }}none{{ end }} {{ range .CommonLabels.Values }}[{{ . }}]{{ end }}",
];

const PAGES: &[&str] = &[
    "<b>{{ .CommonAnnotations.summary }}</b> a < b {{ safeHtml \"<i>x</i>\" }}<!-- gone {{ .Status }} --> &amp;",
    "<a href=\"{{ (index .Alerts 0).GeneratorURL }}\" title=\"{{ .CommonAnnotations.summary }}\">x</a>",
    "<a href='{{ .CommonAnnotations.runbook }}'>{{ .CommonAnnotations.runbook }}</a>",
    "<a href=\"/find?q={{ .CommonAnnotations.summary }}&p=1\">x</a> <a href=\"{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver }}\">y</a>",
    "<a href=\"{{ \"javascript:alert(1)\" }}\">x</a> <img src=\"{{ \"data:x\" }}\"> <a href=\"{{ \"mailto:a@example.org\" }}\">m</a>",
    "<p title={{ .Status }} class=\"a {{ .Status }}\">x</p><p title={{ .CommonAnnotations.summary }}>",
    "<!DOCTYPE html><html><head><title>{{ .CommonAnnotations.summary }}</title></head><textarea>{{ .CommonAnnotations.summary }}</textarea>",
    "<table style=\"width: 100%\">{{ range .Alerts }}<tr><td width=\"10\">{{ .StartsAt }}</td></tr>{{ end }}</table><style>a > b { color: red }</style>",
    "{{ define \"row\" }}<td>{{ .Name }}={{ .Value }}</td>{{ end }}{{ range .CommonLabels.SortedPairs }}<tr>{{ template \"row\" . }}</tr>{{ end }}",
    "<a href=\"{{ if .Alerts.Firing }}https://x.example/?a={{ .Status }}{{ end }}\" alt=\"{{ safeHtml \"<b>x</b>\" }}\">x</a><script>var a = 1 < 2;</script>{{ .Status }}",
];

#[test]
fn texts_and_pages_are_those_of_amtool() {
    let directory = tempfile::tempdir().unwrap();
    let (data, shown) = example();
    let (file, none) = (directory.path().join("data.json"), directory.path().join("none.tmpl"));
    std::fs::write(&file, shown.to_string()).unwrap();
    std::fs::write(&none, "").unwrap();
    let templates = Templates::shipped().unwrap();
    let execution = Execution { at: Timestamp(1_772_340_000_000), limits: TemplateLimits::default(), expired: &|| false };
    for (kind, text) in TEXTS.iter().map(|t| ("text", *t)).chain(PAGES.iter().map(|t| ("html", *t))) {
        let output = Command::new("amtool")
            .args(["template", "render"])
            .arg(format!("--template.glob={}", none.display()))
            .arg(format!("--template.data={}", file.display()))
            .arg(format!("--template.type={kind}"))
            .arg(format!("--template.text={text}"))
            .output();
        let Ok(output) = output else {
            println!("skipped: amtool is not installed (Debian package prometheus-alertmanager)");
            return;
        };
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        let ours = if kind == "text" { templates.text(text, &data, &execution) } else { templates.html(text, &data, &execution) };
        assert_eq!(ours.as_deref(), Ok(&*String::from_utf8_lossy(&output.stdout)), "{text}");
    }
}

#[tokio::test]
async fn words_of_alerts_are_never_markup_and_never_templates() {
    let slack = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "route: {{receiver: a, group_wait: 0s}}\nreceivers:\n- name: a\n  slack_configs:\n  - api_url: {}\n    title: '<!here> {{{{ .CommonLabels.service }}}}'\n    text: '{{{{ range .Alerts }}}}{{{{ .Annotations.summary }}}}{{{{ end }}}}'\n    title_link: '{{{{ (index .Alerts 0).GeneratorURL }}}}'\n",
        slack.url
    );
    let running = with_file(directory.path(), &yaml);
    let mut hostile = notice("A", 1, Firing);
    hostile.labels = Labels::from_pairs([("alertname", "A"), ("service", "<!channel> \u{1b}[31m\u{202e}")]);
    hostile.annotations = Labels::from_pairs([("summary", "{{ .ExternalURL }} <http://evil.example|bank>\nsecond <@U1>")]);
    hostile.generator_url = "http://p.example/?a=1&b=2".to_owned();
    running.commit(vec![hostile]).await;
    eventually("told", || slack.count() == 1).await;
    let attachment = slack.received()[0].json()["attachments"][0].clone();
    // What the file's author wrote stays a call to everybody; what a label says does not become one.
    assert_eq!(attachment["title"], "<!here> &lt;!channel&gt; \u{241b}[31m&lt;U+202E&gt;");
    assert_eq!(attachment["text"], "{{ .ExternalURL }} &lt;http://evil.example|bank&gt;\nsecond &lt;@U1&gt;");
    assert_eq!(attachment["title_link"], "http://p.example/?a=1&b=2");
    running.stop().await;
}

#[tokio::test]
async fn a_template_that_fails_costs_its_text_and_not_the_message() {
    let slack = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let entry = |text: &str| format!("  - api_url: {}\n    text: '{text}'\n", slack.url);
    let yaml = format!(
        "route: {{receiver: a, group_wait: 0s}}\nreceivers:\n- name: a\n  slack_configs:\n{}{}{}{}",
        entry("{{ .Nope }}"),
        entry("{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}"),
        entry("{{ range 200 }}{{ printf \"%900s\" $.Status }}{{ end }}"),
        entry("{{ unheardOf .Status }}"),
    );
    let running = with_file(directory.path(), &yaml);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("all told", || slack.count() == 4).await;
    let texts: Vec<String> = slack.received().iter().map(|r| r.json()["attachments"][0]["text"].as_str().unwrap().to_owned()).collect();
    for part in [
        "text: template: :1:3: executing \"\" at &lt;.Nope&gt;: can't evaluate field Nope in type *template.Data",
        "text: template: :1:28: executing \"r\" at &lt;{{template \"r\" .}}&gt;: exceeded maximum template depth (100)",
        "at &lt;$.Status&gt;: output exceeds 65536 bytes",
    ] {
        let told = texts.iter().find(|t| t.contains(part)).unwrap_or_else(|| panic!("{part}: {texts:#?}"));
        assert!(
            told.contains("calls fail") && told.contains("value: 0.08") && told.contains("the template of this receiver failed"),
            "{told}"
        );
    }
    // What cannot be read is known at load, and said there.
    assert_eq!(texts.iter().filter(|t| !t.contains("failed: ")).count(), 1, "{texts:#?}");
    let mut ours = settings("");
    ours.alertmanager_config = Some(directory.path().join("alertmanager.yml"));
    let unused = Routing::new(&ours).unwrap().unused().join("\n");
    assert!(
        unused.contains("line 12: receiver \"a\": slack_configs.text cannot be used (1: function \"unheardOf\" not defined)"),
        "{unused}"
    );
    running.stop().await;
}

#[tokio::test]
async fn pagerduty_events_carry_the_words_of_the_file() {
    let pager = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "route: {{receiver: a, group_by: [alertname]}}\nreceivers:\n- name: a\n  pagerduty_configs:\n  - routing_key: k\n    url: {}\n    description: '{{{{ .CommonLabels.alertname }}}} on {{{{ .CommonLabels.service }}}}'\n    severity: '{{{{ if eq .CommonLabels.severity \"critical\" }}}}critical{{{{ else }}}}warning{{{{ end }}}}'\n    client: pages\n    group: '{{{{ .GroupLabels.alertname }}}} {{{{ .GroupLabels.service }}}}'\n    component: '{{{{ .CommonLabels.service }}}}'\n    details: {{team: social, num_firing: '{{{{ len .Alerts.Firing }}}} of {{{{ len .Alerts }}}}'}}\n    links: [{{href: 'https://x.example/{{{{ .CommonLabels.service }}}}', text: dash}}]\n",
        pager.url
    );
    let running = with_file(directory.path(), &yaml);
    running.commit(vec![notice("A", 1, Firing), notice("B", 1, Firing)]).await;
    eventually("both", || pager.count() == 2).await;
    let event = pager.received()[0].json();
    assert_eq!(event["payload"]["summary"], "A on social-service");
    assert_eq!((event["payload"]["severity"].as_str(), event["client"].as_str()), (Some("critical"), Some("pages")));
    assert_eq!(event["payload"]["component"], "social-service");
    assert_eq!(event["payload"]["group"], "A ", "the group of its route");
    assert_eq!(event["payload"]["custom_details"]["team"], "social");
    assert_eq!(event["payload"]["custom_details"]["num_firing"], "1 of 1", "an event is about one alert");
    let firing = event["payload"]["custom_details"]["firing"].as_str().unwrap();
    assert!(firing.starts_with("Labels:\n - alertname = A\n - service = social-service\n"), "{firing}");
    assert_eq!(event["links"], json!([{"href": "https://x.example/social-service", "text": "dash"}]));
    assert_eq!(event["event_action"], "trigger");
    running.stop().await;
}

#[tokio::test]
async fn mails_have_the_subject_the_page_and_the_headers_of_the_file() {
    let server = MailServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "global: {{smtp_smarthost: '{}', smtp_from: 'wf@example.org', smtp_require_tls: false}}\nroute: {{receiver: a, group_wait: 0s}}\nreceivers:\n- name: a\n  email_configs:\n  - to: ops@example.org\n    headers: {{subject: 'down: {{{{ .CommonLabels.alertname }}}}', X-Team: '{{{{ .CommonLabels.service }}}}', Reply-To: desk@example.org, Bcc: evil@example.org}}\n    html: '<p>{{{{ .CommonAnnotations.summary }}}}</p>'\n",
        server.address
    );
    let running = with_file(directory.path(), &yaml);
    let mut hostile = notice("A\r\nBcc: evil@example.org", 1, Firing);
    hostile.annotations = Labels::from_pairs([("summary", "<script>alert(1)</script>")]);
    hostile.labels = Labels::from_pairs([("alertname", "A\r\nBcc: evil@example.org"), ("service", "s\r\nX-Evil: 1")]);
    running.commit(vec![hostile]).await;
    eventually("the mail", || server.mails().len() == 1).await;
    let mail = server.mails()[0].clone();
    assert_eq!(mail.to, ["<ops@example.org>"]);
    assert!(mail.header("Subject").unwrap().starts_with("down: A"), "{:?}", mail.headers());
    assert!(mail.header("X-Team").unwrap().starts_with('s'), "{:?}", mail.headers());
    assert_eq!(mail.header("Reply-To").map(|h| h.trim().to_owned()).as_deref(), Some("desk@example.org"), "{:?}", mail.headers());
    assert_eq!((mail.header("Bcc"), mail.header("X-Evil")), (None, None), "{:?}", mail.headers());
    let body = mail.lines.join("\n");
    assert!(body.contains("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"), "{body}");
    assert!(body.contains("text/plain") && body.contains("value: 0.08"), "our own text beside the page: {body}");
    running.stop().await;
}
