//! Traces.

use crate::action::Action;
use crate::canvas::Canvas;
use crate::readings::Kind;
use crate::view::{Cx, View, blank};
use watchfire_model::Request;

#[derive(Default)]
pub(crate) struct Traces {
    name: String,
}

impl View for Traces {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Traces(Default::default())]
    }

    fn open(&mut self, subject: Option<&str>) {
        self.name = subject.unwrap_or("").to_owned();
    }

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        Vec::new()
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        blank(canvas, cx, Kind::Traces, &format!("nothing to show {}", self.name), "");
    }
}
