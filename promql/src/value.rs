//! What a query gives back.

use watchfire_model::{Labels, SeriesData, Timestamp, Value};

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    pub labels: Labels,
    pub at: Timestamp,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    Scalar {
        at: Timestamp,
        value: f64,
    },
    String {
        at: Timestamp,
        value: String,
    },
    Vector(Vec<VectorSample>),
    /// Range query results are sorted by labels.
    Matrix(Vec<SeriesData>),
}

impl QueryValue {
    /// `resultType` of the Prometheus HTTP API.
    pub fn type_name(&self) -> &'static str {
        match self {
            QueryValue::Scalar { .. } => "scalar",
            QueryValue::String { .. } => "string",
            QueryValue::Vector(_) => "vector",
            QueryValue::Matrix(_) => "matrix",
        }
    }
}

/// The outcome of a query: its value and what there is to remark about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub value: QueryValue,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    /// Most samples held at once.
    pub peak_samples: usize,
    /// Samples that selectors and windows gave to all steps together.
    pub read_samples: usize,
}
