//! Vectors joined by labels: one to one, many to one, with fills for what has no partner. Follows Prometheus `promql/engine.go`.

use super::binary::{Kept, drops_name, label_text};
use super::block::{Block, Meta};
use super::{Evaluator, Outcome};
use crate::ast::{Binary, Cardinality, Matching, Span};
use crate::error::EvalError;
use crate::functions::over_time::Cell;
use crate::plans::MatchPlan;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME};

impl Evaluator<'_> {
    pub fn matched(&self, binary: &Binary, matching: &Matching, lhs: Block, rhs: Block, span: Span) -> Outcome<Block> {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (&rhs, &lhs) } else { (&lhs, &rhs) };
        // As in Prometheus, with `group_right` the left fill is that of the many side.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let mut join = Join {
            evaluator: self,
            binary,
            matching,
            span,
            swapped,
            same_labels: matching.cardinality == Cardinality::OneToOne
                && !matching.on
                && matching.labels.is_empty()
                && matching.fill_left.is_none()
                && matching.fill_right.is_none(),
            row_of: vec![NONE; many.len()],
            rows: HashMap::new(),
            pairs: HashMap::new(),
            used: Vec::new(),
            out: self.block(),
        };
        if (many.is_empty() && fill_many.is_none()) || (one.is_empty() && fill_one.is_none()) {
            return Ok(join.out);
        }
        let signatures = Signatures::new(self, matching, [many, one]);
        let (many_ids, one_ids) = (signatures.ids(many), signatures.ids(one));
        let mut one_of = vec![NONE; signatures.len()];
        let mut matched = vec![false; signatures.len()];
        for step in 0..many.steps {
            one_of.fill(NONE);
            matched.fill(false);
            if !(0..many.len()).any(|s| many.is_present(s, step)) && fill_many.is_none() {
                continue;
            }
            for (series, id) in one_ids.iter().enumerate() {
                self.ctx.budget.tick(1)?;
                if !one.is_present(series, step) {
                    continue;
                }
                if one_of[*id] != NONE {
                    let side = if swapped { "left" } else { "right" };
                    let pair = [&one.series[one_of[*id] as usize].labels, &one.series[series].labels];
                    return Err(duplicate_error(&signature(matching, pair[1]), side, pair));
                }
                one_of[*id] = series as u32;
            }
            for (series, id) in many_ids.iter().enumerate() {
                self.ctx.budget.tick(1)?;
                let Some(cell) = many.cell(series, step) else { continue };
                let repeated = std::mem::replace(&mut matched[*id], true);
                let partner = one_of[*id];
                let (partner_cell, partner_meta) = if partner != NONE {
                    (one.cell(partner as usize, step), Some((partner as usize, &one.series[partner as usize])))
                } else {
                    (fill_one.map(Cell::Float), None)
                };
                let Some(partner_cell) = partner_cell else {
                    matched[*id] = repeated;
                    continue;
                };
                if matching.cardinality == Cardinality::OneToOne && repeated {
                    return Err(EvalError::execution(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                    ));
                }
                let filled;
                let (one_index, one_meta) = match partner_meta {
                    Some((index, meta)) => (index as u32, meta),
                    None => {
                        filled = Meta { labels: signature(matching, &many.series[series].labels), drop_name: false };
                        (NONE, &filled)
                    }
                };
                let key = (series as u32, one_index, *id as u32);
                join.put(step, key, (&many.series[series], &cell), (one_meta, &partner_cell))?;
            }
            if let Some(fill) = fill_many {
                for (series, id) in one_ids.iter().enumerate() {
                    let Some(cell) = one.cell(series, step).filter(|_| !matched[*id]) else { continue };
                    let filled = Meta { labels: signature(matching, &one.series[series].labels), drop_name: false };
                    let key = (NONE, series as u32, *id as u32);
                    join.put(step, key, (&filled, &Cell::Float(fill)), (&one.series[series], &cell))?;
                }
            }
        }
        let mut out = join.out;
        out.retain_present();
        let samples = out.samples();
        self.ctx.budget.hold(&mut out.lease, samples)?;
        Ok(out)
    }
}

const NONE: u32 = u32::MAX;

/// Seeded anew by each process, so that nobody can choose values that collide.
static HASHES: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::default(), RandomState::default()]);

/// Numbers for the label values that series match by. Two hashes stand for the values; 128 bits do not collide in practice.
pub struct Signatures<'a> {
    matching: &'a Matching,
    plan: Arc<Mutex<MatchPlan>>,
}

/// Fewer rows are not worth a look into the plans.
const SMALL: usize = 256;

impl<'a> Signatures<'a> {
    /// For instant queries over many series of the source the numbers are remembered.
    pub fn new(evaluator: &Evaluator<'_>, matching: &'a Matching, sides: [&Block; 2]) -> Self {
        let rows: usize = sides.iter().map(|b| b.len()).sum();
        let from_source = sides.iter().all(|b| !b.ids.is_empty()) && evaluator.steps.count == 1 && rows > SMALL;
        let plan = match evaluator.ctx.source.generation().filter(|_| from_source) {
            Some(generation) => evaluator.ctx.plans.matches(matching, generation),
            None => Arc::default(),
        };
        Signatures { matching, plan }
    }

    pub fn len(&self) -> usize {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn ids(&self, block: &Block) -> Vec<usize> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |(series, meta): (usize, &Meta)| match block.ids.get(series) {
            Some(id) => plan.number_of(*id, &meta.labels, |labels| self.hashes(labels)),
            None => plan.number(self.hashes(&meta.labels)),
        };
        block.series.iter().enumerate().map(number).collect()
    }

    fn hashes(&self, labels: &Labels) -> (u64, u64) {
        let mut hashers = [HASHES[0].build_hasher(), HASHES[1].build_hasher()];
        for label in labels.iter().filter(|l| matches_by(self.matching, &l.name)) {
            for hasher in &mut hashers {
                label.name.hash(hasher);
                label.value.hash(hasher);
            }
        }
        (hashers[0].finish(), hashers[1].finish())
    }
}

/// True when a label takes part in matching.
fn matches_by(matching: &Matching, name: &str) -> bool {
    let listed = matching.labels.iter().any(|l| l == name);
    if matching.on { listed } else { !listed && name != METRIC_NAME }
}

/// Where pairs of matched elements go.
struct Join<'a, 'b> {
    evaluator: &'a Evaluator<'b>,
    binary: &'a Binary,
    matching: &'a Matching,
    span: Span,
    swapped: bool,
    /// Results have exactly the labels of the many side: each of its series has its own row.
    same_labels: bool,
    row_of: Vec<u32>,
    rows: HashMap<Labels, usize>,
    /// Row by (many series, one series, signature).
    pairs: HashMap<(u32, u32, u32), usize>,
    /// The step and signature that last wrote each row.
    used: Vec<(usize, u32)>,
    out: Block,
}

impl Join<'_, '_> {
    fn drop_name(&self, many: &Meta) -> bool {
        many.drop_name || drops_name(self.binary.op) || self.binary.returns_bool
    }

    fn own_row(&mut self, series: usize, many: &Meta) -> Outcome<usize> {
        if self.row_of[series] == NONE {
            let meta = Meta { labels: many.labels.clone(), drop_name: self.drop_name(many) };
            self.row_of[series] = self.evaluator.push_row(&mut self.out, meta)? as u32;
        }
        Ok(self.row_of[series] as usize)
    }

    fn shared_row(&mut self, key: (u32, u32, u32), many: &Meta, one: &Meta) -> Outcome<usize> {
        if let Some(row) = self.pairs.get(&key) {
            return Ok(*row);
        }
        let labels = result_labels(self.matching, &many.labels, &one.labels);
        let row = match self.rows.get(&labels) {
            Some(row) => *row,
            None => {
                let meta = Meta { labels: labels.clone(), drop_name: self.drop_name(many) };
                let row = self.evaluator.push_row(&mut self.out, meta)?;
                self.rows.insert(labels, row);
                self.used.push((usize::MAX, 0));
                row
            }
        };
        self.pairs.insert(key, row);
        Ok(row)
    }

    fn put(&mut self, step: usize, key: (u32, u32, u32), many: (&Meta, &Cell), one: (&Meta, &Cell)) -> Outcome<()> {
        let binary = self.binary;
        let row = if self.same_labels { self.own_row(key.0 as usize, many.0)? } else { self.shared_row(key, many.0, one.0)? };
        if self.matching.cardinality != Cardinality::OneToOne {
            if self.used[row] == (step, key.2) {
                return Err(EvalError::execution("multiple matches for labels: grouping labels must ensure unique matches"));
            }
            self.used[row] = (step, key.2);
        }
        let (l, r) = if self.swapped { (one.1, many.1) } else { (many.1, one.1) };
        let result = match self.evaluator.element(binary.op, l, r, self.span) {
            Kept::Impossible => return Ok(()),
            Kept::Value(_, keep) if binary.returns_bool => Cell::Float(f64::from(u8::from(keep))),
            Kept::Value(_, false) => return Ok(()),
            Kept::Value(value, true) => value,
        };
        if self.out.is_present(row, step) {
            return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
        }
        self.out.set(row, step, result);
        Ok(())
    }
}

/// The labels two series must share to match.
fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::new();
    for label in labels.iter().filter(|l| matches_by(matching, &l.name)) {
        builder.set_shared(label.name.clone(), label.value.clone());
    }
    builder.build()
}

fn result_labels(matching: &Matching, many: &Labels, one: &Labels) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|l| l == name);
    let mut builder = LabelsBuilder::new();
    for label in many.iter() {
        let keep = match matching.cardinality {
            Cardinality::OneToOne if matching.on => listed(&label.name),
            Cardinality::OneToOne => !listed(&label.name),
            _ => true,
        };
        if keep {
            builder.set_shared(label.name.clone(), label.value.clone());
        }
    }
    for name in &matching.include {
        match one.iter().find(|label| &*label.name == name) {
            Some(label) => builder.set_shared(label.name.clone(), label.value.clone()),
            None => builder.remove(name),
        };
    }
    builder.build()
}

fn duplicate_error(group: &Labels, side: &str, pair: [&Labels; 2]) -> EvalError {
    let mut texts = pair.map(label_text);
    texts.sort();
    EvalError::execution(format!(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
         many-to-many matching not allowed: matching labels must be unique on one side",
        label_text(group),
        texts[0],
        texts[1]
    ))
}
