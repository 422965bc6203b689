//! The receiver over real sockets: what is taken in, what is refused, in which words, and which counter says so.

mod accepts;
mod doors;
mod fixture;
mod metrics;
mod refuses;
mod sdk;
mod streams;
