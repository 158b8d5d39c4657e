//! The product from outside: the real binaries against the simulator and against real counterparts.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; real processes live in real time"
)]

mod alerts;
mod answers;
mod bad_days;
mod bad_input;
mod browser;
mod check;
mod cloud;
mod counterparts;
mod crash;
mod damage;
mod exits;
mod fleet;
mod held;
mod help;
mod http_sink;
mod init;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod kills;
mod ledger;
mod lifecycle;
mod lockout;
mod mail_log;
mod main_job;
mod nginx;
mod observability;
mod outage;
mod presets;
mod promises;
mod reload;
mod relp;
mod repair;
mod rig;
mod secrecy;
mod signed;
mod sinks;
mod status_page;
mod support_bundle;
mod told;
mod trouble;
mod web;
