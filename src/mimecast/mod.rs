//! What is true of Mimecast and of nobody else: which logs it offers, how each is asked for, where a reader stands
//! in it, what its answers mean. Facts only: nothing here waits, tries again, logs or decides what a fault
//! means, and everything but [`client`] is pure.

pub mod again;
pub mod archive;
pub mod auth;
pub mod catalogue;
pub mod client;
mod content;
mod edge;
mod elements;
mod failure;
pub mod feed;
mod key_value;
mod lines;
pub mod links;
pub mod live;
mod log_file;
pub mod mta;
pub mod page;
pub mod payload;
pub mod position;
pub mod quota;
pub mod reach;
mod record;
pub mod request;
mod scan;
#[cfg(test)]
mod scan_tests;
pub mod signature;
pub mod stream;
mod unreadable;

#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod client_slow_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod payload_tests;
#[cfg(test)]
mod position_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod window_tests;
