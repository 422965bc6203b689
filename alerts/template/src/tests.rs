use super::rule::{TemplateContext, expand};
use super::*;
use std::cell::Cell;

fn expanded(text: &str, labels: &[(&str, &str)], value: f64) -> String {
    let labels = Labels::from_pairs(labels.iter().copied());
    let query = |q: &str| match q {
        "up" => Ok(vec![
            (Labels::from_pairs([("__name__", "up"), ("job", "b")]), Value::Float(1.0)),
            (Labels::from_pairs([("__name__", "up"), ("job", "a")]), Value::Float(0.5)),
        ]),
        "none" => Ok(Vec::new()),
        _ => Err("no such metric".to_owned()),
    };
    expand(
        text,
        &TemplateContext {
            name: "__alert_Test",
            labels: &labels,
            value: Value::Float(value),
            external_labels: &Labels::from_pairs([("cluster", "eu")]),
            external_url: "http://watchfire.example:9499/base",
            at: Timestamp::from_millis(1_435_065_584_128),
            query: &query,
            limits: TemplateLimits::default(),
            expired: &|| false,
        },
    )
}

#[test]
fn expands_as_go_and_prometheus_do() {
    let labels = [("instance", "web-1.example.com:9100"), ("job", "api"), ("v6", "[::1]:80")];
    for (text, expected) in [
        ("plain", "plain"),
        ("{{ $labels.instance }} of job {{ .Labels.job }}", "web-1.example.com:9100 of job api"),
        ("{{ $labels.missing }}|", "|"),
        ("{{ $externalLabels.cluster }} {{ .ExternalURL }}", "eu http://watchfire.example:9499/base"),
        ("{{ $value }}", "1234.5"),
        ("{{ 1000000.0 }} {{ 123456789.0 }} {{ 0.00001 }} {{ 100000.0 }}", "1e+06 1.23456789e+08 1e-05 100000"),
        ("{{ $value | humanize }} {{ humanize 0.5 }} {{ 1048576.0 | humanize1024 }}", "1.234k 500m 1Mi"),
        ("{{ humanizeDuration 135 }} {{ humanizeDuration 0.25 }} {{ humanizeDuration \"3723\" }}", "2m 15s 250ms 1h 2m 3s"),
        ("{{ 0.959 | humanizePercentage }}", "95.9%"),
        ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ (toTime 1435065584.0).Year }}", "2015"),
        ("{{ toDuration 90 }}", "1m30s"),
        ("{{ printf \"%.2f|%5.1f|%-5s|%05d|%q|%x\" 1.005 2.25 \"ab\" 42 \"x\" 255 }}", "1.00|  2.2|ab   |00042|\"x\"|ff"),
        ("{{ printf \"%d %s\" 1.5 }}", "%!d(float64=1.5) %!s(MISSING)"),
        ("{{ printf \"%[2]*.[1]*[3]f|%-*d|%+q\" 1 6 2.25 4 7 \"é\" }}", "   2.2|7   |\"\\u00e9\""),
        ("{{ printf \"%99999999d\" 1 }}", "%!(NOVERB)%!(EXTRA int=1)"),
        ("{{ printf \"%v\" true \"extra\" }}", "true%!(EXTRA string=extra)"),
        ("{{ print 1 2 \"a\" 3 }}", "1 2a3"),
        ("{{ \"hello big_world a-b\" | title }} {{ toUpper \"a\" }} {{ toLower \"B\" }}", "Hello Big_world A-B A b"),
        (
            "{{ $labels.instance | stripPort }} {{ stripPort $labels.v6 }} {{ stripDomain $labels.instance }}",
            "web-1.example.com ::1 web-1:9100",
        ),
        ("{{ if match \"^web\" $labels.instance }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ reReplaceAll \"(.*)\\\\.example.*\" \"$1!\" $labels.instance }}", "web-1!"),
        ("{{ range query \"up\" | sortByLabel \"job\" }}{{ .Labels.job }}={{ .Value }} {{ end }}", "a=0.5 b=1 "),
        ("{{ query \"up\" | first | label \"job\" }} {{ query \"up\" | first | value }}", "b 1"),
        ("{{ with query \"none\" }}some{{ else }}none{{ end }}", "none"),
        ("{{ range $i, $e := query \"up\" }}{{ $i }}:{{ $e.Value }};{{ end }}", "0:1;1:0.5;"),
        ("{{ range query \"none\" }}x{{ else }}empty{{ end }}", "empty"),
        ("{{ define \"t\" }}[{{ .arg0 }} {{ .arg1 }}]{{ end }}{{ template \"t\" args 1 \"x\" }}", "[1 x]"),
        ("{{ block \"b\" 7 }}({{ . }}){{ end }}", "(7)"),
        ("a  {{- /* gone */ -}}  b {{- \" c\" }}", "ab c"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ if and (gt $value 1000.0) (lt $value 2000.0) }}in{{ else if eq 1 1 }}eq{{ end }}", "in"),
        ("{{ if false }}a{{ else if eq \"x\" \"y\" \"x\" }}b{{ end }}", "b"),
        ("{{ range $i := query \"up\" }}{{ if eq $i.Value 0.5 }}{{ break }}{{ end }}{{ $i.Value }}{{ end }}", "1"),
        ("{{ len $labels.job }} {{ index (query \"up\" | first).Labels \"job\" }}", "3 b"),
        ("{{ parseDuration \"1h30m\" }} {{ now }} {{ pathPrefix }}", "5400 1.435065584128e+09 /base"),
        ("{{ tableLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=1"),
        ("{{ `raw \"text\"` }}{{ 'a' }}{{ 0x10 }}", "raw \"text\"9716"),
        ("{{ or \"\" \"fallback\" }} {{ not true }} {{ urlQueryEscape \"a b&c\" }}", "fallback false a+b%26c"),
    ] {
        assert_eq!(expanded(text, &labels, 1234.5), expected, "{text}");
    }
}

#[test]
fn failures_become_the_text() {
    for (text, part) in [
        ("{{ nosuch }}", "function \"nosuch\" not defined"),
        ("{{ $nosuch }}", "undefined variable \"$nosuch\""),
        ("{{ if }}x{{ end }}", "missing value for if"),
        ("{{ if true }}x", "unexpected EOF"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ \"open }}", "unterminated quoted string"),
        ("{{ gt $value 10 }}", "incompatible types for comparison"),
        ("{{ title 5 }}", "found 5"),
        ("{{ query \"none\" | first }}", "first() called on vector with no elements"),
        ("{{ query \"bad\" }}", "error calling query: no such metric"),
        ("{{ .Nope }}", "can't evaluate field Nope"),
        ("{{ template \"absent\" }}", "template \"absent\" not defined"),
        ("{{ humanize \"x\" }}", "parsing \"x\": invalid syntax"),
        ("{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}", "maximum template depth"),
        (
            &format!(
                "{{{{ define \"r\" }}}}{}{{{{ template \"r\" }}}}{}{{{{ end }}}}{{{{ template \"r\" }}}}",
                "{{ if true }}".repeat(90),
                "{{ end }}".repeat(90)
            ),
            "nested deeper",
        ),
        ("{{ range 100000000 }}{{ end }}", "steps"),
        (
            "{{ printf \"%1000s\" \"x\" | printf \"%1000s%1000s\" \"y\" }}{{ range 200 }}{{ printf \"%1000s\" \"x\" }}{{ end }}",
            "output exceeds",
        ),
        ("{{ printf \"%100000d\" 1 }}", "makes no text"),
        ("{{", "unclosed action"),
        ("{{ (((( }}", "unclosed left paren"),
    ] {
        let out = expanded(text, &[], 11.0);
        assert!(out.starts_with("<error expanding template: "), "{text} -> {out}");
        assert!(out.contains(part), "{text} -> {out}");
    }
}

/// Prometheus puts 112 bytes of declarations in front of the first line.
#[test]
fn what_fails_is_named_by_its_place_as_in_go() {
    for (text, place) in [
        ("{{ query \"sum(\" }}", "1:115: executing \"__alert_Test\" at <query \"sum(\">: error calling query: "),
        ("a\n\u{e9} {{ .Value.Foo  }}", "2:12: executing \"__alert_Test\" at <.Value.Foo>: can't evaluate field Foo in type float64"),
        ("{{ humanize  1 2 }}", "1:115: executing \"__alert_Test\" at <humanize>: wrong number of args for humanize: want 1 got 2"),
        ("{{ toUpper ( len  \"a\" ) }}", "1:130: executing \"__alert_Test\" at <\"a\">: wrong type for value; expected string; got int"),
        ("{{ define \"x\" }}{{ 5 | toUpper }}{{ end }}{{ template \"x\" }}", "1:135: executing \"x\" at <toUpper>: wrong type"),
        ("{{ template \"none\"  . }}", "1:124: executing \"__alert_Test\" at <{{template \"none\" .}}>: template \"none\" not defined"),
        ("{{ $x := 1 | toUpper }}", "1:125: executing \"__alert_Test\" at <toUpper>: wrong type for value"),
    ] {
        let out = expanded(text, &[], 11.0);
        let expected = format!("<error expanding template: error executing template __alert_Test: template: __alert_Test:{place}");
        assert!(out.starts_with(&expected), "{text}\n{expected}\n{out}");
    }
}

#[test]
fn a_label_that_looks_like_a_template_is_only_text() {
    assert_eq!(expanded("{{ $labels.evil }}", &[("evil", "{{ query \"up\" }}")], 0.0), "{{ query \"up\" }}");
}

#[test]
fn time_ends_a_template() {
    let looks = Cell::new(0);
    let labels = Labels::empty();
    let context = TemplateContext {
        name: "t",
        labels: &labels,
        value: Value::Float(0.0),
        external_labels: &labels,
        external_url: "",
        at: Timestamp(0),
        query: &|_| Ok(Vec::new()),
        limits: TemplateLimits { steps: usize::MAX, ..TemplateLimits::default() },
        expired: &|| {
            looks.set(looks.get() + 1);
            looks.get() > 3
        },
    };
    let out = expand("{{ range 1000000 }}{{ end }}", &context);
    assert!(out.contains("time is up"), "{out}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics_or_escapes_the_limits(text in r#"(\{\{|\}\}|[-$."'`a-z0-9 :=|(),\n]|if |end|range |else|define "x"|template "x"|printf "%5d" 1){0,40}"#) {
        let out = expanded(&text, &[("a", "b")], 1.0);
        proptest::prop_assert!(out.len() <= (64 << 10) + 1000);
    }
}

/// A message of one alert, in words.
fn worded(text: &str) -> Result<String, String> {
    let labels = Labels::from_pairs([("alertname", "A"), ("job", "api")]);
    let alert = receiver::AlertData {
        firing: true,
        labels: labels.clone(),
        annotations: Labels::empty(),
        starts_at: Timestamp(1_772_334_661_000),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: "f".to_owned(),
    };
    let data = receiver::MessageData {
        receiver: "r".to_owned(),
        firing: true,
        alerts: vec![alert],
        group_labels: Labels::from_pairs([("alertname", "A")]),
        common_labels: labels,
        common_annotations: Labels::empty(),
        external_url: "http://e".to_owned(),
    };
    let execution = receiver::Execution { at: Timestamp(1_772_334_751_000), limits: TemplateLimits::default(), expired: &|| false };
    receiver::Templates::shipped()?.text(text, &data, &execution)
}

#[test]
fn receivers_have_the_functions_of_newer_alertmanagers() {
    for (text, expected) in [
        ("{{ trimSpace \" x \" }}|{{ urlUnescape \"a%20b\" }}", "x|a b"),
        ("{{ (index .Alerts 0).StartsAt | tz \"Europe/Berlin\" | date \"02.01. 15:04 MST -07:00\" }}", "01.03. 04:11 CET +01:00"),
        ("{{ since (index .Alerts 0).StartsAt }} {{ since (index .Alerts 0).StartsAt | humanizeDuration }}", "1m30s 1m 30s"),
        ("{{ .CommonLabels }}", "alertname=A, job=api"),
        ("{{ template \"slack.default.title\" . }}", "[FIRING:1] A (api)"),
        ("{{ define \"slack.default.title\" }}own{{ end }}{{ template \"slack.default.title\" . }}", "own"),
        ("{{ define \"slack.default.title\" }} {{ end }}{{ template \"slack.default.title\" . }}", "[FIRING:1] A (api)"),
    ] {
        assert_eq!(worded(text).as_deref(), Ok(expected), "{text}");
    }
    for (text, part) in [
        ("{{ query \"up\" }}", "function \"query\" not defined"),
        ("{{ $labels.job }}", "undefined variable \"$labels\""),
        ("{{ tz \"Mars/Base\" (index .Alerts 0).StartsAt }}", "unknown time zone Mars/Base"),
        ("{{ join \",\" .Alerts }}", "expected []string; got template.Alerts"),
        ("{{ .CommonLabels.Remove \"a\" }}", "wrong arguments for Remove"),
        ("{{ index .Alerts 1 }}", "index out of range: 1"),
    ] {
        assert!(worded(text).is_err_and(|e| e.contains(part)), "{text}: {:?}", worded(text));
    }
}
