//! The guard against clients that do wrong, over real sockets.

mod crowds;
mod fixture;
mod floods;
mod guard;
