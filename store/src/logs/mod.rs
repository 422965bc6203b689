//! Log records: a ring bounded by number and bytes, and the templates they share.

mod patterns;
mod ring;

pub(crate) use ring::LogRing;
