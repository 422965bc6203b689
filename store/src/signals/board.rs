//! The small things readers ask for often, copied out at each publication.

use super::edges::ObservedEdge;
use super::services::ServiceSeen;
use std::sync::Arc;

/// A service and `host:port`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub service: Arc<str>,
    pub address: Arc<str>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    pub services: Vec<ServiceSeen>,
    pub edges: Vec<ObservedEdge>,
    pub deliveries: Vec<ObservedEdge>,
    /// Where services answer, as their callers say.
    pub places: Vec<Place>,
    /// Bytes of histograms and tables.
    pub bytes: usize,
}
