//! What is done about a fault. `policy` is the one table, `backoff` turns its timers into waits, `gate` guards a
//! credential that many feeds share, `host` does so for a host that many tenants share, `alert` keeps the book of what a person has been told. All of it is pure: time, chance and stored text come in as arguments.

pub mod alert;
pub mod backoff;
pub mod gate;
pub mod host;
mod lasting;
mod on;
pub mod overrides;
pub mod policy;
pub mod rule;
pub mod spread;
pub mod words;

mod rows_access;
mod rows_download;
mod rows_kafka;
mod rows_local;
mod rows_permission;
mod rows_request;
mod rows_service;
mod rows_sink;
mod rows_wire;

#[cfg(test)]
mod gate_edges;
#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod knock_tests;
#[cfg(test)]
mod overrides_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod said_tests;
#[cfg(test)]
mod table_edges;
#[cfg(test)]
mod truth_tests;
