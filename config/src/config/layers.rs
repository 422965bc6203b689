//! Defaults, file, environment, flags: later ones win, and every value remembers where it came from.

use super::beside::beside;
use super::file::{exposed_secrets, read};
use super::paths::{expand_home, paths};
use super::{Config, Paths, SETTINGS, Setting};
use crate::diagnosis::{ConfigError, nearest, read_toml};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// A configuration that passed all checks.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Origin by dotted key, for every key that has a value.
    pub origins: BTreeMap<String, Origin>,
    /// Things that are allowed but unwise; with `strict` they would have been errors.
    pub warnings: Vec<ConfigError>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    pub paths: Paths,
    pub(super) merged: toml::Table,
}

impl Loaded {
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// The merged table while layers are laid on it.
pub(super) struct Layers {
    merged: toml::Table,
    origins: BTreeMap<String, Origin>,
    pub(super) errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
    /// The file's text, so that later checks can point into it.
    text: String,
}

pub(super) fn load(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Vec<ConfigError>> {
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let paths = paths(&environment);
    let mut layers =
        Layers { merged: defaults(&paths), origins: BTreeMap::new(), errors: Vec::new(), warnings: Vec::new(), text: String::new() };
    for (path, _) in leaves(&layers.merged) {
        layers.origins.insert(dotted(&path), Origin::Default);
    }

    let named = path.map(Path::to_owned).or_else(|| environment.get("WATCHFIRE_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from));
    let file = named.or_else(|| paths.config_file.exists().then(|| paths.config_file.clone()));
    if let Some(file) = &file {
        layers.file(file);
    }
    layers.environment(&environment);
    layers.flags(flags);

    let config = match Config::deserialize(toml::Value::Table(layers.merged.clone())) {
        Ok(mut config) => {
            config.state_dir = expand_home(&config.state_dir, &environment);
            config.rules = config.rules.iter().map(|p| expand_home(p, &environment)).collect();
            layers.check(&config);
            config
        }
        Err(error) => {
            if layers.errors.is_empty() {
                layers.errors.push(ConfigError::new("configuration", error.message()));
            }
            return Err(layers.errors);
        }
    };
    if config.strict {
        layers.errors.append(&mut layers.warnings);
    }
    if !layers.errors.is_empty() {
        return Err(layers.errors);
    }
    Ok(Loaded { config, origins: layers.origins, warnings: layers.warnings, file, paths, merged: layers.merged })
}

fn defaults(paths: &Paths) -> toml::Table {
    let config = Config { state_dir: paths.state_dir.clone(), ..Config::default() };
    match toml::Value::try_from(&config) {
        Ok(toml::Value::Table(table)) => table,
        _ => unreachable!("a configuration is a table"),
    }
}

/// Variables that are for the command line itself: which file to read, which instance to ask with which token, and whose certificate it shows.
const COMMAND_VARIABLES: [&str; 4] = ["WATCHFIRE_CONFIG", "WATCHFIRE_URL", "WATCHFIRE_TOKEN", "WATCHFIRE_CA"];

impl Layers {
    fn file(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return self.errors.push(error),
        };
        let place = path.display().to_string();
        // Read once as the configuration itself, so that a wrong key or value is reported where it stands.
        if let Err(error) = read_toml::<Config>(&place, &text) {
            return self.errors.push(error);
        }
        let Ok(table) = text.parse::<toml::Table>() else { return };
        self.warnings.extend(exposed_secrets(path, &table));
        let lines = key_lines(&text);
        let directory = path.parent().unwrap_or(Path::new(""));
        for (keys, value) in leaves(&table) {
            let value = beside(directory, keys.last().map_or("", String::as_str), value);
            let line = lines.get(&keys).copied().unwrap_or(1);
            self.set(&keys, value, Origin::File { path: path.to_owned(), line });
        }
        self.text = text;
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        let ours = |name: &str| name.starts_with("WATCHFIRE_") && !COMMAND_VARIABLES.contains(&name);
        for (name, text) in environment.iter().filter(|(name, _)| ours(name)) {
            match SETTINGS.iter().find(|s| s.variable() == *name) {
                Some(setting) => self.read(setting, std::slice::from_ref(text), Origin::Variable(name.clone())),
                None => {
                    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
                    let help = match nearest(name, known.iter().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "`watchfire config init` lists every setting".to_owned(),
                    };
                    let warning = ConfigError::new(format!("environment variable {name}"), "is not a setting and was ignored");
                    self.warnings.push(warning.with_help(help));
                }
            }
        }
    }

    fn flags(&mut self, flags: impl IntoIterator<Item = (String, String)>) {
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, text) in flags {
            given.entry(name.trim_start_matches('-').to_owned()).or_default().push(text);
        }
        for (name, texts) in given {
            match SETTINGS.iter().find(|s| s.flag == Some(name.as_str())) {
                Some(setting) => self.read(setting, &texts, Origin::Flag(name)),
                None => {
                    let help = nearest(&name, SETTINGS.iter().filter_map(|s| s.flag)).map(|near| format!("did you mean `--{near}`?"));
                    let mut error = ConfigError::new(format!("flag --{name}"), "is not known");
                    error.help = help.map(Into::into);
                    self.errors.push(error);
                }
            }
        }
    }

    fn read(&mut self, setting: &Setting, texts: &[String], origin: Origin) {
        match setting.read(texts) {
            Ok(value) => self.set(&setting.key.split('.').collect::<Vec<_>>(), value, origin),
            Err(message) => self.errors.push(ConfigError::new(origin.to_string(), message)),
        }
    }

    fn set<K: AsRef<str>>(&mut self, path: &[K], value: toml::Value, origin: Origin) {
        let Some((last, tables)) = path.split_last() else { return };
        let mut table = &mut self.merged;
        for key in tables {
            let entry = table.entry(key.as_ref()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !entry.is_table() {
                *entry = toml::Value::Table(toml::Table::new());
            }
            let toml::Value::Table(inner) = entry else { unreachable!("just made a table") };
            table = inner;
        }
        table.insert(last.as_ref().to_owned(), value);
        self.origins.insert(dotted(path), origin);
    }

    /// Refuses the value of a key, where it was given.
    pub(super) fn complain(&mut self, key: &str, message: String, help: &str) {
        let mut error = match self.origins.get(key) {
            Some(Origin::File { path, line }) => {
                let offset = self.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
                ConfigError::new(path.display().to_string(), message).at(&self.text, offset)
            }
            Some(origin) => ConfigError::new(origin.to_string(), message),
            None => ConfigError::new(format!("setting `{key}`"), message),
        };
        error.help = (!help.is_empty()).then(|| help.into());
        self.errors.push(error);
    }
}

/// Every value that is not itself a table, with the keys that lead to it. An array of tables is one value.
pub(super) fn leaves(table: &toml::Table) -> Vec<(Vec<String>, toml::Value)> {
    fn walk(table: &toml::Table, path: &[String], found: &mut Vec<(Vec<String>, toml::Value)>) {
        for (key, value) in table {
            let path = [path, std::slice::from_ref(key)].concat();
            match value {
                toml::Value::Table(inner) => walk(inner, &path, found),
                other => found.push((path, other.clone())),
            }
        }
    }
    let mut found = Vec::new();
    walk(table, &[], &mut found);
    found
}

/// Keys as one, written as TOML would: what is not a bare key, such as a name with dots, stands in quotes.
pub(super) fn dotted<K: AsRef<str>>(path: &[K]) -> String {
    let bare = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let written = |key: &K| match key.as_ref() {
        key if bare(key) => key.to_owned(),
        key => toml::Value::String(key.to_owned()).to_string(),
    };
    path.iter().map(written).collect::<Vec<_>>().join(".")
}

/// Line of each key in a file that parses.
fn key_lines(text: &str) -> BTreeMap<Vec<String>, usize> {
    fn walk(text: &str, table: &toml::de::DeTable<'_>, path: &[String], found: &mut BTreeMap<Vec<String>, usize>) {
        for (key, value) in table.iter() {
            let path = [path, &[key.get_ref().to_string()]].concat();
            match value.get_ref() {
                toml::de::DeValue::Table(inner) => walk(text, inner, &path, found),
                _ => {
                    let line = text[..key.span().start.min(text.len())].matches('\n').count() + 1;
                    found.insert(path, line);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    if let Ok(table) = toml::de::DeTable::parse(text) {
        walk(text, table.get_ref(), &[], &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteSize, Listen};
    use std::io::Write;

    fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
        items.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn one_error(text: &str) -> String {
        let file = file(text);
        let errors = Config::load(Some(file.path()), [], []).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors[0].to_string().replace(&file.path().display().to_string(), "F")
    }

    #[test]
    fn flag_beats_variable_beats_file_beats_default() {
        let file = file("memory_limit = \"100MiB\"\napi = \"127.0.0.1:1\"\notlp_grpc = \"127.0.0.1:2\"\n");
        let environment = pairs(&[("WATCHFIRE_API", "127.0.0.1:3"), ("WATCHFIRE_OTLP_GRPC", "127.0.0.1:4"), ("HOME", "/home/w")]);
        let loaded = Config::load(Some(file.path()), environment, pairs(&[("otlp-grpc", "127.0.0.1:5")])).unwrap();
        assert_eq!(loaded.config.otlp_grpc, Listen::loopback(5));
        assert_eq!(loaded.config.api, Listen::loopback(3));
        assert_eq!(loaded.config.memory_limit, ByteSize::mebibytes(100));
        assert_eq!(loaded.config.otlp_http, Listen::loopback(4318));
        assert_eq!(loaded.config.state_dir, Path::new("/home/w/.local/state/watchfire"));
        assert_eq!(loaded.origin("otlp_grpc"), Origin::Flag("otlp-grpc".into()));
        assert_eq!(loaded.origin("api"), Origin::Variable("WATCHFIRE_API".into()));
        assert_eq!(loaded.origin("memory_limit"), Origin::File { path: file.path().to_owned(), line: 1 });
        assert_eq!(loaded.origin("otlp_http"), Origin::Default);
    }

    #[test]
    fn names_with_dots_stay_whole() {
        let file = file("[services.\"shop.users\"]\nowner = \"Users\"\nsampling = 2.0\n[services.plain]\nowner = \"x\"\n");
        let errors = Config::load(Some(file.path()), [], []).unwrap_err();
        assert!(errors[0].to_string().contains(":3:1: a sampling ratio"), "{errors:?}");
        let text = std::fs::read_to_string(file.path()).unwrap().replace("2.0", "0.5");
        std::fs::write(file.path(), text).unwrap();
        let loaded = Config::load(Some(file.path()), [], []).unwrap();
        assert_eq!(loaded.config.services["shop.users"].sampling, Some(0.5));
        assert!(loaded.show().contains("services.\"shop.users\".sampling = 0.5\n"), "{}", loaded.show());
    }

    #[test]
    fn lists_come_from_repeated_flags_and_from_commas() {
        let loaded = Config::load(
            None,
            pairs(&[("WATCHFIRE_PROBE", "http://a/health, tcp://b:5432")]),
            pairs(&[("scrape", "http://x/m"), ("scrape", "http://y/m")]),
        )
        .unwrap();
        assert_eq!(loaded.config.probe.iter().map(|p| p.url.as_str()).collect::<Vec<_>>(), ["http://a/health", "tcp://b:5432"]);
        assert_eq!(loaded.config.scrape.len(), 2);
    }

    #[test]
    fn scrape_and_probe_are_urls_or_tables() {
        let file = file(
            "probe = [\"http://a/health\"]\n[[scrape]]\nname = \"shop\"\nurls = [\"http://s:1/metrics\"]\ninterval = \"5s\"\nlabels = { team = \"x\" }\n",
        );
        let config = Config::load(Some(file.path()), [], []).unwrap().config;
        assert_eq!(config.scrape[0].name, "shop");
        assert_eq!(config.scrape[0].interval, Some(std::time::Duration::from_secs(5)));
        assert_eq!(config.probe[0], super::super::Probe::of_url("http://a/health".into()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_the_nearest_key() {
        for (text, expected) in [
            (
                "\notlp_gprc = \"127.0.0.1:1\"\n",
                "F:2:1: unknown key `otlp_gprc`\n  2 | otlp_gprc = \"127.0.0.1:1\"\n    | ^\n  help: did you mean `otlp_grpc`?",
            ),
            ("[limits.store]\nserie = 4\n", "F:2:1: unknown key `serie`\n  2 | serie = 4\n    | ^\n  help: did you mean `series`?"),
            ("memory_limit = \"lots\"\n", "F:1:16: \"lots\" is not a size"),
            ("evaluation_interval = \"5 seconds\"\n", "F:1:23: \"5 seconds\" is not a duration"),
            ("api = \"1.2.3.4\"\n", "F:1:7: \"1.2.3.4\" is not an address"),
            ("api = \"127.0.0.1:1\"\napi = \"127.0.0.1:2\"\n", "F:2:1: duplicate key"),
            (
                "[[scrape]]\nurl = \"http://x\"\n",
                "F:2:1: unknown key `url`\n  2 | url = \"http://x\"\n    | ^\n  help: did you mean `urls`?",
            ),
            (
                "log_level = \"inof\"\n",
                "F:1:1: \"inof\" is not a log level\n  1 | log_level = \"inof\"\n    | ^\n  help: did you mean `info`?",
            ),
            ("notify = [\"pager\"]\n", "F:1:1: there is no receiver, person or team `pager`"),
            ("api = \"0.0.0.0:9499\"\n", "F:1:1: `0.0.0.0:9499` can be reached by other machines"),
            ("[services.users]\nsampling = 2.0\n", "F:2:1: a sampling ratio lies above 0 and at most at 1"),
            ("[external_labels]\n\"a-b\" = \"x\"\n", "F:2:1: \"a-b\" is not the name of a label"),
            ("probe = [\"ftp://x\"]\n", "F:1:1: \"ftp://x\" is not a URL"),
        ] {
            let shown = one_error(text);
            assert!(shown.starts_with(expected), "{text:?}\n{shown}\n  is not\n{expected}");
        }
    }

    #[test]
    fn variables_and_flags_are_checked_like_the_file() {
        let errors =
            Config::load(None, pairs(&[("WATCHFIRE_MEMORY_LIMIT", "x")]), pairs(&[("apii", "1"), ("otlp-http", "nowhere")])).unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(shown[0].starts_with("environment variable WATCHFIRE_MEMORY_LIMIT: \"x\" is not a size"), "{shown:?}");
        assert_eq!(shown[1], "flag --apii: is not known\n  help: did you mean `--api`?");
        assert!(shown[2].starts_with("flag --otlp-http: \"nowhere\" is not an address"), "{shown:?}");
    }

    #[test]
    fn receivers_people_and_teams_may_hear_what_no_route_matches_and_nothing_else() {
        let declared = "[receivers.slack]\ntype = \"slack\"\n[[person]]\nname = \"alex\"\n[[team]]\nname = \"Orders Team\"\n";
        let notify = |names: &str| Config::load(Some(file(&format!("notify = [{names}]\n{declared}")).path()), [], []);
        assert!(notify("\"desktop\", \"slack\", \"alex\", \"Orders Team\", \"none\"").is_ok());
        let shown = notify("\"bell\"").unwrap_err()[0].to_string();
        assert!(shown.contains("known: desktop, terminal, none, slack, alex, Orders Team;"), "{shown}");
    }

    #[test]
    fn an_unknown_variable_warns_and_strict_refuses_it() {
        let of_attach = [("WATCHFIRE_URL", "https://a"), ("WATCHFIRE_TOKEN", "t"), ("WATCHFIRE_CA", "/ca.pem")];
        let environment = pairs(&[&of_attach[..], &[("WATCHFIRE_OTLP_GPRC", "127.0.0.1:1")]].concat());
        let loaded = Config::load(None, environment.clone(), []).unwrap();
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(loaded.warnings[0].help.as_deref(), Some("did you mean `WATCHFIRE_OTLP_GRPC`?"));
        assert!(Config::load(None, environment, pairs(&[("strict", "true")])).is_err());
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let errors = Config::load(Some(Path::new("/nowhere/watch.toml")), [], []).unwrap_err();
        assert!(errors[0].to_string().starts_with("/nowhere/watch.toml: cannot be read"), "{errors:?}");
    }

    #[test]
    fn deep_nesting_and_great_size_are_refused() {
        let deep = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(one_error(&deep).starts_with("F:1:"));
        let large = format!("# {}\n", "x".repeat(5 << 20));
        assert!(one_error(&large).contains("larger than 4 MiB"));
    }

    #[cfg(unix)]
    #[test]
    fn files_that_others_can_write_are_refused_and_readable_secrets_are_warned_about() {
        use std::os::unix::fs::PermissionsExt;
        let file = file("[receivers.oncall]\ntype = \"pagerduty\"\nrouting_key = \"abc\"\n");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let loaded = Config::load(Some(file.path()), [], []).unwrap();
        assert!(loaded.warnings[0].to_string().contains("holds a secret (`receivers.oncall.routing_key`)"), "{:?}", loaded.warnings);
        assert!(!loaded.show_with_origin().contains("abc"));
        assert!(Config::load(Some(file.path()), [], pairs(&[("strict", "true")])).is_err());
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(Config::load(Some(file.path()), [], []).unwrap_err()[0].to_string().contains("can be written by every user (mode 0666)"));
    }

    #[cfg(unix)]
    #[test]
    fn a_state_directory_that_is_a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("state");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        let errors = Config::load(None, [], pairs(&[("state-dir", &link.display().to_string())])).unwrap_err();
        assert!(errors[0].to_string().contains("is a symbolic link"), "{errors:?}");
    }
}
