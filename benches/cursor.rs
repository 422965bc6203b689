//! What a step of the time cursor costs, from the key to the finished frame of 200x50, over half an hour of a platform of eleven services.
//!
//! `cargo bench -p watchfire --bench cursor`

use std::time::Duration;

const HELD: Duration = Duration::from_secs(30 * 60);
const STEPS: u32 = 40;

fn main() {
    println!("holding {} minutes of an incident on simulated time …", HELD.as_secs() / 60);
    match watchfire::cursor_steps(HELD, STEPS) {
        Ok((spans, measured)) => {
            println!(
                "{spans} spans held, {STEPS} steps on each screen, in milliseconds\n{:<12}{:>8}{:>8}{:>8}",
                "", "median", "p95", "worst"
            );
            for steps in measured {
                let at = |q: f64| {
                    let index = ((steps.times.len() as f64 * q) as usize).min(steps.times.len().saturating_sub(1));
                    steps.times.get(index).map_or(0.0, |t| t.as_secs_f64() * 1000.0)
                };
                println!("{:<12}{:>8.1}{:>8.1}{:>8.1}", steps.screen, at(0.5), at(0.95), at(1.0));
            }
        }
        Err(error) => {
            eprintln!("{error:#}");
            std::process::exit(1);
        }
    }
}
