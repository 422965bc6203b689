//! `watchfire status`: one look at a running instance.

use crate::attach::RemoteSource;
use crate::cli::{StatusArgs, StatusOutput};
use crate::exit;
use std::process::ExitCode;
use watchfire_model::HealthState;
use watchfire_model::reading::{AlertState, Alerts, Reading, Request, Services, Source, Status};

/// # Errors
/// When the instance cannot be reached.
pub fn status(args: &StatusArgs, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    let remote = RemoteSource::of_environment(&args.instance.url, runtime)?;
    let hint = |e: watchfire_model::reading::ReadError| remote.advise(e);
    let Reading::Status(status) = remote.read(&Request::Status, None).map_err(hint)? else { unreachable!("a status answers a status") };
    let Reading::Services(services) = remote.read(&Request::Services, None).map_err(hint)? else {
        unreachable!("services answer services")
    };
    let Reading::Alerts(alerts) = remote.read(&Request::Alerts, None).map_err(hint)? else { unreachable!("alerts answer alerts") };
    match args.output {
        StatusOutput::Json => {
            let json = serde_json::json!({"status": status, "services": services.services, "alerts": alerts.alerts});
            exit::print(&format!("{}\n", serde_json::to_string_pretty(&json)?));
        }
        StatusOutput::Table => exit::print(&table(&status, &services, &alerts)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The text form: the answer first, then what fires, then every service.
pub fn table(status: &Status, services: &Services, alerts: &Alerts) -> String {
    let mut out = String::new();
    let firing: Vec<String> = status.firing.iter().filter(|(_, n)| **n > 0).map(|(s, n)| format!("{n} {s}")).collect();
    out.push_str(&format!(
        "{} {}   {} services   {}\n",
        glyph(status.overall),
        status.overall.word().to_uppercase(),
        status.services,
        if firing.is_empty() { "nothing fires".to_owned() } else { format!("firing: {}", firing.join(", ")) }
    ));
    for banner in &status.banners {
        out.push_str(&format!("! {banner}\n"));
    }
    let active: Vec<_> = alerts.alerts.iter().filter(|a| a.state == AlertState::Firing).collect();
    if !active.is_empty() {
        out.push_str("\nALERT                            SEVERITY  ABOUT                     CAUSE\n");
        for alert in active {
            let about = ["service", "service_name", "queue", "instance"].iter().find_map(|l| alert.labels.get(l)).unwrap_or("");
            let cause = alert.cause.as_ref().map_or(String::new(), |c| format!("← {} {}", c.alert, c.service));
            out.push_str(&format!("{:<32} {:<9} {about:<25} {cause}\n", alert.name, alert.severity.word()));
        }
    }
    out.push_str("\nSERVICE                        RATE    ERR%     P50     P95     P99  WHY\n");
    for row in &services.services {
        out.push_str(&format!(
            "{} {:<24} {:>8} {:>7} {:>7} {:>7} {:>7}  {}\n",
            glyph(row.state),
            row.name,
            row.rate.map_or("–".to_owned(), |r| format!("{}/s", significant(r))),
            row.error_ratio.map_or("–".to_owned(), |e| format!("{:.2}", e * 100.0)),
            duration(row.p50_seconds),
            duration(row.p95_seconds),
            duration(row.p99_seconds),
            row.why.join("; "),
        ));
    }
    out
}

pub fn glyph(state: HealthState) -> char {
    match state {
        HealthState::Healthy => '●',
        HealthState::Degraded => '▲',
        HealthState::Unhealthy => '✖',
        HealthState::Unknown => '?',
    }
}

/// Three significant digits.
pub fn significant(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 || a == 0.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}

/// Seconds as `38ms`, `1.92s`; unknown as a dash.
pub fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(s) if s >= 1.0 => format!("{}s", significant(s)),
        Some(s) if s >= 0.001 => format!("{}ms", significant(s * 1000.0)),
        Some(s) => format!("{}µs", significant(s * 1e6)),
    }
}
