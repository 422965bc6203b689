//! Notices to people: routing, silences, the durable outbox and the channels.
