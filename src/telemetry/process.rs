//! The conventional `process_*` metrics, read from `/proc/self` at each scrape. They carry no prefix: every
//! Prometheus dashboard for processes knows them by these names.

use std::fmt::Write as _;
use std::fs;

use crate::clock::Time;

/// Clock ticks per second in `/proc/*/stat`: the kernel's `USER_HZ`, 100 on every architecture Rust's
/// Linux targets share with this product.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/self` says; a figure that cannot be read is left out rather than reported as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    pub threads: Option<u64>,
}

impl Usage {
    /// Reads the figures of this process.
    pub fn now() -> Usage {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Usage {
            cpu_seconds: fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: field(&status, "VmSize:").map(|kib| kib * 1024),
            // The listing itself holds one descriptor open while it is counted.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|list| (list.count() as u64).saturating_sub(1)),
            max_fds: field(&limits, "Max open files"),
            threads: field(&status, "Threads:"),
        }
    }

    /// The figures in the Prometheus text format; `started` is when this process began.
    pub fn render(&self, started: Time, out: &mut String) {
        let whole = |value: Option<u64>| value.map(|v| v as f64);
        let rows: [(&str, &str, &str, Option<f64>); 7] = [
            ("process_cpu_seconds_total", "counter", "User and system CPU time spent.", self.cpu_seconds),
            ("process_resident_memory_bytes", "gauge", "Resident memory.", whole(self.resident_bytes)),
            ("process_virtual_memory_bytes", "gauge", "Virtual memory.", whole(self.virtual_bytes)),
            ("process_open_fds", "gauge", "Open file descriptors.", whole(self.open_fds)),
            ("process_max_fds", "gauge", "File descriptors this process may open.", whole(self.max_fds)),
            ("process_threads", "gauge", "Operating system threads.", whole(self.threads)),
            (
                "process_start_time_seconds",
                "gauge",
                "When the process started, in Unix seconds.",
                Some(started.0 as f64 / 1000.0),
            ),
        ];
        for (name, kind, help, value) in rows {
            if let Some(value) = value {
                // a String takes every write
                let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
            }
        }
    }
}

/// First number after `name` in a `/proc` listing.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// utime and stime: the 14th and 15th fields. The second field, the program's name, may contain anything
/// but is closed by the last `)`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_program_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) 1 2 3) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 9 1 2";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory_files_and_threads() {
        let usage = Usage::now();
        assert!(usage.resident_bytes.unwrap() > 1 << 20);
        assert!(usage.open_fds.unwrap() >= 1 && usage.open_fds.unwrap() <= usage.max_fds.unwrap());
        assert!(usage.threads.unwrap() >= 1 && usage.cpu_seconds.is_some());
        let mut out = String::new();
        usage.render(Time(1_500), &mut out);
        assert!(out.contains("process_start_time_seconds 1.5\n"));
        assert_eq!(out.matches("# TYPE").count(), 7);
    }
}
