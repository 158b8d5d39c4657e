//! User and group of the service, to which belongs what root creates for it; and who is asking.

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
    in_list(|fields| match fields {
        [DAEMON, _, user, group, ..] => Some(Owner { user: user.parse().ok()?, group: group.parse().ok()? }),
        _ => None,
    })
}

fn in_list<T>(read: impl Fn(&[&str]) -> Option<T>) -> Option<T> {
    let list = fs::read_to_string("/etc/passwd").ok()?;
    list.lines().find_map(|line| read(&line.split(':').collect::<Vec<_>>()))
}

/// Who runs this command, as the ledger names them: the person behind `sudo`, the user's name, or its number.
pub fn asker() -> String {
    let user = rustix::process::getuid();
    let person = std::env::var("SUDO_USER").ok().filter(|name| user.is_root() && !name.is_empty());
    let number = user.as_raw().to_string();
    let listed = || {
        in_list(|fields| match fields {
            [name, _, listed, ..] if *listed == number => Some((*name).to_owned()),
            _ => None,
        })
    };
    person.or_else(listed).unwrap_or_else(|| format!("user {number}"))
}

/// Where this machine has them and we may give files to them.
pub fn to_give_to() -> Option<Owner> {
    find().filter(|_| rustix::process::geteuid().is_root())
}
