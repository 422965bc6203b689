//! Templates of log lines in the manner of Drain (He et al., ICWS 2017): lines of the same length that share a beginning and most of their words are one template,
//! the words in which they differ become `<*>`.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Templates told apart; the words of a line that are looked at; share of a template's words that a line has to have, leaving out those that differ.
const TEMPLATES: usize = 1000;
const WORDS: usize = 64;
const ALIKE: f64 = 0.5;
const WILD: &str = "<*>";

struct Template {
    words: Vec<Box<str>>,
    more: bool,
    count: u64,
}

#[derive(Default)]
pub(crate) struct Patterns {
    templates: Vec<Template>,
    /// By number of words and first word (wild where it holds a digit).
    groups: HashMap<(usize, Box<str>), Vec<usize>, RandomState>,
    rest: u64,
}

fn varies(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit())
}

impl Patterns {
    pub fn add(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let taken: Vec<&str> = words.by_ref().take(WORDS).collect();
        let Some(first) = taken.first() else { return };
        let more = words.next().is_some();
        let group = (taken.len(), if varies(first) { WILD.into() } else { Box::from(*first) });
        let members = self.groups.entry(group).or_default();
        let mut best: Option<(usize, usize)> = None;
        for member in members.iter() {
            let words = &self.templates[*member].words;
            let same = words.iter().zip(&taken).filter(|(a, b)| ***a == ***b && &***a != WILD).count();
            // What differs anyway makes nothing alike: a failure is not the success that has as many values.
            let kept = words.iter().filter(|w| &***w != WILD).count();
            let alike = if kept == 0 { 1.0 } else { same as f64 / kept as f64 };
            if alike >= ALIKE && best.is_none_or(|(score, _)| same > score) {
                best = Some((same, *member));
            }
        }
        match best {
            Some((_, index)) => {
                let template = &mut self.templates[index];
                template.count += 1;
                for (held, word) in template.words.iter_mut().zip(&taken) {
                    if **held != **word {
                        *held = WILD.into();
                    }
                }
            }
            None if self.templates.len() < TEMPLATES => {
                members.push(self.templates.len());
                let words = taken.iter().map(|w| if varies(w) { WILD.into() } else { Box::from(*w) }).collect();
                self.templates.push(Template { words, more, count: 1 });
            }
            None => self.rest += 1,
        }
    }

    /// Templates with their count, most frequent first.
    pub fn top(self, limit: usize) -> Vec<(String, u64)> {
        let text = |t: &Template| t.words.join(" ") + if t.more { " ..." } else { "" };
        let mut all: Vec<(String, u64)> = self.templates.iter().map(|t| (text(t), t.count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(limit);
        if self.rest > 0 {
            all.push((crate::signals::OVERFLOW.to_owned(), self.rest));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_values_are_one_template() {
        let mut patterns = Patterns::default();
        for i in 0..10 {
            patterns.add(&format!("user u{i} logged in from 10.0.0.{i}"));
            patterns.add(&format!("payment {i} declined by provider"));
        }
        patterns.add("shutting down");
        assert_eq!(
            patterns.top(10),
            [
                ("payment <*> declined by provider".to_owned(), 10),
                ("user <*> logged in from <*>".to_owned(), 10),
                ("shutting down".to_owned(), 1)
            ]
        );
    }

    #[test]
    fn a_failure_is_not_the_success_with_as_many_values() {
        let mut patterns = Patterns::default();
        for i in 0..10 {
            patterns.add(&format!("GET /posts/{i} 200 in {i} ms"));
            patterns.add(&format!("GET /users/{i} 500: content-service answered 500"));
            patterns.add(&format!("{i} {i}"));
        }
        let told = ["<*> <*>", "GET <*> <*> content-service answered <*>", "GET <*> <*> in <*> ms"];
        assert_eq!(patterns.top(10), told.map(|template| (template.to_owned(), 10)));
    }

    #[test]
    fn templates_are_bounded_and_the_rest_is_counted() {
        let mut patterns = Patterns::default();
        let letters = |mut n: usize| {
            let mut word = String::new();
            while n > 0 {
                word.push((b'a' + (n % 26) as u8) as char);
                n /= 26;
            }
            word
        };
        (1..=TEMPLATES + 50).for_each(|i| patterns.add(&letters(i)));
        assert_eq!(patterns.top(usize::MAX).last(), Some(&("__overflow__".to_owned(), 50)));
    }
}
