//! Bodies of each format through a session into a recording sink.

use crate::exposition::Format;
use crate::{Counts, LabelRules, SeriesCache, Session, SessionRules};
use recorder::Recorder;
use std::time::Duration;
use watchfire_model::{Labels, MetricKind, SeriesSink, Timestamp, Value};

#[path = "../tests/support/recorder.rs"]
mod recorder;

/// A target without sockets.
struct Target {
    cache: SeriesCache,
    sink: Recorder,
    rules: SessionRules,
    now: i64,
}

impl Target {
    fn new() -> Self {
        let sink = Recorder::new();
        let rules = SessionRules {
            labels: LabelRules { target: Labels::from_pairs([("job", "t"), ("instance", "i")]), ..LabelRules::default() },
            sample_limit: 0,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            classic_too: false,
            custom_buckets: false,
            reserved: Vec::new(),
            origin: sink.origin("target"),
            own_times: "own times".to_owned(),
        };
        Target { cache: SeriesCache::new(), sink, rules, now: 0 }
    }

    fn scrape(&mut self, format: Format, body: &[u8]) -> Result<Counts, String> {
        self.now += 1000;
        let at = Timestamp(self.now);
        let mut session = Session::new(&mut self.cache, &self.sink, &self.rules);
        match session.read(format, body) {
            Ok(()) => {
                let counts = session.counts();
                session.commit(at, at, Duration::ZERO, &[]);
                Ok(counts)
            }
            Err(e) => {
                session.fail(at, at, &[]);
                Err(e.to_string())
            }
        }
    }

    fn values(&self, series: &str) -> Vec<Option<f64>> {
        self.sink.read(|r| r.values(series))
    }
}

#[test]
fn series_are_kept_with_those_that_have_their_times_in_common() {
    let mut target = Target::new();
    let containers = 40;
    let page = |round: i64| {
        let of = |c: i64| format!("cpu{{c=\"{c}\"}} 1 {0}\nmemory{{c=\"{c}\"}} 2 {0}\n", 1_700_000_000_000 + round * 15_000 + c * 37);
        (0..containers).map(of).collect::<String>() + "plain 1\n"
    };
    for round in 0..3 {
        assert_eq!(target.scrape(Format::Text, page(round).as_bytes()).map(|c| c.scraped), Ok(2 * containers as usize + 1));
    }
    target.sink.read(|r| {
        let origin = |series: String| r.series.iter().find(|(_, l, _)| l.to_string().starts_with(&series)).expect("begun").0;
        let of = |name: &str, c: i64| origin(format!("{name}{{c=\"{c}\""));
        assert!((0..containers).all(|c| of("cpu", c) == of("memory", c)), "those of one container have one time");
        let apart: std::collections::BTreeSet<_> = (0..containers).map(|c| of("cpu", c)).collect();
        assert!(apart.len() >= 20, "{apart:?}");
        assert!(!apart.contains(&origin("plain".to_owned())));
        assert_eq!(r.rows.iter().map(|(_, _, row)| row.len()).sum::<usize>(), 3 * (2 * containers as usize + 1));
    });
}

#[test]
fn text_is_read_as_leniently_as_prometheus_reads_it() {
    let good = [
        "a 1",
        "a 1\n",
        "\n\n  a\t1  \n",
        "a 1\r\n",
        "a{} 1\n",
        "a { } 1\n",
        "# a comment\n#TYPE-like\n# EOF\na 1\n",
        "# TYPE a counter\na 1\n# TYPE a counter\n# HELP a twice\n# HELP a twice\n",
        "# HELP a\na 1\n",
        "# HELP\n# TYPE \na 1\n",
        "a 1 1700000000000\n",
    ];
    for body in good {
        let mut target = Target::new();
        assert_eq!(target.scrape(Format::Text, body.as_bytes()).map(|c| c.scraped), Ok(1), "{body:?}");
        assert_eq!(target.values("a"), [Some(1.0)], "{body:?}");
    }
    for bad in ["a", "a 1 2 3\n", "a{b=\"c\"}\n", "a 1x\n", "1a 1\n", "{} 1\n", "a 1 1.5\n", "# TYPE a\n", "a{b=\"\u{0}", "\u{feff}a 1\n"] {
        assert!(Target::new().scrape(Format::Text, bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Target::new().scrape(Format::Text, b"a{b=\"\xff\"} 1\n").unwrap_err().contains("line 1: invalid UTF-8"));
}

#[test]
fn quoted_names_of_text_one_are_read() {
    let mut target = Target::new();
    let body = "# TYPE \"http.server.duration\" histogram\n{\"http.server.duration_bucket\",le=\"1\",\"k8s.pod\"=\"a\"} 4\n";
    target.scrape(Format::Text, body.as_bytes()).unwrap();
    assert_eq!(target.values("{\"http.server.duration_bucket\", \"k8s.pod\"=\"a\", le=\"1.0\"}"), [Some(4.0)]);
    assert_eq!(target.sink.read(|r| r.kind("http.server.duration_bucket")), Some(MetricKind::Histogram));
}

#[test]
fn openmetrics_takes_everything_of_its_specification() {
    let body = "# TYPE foo counter\n# HELP foo Counts \\\"foo\\\".\nfoo_total{a=\"b\"} 17.0 1520879607.789 # {id=\"x\"} 0.67 1520879606.5\nfoo_created{a=\"b\"} 1520872607.123\n\
        # TYPE build info\nbuild_info{version=\"1\"} 1\n# TYPE state stateset\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n\
        # TYPE size_bytes gaugehistogram\n# UNIT size_bytes bytes\nsize_bytes_bucket{le=\"1\"} 2 # {trace_id=\"00000000000000000000000000000001\"} 0.5\nsize_bytes_gcount 2\nsize_bytes_gsum -3\n\
        # TYPE odd unknown\nodd NaN\n# EOF\n";
    let mut target = Target::new();
    assert_eq!(target.scrape(Format::OpenMetrics, body.as_bytes()).map(|c| c.scraped), Ok(9));
    target.sink.read(|r| {
        assert_eq!(r.samples("foo_total{a=\"b\"}")[0].0, Timestamp(1_520_879_607_789));
        assert_eq!(r.values("size_bytes_bucket{le=\"1.0\"}"), [Some(2.0)]);
        assert_eq!(r.kind("foo_total"), Some(MetricKind::Counter));
        assert_eq!(r.kind("foo_created"), Some(MetricKind::Gauge));
        assert_eq!(r.kind("state"), Some(MetricKind::StateSet));
        assert_eq!(r.metadata["size_bytes"].unit, "bytes");
        assert_eq!(r.metadata["foo"].help, "Counts \"foo\".");
        assert_eq!(r.exemplars.len(), 2);
        assert!(r.exemplars[1].1.trace_id.is_some());
    });
    // The same page again takes the guessed path and must mean the same.
    assert_eq!(target.scrape(Format::OpenMetrics, body.as_bytes()).map(|c| c.scraped), Ok(9));
    assert_eq!(target.values("size_bytes_gsum"), [Some(-3.0), Some(-3.0)]);
}

#[test]
fn one_fault_refuses_a_whole_openmetrics_page() {
    for bad in [
        "",
        "a 1\n",
        "a 1\n# EOF\nb 1\n",
        "a  1\n# EOF\n",
        " a 1\n# EOF\n",
        "\n# EOF\n",
        "# comment\n# EOF\n",
        "# TYPE a thermometer\n# EOF\n",
        "# UNIT a_seconds bytes\n# EOF\n",
        "a 1 # {x=\"y\"}\n# EOF\n",
        "a 1 soon\n# EOF\n",
        "a{x=\"y\"} 1 # {x=\"y\" 1\n# EOF\n",
        "a 1\n# EOF\n\n",
    ] {
        let mut target = Target::new();
        assert!(target.scrape(Format::OpenMetrics, bad.as_bytes()).is_err(), "{bad:?}");
        assert!(target.sink.read(|r| r.rows.iter().all(|(_, _, row)| row.is_empty())), "{bad:?}");
    }
    for good in ["# EOF", "# EOF\n", "a 1\n# EOF"] {
        assert!(Target::new().scrape(Format::OpenMetrics, good.as_bytes()).is_ok(), "{good:?}");
    }
}

#[test]
fn classic_histograms_become_native_ones_with_custom_buckets() {
    let body = "# TYPE h histogram\nh_bucket{a=\"x\",le=\"0.5\"} 1 # {trace_id=\"00000000000000000000000000000001\"} 0.3\nh_bucket{a=\"x\",le=\"2\"} 4\nh_bucket{a=\"x\",le=\"+Inf\"} 5\nh_sum{a=\"x\"} 6.5\nh_count{a=\"x\"} 5\n\
        h_bucket{a=\"y\",le=\"1\"} 3\nh_bucket{a=\"y\",le=\"+Inf\"} 2\nh_count{a=\"y\"} 2\n# TYPE other gauge\nother_count 7\n# EOF\n";
    let mut target = Target::new();
    target.rules.custom_buckets = true;
    for _ in 0..2 {
        target.scrape(Format::OpenMetrics, body.as_bytes()).unwrap();
    }
    target.sink.read(|r| {
        let samples = r.samples("h{a=\"x\"}");
        let Value::Histogram(h) = &samples[1].1 else { panic!("{samples:?}") };
        assert_eq!((h.schema, h.count, h.sum), (watchfire_model::CUSTOM_BUCKETS_SCHEMA, 5.0, 6.5));
        assert_eq!((&h.custom_values[..], &h.positive_buckets[..]), (&[0.5, 2.0][..], &[1.0, 3.0, 1.0][..]));
        assert_eq!(r.exemplars.len(), 2);
        assert!(r.values("h_count{a=\"x\"}").is_empty());
        assert_eq!(r.values("h_count{a=\"y\"}"), [Some(2.0), Some(2.0)], "falling counts stay as they came");
        assert_eq!(r.values("other_count"), [Some(7.0), Some(7.0)]);
    });
}

#[test]
fn a_steady_page_means_the_same_at_every_scrape() {
    let page = |round: usize| -> String {
        (0..300).map(|i| format!("# HELP m{i} h\n# TYPE m{i} gauge\nm{i}{{a=\"{i}\"}} {}\nm{i} 0.5\n", round * 1000 + i)).collect()
    };
    let mut target = Target::new();
    for round in 0..4 {
        let counts = target.scrape(Format::Text, page(round).as_bytes()).unwrap();
        assert_eq!((counts.scraped, counts.added), (600, if round == 0 { 600 } else { 0 }));
    }
    for i in [0, 150, 299] {
        let expected: Vec<Option<f64>> = (0..4).map(|round| Some((round * 1000 + i) as f64)).collect();
        assert_eq!(target.values(&format!("m{i}{{a=\"{i}\"}}")), expected);
    }
}

#[test]
fn a_target_that_names_other_families_at_every_scrape_fills_no_memory() {
    let mut target = Target::new();
    for round in 0..5 {
        let named: String = (0..9_000).map(|i| format!("# TYPE f{round}_{i} gauge\n")).collect();
        for format in [Format::Text, Format::OpenMetrics] {
            let page = format!(
                "{named}# TYPE h histogram\nh_bucket{{le=\"1\",r=\"{round}\"}} 1\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n# EOF\n"
            );
            assert_eq!(target.scrape(format, page.as_bytes()).map(|c| c.scraped), Ok(4));
        }
        // A page that breaks off leaves no more behind.
        assert!(target.scrape(Format::Text, format!("{}x", named.replace('f', "broken")).as_bytes()).is_err());
    }
    assert!(target.cache.families() <= 20_000, "{} families", target.cache.families());
    assert_eq!(target.values("h_bucket{le=\"1.0\", r=\"4\"}").len(), 3, "the type of what it always names is known");
}

#[test]
fn a_name_that_begins_another_is_not_mistaken_for_it() {
    let mut target = Target::new();
    target.scrape(Format::Text, b"a 1\nab 2\n").unwrap();
    target.scrape(Format::Text, b"a {x=\"y\"} 3\nab 4\n").unwrap();
    assert_eq!(target.values("a"), [Some(1.0), None]);
    assert_eq!(target.values("a{x=\"y\"}"), [Some(3.0)]);
    assert_eq!(target.values("ab"), [Some(2.0), Some(4.0)]);
}

#[test]
fn a_target_may_change_its_format() {
    let mut target = Target::new();
    for format in [Format::Text, Format::OpenMetrics, Format::Text, Format::OpenMetrics] {
        target.scrape(format, b"# TYPE a gauge\na 1\n# EOF\n").unwrap();
    }
    assert_eq!(target.values("a"), [Some(1.0); 4]);
}

#[test]
fn a_series_that_comes_back_is_live_again() {
    let mut target = Target::new();
    for body in ["a 1\nb 1\n", "b 2\n", "a 3\nb 3\n", "b {{{", "a 5\nb 5\n"] {
        let _ = target.scrape(Format::Text, body.as_bytes());
    }
    assert_eq!(target.values("a"), [Some(1.0), None, Some(3.0), None, Some(5.0)]);
    assert_eq!(target.values("b"), [Some(1.0), Some(2.0), Some(3.0), None, Some(5.0)]);
}

#[test]
fn two_texts_of_one_series_go_stale_only_together() {
    let mut target = Target::new();
    target.scrape(Format::Text, b"a{x=\"1\",y=\"2\"} 1\n").unwrap();
    target.scrape(Format::Text, b"a{y=\"2\",x=\"1\"} 2\n").unwrap();
    assert_eq!(target.values("a{x=\"1\", y=\"2\"}"), [Some(1.0), Some(2.0)]);
}

#[test]
fn followed_series_with_their_own_times_go_stale() {
    let mut target = Target::new();
    target.rules.track_timestamps_staleness = true;
    target.scrape(Format::Text, b"a 1 500\n").unwrap();
    target.scrape(Format::Text, b"b 1\n").unwrap();
    assert_eq!(target.values("a"), [Some(1.0), None]);
    target.rules.honor_timestamps = false;
    target.scrape(Format::Text, b"a 2 500\n").unwrap();
    assert_eq!(target.sink.read(|r| r.samples("a").pop().unwrap()), (Timestamp(3000), Value::Float(2.0)));
}

#[test]
fn targets_cannot_write_stale_markers() {
    let mut target = Target::new();
    target.scrape(Format::Text, b"a NaN\nb nan\n").unwrap();
    assert!(target.sink.read(|r| r.rows[0].2.iter().all(|(_, v)| !v.is_stale() && v.as_float().is_some_and(f64::is_nan))));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let mut target = Target::new();
            let _ = target.scrape(format, &body);
            let _ = target.scrape(format, &body);
        }
    }

    #[test]
    fn broken_pages_leave_the_next_good_one_whole(cut in 0usize..120, flip in 0usize..120, bit in 0u8..8) {
        let good = "# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n# HELP b text\nb{y=\"\\\"q\\\"\"} 0.5 \nc 3\n";
        let mut broken = good.as_bytes().to_vec();
        let at = flip % broken.len();
        broken[at] ^= 1 << bit;
        broken.truncate(cut.max(1));
        let mut target = Target::new();
        target.scrape(Format::Text, good.as_bytes()).unwrap();
        let _ = target.scrape(Format::Text, &broken);
        proptest::prop_assert_eq!(target.scrape(Format::Text, good.as_bytes()).map(|c| c.scraped), Ok(4));
        for (series, value) in [("a{x=\"1\"}", 1.0), ("a{x=\"2\"}", 2.0), ("c", 3.0)] {
            proptest::prop_assert_eq!(target.values(series).pop(), Some(Some(value)));
        }
    }
}
