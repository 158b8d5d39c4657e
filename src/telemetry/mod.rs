//! What the operator hears of the daemon: [`notice`] is the one list of everything it says (log line and
//! counters in one call), [`metrics`] the one list of everything it measures, [`log`] where the lines go.

mod by_feed;
pub mod escape;
pub mod exporter;
pub mod label;
pub mod log;
pub mod metrics;
#[cfg(test)]
mod metrics_page_tests;
pub mod notice;
pub mod process;
pub mod pulse;
mod scrape;
