//! A frame at 200x50 with 2,000 rows: the windowed table, the same with every row changed, and a still screen.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use divan::Bencher;
use fixture::{NOW, Situation};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;
use watchfire_model::reading::{ServiceRow, Services, Span, Trace, attribute};
use watchfire_model::{HealthState, Reading, Request};
use watchfire_views::{App, Event, Options};

const AREA: Rect = Rect { x: 0, y: 0, width: 200, height: 50 };
const ROWS: usize = 2000;
const LARGE: usize = 50_000;
const ID: &str = "5eed0000000000000000000000000001";

fn main() {
    divan::main();
}

fn services(salt: usize) -> Reading {
    let row = |i: usize| ServiceRow {
        name: format!("service-{i:04}"),
        state: if i.is_multiple_of(50) { HealthState::Degraded } else { HealthState::Healthy },
        rate: Some((i * 7 + salt) as f64 / 3.0),
        error_ratio: Some((i % 10) as f64 / 1000.0),
        p50_seconds: Some(0.02),
        p95_seconds: Some(0.1 + i as f64 / 1e4),
        p99_seconds: Some(0.4),
        owner: Some("platform".into()),
        sparkline: (0..60).map(|k| Some(((k * i + salt) % 17) as f64)).collect(),
        sample_count: Some(1000.0),
        version: Some("2.4.1".into()),
        ..ServiceRow::default()
    };
    Reading::Services(Services { services: (0..ROWS).map(row).collect(), changes: Vec::new() })
}

fn app() -> App {
    let mut app = App::new(Options::default()).expect("built-in theme and keymap");
    app.handle(Event::Tick(NOW));
    app.receive(&Request::Status, fixture::answer(&Request::Status, Situation::Calm));
    app.receive(&Request::Services, Ok(services(0)));
    app
}

/// The rows are known; only the frame is drawn.
#[divan::bench]
fn windowed_rows(bencher: Bencher<'_, '_>) {
    let mut app = app();
    let mut buffer = Buffer::empty(AREA);
    bencher.bench_local(|| {
        buffer.reset();
        app.render_to(&mut buffer, AREA);
    });
}

/// A new reading with every figure changed, sorted and filtered anew, then drawn.
#[divan::bench]
fn new_reading_and_frame(bencher: Bencher<'_, '_>) {
    let mut app = app();
    let mut buffer = Buffer::empty(AREA);
    let mut salt = 0;
    bencher
        .with_inputs(|| {
            salt += 1;
            services(salt)
        })
        .bench_local_values(|reading| {
            app.receive(&Request::Services, Ok(reading));
            buffer.reset();
            app.render_to(&mut buffer, AREA);
        });
}

/// A trace of 50,000 spans has come: its tree, self times and critical path, and the first frame.
#[divan::bench]
fn large_trace_and_frame(bencher: Bencher<'_, '_>) {
    let mut buffer = Buffer::empty(AREA);
    let trace = large_trace();
    bencher.with_inputs(app).bench_local_values(|mut app| {
        open(&mut app, &trace);
        buffer.reset();
        app.render_to(&mut buffer, AREA);
    });
}

/// The same trace read once more, as every second, and a frame of it.
#[divan::bench]
fn large_trace_unchanged(bencher: Bencher<'_, '_>) {
    let mut app = app();
    let mut buffer = Buffer::empty(AREA);
    let trace = large_trace();
    open(&mut app, &trace);
    app.render_to(&mut buffer, AREA);
    // Read anew, so equal and not the same.
    bencher.with_inputs(|| Arc::new((*trace).clone())).bench_local_values(|again| {
        open(&mut app, &again);
        buffer.reset();
        app.render_to(&mut buffer, AREA);
    });
}

fn large_trace() -> Arc<Trace> {
    let span = |i: usize| Span {
        span_id: format!("{i:016x}"),
        parent_id: if i == 0 { String::new() } else { format!("{:016x}", i / 3) },
        service: format!("service-{}", i % 25),
        name: format!("operation {}", i % 90),
        start: i as f64 / 1e3,
        duration_seconds: (LARGE - i) as f64 / 1e3,
        attributes: (0..8).map(|a| (format!("attribute.{a}"), attribute::Scalar::Text(format!("value {i} {a}")))).collect(),
        ..Span::default()
    };
    Arc::new(Trace { trace_id: ID.to_owned(), spans: (0..LARGE).map(span).collect(), ..Trace::default() })
}

fn open(app: &mut App, trace: &Arc<Trace>) {
    app.order(&format!("trace {ID}"));
    app.receive(&Request::Trace { id: ID.to_owned() }, Ok(Reading::Trace(trace.clone())));
}

/// The leg to compare with: all 2,000 rows drawn, 40 screens of 50 rows.
#[divan::bench]
fn all_rows(bencher: Bencher<'_, '_>) {
    let mut app = app();
    let area = Rect { height: (ROWS + 4) as u16, ..AREA };
    let mut buffer = Buffer::empty(area);
    bencher.bench_local(|| {
        buffer.reset();
        app.render_to(&mut buffer, area);
    });
}
