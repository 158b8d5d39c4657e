//! Collecting one feed: `decide` says what to do next, the runner does it and reports what came of it.

pub mod decide;
pub mod state;

#[cfg(test)]
mod decide_day;
#[cfg(test)]
mod decide_model;
#[cfg(test)]
mod decide_tests;
