//! The Prometheus scraper: exposition formats, targets, staleness.
