//! `man` and `completions`: what is generated from the same table of verbs and flags that parses the command line,
//! so that neither can be out of date.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Printed, done};
use crate::setup_error::SetupError;

/// Section of the manual for programs of the administrator.
const SECTION: &str = "8";

/// The program's man page on standard output; with `dir`, it and one page per verb as files, whose paths are printed.
///
/// # Errors
/// A directory that cannot be written to.
pub fn man(dir: Option<&Path>) -> Printed {
    let program = program();
    let Some(dir) = dir else { return done(page(program)?) };
    let mut written = Vec::new();
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{}-{}", program.get_name(), verb.get_name());
        written.push(write(dir, &name, &page(verb.clone())?)?);
    }
    let name = program.get_name().to_owned();
    written.push(write(dir, &name, &page(program)?)?);
    done(written.iter().map(|path| format!("{}\n", path.display())).collect())
}

/// The completion script for `shell` on standard output.
///
/// # Errors
/// None; the type is that of every verb.
pub fn completions(shell: Shell) -> Printed {
    let mut program = program();
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    done(String::from_utf8_lossy(&script).into_owned())
}

fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn page(command: Command) -> Result<String, SetupError> {
    let mut text = Vec::new();
    let source = format!("mimecollectd {}", env!("CARGO_PKG_VERSION"));
    let is_verb = command.get_name() != "mimecollectd";
    // its exit codes have a section of their own
    let command = if is_verb { command } else { command.after_help(clap::builder::Resettable::Reset) };
    let man = Man::new(command).section(SECTION).manual("mimecollectd").source(source);
    let failed = |error| SetupError::failed(format!("failed to make a man page: {error}"));
    man.render(&mut text).map_err(failed)?;
    let text = String::from_utf8_lossy(&text).replacen(".SH EXTRA", ".SH NOTES", 1);
    Ok(text + &ending(is_verb))
}

/// What the table of verbs does not know: exit codes, files, and where to read on.
fn ending(is_verb: bool) -> String {
    const EXIT: [(&str, &str); 7] = [
        ("0", "done"),
        ("1", "failed"),
        ("2", "usage: a verb, flag or argument that does not exist or cannot be used"),
        ("69", "a counterpart is unreachable"),
        ("75", "try later: somebody else holds the store"),
        ("77", "credentials or permission"),
        ("78", "configuration"),
    ];
    const FILES: [(&str, &str); 4] = [
        ("/etc/mimecollectd/mimecollectd.toml", "the configuration"),
        ("/etc/mimecollectd/conf.d/*.toml", "more of it, merged by table"),
        ("/var/lib/mimecollectd", "store, positions, lock: the state directory"),
        ("/usr/share/doc/mimecollectd", "the documentation, and the reference of every key in examples"),
    ];
    let list = |title: &str, rows: &[(&str, &str)]| {
        let row = |(head, words): &(&str, &str)| format!(".TP\n\\fB{head}\\fR\n{words}\n");
        format!(".SH {title}\n{}", rows.iter().map(row).collect::<String>())
    };
    let see = if is_verb { "mimecollectd(8)" } else { "mimecast-simulator(1), systemd.exec(5)" };
    let text = list("\"EXIT STATUS\"", &EXIT) + &list("FILES", &FILES);
    format!("{text}.SH \"SEE ALSO\"\n{see}\n").replace('-', "\\-")
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf, SetupError> {
    let path = dir.join(format!("{name}.{SECTION}"));
    let failed = |error| SetupError::failed(format!("failed to write {}: {error}", path.display()));
    std::fs::write(&path, text).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_every_completion_and_has_a_page_with_its_whole_name() {
        let verbs: Vec<_> = program().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        assert!(verbs.len() > 8, "{verbs:?}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let (script, _) = completions(shell).unwrap();
            for verb in &verbs {
                assert!(script.contains(verb.as_str()), "{shell} lacks {verb}");
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let (paths, _) = man(Some(dir.path())).unwrap();
        assert_eq!(paths.lines().count(), verbs.len() + 1);
        for verb in &verbs {
            let page = std::fs::read_to_string(dir.path().join(format!("mimecollectd-{verb}.8"))).unwrap();
            assert!(page.contains(&format!("mimecollectd {verb}").replace('-', "\\-")), "{verb}: {page}");
        }
        let (whole, _) = man(None).unwrap();
        for part in ["EXIT STATUS", "\\fB78\\fR\nconfiguration", "FILES", "SEE ALSO"] {
            assert!(whole.contains(part), "{part}: {whole}");
        }
        assert!(man(Some(Path::new("/nowhere/at/all"))).unwrap_err().message.contains("/nowhere/at/all"));
    }
}
