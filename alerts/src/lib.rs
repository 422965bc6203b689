//! Rules to states to notices.
