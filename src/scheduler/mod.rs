//! Collecting: `decide` says what a feed does next and is pure; the runner does it and reports what came of it.
//! What all feeds of a tenant share (credential, quota, clients) is the account's.

pub mod account;
mod answers;
mod aside;
pub mod decide;
mod files;
mod found;
pub mod hosts;
pub mod live;
pub mod lost;
pub mod places;
mod repeats;
pub mod runner;
mod seam;
mod server_clock;
pub mod side;
pub mod spool;
pub mod state;
mod steps;

#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod decide_day;
#[cfg(test)]
mod decide_edges;
#[cfg(test)]
mod decide_faults;
#[cfg(test)]
mod decide_model;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod hand_tests;
#[cfg(test)]
mod history_batch_tests;
#[cfg(test)]
mod history_sink;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod runner_tests;
#[cfg(test)]
mod simulation;
