//! How much of what one request, one item and one text may be.

/// Limits of the receiver. The defaults are safe for a loopback port; all are configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request, compressed and decompressed alike.
    pub max_bytes: usize,
    /// Messages in one request, of whatever kind: spans, points, attributes, values, events ...
    pub max_items: usize,
    /// Bytes of requests between the socket and the store, all together.
    pub max_in_flight: usize,
    /// Attributes of one span, point or record; the first are kept.
    pub max_attributes: usize,
    /// Events and links of one span; the first are kept.
    pub max_events: usize,
    pub max_links: usize,
    /// Bytes of an attribute's key, and of its value as text.
    pub max_key: usize,
    pub max_value: usize,
    /// Bytes of a span's or metric's name.
    pub max_name: usize,
    /// Bytes of a log record's body.
    pub max_log_body: usize,
    /// Arrays and maps inside each other in one attribute.
    pub max_depth: usize,
    /// Buckets or quantiles of one point. Each becomes a series: one point of a broken sender must not take the room of all others.
    pub max_buckets: usize,
    /// Delta streams, and what histograms and summaries consisted of, that are remembered.
    pub max_streams: usize,
    /// Resource attributes copied onto every series, as `attribute` and `label`.
    pub promote_resource_attributes: Vec<(String, String)>,
}

impl Default for Limits {
    fn default() -> Self {
        let promote = [
            ("service.name", "service_name"),
            ("service.namespace", "service_namespace"),
            ("deployment.environment.name", "deployment_environment_name"),
            ("watchfire.simulated", "watchfire_simulated"),
        ];
        Limits {
            max_bytes: 16 << 20,
            max_items: 250_000,
            max_in_flight: 64 << 20,
            max_attributes: 128,
            max_events: 128,
            max_links: 128,
            max_key: 256,
            max_value: 4 << 10,
            max_name: 1 << 10,
            max_log_body: 64 << 10,
            max_depth: 64,
            max_buckets: 1024,
            max_streams: 100_000,
            promote_resource_attributes: promote.map(|(a, l)| (a.to_owned(), l.to_owned())).to_vec(),
        }
    }
}
