//! End to end: the real program, real sockets, real bytes. Everything listens on loopback at a port of its own and is stopped by its test.

mod acknowledging;
mod alerting;
mod alertmanager;
mod annotations;
mod attach;
mod causes;
mod certificates;
mod clocks;
mod collector;
mod desktop;
mod dialects;
mod hostile_requests;
mod ingest;
mod instance;
mod judge;
mod kept;
mod presets;
mod prometheus;
mod queries;
mod refusals;
mod scenarios;
mod screen;
mod sdk;
mod targets;
mod terminal;
