//! Prometheus durations in settings, for `#[serde(with)]`.

use serde::{Deserialize, Deserializer, Serializer, de};
use std::time::Duration;
use watchfire_model::{format_duration, parse_duration};

pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(de::Error::custom)
}

/// The same for an optional value.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Duration, Serializer, de, format_duration, parse_duration};

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_str(&format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| parse_duration(&text).map_err(de::Error::custom)).transpose()
    }
}
