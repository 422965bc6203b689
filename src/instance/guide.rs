//! Leads a newcomer through the scenario of a demo: one sentence at a time, what happens now and where to look.

use std::time::Duration;
use watchfire_config::platform::Scenario;
use watchfire_model::Timestamp;

/// How long one sentence stays before the next.
const PACE: Duration = Duration::from_secs(20);

/// How long it is told that the scenario is over.
const LAST_WORD: Duration = Duration::from_secs(60);

/// The scenario under way.
pub struct Guide {
    pub scenario: Scenario,
    pub started: Timestamp,
    /// Seconds of the scenario per second.
    pub speed: f64,
}

impl Guide {
    /// What to tell at `now`, in one line of 80 columns where possible; nothing once the end has been told.
    pub fn line(&self, now: Timestamp) -> Option<String> {
        (now.since(self.started).mul_f64(self.speed) < self.scenario.lasts + LAST_WORD).then(|| self.sentence(now))
    }

    fn sentence(&self, now: Timestamp) -> String {
        let at = now.since(self.started).mul_f64(self.speed);
        let Scenario { name, title, look_for, lasts, effects, .. } = &self.scenario;
        let begins = effects.iter().map(|e| e.at).min().unwrap_or_default();
        let ends = effects.iter().map(|e| e.until.unwrap_or(*lasts)).max().unwrap_or(*lasts);
        if at < begins {
            return format!("scenario {name}: all is well, soon it is not: {title}");
        }
        if at >= *lasts {
            return format!("scenario {name} is over");
        }
        if at >= ends {
            return format!("{name}: the fault has ended; alerts resolve (8; H lists resolved ones)");
        }
        // One sentence at a time, short enough to be read whole at 80 columns: what happens, then where to look.
        let sentences: Vec<&str> = look_for.split_inclusive(". ").map(str::trim).filter(|s| !s.is_empty()).collect();
        let turn = (now.since(self.started.saturating_add(begins.div_f64(self.speed))).as_secs() / PACE.as_secs()) as usize;
        match (turn % (sentences.len() + 1)).checked_sub(1).and_then(|n| sentences.get(n)) {
            None => format!("scenario {name}: {title}"),
            Some(sentence) => format!("look for  {sentence}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_config::load_platform;

    #[test]
    fn it_tells_what_comes_what_to_look_for_and_what_is_over() {
        let platform = load_platform("clientnest").unwrap_or_else(|e| panic!("{e:?}"));
        let scenario = platform.scenario("database_outage").cloned().expect("is there");
        let guide = Guide { scenario, started: Timestamp(0), speed: 1.0 };
        let at = |seconds: i64| guide.line(Timestamp(seconds * 1000)).unwrap_or_default();
        assert!(at(1).contains("all is well, soon it is not: The content database refuses connections"), "{}", at(1));
        assert!(at(10).contains("scenario database_outage: The content database refuses connections"), "{}", at(10));
        assert!(at(30).contains("look for  Map: the edge content-service -> content-db turns red"), "{}", at(30));
        assert!(at(50).contains("look for  Health: content-service degraded"), "{}", at(50));
        assert!(at(130).contains("the fault has ended"), "{}", at(130));
        assert_eq!(at(200), "scenario database_outage is over");
        assert_eq!(guide.line(Timestamp(400_000)), None, "nothing stays");
    }
}
