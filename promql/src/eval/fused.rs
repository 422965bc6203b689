//! Aggregations computed while their input is being selected, without an intermediate result.

use super::block::Block;
use super::{Evaluator, Outcome};
use crate::ast::Aggregate;

impl Evaluator<'_> {
    pub fn fused(&self, _aggregate: &Aggregate) -> Outcome<Option<Block>> {
        Ok(None)
    }
}
