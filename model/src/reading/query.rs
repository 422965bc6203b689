//! Results of PromQL, and the words it can use.

use crate::{Labels, SeriesData, Timestamp};
use serde::{Deserialize, Serialize};

/// Result of a PromQL query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryResult {
    /// `vector`, `scalar`, `string` or `matrix`.
    pub kind: String,
    pub series: Vec<QuerySeries>,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    /// Single measurements behind the values, newest first.
    pub exemplars: Vec<QueryExemplar>,
}

/// One measurement that an exporter kept together with its trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryExemplar {
    /// Of the series it was measured for.
    pub labels: Labels,
    pub at: Timestamp,
    pub value: f64,
    pub trace_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuerySeries {
    pub labels: Labels,
    /// Floats; NaN and infinities are `None` in JSON, see the Prometheus API for exact values.
    pub points: Vec<(Timestamp, Option<f64>)>,
    /// Native histograms as text.
    pub histograms: Vec<(Timestamp, String)>,
}

impl From<&SeriesData> for QuerySeries {
    fn from(data: &SeriesData) -> Self {
        QuerySeries {
            labels: data.labels.clone(),
            points: data.times.iter().zip(&data.values).map(|(t, v)| (*t, v.as_float().filter(|f| f.is_finite()))).collect(),
            histograms: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vocabulary {
    pub metrics: Vec<String>,
    pub labels: Vec<String>,
    pub services: Vec<String>,
}
