//! Dialect files: TOML that says how one system's series become breakers and queues.

use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::{Labels, METRIC_NAME};
use watchfire_promql::Query;

/// One file, checked.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Name of the file without `.toml`.
    pub name: String,
    pub title: String,
    /// Believed only about breakers and queues that no other dialect knows.
    pub generic: bool,
    pub(super) breakers: Vec<BreakerSource>,
    pub(super) queues: Vec<QueueSource>,
    pub(super) servers: Vec<ServerSource>,
}

/// Where series come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Query(Arc<Query>),
    /// Every metric whose whole name matches, with further matchers as PromQL text.
    Names {
        pattern: Regex,
        matchers: String,
    },
}

#[derive(Clone, Debug)]
pub(super) struct BreakerSource {
    pub origin: Origin,
    pub of: Option<Arc<Query>>,
    pub service: Vec<Format>,
    pub breaker: Vec<Format>,
    pub encoding: Encoding,
    pub rejected: Option<Arc<Query>>,
    /// Half-open is a trial before closing, and not a word for something else.
    pub trial: bool,
}

#[derive(Clone, Debug)]
pub(super) struct QueueSource {
    pub system: String,
    pub queue: Vec<Format>,
    pub group: Vec<Format>,
    /// Tells queues of one name apart where several servers have one.
    pub server: Vec<Format>,
    pub only_without: Option<Arc<Query>>,
    pub names: Option<Regex>,
    pub depth: Vec<Arc<Query>>,
    pub oldest: Vec<Arc<Query>>,
    pub consumers: Vec<Arc<Query>>,
    pub in_rate: Vec<RateQuery>,
    pub out_rate: Vec<RateQuery>,
    pub dead_letters: Vec<Arc<Query>>,
}

/// A server that an exporter stands beside.
#[derive(Clone, Debug)]
pub(super) struct ServerSource {
    pub system: String,
    /// Above zero where the exporter reaches the server.
    pub up: Arc<Query>,
    /// The metric that says so.
    pub metric: String,
    pub service: Vec<Format>,
    pub address: Vec<Format>,
    /// The name of the check where it is not the metric's.
    pub check: Vec<Format>,
}

/// An expression whose `$window` is as long as there are samples, five minutes at most: a rate over five minutes of which one has samples is a
/// fifth of the truth.
#[derive(Clone, Debug)]
pub(super) struct RateQuery {
    pub text: String,
    /// With the longest window.
    pub longest: Arc<Query>,
}

impl RateQuery {
    pub const WINDOWS: [u64; 6] = [10, 20, 40, 80, 160, 300];

    fn parse(text: &str) -> Result<RateQuery, String> {
        let longest = query(&text.replace(WINDOW, "5m"))?;
        Ok(RateQuery { text: text.to_owned(), longest })
    }

    pub fn over(&self, seconds: u64) -> String {
        self.text.replace(WINDOW, &format!("{seconds}s"))
    }
}

const WINDOW: &str = "$window";

/// How series tell a breaker's state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Encoding {
    /// One series per state; the present one is 1. Without a table the label's value is read as words. `__name__` is the label that is named after its
    /// metric, as in OpenMetrics' state sets.
    OneHot { label: String, states: BTreeMap<String, State> },
    /// One series, a number per state.
    Number { table: BTreeMap<String, State> },
    /// As `Number`, with the table in the HELP text: `0=closed 1=half-open 2=open`.
    NumberFromHelp,
    /// Time spent per state: the one that grows is the present one.
    Growing { label: String, states: BTreeMap<String, State> },
    /// Counters of transitions: the last one tells. Events of `calls` are no transitions; they happen in that state only, and tell it where transitions do not.
    LastEvent { label: String, states: BTreeMap<String, State>, calls: BTreeMap<String, State> },
    /// 1 while a concurrency limit is reached: saturated, not open.
    Saturated,
    /// Hosts ejected now, `of` how many: all is open, some half-open.
    Ejected,
}

/// State of a breaker as `watchfire_breaker_state` counts it. Ordered by how much is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Unknown,
    Closed,
    HalfOpen,
    Open,
}

impl State {
    /// The value of the series; what is not known has none.
    pub fn value(self) -> Option<f64> {
        match self {
            State::Unknown => None,
            State::Closed => Some(0.0),
            State::HalfOpen => Some(1.0),
            State::Open => Some(2.0),
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Closed => "closed",
            State::HalfOpen => "half-open",
            State::Open => "open",
        }
    }

    /// Reads the words libraries use: `halfOpen`, `HALF_OPEN`, `half open`, `forced_open`, `disabled`.
    pub fn from_word(word: &str) -> Option<State> {
        let plain: String = word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase();
        Some(match plain.as_str() {
            "closed" | "close" | "disabled" | "metricsonly" => State::Closed,
            "open" | "opened" | "forcedopen" | "isolated" => State::Open,
            "halfopen" | "halfopened" => State::HalfOpen,
            _ => return None,
        })
    }
}

/// A text with `{label}` in it. Usable where every label it names is there.
#[derive(Clone, Debug)]
pub(super) struct Format(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Label(String),
}

impl Format {
    fn parse(text: &str) -> Format {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((label, tail)) = after.split_once('}') else { break };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Label(label.to_owned()));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Format(parts)
    }

    fn fill(&self, labels: &Labels) -> Option<String> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Label(label) => labels.get(label),
            })
            .collect()
    }

    /// The first format that the labels can fill.
    pub fn first(formats: &[Format], labels: &Labels) -> Option<String> {
        formats.iter().find_map(|f| f.fill(labels))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDialect {
    title: String,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    generic: bool,
    #[serde(default)]
    breaker: Vec<RawBreaker>,
    #[serde(default)]
    queue: Vec<RawQueue>,
    #[serde(default)]
    server: Vec<RawServer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBreaker {
    series: Option<String>,
    names: Option<String>,
    #[serde(default)]
    matchers: String,
    of: Option<String>,
    service: Vec<String>,
    breaker: Vec<String>,
    encoding: RawEncoding,
    rejected: Option<String>,
    #[serde(default = "yes")]
    trial: bool,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawEncoding {
    OneHot {
        label: String,
        #[serde(default)]
        states: BTreeMap<String, State>,
    },
    Number {
        table: BTreeMap<String, State>,
    },
    NumberFromHelp,
    Growing {
        label: String,
        states: BTreeMap<String, State>,
    },
    LastEvent {
        label: String,
        states: BTreeMap<String, State>,
        #[serde(default)]
        calls: BTreeMap<String, State>,
    },
    Saturated,
    Ejected,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQueue {
    system: Option<String>,
    queue: Vec<String>,
    #[serde(default)]
    group: Vec<String>,
    #[serde(default)]
    server: Vec<String>,
    only_without: Option<String>,
    names: Option<String>,
    #[serde(default)]
    depth: Vec<String>,
    #[serde(default)]
    oldest: Vec<String>,
    #[serde(default)]
    consumers: Vec<String>,
    #[serde(default)]
    in_rate: Vec<String>,
    #[serde(default)]
    out_rate: Vec<String>,
    #[serde(default)]
    dead_letters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    system: Option<String>,
    up: String,
    #[serde(default)]
    service: Vec<String>,
    #[serde(default)]
    address: Vec<String>,
    #[serde(default)]
    check: Vec<String>,
}

impl Dialect {
    /// Reads a dialect file. `name` is the file's name without `.toml`; errors begin with it.
    ///
    /// # Errors
    /// What is wrong, with line and column where TOML or the missing piece has one.
    pub fn parse(name: &str, text: &str) -> Result<Dialect, String> {
        let raw: RawDialect = toml::from_str(text).map_err(|e| {
            let place = e.span().map(|s| {
                let before = &text[..s.start.min(text.len())];
                let line = before.matches('\n').count() + 1;
                format!("{line}:{}: ", before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1)
            });
            format!("{name}.toml: {}{}", place.unwrap_or_default(), e.message())
        })?;
        let fail = |what: String| format!("{name}.toml: {what}");
        let breakers = raw.breaker.into_iter().map(breaker).collect::<Result<_, _>>().map_err(fail)?;
        let system = raw.system.unwrap_or_else(|| name.to_owned());
        let queues = raw.queue.into_iter().map(|q| queue(q, &system)).collect::<Result<_, _>>().map_err(fail)?;
        let servers = raw.server.into_iter().map(|s| server(s, &system)).collect::<Result<_, _>>().map_err(fail)?;
        Ok(Dialect { name: name.to_owned(), title: raw.title, generic: raw.generic, breakers, queues, servers })
    }
}

impl Encoding {
    /// The label that names the state is named after its metric.
    pub(super) fn is_state_set(&self) -> bool {
        matches!(self, Encoding::OneHot { label, .. } if label == METRIC_NAME)
    }
}

impl Dialect {
    /// Whether it makes something of a series: one that its expressions name, or one whose name and labels its patterns take.
    pub fn reads(&self, labels: &Labels, help: &str) -> bool {
        let name = labels.metric_name();
        let breaker = |b: &BreakerSource| {
            let (pattern, matchers) = match &b.origin {
                Origin::Names { pattern, matchers } => (pattern, matchers),
                // Metrics that an expression takes by a pattern.
                Origin::Query(query) => return query.selectors().iter().any(|s| s.metric_name().is_none() && s.matches(labels)),
            };
            pattern.is_match(name)
                && Query::parse(&format!("{{__name__!=\"\", {matchers}}}")).is_ok_and(|q| q.selectors().iter().all(|s| s.matches(labels)))
                && Format::first(&b.breaker, labels).is_some()
                && (!b.encoding.is_state_set() || labels.get(name).is_some())
                && (b.encoding != Encoding::NumberFromHelp || !super::breaker::table_in(help).is_empty())
        };
        let queue = |q: &QueueSource| q.names.as_ref().is_some_and(|p| p.is_match(name)) && Format::first(&q.queue, labels).is_some();
        self.breakers.iter().any(breaker) || self.queues.iter().any(queue) || self.metric_names().iter().any(|n| n == name)
    }

    /// Metrics that its expressions name.
    pub fn metric_names(&self) -> Vec<String> {
        let breakers = self.breakers.iter().filter_map(|b| match &b.origin {
            Origin::Query(query) => Some(query),
            Origin::Names { .. } => None,
        });
        let queues = self.queues.iter().flat_map(|q| [&q.depth, &q.oldest, &q.consumers, &q.dead_letters]).flatten();
        let rates = self.queues.iter().flat_map(|q| q.in_rate.iter().chain(&q.out_rate)).map(|r| &r.longest);
        let servers = self.servers.iter().map(|s| &s.up);
        let beside = self.breakers.iter().flat_map(|b| b.of.iter().chain(&b.rejected));
        breakers.chain(beside).chain(queues).chain(rates).chain(servers).flat_map(|q| q.metric_names()).collect()
    }
}

fn query(text: &str) -> Result<Arc<Query>, String> {
    Query::parse(text).map(Arc::new).map_err(|e| format!("{text}: {e}"))
}

fn queries(texts: &[String]) -> Result<Vec<Arc<Query>>, String> {
    texts.iter().map(|t| query(t)).collect()
}

fn rates(texts: &[String]) -> Result<Vec<RateQuery>, String> {
    texts.iter().map(|t| RateQuery::parse(t)).collect()
}

fn formats(texts: &[String]) -> Vec<Format> {
    texts.iter().map(|t| Format::parse(t)).collect()
}

fn pattern(text: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build().map_err(|e| e.to_string())
}

fn breaker(raw: RawBreaker) -> Result<BreakerSource, String> {
    let origin = match (raw.series, raw.names) {
        (Some(series), None) => Origin::Query(query(&series)?),
        (None, Some(names)) => Origin::Names { pattern: pattern(&names)?, matchers: raw.matchers },
        _ => return Err("a breaker needs either `series` (PromQL) or `names` (a pattern of metric names)".to_owned()),
    };
    let encoding = match raw.encoding {
        RawEncoding::OneHot { label, states } => Encoding::OneHot { label, states },
        RawEncoding::Number { table } => Encoding::Number { table },
        RawEncoding::NumberFromHelp => Encoding::NumberFromHelp,
        RawEncoding::Growing { label, states } => Encoding::Growing { label, states },
        RawEncoding::LastEvent { label, states, calls } => Encoding::LastEvent { label, states, calls },
        RawEncoding::Saturated => Encoding::Saturated,
        RawEncoding::Ejected => Encoding::Ejected,
    };
    Ok(BreakerSource {
        origin,
        of: raw.of.map(|t| query(&t)).transpose()?,
        service: formats(&raw.service),
        breaker: formats(&raw.breaker),
        encoding,
        rejected: raw.rejected.map(|t| query(&t)).transpose()?,
        trial: raw.trial,
    })
}

fn queue(raw: RawQueue, system: &str) -> Result<QueueSource, String> {
    if raw.depth.is_empty() && raw.names.is_none() {
        return Err("a queue needs `depth` (PromQL) or `names` (a pattern of metric names)".to_owned());
    }
    Ok(QueueSource {
        system: raw.system.unwrap_or_else(|| system.to_owned()),
        queue: formats(&raw.queue),
        group: formats(&raw.group),
        server: formats(&raw.server),
        only_without: raw.only_without.map(|t| query(&t)).transpose()?,
        names: raw.names.map(|t| pattern(&t)).transpose()?,
        depth: queries(&raw.depth)?,
        oldest: queries(&raw.oldest)?,
        consumers: queries(&raw.consumers)?,
        in_rate: rates(&raw.in_rate)?,
        out_rate: rates(&raw.out_rate)?,
        dead_letters: queries(&raw.dead_letters)?,
    })
}

fn server(raw: RawServer, system: &str) -> Result<ServerSource, String> {
    if raw.service.is_empty() && raw.address.is_empty() {
        return Err("a server needs `address` (host and port) or `service` (a name)".to_owned());
    }
    let up = query(&raw.up)?;
    let metric = up.metric_names().into_iter().find(|name| name.ends_with("up") || name.ends_with("success"));
    Ok(ServerSource {
        system: raw.system.unwrap_or_else(|| system.to_owned()),
        metric: metric.ok_or_else(|| format!("{}: names no metric that ends in `up` or `success`", raw.up))?,
        up,
        service: formats(&raw.service),
        address: formats(&raw.address),
        check: formats(&raw.check),
    })
}
