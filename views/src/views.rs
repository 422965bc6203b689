//! The roster of views. A new view is one file in `views/`, its `mod` line here (outside of the macro, where rustfmt sees it) and one line of
//! the roster, whose order is the order of the tabs.

mod alerts;
mod breakers;
mod changes;
mod explore;
mod health;
mod latency;
mod logs;
mod map;
mod queues;
mod service;
mod services;
mod slo;
mod traces;

use crate::action::Action;
use crate::view::View;

macro_rules! roster {
    ($($module:ident $view:ident $title:literal;)*) => {
        /// A view by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum ViewId { $($view,)* }

        impl ViewId {
            pub(crate) const ALL: &'static [ViewId] = &[$(ViewId::$view,)*];

            /// The name in commands and keymap tables.
            pub(crate) fn name(self) -> &'static str {
                match self { $(ViewId::$view => stringify!($module),)* }
            }

            pub(crate) fn title(self) -> &'static str {
                match self { $(ViewId::$view => $title,)* }
            }
        }

        /// One of each, in the order of [`ViewId::ALL`].
        pub(crate) fn all() -> Vec<Box<dyn View>> {
            vec![$(Box::new($module::$view::default()),)*]
        }
    };
}

roster! {
    services Services "Services";
    map Map "Map";
    traces Traces "Traces";
    latency Latency "Latency";
    queues Queues "Queues";
    breakers Breakers "Breakers";
    health Health "Health";
    alerts Alerts "Alerts";
    slo Slo "SLO";
    explore Explore "Explore";
    logs Logs "Logs";
    service Service "Service";
    changes Changes "What changed";
}

impl ViewId {
    /// Views with a tab of their own; the others are opened from these.
    pub(crate) const TABS: usize = 11;

    pub(crate) fn from_name(name: &str) -> Option<ViewId> {
        ViewId::ALL.iter().copied().find(|v| v.name() == name)
    }

    /// The view an action opens, and whether it takes the selected service along.
    pub(crate) fn opened_by(action: Action) -> Option<(ViewId, bool)> {
        Some(match action {
            Action::Services => (ViewId::Services, false),
            Action::Map => (ViewId::Map, false),
            Action::Traces => (ViewId::Traces, false),
            Action::Latency => (ViewId::Latency, false),
            Action::Queues => (ViewId::Queues, false),
            Action::Breakers => (ViewId::Breakers, false),
            Action::Health => (ViewId::Health, false),
            Action::Alerts => (ViewId::Alerts, false),
            Action::Slo => (ViewId::Slo, false),
            Action::Explore => (ViewId::Explore, false),
            Action::Logs => (ViewId::Logs, false),
            Action::Changes => (ViewId::Changes, false),
            Action::Service => (ViewId::Service, true),
            Action::ItsMap => (ViewId::Map, true),
            Action::ItsTraces => (ViewId::Traces, true),
            Action::ItsLatency => (ViewId::Latency, true),
            Action::ItsLogs => (ViewId::Logs, true),
            _ => return None,
        })
    }

    /// Whether it lists rows that a column can order.
    pub(crate) fn sorts(self) -> bool {
        !matches!(self, ViewId::Map | ViewId::Latency | ViewId::Logs | ViewId::Service)
    }

    /// The key on its tab.
    pub(crate) fn tab_action(self) -> Option<Action> {
        Action::ALL.iter().copied().find(|a| ViewId::opened_by(*a) == Some((self, false)))
    }
}

/// A field of a CSV file, quoted where needed; text that a spreadsheet would run as a formula is defused.
/// A line of CSV: texts quoted where they have to be, figures as they are, and nothing where nothing is known.
pub(crate) fn csv_line(texts: &[&str], figures: &[Option<f64>]) -> String {
    let texts = texts.iter().map(|t| csv_field(t));
    let figures = figures.iter().map(|f| f.map_or_else(String::new, |v| v.to_string()));
    texts.chain(figures).collect::<Vec<_>>().join(",") + "\n"
}

pub(crate) fn csv_field(text: &str) -> String {
    let safe = crate::canvas::safe(text, 10_000);
    let safe = if safe.starts_with(['=', '+', '-', '@']) { format!("'{safe}") } else { safe.into_owned() };
    if safe.contains([',', '"', ' ']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tab_has_an_action_and_every_view_a_name() {
        for view in ViewId::ALL {
            assert_eq!(ViewId::from_name(view.name()), Some(*view));
        }
        assert!(ViewId::ALL[..ViewId::TABS].iter().all(|v| v.tab_action().is_some()));
        assert_eq!(all().len(), ViewId::ALL.len());
    }
}
