//! Live telemetry in bounded memory: series, spans, logs and the signals derived from them.
