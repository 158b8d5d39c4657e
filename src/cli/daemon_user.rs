//! User and group of the service, to which belongs what root creates for it.

use std::fs;

/// Name of both.
const DAEMON: &str = "mimecollectd";

/// Their numbers.
#[derive(Clone, Copy)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

/// From the system's own list: packages create the user there.
pub fn find() -> Option<Owner> {
    let list = fs::read_to_string("/etc/passwd").ok()?;
    let fields = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find_map(|fields| match fields.as_slice() {
        [DAEMON, _, user, group, ..] => Some(Owner { user: user.parse().ok()?, group: group.parse().ok()? }),
        _ => None,
    })
}

/// Where this machine has them and we may give files to them.
pub fn to_give_to() -> Option<Owner> {
    find().filter(|_| rustix::process::geteuid().is_root())
}
