//! Sealing, showing and letting go: what happens to spans after they were counted.

use super::engine::SpanEngine;
use super::held::Snapshot;
use std::sync::Arc;

/// At most four snapshots a second, and new operations are published after half a second.
const SNAPSHOT_MILLIS: i64 = 250;
const FRESH_MILLIS: i64 = 500;

impl SpanEngine {
    pub(super) fn seal_segment(&mut self) {
        if self.open.rows.is_empty() {
            return;
        }
        if let Some(block) = self.open.close_block(true, &self.held.spare) {
            self.held.grew(block.bytes());
            self.sealer.pack(block);
        }
        let segment = Arc::new(self.open.seal(self.now));
        self.held.grew(segment.column_bytes());
        if let Some(sink) = &*self.held.sink.lock() {
            sink.sealed(&segment);
        }
        self.sealed.push_back(segment);
    }

    pub(super) fn evict(&mut self) {
        let mut changed = false;
        self.held.is_elsewhere(self.series.bytes() + self.logs.bytes() + self.board.load().bytes);
        while self.held.over_budget()
            && let Some(oldest) = self.sealed.pop_front()
        {
            changed = true;
            self.held.lets_go(&oldest);
            self.sealer.evict(oldest);
        }
        if self.sealed.is_empty() && self.held.over_budget() {
            self.held.let_go();
        }
        let oldest = self.series.aging.ago(self.now, self.held.retention());
        while self.sealed.front().is_some_and(|s| s.received.1 < oldest)
            && let Some(oldest) = self.sealed.pop_front()
        {
            changed = true;
            self.held.lets_go(&oldest);
            self.held.evicted_age.add(oldest.len() as u64);
        }
        if changed {
            // Readers' list goes first, or the memory would stay for as long as the next snapshot takes.
            self.show();
        }
    }

    /// Gives readers the present state.
    pub(super) fn show(&mut self) {
        let mut segments = Vec::with_capacity(self.sealed.len() + 1);
        segments.extend(self.sealed.iter().cloned());
        let _ = self.sealed.iter().rev().take_while(|segment| segment.shown.whole(self.now)).count();
        self.open.is_shown(self.now);
        if !self.open.rows.is_empty() {
            segments.push(Arc::new(self.open.copy(self.now)));
        }
        self.changed = false;
        self.held.snapshot.store(Arc::new(Snapshot { segments }));
        self.snapshot_at = self.now;
    }

    pub(super) fn show_if_due(&mut self) {
        let due = self.now.0.saturating_sub(self.snapshot_at.0) >= SNAPSHOT_MILLIS || self.now < self.snapshot_at;
        if due && self.changed {
            self.show();
        }
    }

    pub(super) fn publish_if_due(&mut self) {
        let since = self.published_at.map_or(i64::MAX, |at| self.now.0.saturating_sub(at.0));
        let interval = self.settings.interval.as_millis() as i64;
        let fresh = self.operations.fresh || self.edges.fresh || self.deliveries.fresh;
        if since >= interval || since < 0 || (fresh && since >= FRESH_MILLIS.min(interval)) {
            self.publish(self.now);
        }
    }
}
