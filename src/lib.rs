//! `mimecollectd`: every Mimecast email-security event into every SIEM. Modules in reading order; the drawing
//! and the walk of one event are in `ARCHITECTURE.md`.
#![forbid(unsafe_code)]

// vocabulary: used by all, uses nobody
pub mod apart;
pub mod chunk;
pub mod clock;
pub mod cursor;
pub mod event;
pub mod fault;
pub mod gzip;
pub mod limits;
pub mod names;
pub mod secret;
pub mod setup_error;
// what is true of Mimecast, of error answers, of recovery
pub mod config;
pub mod dialect;
pub mod mimecast;
pub mod scheduler;
pub mod supervisor;
// where events are kept and how they leave
pub mod delivery;
pub mod format;
pub mod sink;
pub mod store;
// what the operator sees
pub mod admin;
pub mod alerting;
pub mod cli;
pub mod daemon;
pub mod signals;
pub mod telemetry;
