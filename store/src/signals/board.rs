//! The small things readers ask for often, copied out at each publication.

use super::edges::ObservedEdge;
use super::services::ServiceSeen;

#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    pub services: Vec<ServiceSeen>,
    pub edges: Vec<ObservedEdge>,
    pub deliveries: Vec<ObservedEdge>,
    /// Bytes of histograms and tables.
    pub bytes: usize,
}
