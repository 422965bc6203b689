//! The map's layout with about two edges per node and a few cycles.

use divan::Bencher;
use watchfire_views::layout::{Graph, layered};

fn main() {
    divan::main();
}

#[divan::bench(args = [20, 200, 2000])]
fn layered_graph(bencher: Bencher<'_, '_>, nodes: usize) {
    // A small linear congruential generator: the same graph in every run.
    let mut state = 0x2545_f491_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    let mut edges: Vec<(usize, usize)> = (1..nodes).map(|i| (next(i), i)).collect();
    edges.extend((0..nodes).map(|_| {
        let (a, b) = (next(nodes), next(nodes));
        if next(50) == 0 { (a.max(b), a.min(b)) } else { (a.min(b), a.max(b)) }
    }));
    edges.retain(|(a, b)| a != b);
    let sizes = vec![(20, 3); nodes];
    let labels = vec![12; edges.len()];
    bencher.bench(|| layered(&Graph { sizes: &sizes, edges: &edges, labels: &labels, labels_at_source: false, gap: 1 }));
}
