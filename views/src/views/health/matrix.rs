//! The matrix: a row for each service, a column for each check.

use crate::action::Action;
use crate::canvas::{Canvas, display_width};
use crate::look::{Role, state_glyph};
use crate::number;
use crate::table::{moved, window};
use watchfire_model::HealthState;
use watchfire_model::reading::{Check, Health};

#[derive(Default)]
pub(super) struct Matrix {
    selected: usize,
    offset: usize,
    page: usize,
}

impl Matrix {
    pub(super) fn update(&mut self, action: Action) -> bool {
        // Drawing keeps the row within the services there are.
        let to = moved(action, self.selected, self.page, usize::MAX);
        self.selected = to.unwrap_or(self.selected);
        to.is_some()
    }

    /// Selects a row; true when it was selected already.
    pub(super) fn click(&mut self, y: u16) -> bool {
        let Some(line) = usize::from(y).checked_sub(1) else { return false };
        let row = self.offset + line;
        std::mem::replace(&mut self.selected, row) == row
    }

    pub(super) fn service<'a>(&self, checks: &'a [Check]) -> Option<&'a str> {
        services(checks).get(self.selected).copied()
    }

    pub(super) fn draw(&mut self, health: &Health, canvas: &mut Canvas<'_>) {
        let mut names: Vec<&str> = health.checks.iter().map(|c| c.check.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let services = services(&health.checks);
        let left = services.iter().map(|s| display_width(s)).max().unwrap_or(0).clamp(10, 24) as u16;
        let (text, heading) = (canvas.style(Role::Text), canvas.style(Role::Heading));
        let widest = |name: &str| {
            let cells = health.checks.iter().filter(|c| c.check == name).map(|c| display_width(&matrix_cell(c)));
            cells.chain([display_width(name)]).max().unwrap_or(0).min(16) as u16
        };
        // Place and width of those that there is room for.
        let mut columns: Vec<(&str, u16, u16)> = Vec::new();
        let mut x = left + 3;
        for name in names {
            if x >= canvas.width() {
                break;
            }
            let width = widest(name);
            columns.push((name, x, width));
            x += width + 2;
        }
        for (name, x, width) in &columns {
            canvas.text(*x, 0, *width, name, heading);
        }
        canvas.text(1, 0, left, "SERVICE", heading);
        let height = usize::from(canvas.height().saturating_sub(1));
        self.page = height;
        self.selected = self.selected.min(services.len().saturating_sub(1));
        self.offset = window(self.selected, self.offset, height, services.len());
        for (line, (row, service)) in services.iter().enumerate().skip(self.offset).take(height).enumerate() {
            let y = line as u16 + 1;
            canvas.text(1, y, left, service, text);
            for (name, x, width) in &columns {
                let check = health.checks.iter().find(|c| c.service == *service && c.check == *name);
                match check {
                    Some(check) => {
                        let style = canvas.style(check.state.into());
                        canvas.text(*x, y, *width, &matrix_cell(check), style);
                    }
                    None => canvas.dot(*x, y, '·', heading),
                }
            }
            if row == self.selected {
                let (style, width) = (canvas.style(Role::Selected), canvas.width());
                canvas.patch(0, y, width, 1, style);
            }
        }
    }
}

fn services(checks: &[Check]) -> Vec<&str> {
    let mut services: Vec<&str> = checks.iter().map(|c| c.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// How long a healthy check took, or in a word what it is instead.
fn matrix_cell(check: &Check) -> String {
    let healthy = check.state == HealthState::Healthy;
    let shown = if healthy { number::latency_known(check.latency_seconds) } else { check.state.word().to_owned() };
    format!("{} {shown}", state_glyph(check.state))
}
