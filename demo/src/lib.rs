//! The platform simulator: real OTLP, /metrics and /health traffic on loopback.
