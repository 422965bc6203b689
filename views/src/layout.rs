//! Layered drawing of a directed graph: break cycles, longest path, dummies for long edges, barycentre sweeps, then columns, rows and
//! orthogonal routes (after Sugiyama, Tagawa and Toda, 1981). Pure, and the same for the same input: what did not change does not move.

use std::collections::HashMap;

const SWEEPS: usize = 8;
/// Parallel lines between two layers; more share their columns.
const CHANNELS: usize = 28;

/// What is drawn, in cells. Edges name nodes by index.
pub struct Graph<'a> {
    /// Width and height of each node.
    pub sizes: &'a [(u16, u16)],
    pub edges: &'a [(usize, usize)],
    /// Columns wanted for a label on each edge; given where an edge enters its target alone.
    pub labels: &'a [u16],
    /// Where several edges enter together, a label may stand where its edge leaves alone. Costs width.
    pub labels_at_source: bool,
    /// Empty rows between nodes.
    pub gap: u16,
}

/// A straight piece of a route: from, to; one of the coordinates is the same.
pub type Piece = ((i32, i32), (i32, i32));

/// How one edge runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub pieces: Vec<Piece>,
    /// Where the arrow stands, and whether it points to the right.
    pub arrow: (i32, i32),
    pub rightwards: bool,
    /// Left end and row of the space for a label, when no other edge runs there.
    pub label: Option<(i32, i32)>,
}

/// Where everything stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Top left corner of each node.
    pub places: Vec<(i32, i32)>,
    pub layers: Vec<usize>,
    pub routes: Vec<Route>,
    pub width: i32,
    pub height: i32,
}

/// One thing in a layer: a node, or an edge passing through.
#[derive(Clone, Copy, Debug)]
struct Item {
    node: Option<usize>,
    width: u16,
    height: u16,
    y: i32,
}

impl Item {
    /// The row at which lines meet it.
    fn port(&self) -> i32 {
        self.y + i32::from(self.height / 2)
    }
}

/// Lays a graph out. Time is about linear in nodes and in edges times the layers they span.
pub fn layered(graph: &Graph<'_>) -> Layout {
    let count = graph.sizes.len();
    if count == 0 {
        return Layout { routes: vec![Route::default(); graph.edges.len()], ..Layout::default() };
    }
    let reversed = break_cycles(count, graph.edges);
    let forward: Vec<(usize, usize)> = graph.edges.iter().zip(&reversed).map(|((a, b), r)| if *r { (*b, *a) } else { (*a, *b) }).collect();
    let layers = longest_path(count, &forward);
    let depth = layers.iter().max().map_or(1, |m| m + 1);
    // Items of each layer, and for each edge its item in every layer it touches.
    let mut items: Vec<Item> =
        graph.sizes.iter().enumerate().map(|(i, (w, h))| Item { node: Some(i), width: *w, height: *h, y: 0 }).collect();
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (node, layer) in layers.iter().enumerate() {
        rows[*layer].push(node);
    }
    let mut chains: Vec<Vec<usize>> = Vec::with_capacity(forward.len());
    let mut shared: HashMap<(usize, usize, usize), usize> = HashMap::new();
    for (a, b) in &forward {
        let mut chain = vec![*a];
        if a != b {
            for (layer, row) in rows.iter_mut().enumerate().take(layers[*b]).skip(layers[*a] + 1) {
                // Edges between the same two nodes run together.
                let item = *shared.entry((*a, *b, layer)).or_insert_with(|| {
                    items.push(Item { node: None, width: 0, height: 1, y: 0 });
                    row.push(items.len() - 1);
                    items.len() - 1
                });
                chain.push(item);
            }
            chain.push(*b);
        }
        chains.push(chain);
    }
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for chain in &chains {
        for pair in chain.windows(2) {
            after[pair[0]].push(pair[1]);
            before[pair[1]].push(pair[0]);
        }
    }
    order(&mut rows, &before, &after, items.len());
    place_rows(&rows, &mut items, &before, &after, graph.gap);
    let links = Links { rows: &rows, chains: &chains, after: &after, before: &before };
    route(graph, &links, &items, &layers, &reversed)
}

/// Marks edges that close a cycle; turned round, the rest has none.
fn break_cycles(count: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut out: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
    let mut incoming = vec![0usize; count];
    for (e, (a, b)) in edges.iter().enumerate() {
        out[*a].push((*b, e));
        incoming[*b] += usize::from(a != b);
    }
    let mut reversed = vec![false; edges.len()];
    let mut state = vec![0u8; count];
    // From the sources first, so that the edge turned round is the one that leads back.
    let mut starts: Vec<usize> = (0..count).collect();
    starts.sort_by_key(|n| incoming[*n]);
    for start in starts {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut stack = vec![(start, 0)];
        while let Some((node, next)) = stack.pop() {
            match out[node].get(next) {
                None => state[node] = 2,
                Some((target, edge)) => {
                    stack.push((node, next + 1));
                    match state[*target] {
                        0 => {
                            state[*target] = 1;
                            stack.push((*target, 0));
                        }
                        1 => reversed[*edge] = true,
                        _ => {}
                    }
                }
            }
        }
    }
    reversed
}

fn longest_path(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut waiting = vec![0usize; count];
    for (a, b) in edges.iter().filter(|(a, b)| a != b) {
        out[*a].push(*b);
        waiting[*b] += 1;
    }
    let sources: Vec<usize> = (0..count).filter(|n| waiting[*n] == 0).collect();
    let mut queue = sources.clone();
    let mut layers = vec![0usize; count];
    let mut head = 0;
    while head < queue.len() {
        let node = queue[head];
        head += 1;
        for target in &out[node] {
            layers[*target] = layers[*target].max(layers[node] + 1);
            waiting[*target] -= 1;
            if waiting[*target] == 0 {
                queue.push(*target);
            }
        }
    }
    // A source stands just before what it calls.
    for node in sources {
        if let Some(first) = out[node].iter().map(|t| layers[*t]).min() {
            layers[node] = first.saturating_sub(1);
        }
    }
    layers
}

/// Orders each layer by the mean place of its neighbours, forwards and backwards in turn.
fn order(rows: &mut [Vec<usize>], before: &[Vec<usize>], after: &[Vec<usize>], items: usize) {
    let mut place = vec![0f32; items];
    for row in rows.iter() {
        for (i, item) in row.iter().enumerate() {
            place[*item] = i as f32;
        }
    }
    let mut keyed: Vec<(f32, usize)> = Vec::new();
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        for step in 1..rows.len() {
            let layer = if down { step } else { rows.len() - 1 - step };
            let neighbours = if down { before } else { after };
            keyed.clear();
            keyed.extend(rows[layer].iter().map(|item| {
                let near = &neighbours[*item];
                let mean = if near.is_empty() { place[*item] } else { near.iter().map(|n| place[*n]).sum::<f32>() / near.len() as f32 };
                (mean, *item)
            }));
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (i, (_, item)) in keyed.iter().enumerate() {
                rows[layer][i] = *item;
                place[*item] = i as f32;
            }
        }
    }
}

/// Gives every item a row: near its neighbours, in the order of its layer.
fn place_rows(rows: &[Vec<usize>], items: &mut [Item], before: &[Vec<usize>], after: &[Vec<usize>], gap: u16) {
    for row in rows {
        let mut y = 0;
        for item in row {
            items[*item].y = y;
            y += i32::from(items[*item].height) + i32::from(gap);
        }
    }
    for pass in 0..4 {
        let down = pass % 2 == 0;
        for step in 0..rows.len() {
            let row = &rows[if down { step } else { rows.len() - 1 - step }];
            let neighbours = if down { before } else { after };
            let wish: Vec<i32> = row
                .iter()
                .map(|item| {
                    let near = &neighbours[*item];
                    if near.is_empty() {
                        return items[*item].y;
                    }
                    let ports: i64 = near.iter().map(|n| i64::from(items[*n].port())).sum();
                    (ports / near.len() as i64) as i32 - i32::from(items[*item].height / 2)
                })
                .collect();
            settle(row, &wish, items, gap);
        }
    }
    let top = items.iter().map(|i| i.y).min().unwrap_or(0);
    items.iter_mut().for_each(|i| i.y -= top);
}

/// Puts items as near to their wishes as order and gaps allow: runs that would overlap are moved as one by their mean.
fn settle(row: &[usize], wish: &[i32], items: &mut [Item], gap: u16) {
    // Blocks of items that touch: first index, sum of (wish - offset), count, height.
    let mut blocks: Vec<(usize, i64, i64, i32)> = Vec::new();
    for (i, item) in row.iter().enumerate() {
        let size = i32::from(items[*item].height) + i32::from(gap);
        let mut block = (i, i64::from(wish[i]), 1i64, size);
        while let Some(last) = blocks.last().copied() {
            if (last.1.div_euclid(last.2)) as i32 + last.3 <= block.1.div_euclid(block.2) as i32 {
                break;
            }
            blocks.pop();
            block = (last.0, last.1 + block.1 - i64::from(last.3) * block.2, last.2 + block.2, last.3 + block.3);
        }
        blocks.push(block);
    }
    for (n, block) in blocks.iter().enumerate() {
        let end = blocks.get(n + 1).map_or(row.len(), |next| next.0);
        let mut y = block.1.div_euclid(block.2) as i32;
        for item in &row[block.0..end] {
            items[*item].y = y;
            y += i32::from(items[*item].height) + i32::from(gap);
        }
    }
}

struct Links<'a> {
    rows: &'a [Vec<usize>],
    chains: &'a [Vec<usize>],
    after: &'a [Vec<usize>],
    before: &'a [Vec<usize>],
}

fn route(graph: &Graph<'_>, links: &Links<'_>, items: &[Item], layers: &[usize], reversed: &[bool]) -> Layout {
    let depth = links.rows.len();
    let widths: Vec<i32> = links.rows.iter().map(|row| row.iter().map(|i| i32::from(items[*i].width)).max().unwrap_or(0)).collect();
    let mut lefts = vec![0i32; depth];
    let mut channel_of: HashMap<usize, i32> = HashMap::new();
    // The widest label among edges that enter a node of the layer alone.
    let mut label_room = vec![0i32; depth];
    for (edge, chain) in links.chains.iter().enumerate() {
        if let Some(target) = chain.last().filter(|t| links.before[**t].len() == 1).and_then(|t| items[*t].node) {
            let wanted = graph.labels.get(edge).copied().unwrap_or(0);
            label_room[layers[target]] = label_room[layers[target]].max(i32::from(wanted));
        }
    }
    let leaves_alone = |chain: &[usize]| {
        graph.labels_at_source && chain.len() > 1 && links.after[chain[0]].len() == 1 && links.before[chain[chain.len() - 1]].len() > 1
    };
    let mut source_room = vec![0i32; depth];
    for (edge, chain) in links.chains.iter().enumerate().filter(|(_, chain)| leaves_alone(chain)) {
        if let Some(node) = items[chain[0]].node {
            source_room[layers[node]] = source_room[layers[node]].max(i32::from(graph.labels.get(edge).copied().unwrap_or(0)) + 1);
        }
    }
    let mut x = 0;
    for layer in 0..depth {
        lefts[layer] = x;
        x += widths[layer];
        if layer + 1 < depth {
            let used = channels(&links.rows[layer], items, links.after, x + 1 + source_room[layer], &mut channel_of);
            x += 1 + source_room[layer] + used + label_room[layer + 1] + 3;
        }
    }
    let mut layout = Layout {
        places: (0..graph.sizes.len()).map(|n| (lefts[layers[n]], items[n].y)).collect(),
        layers: layers.to_vec(),
        routes: Vec::with_capacity(links.chains.len()),
        width: x,
        height: items.iter().map(|i| i.y + i32::from(i.height)).max().unwrap_or(0),
    };
    let mut layer_of = vec![0; items.len()];
    for (layer, row) in links.rows.iter().enumerate() {
        for item in row {
            layer_of[*item] = layer;
        }
    }
    for (edge, chain) in links.chains.iter().enumerate() {
        let mut route = Route { rightwards: !reversed[edge], ..Route::default() };
        for pair in chain.windows(2) {
            let (a, b) = (&items[pair[0]], &items[pair[1]]);
            let from = match a.node {
                Some(n) => lefts[layer_of[pair[0]]] + i32::from(graph.sizes[n].0),
                None => lefts[layer_of[pair[0]]],
            };
            let to = lefts[layer_of[pair[1]]] - 1;
            let (ya, yb) = (a.port(), b.port());
            let channel = channel_of.get(&pair[0]).copied().unwrap_or(from);
            if ya == yb {
                route.pieces.push(((from, ya), (to, yb)));
            } else {
                route.pieces.extend([((from, ya), (channel, ya)), ((channel, ya), (channel, yb)), ((channel, yb), (to, yb))]);
            }
            if b.node.is_none() {
                // Through the layer to its far side.
                let far = lefts[layer_of[pair[1]]] + widths[layer_of[pair[1]]];
                route.pieces.push(((to, yb), (far, yb)));
            } else if links.before[pair[1]].len() == 1 {
                route.label = Some((to - i32::from(graph.labels.get(edge).copied().unwrap_or(0)), yb));
            }
        }
        if route.label.is_none() && leaves_alone(chain) {
            route.label = route.pieces.first().map(|((x, y), _)| (x + 1, *y));
        }
        if let (Some(first), Some(last)) = (route.pieces.first(), route.pieces.last()) {
            route.arrow = if route.rightwards { last.1 } else { first.0 };
        }
        // A dummy has no width, so what leaves it begins at its layer's left side; the piece through the layer covers it.
        layout.routes.push(route);
    }
    layout
}

/// Gives each item with outgoing lines a column between its layer and the next. Lines leaving a row stand left of lines entering
/// that row, so that two edges never seem to be one. Returns the columns used.
fn channels(row: &[usize], items: &[Item], after: &[Vec<usize>], left: i32, channel_of: &mut HashMap<usize, i32>) -> i32 {
    let mut sources: Vec<(usize, i32, i32)> = Vec::new();
    let mut leaving: HashMap<i32, usize> = HashMap::new();
    for item in row {
        let port = items[*item].port();
        let turns = after[*item].iter().map(|t| items[*t].port()).filter(|p| *p != port);
        let (low, high) = turns.fold((port, port), |(low, high), p| (low.min(p), high.max(p)));
        if low != high {
            leaving.insert(port, sources.len());
            sources.push((*item, low, high));
        }
    }
    let mut level = vec![0usize; sources.len()];
    for _ in 0..4 {
        let mut moved = false;
        for (s, (item, _, _)) in sources.iter().enumerate() {
            for target in &after[*item] {
                if let Some(other) = leaving.get(&items[*target].port()).filter(|o| **o != s)
                    && level[s] <= level[*other]
                    && level[*other] + 1 < CHANNELS
                {
                    level[s] = level[*other] + 1;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|s| (level[*s], sources[*s].1));
    let mut taken: Vec<Vec<(i32, i32)>> = vec![Vec::new(); CHANNELS];
    let mut used = 0;
    for s in order {
        let (item, low, high) = sources[s];
        let free = (level[s]..CHANNELS).find(|c| taken[*c].iter().all(|(l, h)| high < *l || low > *h)).unwrap_or(level[s]);
        taken[free].push((low, high));
        used = used.max(free as i32 + 1);
        channel_of.insert(item, left + free as i32);
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(count: usize, edges: &[(usize, usize)]) -> Layout {
        layered(&Graph { sizes: &vec![(10, 3); count], edges, labels: &vec![4; edges.len()], labels_at_source: false, gap: 1 })
    }

    #[test]
    fn a_chain_runs_from_left_to_right_in_one_row() {
        let layout = lay(3, &[(0, 1), (1, 2)]);
        assert_eq!(layout.layers, [0, 1, 2]);
        assert!(layout.places[0].0 + 10 < layout.places[1].0);
        assert_eq!(layout.places[0].1, layout.places[2].1);
        assert!(layout.routes.iter().all(|r| r.pieces.len() == 1 && r.label.is_some()));
    }

    #[test]
    fn cycles_loops_and_double_edges_are_drawn() {
        let layout = lay(3, &[(0, 1), (1, 2), (2, 0), (1, 1), (0, 1)]);
        assert_eq!(layout.layers, [0, 1, 2]);
        assert!(!layout.routes[2].rightwards);
        assert_eq!(layout.routes.len(), 5);
    }

    #[test]
    fn nodes_do_not_overlap() {
        let edges: Vec<(usize, usize)> = (1..60).map(|i| (i / 3, i)).chain((1..50).map(|i| (i / 7, i + 9))).collect();
        let layout = lay(60, &edges);
        for a in 0..60 {
            for b in 0..a {
                let apart = layout.places[a].0 != layout.places[b].0 || (layout.places[a].1 - layout.places[b].1).abs() >= 3;
                assert!(apart, "{a} and {b} overlap");
            }
        }
    }

    #[test]
    fn the_same_graph_is_laid_out_the_same() {
        let edges: Vec<(usize, usize)> = (1..200).map(|i| (i * 7 % i, i)).collect();
        assert_eq!(lay(200, &edges), lay(200, &edges));
    }

    #[test]
    fn an_empty_graph_is_empty() {
        assert_eq!(lay(0, &[]), Layout::default());
    }
}
