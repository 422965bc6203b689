//! Receives OTLP on the default ports (or those given as two arguments) and prints what came in, until interrupted or for the seconds given third.
//! Useful to see what an SDK or a collector really sends: `cargo run -p watchfire-otlp --example receive -- 127.0.0.1:4317 127.0.0.1:4318 60`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use watchfire_model::{
    Appended, Clock, ClockReading, Exemplar, Labels, LogRecord, LogSink, Metadata, Meter, MetricKind, OriginId, ResourceView, SeriesId,
    SeriesSink, ServiceName, SpanView, SpanVisitor, Timestamp, Value, harmless,
};
use watchfire_otlp::{Settings, start};

struct Wall;

impl Clock for Wall {
    fn read(&self) -> ClockReading {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ClockReading { wall: Timestamp(since.as_millis() as i64), boot: since, awake: since, carried: Duration::ZERO }
    }
}

#[derive(Default)]
struct Print {
    service: String,
}

impl SpanVisitor for Print {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        let mut name = ServiceName::default();
        resource.attributes.iter().filter_map(|(key, value)| Some((key, value.as_str()?))).for_each(|(key, value)| name.see(key, value));
        self.service = name.or_unknown().into_owned();
    }
    fn scope(&mut self, _name: &str, _version: &str) {}
    fn span(&mut self, span: &SpanView<'_>) {
        let nanos = span.end.0.saturating_sub(span.start.0);
        let name = String::from_utf8_lossy(span.name);
        let (service, name) = (harmless(&self.service), harmless(&name));
        println!("span {service} {name} {:?} {:?} {}ns bytes={}", span.kind, span.status, nanos, span.body.len());
    }
    fn end_of_request(&mut self, _received: Timestamp) {}
    fn tick(&mut self, _now: Timestamp) {}
}

#[derive(Default)]
struct PrintSeries(std::sync::Mutex<Vec<Labels>>);

impl SeriesSink for PrintSeries {
    fn origin(&self, _name: &str) -> OriginId {
        OriginId(0)
    }
    fn series(&self, _origin: OriginId, labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        let mut known = self.0.lock().ok()?;
        let index = known.iter().position(|l| l == labels).unwrap_or_else(|| {
            known.push(labels.clone());
            known.len() - 1
        });
        Some(SeriesId(index as u32))
    }
    fn append(&self, _origin: OriginId, at: Timestamp, _now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        if let Ok(known) = self.0.lock() {
            for (id, value) in row {
                println!("sample {} {value:?} @{at}", harmless(&known[id.0 as usize].to_string()));
            }
        }
        Appended { stored: row.len(), ..Appended::default() }
    }
    fn describe(&self, _family: &str, _metadata: Metadata) {}
    fn exemplar(&self, _series: SeriesId, _exemplar: Exemplar) {}
}

impl LogSink for PrintSeries {
    fn logs(&self, records: Vec<LogRecord>) {
        for record in records {
            println!("log {} {} {} trace={:?}", record.service, record.severity.name(), harmless(&record.body), record.trace_id);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut settings = Settings::default();
    if let (Some(grpc), Some(http)) = (arguments.next(), arguments.next()) {
        (settings.grpc, settings.http) = (Some(grpc.parse()?), Some(http.parse()?));
    }
    let seconds = arguments.next().map(|s| s.parse()).transpose()?.unwrap_or(u64::MAX >> 20);
    let (sinks, meter, cancel) = (Arc::new(PrintSeries::default()), Meter::new(), CancellationToken::new());
    let running = start(settings, Print::default(), sinks.clone(), sinks, &meter, Arc::new(Wall), cancel.clone())?;
    println!("grpc {:?} http {:?}", running.grpc, running.http);
    std::thread::sleep(Duration::from_secs(seconds));
    cancel.cancel();
    running.join();
    for (labels, value, _) in meter.readings() {
        println!("{labels} {value}");
    }
    Ok(())
}
