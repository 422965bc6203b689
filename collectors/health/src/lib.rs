//! Health probes: HTTP, TCP and grpc.health.v1, and the body formats they meet.
