//! Silences, ready to be asked.

use watchfire_model::reading::Silence;
use watchfire_model::{Labels, MatchOp, Matcher, Timestamp};

/// A silence with its conditions compiled.
#[derive(Clone, Debug)]
pub struct ActiveSilence {
    pub silence: Silence,
    matchers: Vec<Matcher>,
}

impl ActiveSilence {
    /// # Errors
    /// When an operator is unknown, a regular expression is refused, no condition is given, or it ends before it starts.
    pub fn new(silence: Silence) -> Result<Self, String> {
        if silence.matchers.is_empty() {
            return Err("a silence needs at least one matcher".to_owned());
        }
        if silence.ends_at <= silence.starts_at {
            return Err("a silence must end after it starts".to_owned());
        }
        let mut matchers = Vec::new();
        for (name, op, value) in &silence.matchers {
            if name.is_empty() {
                return Err(format!("a matcher of a silence has no name: {op}{value:?}"));
            }
            let op = match op.as_str() {
                "=" => MatchOp::Equal,
                "!=" => MatchOp::NotEqual,
                "=~" => MatchOp::Regex,
                "!~" => MatchOp::NotRegex,
                other => return Err(format!("unknown operator {other:?} in a silence; use =, !=, =~ or !~")),
            };
            matchers.push(Matcher::new(name, op, value).map_err(|e| format!("silence matcher {name}: {e}"))?);
        }
        // As in Alertmanager: who says what is not to be silenced means all the rest, while `=~".*"` is a slip of the pen.
        let positive = |m: &Matcher| matches!(m.op, MatchOp::Equal | MatchOp::Regex);
        if matchers.iter().all(|m| positive(m) && m.matches_value("")) {
            return Err("at least one matcher of a silence must not match the empty value".to_owned());
        }
        Ok(ActiveSilence { silence, matchers })
    }

    pub fn covers(&self, labels: &Labels, now: Timestamp) -> bool {
        self.silence.starts_at <= now && now < self.silence.ends_at && self.matchers.iter().all(|m| m.matches(labels))
    }
}
