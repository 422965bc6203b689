//! Which node a service means by a name that its authors gave a dependency: health bodies say `db`, `npgsql` or `orders-database` of what spans know
//! as the database `orders`. A name is taken for a node only where one alone can be meant.

use super::context::Declared;
use std::collections::BTreeSet;
use watchfire_model::reading::{NodeKind, without_place};

/// A node that may be meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Nameable {
    pub name: String,
    pub kind: NodeKind,
    /// `postgresql`, `redis` ...; empty where not known.
    pub system: String,
    /// Its other names, and where it is: `host:port`.
    pub aliases: Vec<String>,
}

impl Nameable {
    /// A node of this name; a service unless it is declared as something else.
    pub fn new(name: &str, declared: &Declared) -> Self {
        let kind = declared.nodes.iter().find(|(node, _)| node == name).map_or(NodeKind::Service, |(_, kind)| *kind);
        let aliases = declared.aliases.iter().filter(|(_, node)| node == name).map(|(alias, _)| alias.clone()).collect();
        let system = declared.systems.iter().find(|(node, _)| node == name).map(|(_, system)| system.clone()).unwrap_or_default();
        Nameable { name: name.to_owned(), kind, system, aliases }
    }

    /// What the callers of a node say of it, and how they call it.
    pub fn learn(&mut self, kind: NodeKind, system: &str, name: &str) {
        self.kind = kind;
        system.clone_into(&mut self.system);
        if self.name != name {
            self.aliases.push(name.to_owned());
        }
    }
}

/// The kind of a node by its label in `watchfire_node_info`.
pub fn kind_of_label(kind: &str) -> NodeKind {
    match kind {
        "database" => NodeKind::Database,
        "cache" => NodeKind::Cache,
        "queue" => NodeKind::Queue,
        _ => NodeKind::External,
    }
}

/// What says nothing of which dependency it is.
const FILLERS: [&str; 20] = [
    "breaker",
    "cb",
    "check",
    "checks",
    "circuit",
    "client",
    "cluster",
    "com",
    "conn",
    "connection",
    "connectivity",
    "connector",
    "dependency",
    "health",
    "indicator",
    "internal",
    "io",
    "main",
    "ping",
    "primary",
];

const DATABASE_WORDS: [&str; 10] = ["database", "db", "data", "source", "datasource", "sql", "store", "storage", "context", "server"];
const CACHE_WORDS: [&str; 4] = ["cache", "caching", "store", "server"];
const QUEUE_WORDS: [&str; 8] = ["queue", "broker", "messaging", "mq", "bus", "topic", "stream", "masstransit"];
const SERVICE_WORDS: [&str; 5] = ["service", "svc", "api", "server", "provider"];

/// Words of one system, as its drivers and health checks call it; the first is what spans call it.
const SYSTEMS: [&[&str]; 14] = [
    &["postgresql", "postgres", "pg", "npgsql", "psql", "pgsql"],
    &["mysql", "mariadb"],
    &["mongodb", "mongo"],
    &["mssql", "sqlserver", "microsoft.sql_server"],
    &["oracle", "oracle.db"],
    &["redis", "valkey"],
    &["memcached", "memcache"],
    &["elasticsearch", "elastic", "opensearch", "es"],
    &["rabbitmq", "rabbit", "amqp"],
    &["kafka"],
    &["cassandra"],
    &["dynamodb", "aws.dynamodb"],
    &["neo4j"],
    &["nats"],
];

/// The node that `said` names, of those that may be meant: by one of its own names, else by what tells it from others, else by what it is. Nobody where
/// several fit equally well.
pub fn meant<'n>(said: &str, nodes: &'n [Nameable]) -> Option<&'n Nameable> {
    // `OrdersDb` are two words, and `PostgreSQL` is one.
    let readings = [true, false]
        .map(|humps| -> BTreeSet<String> { words(said, humps).into_iter().filter(|word| !FILLERS.contains(&word.as_str())).collect() });
    readings.iter().find_map(|words| {
        let best = nodes.iter().filter_map(|node| fits(said, words, node)).min()?;
        let mut fitting = nodes.iter().filter(|node| fits(said, words, node) == Some(best));
        let found = fitting.next()?;
        Some(fitting.all(|other| other.name == found.name).then_some(found))
    })?
}

/// The nodes that `said` names: the one that is [`meant`], or all queues of the only broker that fits. Queues of one broker are nodes of their own, and who
/// says that the broker is down says it of each.
pub fn all_meant<'n>(said: &str, nodes: &'n [Nameable]) -> Vec<&'n Nameable> {
    if let Some(node) = meant(said, nodes) {
        return vec![node];
    }
    let words: BTreeSet<String> = words(said, true).into_iter().filter(|word| !FILLERS.contains(&word.as_str())).collect();
    let fitting = || nodes.iter().filter_map(|node| Some((fits(said, &words, node)?, node)));
    let Some(best) = fitting().map(|(fit, _)| fit).min().filter(|fit| *fit >= Fit::System) else { return Vec::new() };
    let queues: Vec<&Nameable> = fitting().filter(|(fit, _)| *fit == best).map(|(_, node)| node).collect();
    let of_one = queues.first().is_some_and(|first| !first.system.is_empty() && queues.iter().all(|queue| queue.system == first.system));
    if of_one && queues.iter().all(|queue| queue.kind == NodeKind::Queue) { queues } else { Vec::new() }
}

/// How well a name fits; the lower the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is the node's name, an alias of it, or where it is.
    Name,
    /// Everything that tells the node from others is said, and nothing else.
    Particular,
    /// Its system is said, and nothing that it is not.
    System,
    /// What kind of thing it is.
    Kind,
}

fn fits(said: &str, words_said: &BTreeSet<String>, node: &Nameable) -> Option<Fit> {
    let names = || [node.name.as_str(), without_place(&node.name)].into_iter().chain(node.aliases.iter().map(String::as_str));
    if names().any(|name| is_name(said, name)) {
        return Some(Fit::Name);
    }
    if words_said.is_empty() {
        return None;
    }
    let of_system: Vec<&str> = SYSTEMS
        .iter()
        .find(|synonyms| synonyms.contains(&node.system.as_str()))
        .map_or_else(|| vec![node.system.as_str()], |synonyms| synonyms.to_vec());
    let is_system = |word: &str| !word.is_empty() && of_system.contains(&word);
    let is_kind = |word: &str| kind_words(node.kind).contains(&word);
    let fit = |own: &[String]| {
        let particular: Vec<&String> =
            own.iter().filter(|word| !is_system(word) && !is_kind(word) && !FILLERS.contains(&word.as_str())).collect();
        if !words_said.iter().all(|word| is_system(word) || is_kind(word) || own.contains(word)) {
            return None;
        }
        let by_name = words_said.iter().any(|word| particular.contains(&word));
        match (by_name, words_said.iter().any(|word| is_system(word))) {
            (true, _) if particular.iter().all(|word| words_said.contains(*word)) => Some(Fit::Particular),
            // Half of a name is the name of something else.
            (true, _) => None,
            (false, true) => Some(Fit::System),
            // A service is told by its name alone.
            (false, false) if matches!(node.kind, NodeKind::Service | NodeKind::External) => None,
            (false, false) => Some(Fit::Kind),
        }
    };
    [true, false].into_iter().filter_map(|humps| fit(&words(without_place(&node.name), humps))).min()
}

/// Whether a text is the name of a node or of the host of an address; of a host in a domain its own part is enough.
fn is_name(said: &str, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    let host = match name.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => name,
    };
    let label = host.split('.').next().filter(|label| host.contains('.') && label.parse::<u8>().is_err() && label.len() > 3);
    let same = |other: &str| said.len() == other.len() && said.bytes().zip(other.bytes()).all(|(a, b)| folded(a) == folded(b));
    [Some(name), Some(host).filter(|host| *host != "localhost"), label].into_iter().flatten().any(same)
}

fn folded(byte: u8) -> u8 {
    if matches!(byte, b'_' | b' ') { b'-' } else { byte.to_ascii_lowercase() }
}

fn kind_words(kind: NodeKind) -> &'static [&'static str] {
    match kind {
        NodeKind::Database => &DATABASE_WORDS,
        NodeKind::Cache => &CACHE_WORDS,
        NodeKind::Queue => &QUEUE_WORDS,
        NodeKind::Service | NodeKind::External => &SERVICE_WORDS,
    }
}

/// The words of a name in small letters: `orders_db` has two, and with humps so have `ordersDb` and `OrdersDB`.
fn words(text: &str, humps: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let (mut word, mut before) = (String::new(), ' ');
    let letters: Vec<char> = text.chars().take(200).collect();
    for (index, letter) in letters.iter().enumerate() {
        let next_is_small = letters.get(index + 1).is_some_and(|next| next.is_lowercase());
        let begins = humps && letter.is_uppercase() && (before.is_lowercase() || before.is_uppercase() && next_is_small);
        if (begins || !letter.is_alphanumeric()) && !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = *letter;
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, kind: NodeKind, system: &str, aliases: &[&str]) -> Nameable {
        Nameable { name: name.into(), kind, system: system.into(), aliases: aliases.iter().map(|a| (*a).to_owned()).collect() }
    }

    #[test]
    fn a_name_is_of_the_only_node_that_it_fits() {
        let nodes = [
            node("orders", NodeKind::Database, "postgresql", &["pg-main.prod.svc:5432"]),
            node("redis", NodeKind::Cache, "redis", &["cache:6379"]),
            node("payment-service", NodeKind::Service, "", &[]),
            node("api.stripe.com", NodeKind::External, "", &[]),
            node("mails", NodeKind::Queue, "rabbitmq", &["mq:5672"]),
        ];
        for (said, expected) in [
            ("orders", Some("orders")),
            ("ordersDb", Some("orders")),
            ("OrdersDB", Some("orders")),
            ("orders-database", Some("orders")),
            ("postgres-orders", Some("orders")),
            ("db/orders", Some("orders")),
            ("db/dataSource", Some("orders")),
            ("database", Some("orders")),
            ("db", Some("orders")),
            ("PostgreSQL", Some("orders")),
            ("npgsql", Some("orders")),
            ("pg-main", Some("orders")),
            ("pg-main.prod.svc:5432", Some("orders")),
            ("redis", Some("redis")),
            ("Redis Cache", Some("redis")),
            ("redis_connection", Some("redis")),
            ("cache", Some("redis")),
            ("payments", None),
            ("payment", Some("payment-service")),
            ("payment_api", Some("payment-service")),
            ("Payment Service", Some("payment-service")),
            ("stripe", Some("api.stripe.com")),
            ("rabbit", Some("mails")),
            ("broker", Some("mails")),
            // Others, that no span shows.
            ("mysql", None),
            ("stock-database", None),
            ("mongo", None),
            ("diskSpace", None),
            ("ping", None),
            ("service", None),
            ("", None),
            ("livenessState", None),
        ] {
            assert_eq!(meant(said, &nodes).map(|n| n.name.as_str()), expected, "{said}");
        }
    }

    #[test]
    fn a_broker_means_all_of_its_queues() {
        let mut nodes = vec![
            node("mails", NodeKind::Queue, "rabbitmq", &[]),
            node("orders", NodeKind::Queue, "rabbitmq", &[]),
            node("stock", NodeKind::Database, "postgresql", &[]),
        ];
        let named = |said: &str, nodes: &[Nameable]| all_meant(said, nodes).iter().map(|n| n.name.clone()).collect::<Vec<_>>();
        for (said, expected) in [
            ("rabbitmq", &["mails", "orders"][..]),
            ("RabbitMQ", &["mails", "orders"]),
            ("masstransit-bus", &["mails", "orders"]),
            ("mails", &["mails"]),
            ("db", &["stock"]),
            ("kafka", &[]),
            ("redis", &[]),
        ] {
            assert_eq!(named(said, &nodes), expected, "{said}");
        }
        nodes.push(node("events", NodeKind::Queue, "kafka", &[]));
        assert_eq!(named("rabbit", &nodes), ["mails", "orders"]);
        assert!(named("broker", &nodes).is_empty(), "which of two is not said");
    }

    #[test]
    fn where_two_fit_nobody_is_meant() {
        let nodes = [
            node("orders", NodeKind::Database, "postgresql", &["db-1:5432"]),
            node("stock", NodeKind::Database, "postgresql", &["db-2:5432"]),
            node("redis@cache-1:6379", NodeKind::Cache, "redis", &["cache-1:6379"]),
            node("redis@cache-2:6379", NodeKind::Cache, "redis", &["cache-2:6379"]),
        ];
        for (said, expected) in [
            ("database", None),
            ("postgresql", None),
            ("redis", None),
            ("cache", None),
            ("stock-db", Some("stock")),
            ("db-2", Some("stock")),
            ("cache-1", Some("redis@cache-1:6379")),
        ] {
            assert_eq!(meant(said, &nodes).map(|n| n.name.as_str()), expected, "{said}");
        }
        let declared = [
            node("firebase-database", NodeKind::Database, "firestore", &["playnite"]),
            node("firebase-storage", NodeKind::Database, "firebase.storage", &["media"]),
        ];
        for (said, expected) in [
            ("firebase-database", Some("firebase-database")),
            ("firebase_storage", Some("firebase-storage")),
            ("playnite", Some("firebase-database")),
            ("firestore", Some("firebase-database")),
            ("firebase", None),
            ("database", None),
        ] {
            assert_eq!(meant(said, &declared).map(|n| n.name.as_str()), expected, "{said}");
        }
    }
}
