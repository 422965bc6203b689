//! From a scenario's words to the keys of the views that it names.

use std::collections::BTreeMap;

const KEYMAP: &str = include_str!("../../../assets/keymap.toml");

/// Views in the words of `look_for`, and the action that opens each.
const VIEWS: [(&str, &str); 12] = [
    ("Services", "services"),
    ("Map", "map"),
    ("Traces", "traces"),
    ("Latency", "latency"),
    ("Queues", "queues"),
    ("Breakers", "breakers"),
    ("Health", "health"),
    ("Alerts", "alerts"),
    ("SLO", "slo"),
    ("Explore", "explore"),
    ("Logs", "logs"),
    ("Changes", "changes"),
];

/// The default keys of the views, by action.
pub struct Keys(BTreeMap<String, String>);

impl Keys {
    /// # Errors
    /// When the keymap is not what this page generator takes it for.
    pub fn read() -> Result<Self, Box<dyn std::error::Error>> {
        let keymap: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(KEYMAP)?;
        let everywhere = keymap.get("everywhere").ok_or("the keymap has no table [everywhere]")?;
        let by_action = |action: &str| everywhere.iter().find(|(_, a)| *a == action).map(|(key, _)| key.clone());
        let mut keys = BTreeMap::new();
        for (_, action) in VIEWS {
            keys.insert(action.to_owned(), by_action(action).ok_or_else(|| format!("no key opens {action}"))?);
        }
        Ok(Keys(keys))
    }

    /// `8` (alerts).
    pub fn press(&self, action: &str) -> String {
        format!("`{}` ({action})", self.0.get(action).map_or("?", String::as_str))
    }

    /// The views that a text names, in its order and without repeats.
    pub fn views_of(&self, text: &str) -> Vec<&'static str> {
        let mut views = Vec::new();
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            if let Some((_, action)) = VIEWS.iter().find(|(name, _)| *name == word)
                && !views.contains(action)
            {
                views.push(*action);
            }
        }
        views
    }
}
