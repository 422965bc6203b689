//! What an `alertmanager.yml` says about messages: its templates, and the data that Alertmanager gives them.

use crate::parse::{self, Named, is_blank};
use crate::shipped::SHIPPED;
use crate::value::{ListKind, MapKind, Record, TemplateValue};
use crate::{Dialect, Environment, TemplateLimits, execute, time};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use watchfire_model::{Labels, Timestamp};

/// Named templates: the ones Alertmanager ships with, and what files add to them or put in their place.
#[derive(Clone)]
pub struct Templates {
    named: Named,
    /// Names that files defined.
    added: BTreeSet<String>,
}

/// One message, as templates see it.
#[derive(Clone, Debug)]
pub struct MessageData {
    pub receiver: String,
    pub firing: bool,
    pub alerts: Vec<AlertData>,
    pub group_labels: Labels,
    pub common_labels: Labels,
    pub common_annotations: Labels,
    pub external_url: String,
}

/// One alert of a message.
#[derive(Clone, Debug)]
pub struct AlertData {
    pub firing: bool,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Timestamp,
    /// Nothing while it fires.
    pub ends_at: Option<Timestamp>,
    pub generator_url: String,
    pub fingerprint: String,
}

/// How a text is executed.
pub struct Execution<'a> {
    pub at: Timestamp,
    pub limits: TemplateLimits,
    /// Says when the time allowed is over.
    pub expired: &'a dyn Fn() -> bool,
}

impl Templates {
    /// Those that every Alertmanager has.
    ///
    /// # Errors
    /// Never, while the shipped ones are well formed.
    pub fn shipped() -> Result<Templates, String> {
        let mut templates = Templates { named: Named::new(), added: BTreeSet::new() };
        templates.add("default.tmpl", SHIPPED)?;
        templates.added.clear();
        Ok(templates)
    }

    /// Adds the definitions of a file; later ones replace earlier ones of the same name, unless they are blank.
    ///
    /// # Errors
    /// Syntax and unknown functions, with their line.
    pub fn add(&mut self, file_name: &str, text: &str) -> Result<(), String> {
        let parsed = parse::parse(file_name, text, Dialect::Receiver)?;
        for (name, definition) in parsed.named.into_iter().chain([(file_name.to_owned(), parsed.root)]) {
            let hides = self.named.get(&name).is_some_and(|have| !is_blank(&have.nodes) && is_blank(&definition.nodes));
            if !hides {
                self.added.insert(name.clone());
                self.named.insert(name, definition);
            }
        }
        Ok(())
    }

    /// Whether a file, not Alertmanager itself, defines a template of this name.
    pub fn defines(&self, name: &str) -> bool {
        self.added.contains(name)
    }

    /// What can be known about a text without a message.
    ///
    /// # Errors
    /// Syntax, unknown functions and variables, in words.
    pub fn check(&self, text: &str) -> Result<(), String> {
        parse::parse("", text, Dialect::Receiver).map(|_| ())
    }

    /// Fills a text in.
    ///
    /// # Errors
    /// Parse and execution errors and limits, in words.
    pub fn text(&self, text: &str, data: &MessageData, execution: &Execution<'_>) -> Result<String, String> {
        self.execute(text, data, execution, false)
    }

    /// Fills HTML in: what comes from alerts is escaped for its place.
    ///
    /// # Errors
    /// As [`Templates::text`], and for values in scripts and style sheets.
    pub fn html(&self, text: &str, data: &MessageData, execution: &Execution<'_>) -> Result<String, String> {
        self.execute(text, data, execution, true)
    }

    fn execute(&self, text: &str, data: &MessageData, execution: &Execution<'_>, html: bool) -> Result<String, String> {
        if !text.contains("{{") && !html {
            return Ok(text.to_owned());
        }
        let template = parse::parse("", text, Dialect::Receiver)?;
        let environment = Environment {
            dialect: Dialect::Receiver,
            external_url: &data.external_url,
            at: execution.at,
            query: &|_| Err("messages cannot query".to_owned()),
            limits: execution.limits,
            expired: execution.expired,
        };
        execute::run(&template, Some(&self.named), &environment, vec![("$".to_owned(), data.value())], html)
    }
}

impl MessageData {
    fn value(&self) -> TemplateValue {
        let alerts = self.alerts.iter().map(AlertData::value).collect();
        record(
            "*template.Data",
            vec![
                ("Receiver", TemplateValue::text(&self.receiver)),
                ("Status", status(self.firing)),
                ("Alerts", TemplateValue::List { items: alerts, kind: ListKind::Alerts }),
                ("GroupLabels", pairs(&self.group_labels)),
                ("CommonLabels", pairs(&self.common_labels)),
                ("CommonAnnotations", pairs(&self.common_annotations)),
                ("ExternalURL", TemplateValue::text(&self.external_url)),
            ],
        )
    }
}

impl AlertData {
    fn value(&self) -> TemplateValue {
        let moment = |at: Timestamp| time::moment(at.millis().saturating_mul(1_000_000));
        record(
            "template.Alert",
            vec![
                ("Status", status(self.firing)),
                ("Labels", pairs(&self.labels)),
                ("Annotations", pairs(&self.annotations)),
                ("StartsAt", TemplateValue::Time(moment(self.starts_at))),
                ("EndsAt", TemplateValue::Time(self.ends_at.map_or_else(time::zero, moment))),
                ("GeneratorURL", TemplateValue::text(&self.generator_url)),
                ("Fingerprint", TemplateValue::text(&self.fingerprint)),
            ],
        )
    }
}

fn record(type_name: &'static str, fields: Vec<(&'static str, TemplateValue)>) -> TemplateValue {
    TemplateValue::Record(Rc::new(Record { type_name, pointer: false, fields }))
}

fn status(firing: bool) -> TemplateValue {
    TemplateValue::text(if firing { "firing" } else { "resolved" })
}

fn pairs(labels: &Labels) -> TemplateValue {
    let entries: BTreeMap<String, TemplateValue> = labels.iter().map(|l| (l.name.to_string(), TemplateValue::text(&*l.value))).collect();
    TemplateValue::Map { entries: Rc::new(entries), kind: MapKind::Kv }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("added", &self.added).finish_non_exhaustive()
    }
}
