//! What the evaluator last concluded, published for everybody who reads: views, API, notifiers' text. Never locked while evaluating.

use arc_swap::ArcSwap;
use serde_json::Value as Json;
use std::sync::Arc;
use watchfire_model::Timestamp;
use watchfire_model::reading::Alert;

/// One conclusion.
#[derive(Clone, Debug, Default)]
pub struct Conclusion {
    pub alerts: Vec<Alert>,
    /// (group, rule, error)
    pub broken_rules: Vec<(String, String, String)>,
    pub rules: usize,
    pub last_evaluation: Option<Timestamp>,
    /// `data.groups` of `/api/v1/rules`.
    pub groups: Json,
}

/// The newest conclusion; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<ArcSwap<Conclusion>>);

impl Board {
    pub fn publish(&self, conclusion: Conclusion) {
        self.0.store(Arc::new(conclusion));
    }

    pub fn read(&self) -> Arc<Conclusion> {
        self.0.load_full()
    }
}
