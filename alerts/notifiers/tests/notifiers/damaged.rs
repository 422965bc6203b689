//! Files that are not what they were.

use crate::routing::{TREE, labels};
use proptest::prelude::*;
use watchfire_notifiers::routing::Routing;

/// What damages a file in other ways than a cut.
const DAMAGE: [&str; 24] = [
    "",
    "",
    " ",
    "\n",
    "\n- ",
    "\n  ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "&a ",
    "*a",
    "<<: *a",
    "- &a [*a]",
    "null",
    "~",
    "-1",
    "99999999999999999999",
    ".inf",
    "{{ .Labels.a }}",
    "(?i)(a|b)*$",
];

proptest! {
    /// PROPTEST_CASES makes more of them.
    #[test]
    fn a_damaged_file_is_refused_with_words_or_sends_everything_somewhere(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..30, proptest::sample::select(&DAMAGE[..])), 1..6),
    ) {
        let mut text = TREE.to_owned();
        for (at, length, instead) in edits {
            let at = at.index(text.len() + 1);
            text.replace_range(at..(at + length).min(text.len()), instead);
        }
        match Routing::from_alertmanager_yml(&text) {
            Ok(routing) => {
                let alert = labels(&[("severity", "critical"), ("team", "db"), ("service", "api-users"), ("env", "test"), ("zone", "c")]);
                prop_assert!(!routing.explain(&alert).receivers.is_empty());
            }
            Err(refusal) => prop_assert!(!refusal.trim().is_empty()),
        }
    }
}
