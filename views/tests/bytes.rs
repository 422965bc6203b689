//! What a frame costs on the line: a dropped link is where the person is.

mod fixture;

use fixture::wire::Painter;
use fixture::{NOW, Situation};
use watchfire_model::reading::{ServiceRow, Services};
use watchfire_model::{HealthState, Reading, Request};
use watchfire_views::{App, ColorDepth, Event, Options};

const ROWS: usize = 2000;

/// Two thousand services; of those whose number leaves `changed` when divided by ten, every figure differs between two salts.
fn services(salt: usize) -> Reading {
    let row = |i: usize| {
        let salt = if i % 10 == 3 { salt } else { 0 };
        ServiceRow {
            name: format!("service-{i:04}"),
            state: HealthState::Healthy,
            rate: Some(100.0 + ((i * 7 + salt * 13) % 800) as f64),
            error_ratio: Some(((i + salt) % 10) as f64 / 10_000.0),
            p50_seconds: Some(0.010 + ((i + salt * 3) % 80) as f64 / 1000.0),
            p95_seconds: Some(0.110 + ((i + salt * 7) % 800) as f64 / 1000.0),
            p99_seconds: Some(0.310 + ((i + salt * 11) % 600) as f64 / 1000.0),
            owner: Some("platform".into()),
            sparkline: (0..60).map(|k| Some((100 + (k * i + salt) % 17) as f64)).collect(),
            sample_count: Some(1000.0 + salt as f64),
            version: Some("2.4.1".into()),
            ..ServiceRow::default()
        }
    };
    Reading::Services(Services { services: (0..ROWS).map(row).collect(), changes: Vec::new() })
}

#[test]
fn a_tenth_of_the_rows_costs_at_most_a_kilobyte() {
    for color in [ColorDepth::TrueColor, ColorDepth::Ansi256, ColorDepth::Ansi16, ColorDepth::Mono] {
        let mut app = App::new(Options { color, ..Options::default() }).expect("built-in theme and keymap");
        app.handle(Event::Tick(NOW));
        app.receive(&Request::Status, fixture::answer(&Request::Status, Situation::Calm));
        app.receive(&Request::Services, Ok(services(0)));
        let mut painter = Painter::new(200, 50);
        let whole = painter.paint(&mut app).len();
        let still = painter.paint(&mut app).len();
        let mut most = 0;
        for salt in 1..=20 {
            app.receive(&Request::Services, Ok(services(salt)));
            most = most.max(painter.paint(&mut app).len());
        }
        println!("{color:?}: first frame {whole} bytes, a still one {still}, at 10 % churn at most {most}");
        assert!(still < 64, "{color:?}: a frame without a change writes {still} bytes");
        assert!(most <= 1024, "{color:?}: a tenth of the rows writes {most} bytes");
    }
}
