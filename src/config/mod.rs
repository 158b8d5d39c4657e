//! The configuration: files → checked, complete [`Settings`], in one direction. Reading order: [`settings`] is
//! what everybody else sees; `file` reads and merges the files; `general`, `tenant` (with `access`), `sink` (with `sink_http` and `sink_presets`) and
//! `alerts` say what may be written and check it; `table` and `diagnostic` make sure that every mistake is shown with file,
//! line, the line itself (secrets masked) and what to do.

mod access;
mod admin;
mod alerts;
mod describe;
mod describe_http;
mod diagnostic;
mod file;
mod general;
mod glob;
mod http_settings;
mod kafka;
mod kafka_settings;
mod mask;
mod nearest;
mod pem_file;
mod public;
mod secret_ref;
pub mod settings;
mod sink;
mod sink_file;
mod sink_http;
mod sink_presets;
mod sink_syslog;
mod table;
mod tenant;
mod value;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod keys_page_tests;
#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod reference_lines;
#[cfg(test)]
mod reference_tests;

pub use access::{API_1_RETIRES, regions};
pub use admin::Admin;
pub use alerts::url_fits;
pub use describe::describe;
pub use file::{files, load, load_with};
pub use glob::Glob;
pub use mask::MASK;
pub use pem_file::PemFile;
pub use public::public;
pub use secret_ref::SecretRef;
pub use settings::{Api, KnownFeed, Settings, Sink, Tenant};
