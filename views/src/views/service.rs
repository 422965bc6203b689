//! Service.

use crate::action::Action;
use crate::canvas::Canvas;
use crate::readings::Kind;
use crate::view::{Cx, View, blank};
use watchfire_model::Request;

#[derive(Default)]
pub(crate) struct Service {
    name: String,
}

impl View for Service {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Service { name: self.name.clone() }]
    }

    fn open(&mut self, subject: Option<&str>) {
        self.name = subject.unwrap_or("").to_owned();
    }

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        Vec::new()
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        blank(canvas, cx, Kind::Service, &format!("nothing to show {}", self.name), "");
    }
}
