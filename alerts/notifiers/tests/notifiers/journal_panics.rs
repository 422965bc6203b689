//! The thread that writes the journal panics: alerts are evaluated and told all the same, it is said aloud, and it is mended by itself.

use crate::receiver::Receiver;
use crate::{RealClock, eventually, notice, start_at, told_at_once};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use watchfire_model::NoticeState::{Firing, Resolved};
use watchfire_notifiers::Faults;

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_journal_stops_nothing_is_said_aloud_and_heals_by_itself() {
    for point in ["append", "append-half", "sync", "synced", "apply"] {
        let on = Arc::new(AtomicBool::new(false));
        let both = on.clone();
        // The new file fails as well for as long.
        let faults = Faults::hook(move |at| {
            assert!(!(at == point || at == "compact-write") || !both.load(Ordering::SeqCst), "{at} is broken");
            Ok(())
        });
        let receiver = Receiver::start().await;
        let directory = tempfile::tempdir().unwrap();
        let ours = told_at_once(&receiver);
        let running = start_at(ours.clone(), Some(directory.path()), RealClock::shared(), faults);
        let durable = running.meter.gauge("watchfire_state_durable", &[]);
        let panics = running.meter.counter("watchfire_panics_total", &[("task", "journal")]);
        assert!(running.commit(vec![notice("A", 1, Firing)]).await);
        eventually("sent", || receiver.count() == 1 && running.handle.owed() == 0).await;
        on.store(true, Ordering::SeqCst);
        assert!(!running.commit(vec![notice("B", 1, Firing)]).await, "{point}: not durable");
        assert!(!running.commit(vec![notice("A", 2, Resolved)]).await, "{point}: still not");
        assert_eq!(durable.get(), 0.0, "{point}");
        assert!(panics.get() >= 1, "{point}");
        let banners = running.handle.banners();
        assert!(banners.iter().any(|b| b.contains("not durable") && b.contains("is broken")), "{point}: {banners:?}");
        // What panics while it is applied is lost; whatever is beside it is not.
        let during = if point == "apply" { 1 } else { 3 };
        eventually(&format!("{point}: sent all the same"), || receiver.count() >= during).await;
        on.store(false, Ordering::SeqCst);
        eventually("durable again", || durable.get() == 1.0).await;
        assert!(running.handle.banners().is_empty(), "{point}");
        assert!(running.commit(vec![notice("C", 1, Firing)]).await, "{point}");
        eventually("sent", || receiver.count() == during + 1 && running.handle.owed() == 0).await;
        running.stop().await;
        let running = start_at(ours, Some(directory.path()), RealClock::shared(), Faults::default());
        assert!(running.recovered.outbox.is_empty() && running.recovered.banners.is_empty(), "{point}: {:?}", running.recovered.banners);
        running.stop().await;
    }
}
