//! Templates of arbitrary text, of rules and of receivers: refused, or expanded within their limits; what is accepted once does not fail to parse later.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use watchfire_model::{Labels, Timestamp, Value};
use watchfire_template::{TemplateLimits, rule};

fuzz_target!(|text: &str| {
    let labels = Labels::from_pairs([("job", "x"), ("instance", "{{ $value }}"), ("severity", "critical")]);
    let begun = Instant::now();
    let context = rule::TemplateContext {
        name: "__alert_Fuzz",
        labels: &labels,
        value: Value::Float(0.25),
        external_labels: &labels,
        external_url: "http://localhost:9499",
        at: Timestamp(0),
        query: &|expression| Ok(vec![(Labels::from_pairs([("job", expression)]), Value::Float(1.5))]),
        limits: TemplateLimits::default(),
        expired: &|| begun.elapsed() > Duration::from_secs(1),
    };
    let parsed = rule::check("Fuzz", text);
    match rule::try_expand(text, &context) {
        Ok(out) => {
            assert!(parsed.is_ok());
            assert!(out.len() <= text.len() + (64 << 10));
        }
        Err(error) => assert!(parsed.is_ok() || error.contains("parsing"), "{parsed:?} {error}"),
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
});
