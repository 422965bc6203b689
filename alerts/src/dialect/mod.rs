pub struct DialectEngine;
impl DialectEngine { pub(crate) fn tick(&mut self, _: &watchfire_promql::Engine, _: &dyn watchfire_model::SeriesSource, _: &dyn watchfire_model::SeriesSink, _: watchfire_model::Timestamp, _: watchfire_model::Timestamp, _: &watchfire_model::Meter) {} }
