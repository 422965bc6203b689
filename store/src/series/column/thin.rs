//! A column with fewer rows.

use super::{Column, Unpacked, is_gap};
use crate::series::chunk::{CHUNK, Chunk};
use std::sync::Arc;
use watchfire_model::NativeHistogram;

impl Column {
    /// Removes the rows that `keep` (indexed from absolute row `first`) says no to, except this column's last sample and stale markers' neighbours:
    /// a sample is only dropped when the row that replaces it holds one too.
    pub fn thin(&mut self, first: u64, keep: &[bool]) {
        let start = (self.base - first) as usize;
        // One later than the row that takes its place: that may show the value of the one before.
        self.rising_from = first
            + 1
            + keep.iter().take((self.rising_from.saturating_sub(first)) as usize).filter(|k| **k).count() as u64
            + self.rising_from.saturating_sub(first + keep.len() as u64);
        let stays = |row: usize| keep.get(start + row).copied().unwrap_or(true);
        let mut thinned =
            Thinned { base: first + keep.iter().take(start).filter(|k| **k).count() as u64, packing: true, ..Thinned::default() };
        let mut unpacked = Unpacked::default();
        let mut row = 0;
        for chunk in std::mem::take(&mut self.sealed) {
            let rows = row..row + chunk.len();
            row = rows.end;
            if thinned.carried.is_none() && rows.clone().all(stays) {
                thinned.pass(chunk);
                continue;
            }
            unpacked.clear();
            chunk.unpack(&mut unpacked);
            for (i, value) in unpacked.values.iter().enumerate() {
                thinned.put(*value, unpacked.histograms.get(i).cloned().flatten(), stays(rows.start + i));
            }
        }
        thinned.packing = false;
        for (i, value) in self.open.iter().enumerate() {
            thinned.put(*value, self.histograms.get(i).cloned().flatten(), stays(row + i));
        }
        thinned.finish();
        self.base = thinned.base;
        self.sealed_rows = thinned.sealed.iter().map(|c| c.len() as u32).sum();
        self.gaps = thinned.sealed.iter().map(|c| c.gaps() as u32).sum();
        self.gaps += thinned.open.values.iter().filter(|v| is_gap(**v)).count() as u32;
        (self.sealed, self.open, self.histograms) = (thinned.sealed, thinned.open.values, thinned.open.histograms);
    }
}

/// A column with fewer rows, as it comes to be.
#[derive(Default)]
struct Thinned {
    base: u64,
    sealed: Vec<Chunk>,
    /// What comes was packed before.
    packing: bool,
    open: Unpacked,
    /// The newest sample of the rows that went since the last one that stayed.
    carried: Option<(f64, Option<Arc<NativeHistogram>>)>,
}

impl Thinned {
    /// A chunk all of which stays.
    fn pass(&mut self, chunk: Chunk) {
        self.pack();
        self.sealed.push(chunk);
    }

    fn pack(&mut self) {
        if !self.open.values.is_empty() {
            self.sealed.push(Chunk::of(&self.open.values, &self.open.histograms));
            self.open.clear();
        }
    }

    fn put(&mut self, value: f64, histogram: Option<Arc<NativeHistogram>>, stays: bool) {
        if !stays {
            if !is_gap(value) {
                self.carried = Some((value, histogram));
            }
            return;
        }
        // The newest sample of the merged rows stands for all of them.
        let (value, histogram) = match (is_gap(value), self.carried.take()) {
            (true, Some(earlier)) => earlier,
            _ => (value, histogram),
        };
        if is_gap(value) && self.open.values.is_empty() && self.sealed.is_empty() {
            self.base += 1;
            return;
        }
        self.push(value, histogram);
    }

    fn push(&mut self, value: f64, histogram: Option<Arc<NativeHistogram>>) {
        if self.packing && self.open.values.len() == CHUNK {
            self.pack();
        }
        self.open.extend(&[value], if histogram.is_some() { std::slice::from_ref(&histogram) } else { &[] });
    }

    fn finish(&mut self) {
        if let Some((value, histogram)) = self.carried.take() {
            // The row after the last kept one stands for the merged rows.
            self.push(value, histogram);
        }
        loop {
            while self.open.values.last().is_some_and(|v| is_gap(*v)) {
                self.open.values.pop();
                self.open.histograms.pop();
            }
            if !self.open.values.is_empty() {
                break;
            }
            let Some(chunk) = self.sealed.pop() else { break };
            chunk.unpack(&mut self.open);
        }
        let Unpacked { values, histograms } = &mut self.open;
        values.shrink_to(values.len() + values.len() / 4 + 8);
        histograms.shrink_to(histograms.len() + histograms.len() / 4);
    }
}
