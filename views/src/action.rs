//! Everything a person can do, as data: the keymap names actions, help and the palette are generated from this list.

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $short:literal, $long:literal;)*) => {
        /// One thing to do. The serde name is what a keymap file writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action { $($(#[$doc])* $variant,)* }

        impl Action {
            /// All of them, in the order of the help page.
            pub const ALL: &'static [Action] = &[$(Action::$variant,)*];

            /// The name in keymap files.
            pub fn name(self) -> &'static str {
                match self { $(Action::$variant => $name,)* }
            }

            /// One or two words for the key strip.
            pub fn short(self) -> &'static str {
                match self { $(Action::$variant => $short,)* }
            }

            /// A sentence for help and palette.
            pub fn long(self) -> &'static str {
                match self { $(Action::$variant => $long,)* }
            }
        }
    };
}

actions! {
    Services = "services", "services", "open Services: rate, errors, latency and what is wrong";
    Map = "map", "map", "open the map";
    Traces = "traces", "traces", "open traces";
    Latency = "latency", "latency", "open the latency heatmap";
    Queues = "queues", "queues", "open queues";
    Breakers = "breakers", "breakers", "open circuit breakers";
    Health = "health", "health", "open health checks and scrape targets";
    Alerts = "alerts", "alerts", "open alerts by cause";
    Slo = "slo", "slo", "open objectives";
    Explore = "explore", "explore", "open Explore: ask in PromQL";
    Logs = "logs", "logs", "open logs";
    Service = "service", "service", "open the page of the selected service";
    ItsMap = "its_map", "map", "open the map at the selected service";
    ItsTraces = "its_traces", "traces", "open traces of the selected service";
    ItsLatency = "its_latency", "latency", "open the latency of the selected service";
    ItsLogs = "its_logs", "logs", "open logs of the selected service";
    Changes = "changes", "what changed", "what changed: versions, breakers, alerts, error shares, edges";
    Up = "up", "up", "one row up";
    Down = "down", "down", "one row down";
    Left = "left", "left", "left, or fold";
    Right = "right", "right", "right, or unfold";
    PageUp = "page_up", "page up", "one page up";
    PageDown = "page_down", "page down", "one page down";
    HalfUp = "half_up", "half up", "half a page up";
    HalfDown = "half_down", "half down", "half a page down";
    Top = "top", "top", "first row";
    Bottom = "bottom", "bottom", "last row";
    Open = "open", "open", "open what is selected";
    Back = "back", "back", "back; where nothing is open, clear the filter";
    Quit = "quit", "quit", "back, and out of watchfire at the first page";
    ForceQuit = "force_quit", "quit", "leave watchfire at once";
    LastView = "last_view", "last view", "the view before this one";
    NextView = "next_view", "next view", "the next tab";
    PreviousView = "previous_view", "previous view", "the tab before";
    NextProblem = "next_problem", "next problem", "the next problem, in any view";
    PreviousProblem = "previous_problem", "previous problem", "the problem before, in any view";
    Filter = "filter", "filter", "filter rows: service=x dur>500ms error !health";
    Command = "command", "command", "type a command";
    Palette = "palette", "palette", "find any action by name";
    Help = "help", "help", "keys that work here";
    FaultsOnly = "faults_only", "faults only", "show only rows that are not fine";
    Mark = "mark", "mark", "mark the row";
    SortNext = "sort_next", "sort", "sort by the next column";
    SortReverse = "sort_reverse", "reverse", "turn the order round";
    StepBack = "step_back", "15s back", "time cursor 15 seconds back";
    StepForward = "step_forward", "15s on", "time cursor 15 seconds on";
    LeapBack = "leap_back", "5m back", "time cursor 5 minutes back";
    LeapForward = "leap_forward", "5m on", "time cursor 5 minutes on";
    ChangeBefore = "change_before", "change before", "time cursor to the state change before";
    ChangeAfter = "change_after", "change after", "time cursor to the next state change";
    Live = "live", "live", "time cursor back to now";
    Freeze = "freeze", "freeze", "freeze the screen; what arrives is held and counted";
    Copy = "copy", "copy", "copy what is selected";
    Refresh = "refresh", "refresh", "read everything again";
    Redraw = "redraw", "redraw", "draw the whole screen again";
    Suspend = "suspend", "suspend", "to the background; fg comes back";
    NextTheme = "next_theme", "theme", "the next theme";
    NextMatch = "next_match", "next match", "the next span that holds the searched text";
    PreviousMatch = "previous_match", "previous match", "the span before that holds the searched text";
    Edit = "edit", "edit", "edit the expression, the search or the field";
    ToggleDrawing = "toggle_drawing", "tree/drawing", "map as a drawing or as a tree";
    Focus = "focus", "focus", "only the neighbourhood of the selected node";
    MoreHops = "more_hops", "more", "more hops, a larger threshold, or more lines of context";
    FewerHops = "fewer_hops", "fewer", "fewer hops, a smaller threshold, or fewer lines of context";
    ZoomIn = "zoom_in", "zoom in", "larger boxes";
    ZoomOut = "zoom_out", "zoom out", "smaller boxes";
    Collapse = "collapse", "collapse", "fold namespaces into one node each, or fold all spans";
    Blast = "blast", "blast radius", "show who is reached by a failure of this node";
    Save = "save", "save", "write the map, trace or table to a file";
    Errors = "errors", "errors", "only with errors";
    Slowest = "slowest", "slowest", "slowest or newest first";
    CriticalPath = "critical_path", "critical path", "only the spans that made the trace as long as it is";
    Pin = "pin", "pin", "keep this trace from being evicted";
    Compare = "compare", "compare", "compare with the marked trace";
    Select = "select", "select region", "begin or end a region of the heatmap";
    Explain = "explain", "explain", "what the slow or failing spans have in common";
    Mode = "mode", "mode", "the next way to show this";
    Silence = "silence", "silence", "silence this alert";
    Acknowledge = "acknowledge", "acknowledge", "acknowledge this alert";
    RuleLab = "rule_lab", "rule lab", "what this rule would have done, with another threshold";
    History = "history", "history", "resolved alerts and past states";
    Url = "url", "runbook", "open the runbook or the checked address";
    EditFor = "edit_for", "for", "change how long the condition must hold";
    Patterns = "patterns", "patterns", "log lines by template with their count";
    Follow = "follow", "follow", "stay at the newest line";
    Severity = "severity", "severity", "the next lowest severity to show";
    Wrap = "wrap", "wrap", "long lines on several rows";
    RangeLonger = "range_longer", "longer", "a longer time range";
    RangeShorter = "range_shorter", "shorter", "a shorter time range";
}

impl Action {
    /// Whether it is about the row or span that is selected, so that it means nothing before somebody sees which one that is.
    pub(crate) fn needs_a_row(self) -> bool {
        use Action::*;
        matches!(
            self,
            Focus
                | Blast
                | Mark
                | Pin
                | Compare
                | CriticalPath
                | NextMatch
                | PreviousMatch
                | Select
                | Explain
                | Silence
                | Acknowledge
                | RuleLab
                | Url
                | EditFor
        )
    }

    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.iter().copied().find(|a| a.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(*action));
            assert!(!action.long().is_empty() && action.short().len() <= 18, "{action:?}");
        }
    }
}
