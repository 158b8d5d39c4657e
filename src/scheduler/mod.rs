//! Collecting one feed: `decide` says what to do next, the runner does it and reports what came of it.

pub mod decide;

#[cfg(test)]
mod decide_model;
#[cfg(test)]
mod decide_tests;
