//! What the evaluator last concluded, published for everybody who reads: views, API, notifiers' text. Never locked while evaluating.

use arc_swap::ArcSwap;
use serde_json::Value as Json;
use std::sync::{Arc, OnceLock};
use watchfire_alerts::GroupReport;
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
    /// Groups and rules with health, timing and alerts.
    pub groups: Vec<Arc<GroupReport>>,
    /// The same as JSON, made for the first who asks.
    pub json: OnceLock<Json>,
}

impl Conclusion {
    /// `data.groups` of `/api/v1/rules`.
    pub fn groups_json(&self) -> &[Json] {
        let made = self.json.get_or_init(|| self.groups.iter().map(|group| serde_json::to_value(&**group).unwrap_or_default()).collect());
        made.as_array().map_or(&[], Vec::as_slice)
    }
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
