//! What this machine says: program, configuration, unit, journal, system.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Part;
use crate::config::{self, MASK, Settings};
use crate::dialect;
use crate::limits::SUPPORT_JOURNAL_LINES;

const UNIT: &str = "mimecollectd.service";

/// Version, and what it was built for.
pub fn version() -> String {
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let libc = if cfg!(target_env = "musl") { "static, musl" } else { "glibc" };
    format!("mimecollectd {version}, {arch}, {libc}\n")
}

/// Every file of the configuration, masked.
pub fn configuration(main: &Path) -> Vec<Part> {
    const WHAT: &str = "the configuration, values masked that are not known to be harmless";
    let files = config::files(main).unwrap_or_else(|_| vec![main.to_owned()]);
    let part = |path: &std::path::PathBuf| {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let folder = if path == main { "configuration" } else { "configuration/conf.d" };
        let text = fs::read_to_string(path).map(|text| config::public(&text));
        Part::new(&format!("{folder}/{name}"), WHAT, text.map_err(|why| format!("{}: {why}", path.display())))
    };
    files.iter().map(part).collect()
}

/// What a program prints.
fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let run = Command::new(program).args(args).output();
    let out = run.map_err(|why| format!("failed to run {program}: {why}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        return if text.trim().is_empty() { Err(format!("{program} printed nothing")) } else { Ok(text) };
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let said = said.lines().next().unwrap_or("it printed nothing").to_owned();
    Err(format!("{program} ended with {}: {said}", out.status))
}

/// The last lines of the journal, each redacted as everything that comes from outside.
pub fn journal() -> Result<String, String> {
    let lines = SUPPORT_JOURNAL_LINES.to_string();
    let args = ["--unit", UNIT, "--lines", &lines, "--no-pager", "--output", "short-iso", "--quiet"];
    let text = output("journalctl", &args)?;
    Ok(text.lines().map(|line| dialect::redacted(line) + "\n").collect())
}

/// The unit with its drop-ins; values that set something from outside are masked.
pub fn unit() -> Result<String, String> {
    let text = output("systemctl", &["cat", "--no-pager", UNIT]).or_else(|why| {
        let usual = ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"];
        let found = usual.iter().find_map(|place| fs::read_to_string(format!("{place}/{UNIT}")).ok());
        found.ok_or(why)
    })?;
    Ok(masked(&text))
}

/// Each setting masked as a whole: a line that ends in a backslash goes on in the next one that is no comment.
fn masked(unit: &str) -> String {
    let mut text = String::new();
    let mut begun = String::new();
    for line in unit.lines() {
        let comment = line.starts_with(['#', ';']);
        match line.strip_suffix('\\').filter(|_| !comment) {
            Some(part) => begun.push_str(part),
            None if comment && !begun.is_empty() => {}
            None => {
                begun.push_str(line);
                text.push_str(&unit_line(&begun));
                text.push('\n');
                begun.clear();
            }
        }
    }
    text + &unit_line(&begun)
}

fn unit_line(line: &str) -> String {
    const MAY_HOLD_SECRETS: [&str; 3] = ["Environment", "SetCredential", "ExecStart"];
    let holds = |key: &str| MAY_HOLD_SECRETS.iter().any(|word| key.trim_start_matches('#').starts_with(word));
    match line.split_once('=') {
        // the usual command line has none
        Some(("ExecStart", command)) if !command.contains("env ") && !command.contains("sh ") => {
            line.to_owned()
        }
        Some((key, _)) if holds(key.trim()) => format!("{key}={MASK}"),
        _ if line.starts_with('#') && !line.starts_with("# /") => String::new(),
        _ => line.to_owned(),
    }
}

/// Operating system, processor, memory, clock, and the disk of the store.
pub fn system(settings: Option<&Settings>) -> String {
    let mut text = String::new();
    let name = rustix::system::uname();
    text.push_str(&format!(
        "kernel   {} {} {}\n",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
        name.machine().to_string_lossy()
    ));
    let lines = |path: &str, wanted: &[&str]| -> String {
        let text = fs::read_to_string(path).unwrap_or_default();
        let wanted = |line: &&str| wanted.iter().any(|start| line.starts_with(start));
        text.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
    };
    text.push_str(&lines("/etc/os-release", &["PRETTY_NAME", "VERSION_ID"]));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    text.push_str(&format!("processors {processors}\n"));
    text.push_str(&lines("/proc/meminfo", &["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"]));
    text.push_str(&format!("load     {}", fs::read_to_string("/proc/loadavg").unwrap_or_default()));
    if let Some(settings) = settings
        && let Ok(found) = rustix::fs::statvfs(&settings.state_dir)
    {
        let bytes = |blocks: u64| bytesize::ByteSize(blocks.saturating_mul(found.f_frsize));
        text.push_str(&format!(
            "disk of {}: {} of {} free, {} of {} inodes free\n",
            settings.state_dir.display(),
            bytes(found.f_bavail),
            bytes(found.f_blocks),
            found.f_favail,
            found.f_files
        ));
    }
    let clock = output("timedatectl", &["show"]).unwrap_or_else(|why| format!("{why}\n"));
    text.push_str(&clock);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_shows_its_settings_and_no_values_from_outside() {
        for (line, shown) in [
            ("Restart=on-failure", "Restart=on-failure"),
            (
                "# /etc/systemd/system/mimecollectd.service.d/override.conf",
                "# /etc/systemd/system/mimecollectd.service.d/override.conf",
            ),
            ("# the password is hunter2", ""),
            ("Environment=TOKEN=hunter2", "Environment=********"),
            ("SetCredential=acme:hunter2", "SetCredential=********"),
            ("LoadCredential=acme:/etc/acme", "LoadCredential=acme:/etc/acme"),
            ("ExecStart=/usr/bin/mimecollectd run", "ExecStart=/usr/bin/mimecollectd run"),
            ("ExecStart=/bin/sh -c 'TOKEN=hunter2 …'", "ExecStart=********"),
        ] {
            assert_eq!(unit_line(line), shown);
        }
    }

    #[test]
    fn a_value_that_goes_on_in_the_next_line_is_masked_to_its_end() {
        let unit = "[Service]\nEnvironment=A=x \\\n# the token\n  TOKEN=hunter2 \\\n  KEY=hunter2\nRestart=on-failure\n\
                    ExecStart=/usr/bin/env \\\n TOKEN=hunter2 mimecollectd\nSetCredential=a:\\\n hunter2 \\";
        let shown = masked(unit);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains("Restart=on-failure\n") && shown.starts_with("[Service]\nEnvironment=********\n")
        );
    }
}
