//! `#[serde(with = "duration_text")]`: durations written as Prometheus writes them (`250ms`, `30s`, `1h30m`), in the configuration and in the settings
//! of collectors.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::Duration;
use watchfire_model::{format_duration, parse_duration};

pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    read(&String::deserialize(deserializer)?)
}

fn read<E: Error>(text: &str) -> Result<Duration, E> {
    parse_duration(text).map_err(|_| E::custom(format!("{text:?} is not a duration; write it like \"250ms\", \"30s\" or \"1h30m\"")))
}

/// The same for a value that may be absent.
pub mod optional {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| read(&text)).transpose()
    }
}
