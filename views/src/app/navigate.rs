//! Where one is, in views and in time.

use super::{App, Effects, Held, Mode, cx};
use crate::effect::Effect;
use crate::readings::Kind;
use crate::view::Place;
use crate::views::ViewId;
use watchfire_model::{Request, Timestamp};

/// The longest trail back.
const TRAIL: usize = 50;

/// The order in which problems are visited.
const PROBLEM_VIEWS: [ViewId; 5] = [ViewId::Services, ViewId::Alerts, ViewId::Breakers, ViewId::Queues, ViewId::Health];
/// What they are read for.
const PROBLEM_KINDS: [Kind; 5] = [Kind::Services, Kind::Alerts, Kind::Breakers, Kind::Queues, Kind::Health];

impl App {
    /// To the top of another tab. The way back is forgotten.
    pub(crate) fn switch(&mut self, view: ViewId) -> Effects {
        if self.place.view == view {
            while self.views[view as usize].back() {}
        } else {
            self.last = Some(self.place.clone());
        }
        self.trail.clear();
        self.place = Place { view, subject: None };
        self.views[view as usize].open(None);
        vec![Effect::Refresh]
    }

    /// Deeper, with a way back.
    pub(crate) fn descend(&mut self, place: Place) -> Effects {
        if self.place != place {
            self.trail.push(self.place.clone());
            if self.trail.len() > TRAIL {
                self.trail.remove(0);
            }
            self.last = Some(self.place.clone());
        }
        self.place = place;
        self.views[self.place.view as usize].open(self.place.subject.as_deref());
        vec![Effect::Refresh]
    }

    /// Closes the innermost thing; at the first page `quit` leaves.
    pub(crate) fn back(&mut self, quit: bool) -> Effects {
        let view = self.place.view as usize;
        if self.views[view].back() {
            return vec![Effect::Refresh];
        }
        if !quit && !self.settings[view].filter.is_empty() {
            self.set_filter("");
            return vec![Effect::Refresh];
        }
        if let Some(place) = self.trail.pop() {
            // The view is as it was left, unless it was used for something else in between.
            let reopen = place.subject.is_some();
            self.last = Some(std::mem::replace(&mut self.place, place));
            if reopen {
                self.views[self.place.view as usize].open(self.place.subject.as_deref());
            }
            return vec![Effect::Refresh];
        }
        if quit { vec![Effect::Quit] } else { Vec::new() }
    }

    /// To the next problem of this view, then of the next view that has one.
    pub(crate) fn problem(&mut self, forward: bool) -> Effects {
        let was_hunting = std::mem::replace(&mut self.hunting, true);
        let refresh = if was_hunting { Vec::new() } else { vec![Effect::Refresh] };
        if let Some(effects) = self.jump(forward, &refresh) {
            return effects;
        }
        // What other views were read for may be old or gone: only new answers say that there is none.
        if self.held.is_none() {
            self.chase = Some((forward, PROBLEM_KINDS.to_vec()));
            self.say("looking for problems in all views …", false);
            return vec![Effect::Refresh];
        }
        self.say("no problem known in any view", false);
        refresh
    }

    /// Goes on with the jump to a problem once every view that can have one has been read anew.
    pub(crate) fn chase_on(&mut self) -> Effects {
        match self.chase.take_if(|(_, missing)| missing.is_empty()) {
            Some((forward, _)) => {
                self.message = None;
                self.dirty = true;
                self.jump(forward, &[Effect::Refresh]).unwrap_or_else(|| {
                    self.say("no problem known in any view", false);
                    Vec::new()
                })
            }
            None => Vec::new(),
        }
    }

    /// `refresh` is what a jump within this view asks for besides.
    fn jump(&mut self, forward: bool, refresh: &[Effect]) -> Option<Effects> {
        let when = self.when();
        let here = cx(&self.readings, &self.settings, &self.place, when);
        if self.views[self.place.view as usize].problem(forward, &here) {
            return Some(refresh.to_vec());
        }
        let count = PROBLEM_VIEWS.len();
        let start = PROBLEM_VIEWS.iter().position(|v| *v == self.place.view);
        for step in 1..=count {
            let index = match (start, forward) {
                (Some(s), true) => (s + step) % count,
                (Some(s), false) => (s + count - step) % count,
                (None, true) => step - 1,
                (None, false) => count - step,
            };
            let view = PROBLEM_VIEWS[index];
            let place = Place { view, subject: None };
            let there = cx(&self.readings, &self.settings, &place, when);
            self.views[view as usize].rewind();
            if self.views[view as usize].problem(forward, &there) {
                if view != self.place.view {
                    self.last = Some(self.place.clone());
                    self.trail.clear();
                }
                self.place = place;
                return Some(vec![Effect::Refresh]);
            }
        }
        None
    }

    /// Moves the time cursor by seconds; past now is live.
    pub(crate) fn scrub(&mut self, seconds: i64) -> Effects {
        let from = self.at.unwrap_or(self.now());
        let to = Timestamp::from_millis(from.millis().saturating_add(seconds * 1000));
        self.set_time((to < self.now()).then_some(to))
    }

    pub(crate) fn set_time(&mut self, at: Option<Timestamp>) -> Effects {
        if at.is_some_and(|at| at > self.now()) {
            self.say("that is in the future", true);
            return Vec::new();
        }
        if at.is_none() && self.at.is_none() {
            self.say("live already", false);
            return Vec::new();
        }
        self.paused = false;
        if self.at.is_none() {
            self.ahead = self.changes();
        }
        self.at = at;
        self.thaw();
        // What changed is asked relative to the cursor, so it is another question now.
        self.readings.forget(Kind::Changes);
        self.awaited = self.wants().iter().map(Kind::of).collect();
        // Other views would show the time before this one until their answers come.
        self.readings.keep(&self.awaited);
        self.dirty = true;
        vec![Effect::Refresh]
    }

    /// When what changed, as far as readings on screen tell; `None` where none does.
    fn changes(&self) -> Option<Vec<Timestamp>> {
        let listed = self.readings.services().map(|s| s.changes.as_slice());
        let recent = self.readings.changes().map(|c| c.changes.as_slice());
        let known = listed.is_some() || recent.is_some();
        known.then(|| listed.into_iter().chain(recent).flatten().map(|c| c.at).collect())
    }

    /// To the newest change before the cursor, or the first one after it.
    pub(crate) fn seek_change(&mut self, forward: bool) -> Effects {
        let now = self.shown_time();
        let Some(mut times) = self.changes() else {
            self.seeking = Some(forward);
            self.say("reading what changed …", false);
            return vec![Effect::Refresh];
        };
        self.seeking = None;
        times.extend(self.ahead.iter().flatten());
        let times = times.into_iter();
        let target = if forward { times.filter(|t| *t > now).min() } else { times.filter(|t| *t < now).max() };
        match target {
            Some(at) => self.set_time(Some(at)),
            None if forward && self.at.is_some() && self.ahead.is_none() => {
                self.say("what changed after this has not been read; End is now, and from there { goes back change by change", false);
                Vec::new()
            }
            None if forward => self.set_time(None),
            None => {
                self.say("no change known before this; c lists changes over a longer time", false);
                Vec::new()
            }
        }
    }

    /// Goes on with a jump once what it needs has been read.
    pub(crate) fn seek_on(&mut self) -> Effects {
        match self.seeking {
            Some(forward) if self.readings.services().is_some() => self.seek_change(forward),
            _ => Vec::new(),
        }
    }

    pub(crate) fn freeze(&mut self) {
        if self.held.is_some() {
            self.thaw();
        } else {
            self.held = Some(Held { newest: Vec::new(), count: 0 });
        }
        self.dirty = true;
    }

    /// What is asked for the first time while the screen is frozen, beside what was `asked` before, is read as of the moment that it stands at: the time
    /// cursor goes there.
    pub(crate) fn go_on_frozen(&mut self, asked: &[Request]) -> Effects {
        let is_new = |request: &Request| {
            let words = matches!(request, Request::Status | Request::Vocabulary);
            !words && !asked.contains(request) && self.readings.slot(Kind::of(request)).request.as_ref() != Some(request)
        };
        // The palette asks for names to choose from, which are of no time.
        if self.held.is_none() || !matches!(self.mode, Mode::Normal) || !self.wants().iter().any(is_new) {
            return Vec::new();
        }
        let moment = self.shown_time();
        // What came later is of no use there.
        self.held = None;
        let effects = self.set_time(Some(moment));
        self.paused = self.at.is_some();
        effects
    }

    fn thaw(&mut self) {
        if let Some(held) = self.held.take() {
            for (request, answer) in held.newest {
                self.receive(&request, answer);
            }
        }
    }
}
