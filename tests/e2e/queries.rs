//! What the query API refuses, and how; and what its answers look like to those who read them byte by byte.

use crate::instance::Watchfire;
use std::fmt::Write as _;
use std::io::Read;

/// Status, `errorType` and `error` of a posted query.
async fn ask(watchfire: &Watchfire, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
    let mut body = String::new();
    for (name, value) in form {
        let encoded: String = value.bytes().fold(String::new(), |mut out, b| {
            let _ = write!(out, "%{b:02X}");
            out
        });
        let _ = write!(body, "{name}={encoded}&");
    }
    let request = watchfire.client().post(watchfire.url(path)).header("content-type", "application/x-www-form-urlencoded").body(body);
    let response = request.send().await.expect("answered");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let field = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    (status, field("errorType"), field("error"))
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_expressions_are_bad_data_before_they_are_parsed() {
    let watchfire = Watchfire::start(&[]);
    let chain = vec!["a"; 1500].join("+");
    for (query, why) in [
        ("(".repeat(200) + "a" + &")".repeat(200), "nests deeper than 100"),
        ("a".repeat(1 << 19), "longer than 16384 bytes"),
        ("a".repeat(1 << 20), "request body exceeds 2 MiB"),
        (chain, "more than 1000 operators"),
        ("\u{1}".to_owned(), "unexpected character"),
        ("up{a=\"".to_owned(), "unterminated"),
    ] {
        let (status, kind, error) = ask(&watchfire, "/api/v1/query", &[("query", &query)]).await;
        assert_eq!((status, kind.as_str()), (400, "bad_data"), "{why}");
        assert!(error.contains(why), "{error}");
        assert!(error.len() < 400, "the refusal is no echo: {} bytes", error.len());
    }
    assert_eq!(watchfire.metric("watchfire_query_rejected_total{reason=\"parse\"}").await, 5.0);
    assert_eq!(watchfire.metric("watchfire_query_rejected_total{reason=\"bytes\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn regular_expressions_are_bounded() {
    let watchfire = Watchfire::start(&[]);
    let (status, kind, error) = ask(&watchfire, "/api/v1/query", &[("query", "up{a=~\"x{1000}{1000}\"}")]).await;
    assert_eq!((status, kind.as_str()), (400, "bad_data"), "{error}");
    assert!(error.contains("error parsing regexp") && !error.contains('\n'), "{error}");
    let (status, _, error) = ask(&watchfire, "/api/v1/query", &[("query", "up{a=~\"[\"}")]).await;
    assert!(status == 400 && error.contains("1:4: parse error: error parsing regexp:"), "{error}");
    // What makes a backtracking engine stand still is answered like anything else.
    for fine in
        ["up{a=~\"(a*)*b\"}".to_owned(), format!("up{{a=~\"{}\"}}", (0..2000).map(|i| format!("v{i}")).collect::<Vec<_>>().join("|"))]
    {
        assert_eq!(ask(&watchfire, "/api/v1/query", &[("query", &fine)]).await.0, 200, "{fine:.60}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_queries_are_refused_by_their_weight() {
    let watchfire = Watchfire::start(&[]);
    // Millions of points of nothing but numbers.
    let heavy = "count_over_time((vector(1))[10000d:1s])";
    let (status, kind, error) = ask(&watchfire, "/api/v1/query", &[("query", heavy)]).await;
    assert_eq!((status, kind.as_str(), error.as_str()), (422, "execution", "query needs more than 5000000 samples"));
    assert_eq!(watchfire.metric("watchfire_query_rejected_total{reason=\"samples\"}").await, 1.0);
    let range = [("query", "up"), ("start", "0"), ("end", "11001"), ("step", "1")];
    let (status, kind, error) = ask(&watchfire, "/api/v1/query_range", &range).await;
    assert_eq!((status, kind.as_str()), (400, "bad_data"));
    assert!(error.contains("11,000 points"), "{error}");
    let slow = [("query", "sum_over_time((vector(1))[4000000s:1s]) + sum_over_time((vector(1))[4000000s:1s])"), ("timeout", "1ms")];
    let (status, kind, error) = ask(&watchfire, "/api/v1/query", &slow).await;
    assert_eq!((status, kind.as_str(), error.as_str()), (503, "timeout", "query timed out in expression evaluation"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_those_of_the_configuration() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("config.toml");
    std::fs::write(&file, "[limits.query]\ntext = \"1KiB\"\ndepth = 3\npoints = 1234\n").expect("written");
    let watchfire = Watchfire::start(&["--config", file.to_str().expect("UTF-8")]);
    let error = async |query: &str| ask(&watchfire, "/api/v1/query", &[("query", query)]).await.2;
    assert!(error(&"a".repeat(1025)).await.contains("longer than 1024 bytes"));
    assert!(error("((((1))))").await.contains("nests deeper than 3"));
    assert_eq!(error("(((1)))").await, "");
    let range = async |end: &'static str| {
        ask(&watchfire, "/api/v1/query_range", &[("query", "1"), ("start", "0"), ("end", end), ("step", "1")]).await
    };
    assert_eq!(range("1234").await.0, 200);
    assert!(range("1235").await.2.contains("1,234 points"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_written_in_the_order_that_streaming_readers_need() {
    let watchfire = Watchfire::start(&[]);
    let (_, body) = watchfire.get("/api/v1/query?query=vector(1)&time=1.5").await;
    assert_eq!(body, r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"1"]}]}}"#);
    let (_, body) = watchfire.get("/api/v1/query?query=1%2B").await;
    assert_eq!(
        body,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:3: parse error: unexpected end of input"}"#
    );
    let stats = watchfire.json("/api/v1/query?query=vector(1)&stats=all").await;
    assert!(stats["data"]["stats"]["timings"]["execTotalTime"].is_f64(), "{stats}");
    let limited =
        watchfire.json("/api/v1/query?query=label_replace(vector(1),%22a%22,%22b%22,%22%22,%22%22)%20or%20vector(2)&limit=1").await;
    assert_eq!(limited["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(limited["warnings"], serde_json::json!(["results truncated due to limit"]));
    for (query, why) in
        [("limit=-1", "must be non-negative"), ("limit=x", "whole number"), ("time=x", "valid timestamp"), ("timeout=x", "valid duration")]
    {
        let (status, body) = watchfire.get(&format!("/api/v1/query?query=1&{query}")).await;
        assert!(status == 400 && body.contains(why), "{query}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_for_those_who_ask() {
    let watchfire = Watchfire::start(&[]);
    let url = watchfire.url("/api/v1/query_range?query=time()&start=0&end=1000&step=1");
    let request = |encoding: &'static str| {
        // Without the client's own handling, the bytes are what was sent.
        let client = reqwest::Client::builder().no_gzip().no_zstd().build().expect("a client");
        client.get(&url).header("accept-encoding", encoding).send()
    };
    let plain = request("identity").await.expect("answered");
    assert!(plain.headers().get("content-encoding").is_none());
    let plain = plain.bytes().await.expect("a body");
    let packed = request("gzip").await.expect("answered");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["vary"], "accept-encoding");
    let packed = packed.bytes().await.expect("a body");
    assert!(packed.len() * 3 < plain.len() * 2, "{} of {}", packed.len(), plain.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain);
}
