//! Alertmanager's API as its own tools use it: silences made, changed and ended, alerts asked for.

use crate::instance::Watchfire;
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use tempfile::TempDir;

const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  \
    - {alert: One, expr: vector(1), labels: {severity: critical, service: a}, annotations: {summary: hi}}\n  \
    - {alert: Two, expr: vector(1), labels: {severity: warning, service: b}}\n";

struct Instance {
    watchfire: Watchfire,
    _files: TempDir,
}

async fn instance() -> Instance {
    let files = TempDir::new().expect("a directory");
    let rules = files.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("written");
    let config = files.path().join("config.toml");
    std::fs::write(
        &config,
        "[receivers.ops]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n[receivers.pager]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n\
         [receivers.room]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n[external_labels]\ncluster = \"eu\"\n\
         [[route]]\nseverity = [\"high\"]\nto = [\"pager\", \"room\"]\ncontinue = true\n[[route]]\nto = [\"ops\"]\ngroup_by = [\"service\"]\n",
    )
    .expect("written");
    let path = |p: &std::path::Path| p.display().to_string();
    let watchfire = Watchfire::start(&["--rules", &path(&rules), "--config", &path(&config)]);
    watchfire.until("/api/v2/alerts", "both fire", |json| json.as_array().is_some_and(|a| a.len() == 2)).await;
    Instance { watchfire, _files: files }
}

impl Instance {
    /// Names of alerts for a query string.
    async fn alerts(&self, query: &str) -> Vec<String> {
        let json = self.watchfire.json(&format!("/api/v2/alerts?{query}")).await;
        let mut names: Vec<String> =
            json.as_array().into_iter().flatten().filter_map(|a| Some(a["labels"]["alertname"].as_str()?.to_owned())).collect();
        names.sort();
        names
    }

    async fn post(&self, silence: Json) -> (u16, Json) {
        let answer =
            self.watchfire.client().post(self.watchfire.url("/api/v2/silences")).body(silence.to_string()).send().await.expect("answered");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn silences(&self, query: &str) -> Vec<Json> {
        self.watchfire.json(&format!("/api/v2/silences?{query}")).await.as_array().cloned().expect("a list")
    }
}

fn silence(value: &str, is_regex: bool, ends_at: &str) -> Json {
    json!({
        "matchers": [{"name": "alertname", "value": value, "isRegex": is_regex, "isEqual": true}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": ends_at, "createdBy": "me", "comment": "why",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_silences_answer_as_in_alertmanager() {
    let it = instance().await;
    let one = &it.watchfire.json("/api/v2/alerts?filter=alertname%3DOne").await[0];
    assert_eq!((&one["status"]["state"], &one["receivers"]), (&json!("active"), &json!([{"name": "ops"}])), "{one}");
    assert_eq!(one["annotations"], json!({"summary": "hi"}));
    assert!(one["generatorURL"].as_str().is_some_and(|u| u.ends_with("/graph?g0.expr=vector%281%29&g0.tab=1")), "{one}");
    let (status, page) = it.watchfire.get("/graph?g0.expr=vector%281%29&g0.tab=1").await;
    assert!(status == 200 && page.starts_with("vector(1)\n\n{}  1\n"), "{page}");
    assert_eq!(one["labels"]["cluster"], "eu", "as it is sent");
    assert_eq!(it.alerts("filter=service%3D~%22a%7Cx%22&filter=cluster%3Deu").await, ["One"]);
    assert_eq!(it.alerts("filter=service!%3Da&filter=severity%3Dwarning").await, ["Two"]);
    assert_eq!(it.alerts("filter=zone%3D%22%22").await, ["One", "Two"]);
    assert!(it.alerts("receiver=nobody").await.is_empty());
    let groups = it.watchfire.json("/api/v2/alerts/groups").await;
    let of = |n: usize| (&groups[n]["labels"], &groups[n]["receiver"]["name"], &groups[n]["alerts"][0]["labels"]["alertname"]);
    assert_eq!(of(0), (&json!({"service": "a"}), &json!("ops"), &json!("One")), "{groups}");
    assert_eq!(of(1), (&json!({"service": "b"}), &json!("ops"), &json!("Two")), "{groups}");
    assert_eq!(groups.as_array().map(Vec::len), Some(2), "{groups}");
    let (status, text) = it.watchfire.get("/api/v2/alerts?filter=x").await;
    assert_eq!((status, text.as_str()), (400, "\"bad matcher format: x\""));

    let (status, made) = it.post(silence("One|X", true, "2099-01-01T00:00:00Z")).await;
    assert_eq!(status, 200, "{made}");
    let id = made["silenceID"].as_str().expect("an id").to_owned();
    // At once: what is written is read.
    assert_eq!(it.silences("filter=alertname%3D~%22One%7CX%22").await[0]["id"], id);
    for other in ["alertname%3DTwo", "alertname%3D~%22One.%2B%22", "alertname%3D%22One%7CX%22", "alertname!%3DTwo", "service%3D"] {
        assert!(it.silences(&format!("filter={other}")).await.is_empty(), "{other} does not stand in it");
    }
    assert_eq!(it.alerts("silenced=false").await, ["Two"]);
    assert_eq!(it.alerts("active=false").await, ["One"]);
    let one = &it.watchfire.json("/api/v2/alerts?filter=alertname%3DOne").await[0];
    assert_eq!(one["status"], json!({"state": "suppressed", "silencedBy": [id], "inhibitedBy": [], "mutedBy": []}));

    // The same silence, longer; then about something else, which is another one.
    let named = |mut silence: Json, id: &str| {
        silence["id"] = json!(id);
        silence
    };
    let (_, longer) = it.post(named(silence("One|X", true, "2099-06-01T00:00:00Z"), &id)).await;
    assert_eq!(longer["silenceID"], id);
    let (_, other) = it.post(named(silence("Two", false, "2099-06-01T00:00:00Z"), &id)).await;
    let other = other["silenceID"].as_str().expect("an id").to_owned();
    assert_ne!(other, id);
    assert_eq!(it.watchfire.json(&format!("/api/v2/silence/{id}")).await["status"]["state"], "expired");
    assert_eq!(it.alerts("silenced=false").await, ["One"]);
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "a UUID, as tools expect: {id}");
    // One that is none is a mistake in the address, one that nobody has is not there.
    for (wrong, status, body) in [
        ("abc", 422, json!({"code": 601, "message": "silenceID in path must be of type uuid: \"abc\""})),
        ("00000000-0000-0000-0000-000000000000", 404, json!("silence not found")),
    ] {
        let url = it.watchfire.url(&format!("/api/v2/silence/{wrong}"));
        for request in [it.watchfire.client().get(&url), it.watchfire.client().delete(&url)] {
            let answer = request.send().await.expect("answered");
            assert_eq!((answer.status().as_u16(), answer.json::<Json>().await.expect("JSON")), (status, body.clone()));
        }
    }
    let ended = it.watchfire.client().delete(it.watchfire.url(&format!("/api/v2/silence/{other}"))).send().await.expect("answered");
    assert_eq!(ended.status(), 200);
    assert_eq!(it.alerts("silenced=false").await, ["One", "Two"]);
    let states: Vec<Json> = it.silences("").await.iter().map(|s| s["status"]["state"].clone()).collect();
    assert_eq!(states, ["expired", "expired"]);

    let mut nameless = silence("One", false, "2099-01-01T00:00:00Z");
    nameless["matchers"][0]["name"] = "".into();
    for (wrong, said) in [
        (silence("One", false, "2021-01-01T00:00:00Z"), "in the past"),
        (silence("(", true, "2099-01-01T00:00:00Z"), "alertname"),
        (silence(".*", true, "2099-01-01T00:00:00Z"), "empty"),
        (nameless, "no name"),
    ] {
        let (status, answer) = it.post(wrong).await;
        assert!(status == 400 && answer.as_str().is_some_and(|a| a.contains(said)), "{answer}");
    }
    assert_eq!(it.post(named(silence("One", false, "2099-01-01T00:00:00Z"), "nope")).await, (404, json!("silence not found")));
    let posted = it.watchfire.client().post(it.watchfire.url("/api/v2/alerts")).body("[]").send().await.expect("answered");
    assert_eq!(posted.status(), 400, "alerts are taken from nobody");
    // Of a refusal Prometheus logs the first line and nothing else.
    let mut connection = TcpStream::connect(&it.watchfire.api).expect("connected");
    let request = format!("POST /api/v2/alerts HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]", it.watchfire.api);
    connection.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 400 watchfire takes no alerts"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amtool_makes_changes_and_ends_silences() {
    if Command::new("amtool").arg("--version").output().is_err() {
        println!("skipped: amtool is not installed (apt-get install --no-install-recommends prometheus-alertmanager)");
        return;
    }
    let it = instance().await;
    let url = it.watchfire.url("");
    let amtool = |args: &[&str]| {
        let output = Command::new("amtool").arg(format!("--alertmanager.url={url}")).args(args).output().expect("runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert!(amtool(&["alert", "query", "severity=critical"]).contains("One"));
    let id = amtool(&["silence", "add", "-c", "why", "-d", "2h", "alertname=One", "service=~a.*"]);
    assert!(amtool(&["silence", "query", "alertname=One"]).contains(&id));
    assert!(!amtool(&["alert", "query"]).contains("One"));
    assert!(amtool(&["alert", "query", "--silenced"]).contains("One"));
    assert!(amtool(&["silence", "update", "-c", "longer", "-d", "3h", &id]).contains("longer"));
    amtool(&["silence", "expire", &id]);
    assert!(!amtool(&["silence", "query"]).contains(&id));
    assert!(amtool(&["silence", "query", "--expired"]).contains(&id));
    assert!(amtool(&["alert", "query"]).contains("One"));
    // Who says what is to be heard silences all the rest.
    let rest = amtool(&["silence", "add", "-c", "why", "-d", "2h", "alertname!=One"]);
    let heard = amtool(&["alert", "query"]);
    assert!(heard.contains("One") && !heard.contains("Two"), "{heard}");
    amtool(&["silence", "expire", &rest]);
    assert_eq!(amtool(&["config", "routes", "test", "severity=major"]), "pager,room,ops");
    assert_eq!(amtool(&["config", "routes", "test", "severity=page"]), "ops");
    assert!(amtool(&["config", "routes", "show"]).contains("severity=~"));
    assert!(!amtool(&["config", "show"]).contains("127.0.0.1:1"), "an address of a receiver may be a secret");
}

/// The limit of `ulimit -f` is met with a signal that ends who does not expect it.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_the_disk_does_not_take_holds_and_says_so() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let it = instance().await;
    let limit = Rlimit { current: Some(64 << 10), maximum: None };
    prlimit(Pid::from_raw(it.watchfire.pid().cast_signed()), Resource::Fsize, limit).expect("a limit");
    let mut wordy = silence("One", false, "2036-01-01T00:00:00Z");
    wordy["comment"] = "x".repeat(8 << 10).into();
    let mut answers = Vec::new();
    while answers.len() < 20 && answers.last().is_none_or(|(status, _)| *status == 200) {
        answers.push(it.post(wordy.clone()).await);
    }
    let (status, why) = answers.pop().expect("one at least");
    assert_eq!(status, 400, "the status whose reason amtool shows: {why}");
    assert!(why.to_string().contains("holds for now and would be lost in a crash"), "{why}");
    assert_eq!(it.silences("").await.len(), answers.len() + 1);
    assert_eq!(it.alerts("silenced=false").await, ["Two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_name_what_inhibits_them() {
    let files = TempDir::new().expect("a directory");
    let written = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let alertmanager = written(
        "alertmanager.yml",
        "route: {receiver: ops}\nreceivers: [{name: ops}]\n\
         inhibit_rules: [{source_matchers: [severity=critical], target_matchers: [severity=warning]}]\n",
    );
    let config = written("config.toml", &format!("[delivery]\nalertmanager_config = {alertmanager:?}\n"));
    let watchfire = Watchfire::start(&["--rules", &written("rules.yml", RULES), "--config", &config]);
    let alerts = watchfire.until("/api/v2/alerts", "both fire", |json| json.as_array().is_some_and(|a| a.len() == 2)).await;
    let named = |name: &str| alerts.as_array().into_iter().flatten().find(|a| a["labels"]["alertname"] == name).expect("fires").clone();
    let (one, two) = (named("One"), named("Two"));
    assert_eq!(one["status"], json!({"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}));
    assert_eq!(two["status"], json!({"state": "suppressed", "silencedBy": [], "inhibitedBy": [one["fingerprint"]], "mutedBy": []}));
    assert_eq!(watchfire.json("/api/v2/alerts?inhibited=false").await.as_array().map(Vec::len), Some(1));
}

/// Two alerts of one rule about one service: the later one is shown under the earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_one_name_name_each_other_and_never_themselves() {
    let files = TempDir::new().expect("a directory");
    let rules = files.path().join("rules.yml");
    let later = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 5;
    let place = |n: u8| format!("label_replace(vector(1), \"n\", \"{n}\", \"\", \"\")");
    let text = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {{alert: Bad, expr: '{} or ({} and on() vector(time()) > {later})', labels: {{severity: critical, service: a}}}}\n",
        place(1),
        place(2)
    );
    std::fs::write(&rules, text).expect("written");
    let watchfire = Watchfire::start(&["--rules", &rules.display().to_string()]);
    let alerts = watchfire.until("/api/v2/alerts", "both fire", |json| json.as_array().is_some_and(|a| a.len() == 2)).await;
    let named = |n: &str| alerts.as_array().into_iter().flatten().find(|a| a["labels"]["n"] == n).expect("fires").clone();
    let (first, second) = (named("1"), named("2"));
    assert_eq!(first["status"]["inhibitedBy"], json!([]));
    assert_eq!(second["status"]["inhibitedBy"], json!([first["fingerprint"]]), "{second}");
}
