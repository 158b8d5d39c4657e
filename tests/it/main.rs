//! The product from outside: the real binaries against the simulator and against real counterparts.

mod bad_input;
mod counterparts;
mod crash;
mod lifecycle;
mod main_job;
mod rig;
mod trouble;
