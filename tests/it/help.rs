//! The words of the command line, read in review: a change of any verb shows as a change of a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::text;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mimecollectd");

fn said(args: &[&str]) -> String {
    let out = Command::new(PROGRAM).args(args).env("COLUMNS", "100").output().expect("the program runs");
    assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
    text(&out.stdout)
}

/// The verbs that `--help` lists.
fn verbs(help: &str) -> Vec<String> {
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let word =
        |line: &str| line.strip_prefix("  ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    listed.filter_map(word).filter(|word| !word.is_empty() && word != "help").collect()
}

fn compare(path: PathBuf, found: &str, wrong: &mut Vec<String>) {
    let version = env!("CARGO_PKG_VERSION");
    let found = found.replace(version, "VERSION");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("mkdir");
        std::fs::write(&path, &found).expect("the golden file is written");
    }
    if std::fs::read_to_string(&path).unwrap_or_default() != found {
        wrong.push(format!("{}:\n{found}", path.display()));
    }
}

/// Run with `UPDATE_EXPECT=1` to write the files anew, and read the difference.
#[test]
fn help_and_man_pages_are_as_they_were_read_in_review() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/help");
    let whole = said(&["--help"]);
    let verbs = verbs(&whole);
    assert!(verbs.len() >= 14, "{verbs:?}");
    let mut wrong = Vec::new();
    compare(fixtures.join("mimecollectd.txt"), &whole, &mut wrong);
    compare(fixtures.join("mimecollectd.8"), &said(&["man"]), &mut wrong);
    for verb in &verbs {
        let help = said(&[verb.as_str(), "--help"]);
        assert!(help.contains("Example"), "`{verb} --help` has no example:\n{help}");
        compare(fixtures.join(format!("{verb}.txt")), &help, &mut wrong);
    }
    assert!(
        wrong.is_empty(),
        "these differ; set UPDATE_EXPECT=1 and read the difference:\n{}",
        wrong.join("\n")
    );
}
