//! Rule files that change on disk are read again by themselves.

use super::evaluation::EvaluatorHandle;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_secs(2);

/// Looks at modification times until cancelled. A bad file keeps the old rules and says why in the log.
pub async fn watch(files: Vec<PathBuf>, evaluator: EvaluatorHandle, cancel: CancellationToken) {
    if files.is_empty() {
        return;
    }
    let mut known = times(&files);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = times(&files);
        if now == known {
            continue;
        }
        known = now;
        let evaluator = evaluator.clone();
        let outcome = tokio::task::spawn_blocking(move || evaluator.reload()).await;
        match outcome {
            Ok(Ok(done)) => tracing::info!("a rule file changed: {done}"),
            Ok(Err(error)) => tracing::error!("a rule file changed and is wrong, the old rules stay: {error}"),
            Err(error) => tracing::error!("reload failed: {error}"),
        }
    }
}

fn times(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files.iter().map(|f| std::fs::metadata(f).and_then(|m| m.modified()).ok()).collect()
}
