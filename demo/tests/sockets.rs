//! A simulation on real sockets, against a receiver of a few lines.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use watchfire_config::load_platform;
use watchfire_demo::{DemoOptions, Receivers, Simulator};

/// Accepts OTLP over HTTP and hands every trace request on.
async fn sink() -> std::io::Result<(SocketAddr, mpsc::UnboundedReceiver<ExportTraceServiceRequest>)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let handler = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let json = request.headers().get("content-type").is_some_and(|v| v == "application/json");
                    let traces = request.uri().path() == "/v1/traces";
                    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                    if traces {
                        let decoded = if json {
                            serde_json::from_slice(&body).map_err(|e| e.to_string())
                        } else {
                            ExportTraceServiceRequest::decode(body).map_err(|e| e.to_string())
                        };
                        sender.send(decoded.expect("simulated services send valid OTLP")).ok();
                    }
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handler));
        }
    });
    Ok((address, receiver))
}

async fn get(url: &str) -> Result<(u16, String), String> {
    let uri: hyper::Uri = url.parse().map_err(|e| format!("{e}"))?;
    let address = uri.authority().ok_or("no authority")?.to_string();
    let stream = tokio::net::TcpStream::connect(&address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let request = Request::get(uri.path()).header("host", address).body(Full::<Bytes>::default()).map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_every_service_arrive_within_seconds_and_say_that_they_are_simulated() -> Result<(), Box<dyn std::error::Error>> {
    let platform = load_platform("clientnest").map_err(|e| format!("{e:?}"))?;
    let (address, mut requests) = sink().await?;
    let receivers = Receivers { otlp_grpc: None, otlp_http: Some(address) };
    let running = Simulator::start(&platform, DemoOptions { receivers, ..DemoOptions::default() }).await?;
    let wanted: BTreeSet<String> = platform.services.iter().map(|s| s.name.clone()).collect();
    let mut seen = BTreeSet::new();
    let arrive = async {
        while seen != wanted {
            let request = requests.recv().await.expect("the sink lives");
            for resource in request.resource_spans.iter().filter_map(|r| r.resource.as_ref()) {
                let text = |key: &str| resource.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.as_ref()?.value.clone());
                assert_eq!(text("watchfire.simulated"), Some(Value::BoolValue(true)));
                if let Some(Value::StringValue(name)) = text("service.name") {
                    seen.insert(name);
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrive).await.map_err(|_| "not every service sent spans")?;
    running.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_answers_under_its_metrics_and_health_paths() -> Result<(), Box<dyn std::error::Error>> {
    let platform = load_platform("clientnest").map_err(|e| format!("{e:?}"))?;
    let running = Simulator::start(&platform, DemoOptions::default()).await?;
    assert_eq!(running.scrape_targets.len(), 11);
    assert_eq!(running.probe_targets.len(), 44);
    for target in &running.scrape_targets {
        let (status, body) = get(&target.url).await?;
        assert_eq!(status, 200, "{}", target.url);
        assert!(body.contains("node_memory_MemTotal_bytes{simulated=\"true\"}"), "{body}");
    }
    for target in &running.probe_targets {
        let (status, body) = get(&target.url).await?;
        assert_eq!(status, 200, "{} {body}", target.url);
        serde_json::from_str::<serde_json::Value>(&body)?;
    }
    running.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_drops_the_connection() -> Result<(), Box<dyn std::error::Error>> {
    let platform = load_platform("clientnest").map_err(|e| format!("{e:?}"))?;
    let down: watchfire_config::Scenario = watchfire_demo::scenarios(&platform)
        .iter()
        .find(|s| s.effects.iter().any(|e| e.down && platform.service(&e.target).is_some()))
        .cloned()
        .ok_or("no scenario takes a service down")?;
    let victim = down.effects.iter().find(|e| e.down).map(|e| (e.target.clone(), e.at)).ok_or("nobody is down")?;
    // Fast enough that the effect has begun by the time of the first question.
    let options = DemoOptions { scenario: Some(down), speed: 20.0, ..DemoOptions::default() };
    let running = Simulator::start(&platform, options).await?;
    let url = &running.scrape_targets.iter().find(|t| t.service == victim.0).ok_or("no target")?.url;
    let dropped = async {
        while get(url).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dropped).await.map_err(|_| "the service kept answering")?;
    running.stop().await;
    Ok(())
}

/// Accepts OTLP over gRPC and hands the service names of every trace request on.
struct GrpcSink(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for GrpcSink {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.send(request.into_inner()).ok();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_speak_grpc_send_over_grpc_and_the_others_over_http() -> Result<(), Box<dyn std::error::Error>> {
    let platform = load_platform("clientnest").map_err(|e| format!("{e:?}"))?;
    let (sender, mut grpc_requests) = mpsc::unbounded_channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let grpc = listener.local_addr()?;
    let service = TraceServiceServer::new(GrpcSink(sender));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    let (http, mut http_requests) = sink().await?;
    let receivers = Receivers { otlp_grpc: Some(grpc), otlp_http: Some(http) };
    let running = Simulator::start(&platform, DemoOptions { receivers, sampling: Some(1.0), ..DemoOptions::default() }).await?;
    let (mut over_grpc, mut over_http) = (BTreeSet::new(), BTreeSet::new());
    let arrive = async {
        while over_grpc.len() + over_http.len() < platform.services.len() {
            tokio::select! {
                Some(request) = grpc_requests.recv() => over_grpc.extend(names(&request)),
                Some(request) = http_requests.recv() => over_http.extend(names(&request)),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrive).await.map_err(|_| "not every service sent spans")?;
    assert_eq!(over_http, BTreeSet::from(["ai-service", "analytics-service", "notification-service"].map(str::to_owned)));
    assert_eq!(over_grpc.len(), 8);
    running.stop().await;
    Ok(())
}

fn names(request: &ExportTraceServiceRequest) -> Vec<String> {
    let resources = request.resource_spans.iter().filter_map(|r| r.resource.as_ref());
    resources
        .flat_map(|r| &r.attributes)
        .filter(|a| a.key == "service.name")
        .filter_map(|a| match a.value.as_ref()?.value.as_ref()? {
            Value::StringValue(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_speed_that_no_machine_keeps_up_with_the_platform_still_answers_and_stops() -> Result<(), Box<dyn std::error::Error>> {
    let platform = load_platform("clientnest").map_err(|e| format!("{e:?}"))?;
    let running = Simulator::start(&platform, DemoOptions { speed: 1e6, ..DemoOptions::default() }).await?;
    let url = running.scrape_targets[0].url.clone();
    // Long enough to fall behind for good.
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        let (status, _) = tokio::time::timeout(Duration::from_secs(10), get(&url)).await.map_err(|_| "no answer")??;
        assert_eq!(status, 200);
    }
    tokio::time::timeout(Duration::from_secs(10), running.stop()).await.map_err(|_| "it does not stop")?;
    Ok(())
}
