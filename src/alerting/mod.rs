//! Telling people: from a change in the book of alerts to a message, from a message to the form its receiver reads,
//! and to the receiver over HTTP. Also the same news as events of the daemon's own feed. What is worth telling is
//! decided by [`crate::supervisor::alert`]; what is done when a receiver does not answer by the recovery table.

pub mod collector;
mod form;
pub mod message;
pub mod outbox;
pub mod target;
pub mod teller;

pub use form::Form;
