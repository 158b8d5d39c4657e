//! `man` and `completions`: what is generated from the same table of verbs and flags that parses the command line,
//! so that neither can be out of date.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Printed, done};
use crate::setup_error::{ExitCode, SetupError};

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
    const FILES: [(&str, &str); 4] = [
        ("/etc/mimecollectd/mimecollectd.toml", "the configuration"),
        ("/etc/mimecollectd/conf.d/*.toml", "more of it, merged by table"),
        ("/var/lib/mimecollectd", "store, positions, lock: the state directory"),
        ("/usr/share/doc/mimecollectd", "the documentation, and the reference of every key in examples"),
    ];
    let row = |head: &str, words: &str| format!(".TP\n\\fB{head}\\fR\n{words}\n");
    let exits = ExitCode::ALL.map(|(code, words)| row(&(code as u8).to_string(), words)).concat();
    let files = FILES.map(|(path, words)| row(path, words)).concat();
    let see = if is_verb { "mimecollectd(8)" } else { "mimecast-simulator(1), systemd.exec(5)" };
    format!(".SH \"EXIT STATUS\"\n{exits}.SH FILES\n{files}.SH \"SEE ALSO\"\n{see}\n").replace('-', "\\-")
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf, SetupError> {
    let path = dir.join(format!("{name}.{SECTION}"));
    let failed = |error| {
        let advice = "name a directory that is there and that you may write to";
        SetupError::failed(format!("failed to write {}: {error}; {advice}", path.display()))
    };
    std::fs::write(&path, text).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Where a line is written as it is (an example, a table), a terminal of 100 columns shows it whole.
    #[test]
    fn nothing_below_the_flags_is_wider_than_a_hundred_columns() {
        let program = program();
        let all = std::iter::once(&program).chain(program.get_subcommands());
        for verb in all {
            let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 100, "{}: {line}", verb.get_name());
            }
        }
    }

    #[test]
    fn json_is_refused_where_no_data_is_printed() {
        for verb in [&["run"][..], &["validate"], &["init"]] {
            let line = ["mimecollectd"].iter().chain(verb).chain(&["--json"]);
            let refused = Cli::try_parse_from(line).err().map(|error| error.kind());
            assert_eq!(refused, Some(clap::error::ErrorKind::UnknownArgument), "{verb:?}");
        }
        assert!(Cli::try_parse_from(["mimecollectd", "feeds", "--json"]).is_ok());
    }

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
