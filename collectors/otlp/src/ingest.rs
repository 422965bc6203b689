//! The owner thread of the span side: one thread, one visitor, no locks. Receivers parse and hand over; the thread shows and ticks.

use crate::budget::{Budget, Reservation};
use crate::traces::{Parsed, Residuals};
use bytes::Bytes;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watchfire_model::{Clock, Counter, Meter, SpanVisitor, Timestamp};

/// The longest the visitor waits for a tick.
const TICK: Duration = Duration::from_millis(250);
/// A rest after the queue has run empty: what comes meanwhile needs no waking, which costs more than a small request itself.
const REST: Duration = Duration::from_millis(2);
/// Bytes of the parse buffers that are kept for reuse: as many as are in use while the owner thread lags behind.
const POOLED_BYTES: usize = 16 << 20;

/// A parsed request on its way to the visitor. Its bytes stay on the budget until it has been seen.
pub(crate) struct Work {
    pub(crate) bytes: Bytes,
    pub(crate) parsed: Parsed,
    pub(crate) received: Timestamp,
    pub(crate) reservation: Reservation,
}

/// Parse buffers going round between receivers and the owner thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<Mutex<Spare>>);

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Parsed>,
    /// As many as there were requests being read at the same time, which is no more than there are threads.
    residuals: Vec<Residuals>,
    bytes: usize,
}

impl Pool {
    pub(crate) fn take(&self) -> (Parsed, Residuals) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = spare.buffers.pop().unwrap_or_default();
        spare.bytes -= parsed.heap_bytes();
        (parsed, spare.residuals.pop().unwrap_or_default())
    }

    pub(crate) fn give_residuals(&self, residuals: Residuals) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).residuals.push(residuals);
    }

    pub(crate) fn give(&self, parsed: Parsed) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = spare.bytes + parsed.heap_bytes();
        if bytes <= POOLED_BYTES {
            spare.bytes = bytes;
            spare.buffers.push(parsed);
        }
    }
}

/// The way to the owner thread. The channel itself is unbounded: what is in it is bounded by the budget that each [`Work`] holds.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: Sender<Work>,
    pub(crate) pool: Pool,
}

impl Queue {
    /// False when the owner thread is gone.
    pub(crate) fn push(&self, work: Work) -> bool {
        self.sender.send(work).is_ok()
    }
}

/// Starts the owner thread; it ends when the last [`Queue`] is dropped and all work is done.
pub(crate) fn spawn<V: SpanVisitor + 'static>(
    visitor: V,
    clock: Arc<dyn Clock>,
    budget: Budget,
    meter: &Meter,
) -> std::io::Result<(Queue, JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let pool = Pool::default();
    let queue = Queue { sender, pool: pool.clone() };
    let (panics, in_flight) = (meter.counter("watchfire_ingest_panics_total", &[]), meter.gauge("watchfire_ingest_in_flight_bytes", &[]));
    let thread = std::thread::Builder::new().name("ingest".to_owned()).spawn(move || {
        let publish = || in_flight.set(budget.used() as f64);
        own(visitor, &receiver, &pool, &*clock, &panics, &publish);
    })?;
    Ok((queue, thread))
}

/// The life of the owner thread. `publish` is called with each tick.
fn own<V: SpanVisitor>(mut visitor: V, receiver: &Receiver<Work>, pool: &Pool, clock: &dyn Clock, panics: &Counter, publish: &dyn Fn()) {
    let mut next_tick = Instant::now() + TICK;
    let show = |visitor: &mut V, work: Work| {
        // A request that breaks the visitor costs that request, not the process.
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work.parsed.visit(&work.bytes, work.received, visitor)));
        if shown.is_err() {
            panics.add(1);
            tracing::error!("a trace request could not be stored: the store panicked");
        }
        drop(work.reservation);
        pool.give(work.parsed);
    };
    loop {
        match receiver.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
            Ok(work) => {
                show(&mut visitor, work);
                while Instant::now() < next_tick {
                    let Ok(work) = receiver.try_recv() else {
                        std::thread::sleep(REST);
                        break;
                    };
                    show(&mut visitor, work);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() >= next_tick {
            visitor.tick(clock.now());
            publish();
            next_tick = Instant::now() + TICK;
        }
    }
    visitor.tick(clock.now());
}
