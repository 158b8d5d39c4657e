//! Delivery: one courier per sink takes events from the store, in the store's order, and hands them over. Its
//! position moves only with a [`Receipt`](crate::sink::Receipt), which only a sink can make; a sink that is down
//! costs its own courier time and nobody else anything.

mod courier;
mod errands;
mod reader;
mod refusal;
mod room;
mod stream;
#[cfg(test)]
mod tests;

pub use courier::{Courier, SinkState, Wires};
pub use reader::{Filter, WantsKind};
