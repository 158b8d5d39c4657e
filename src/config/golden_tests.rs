//! Every configuration under `tests/fixtures/config` with what is said about it. A case is `NAME.toml`, or a
//! directory `NAME` with `mimecollectd.toml` and `conf.d`; beside it `NAME.expected`. Run with `UPDATE_EXPECT=1` to
//! write what is said now, and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use super::{describe, load};
use crate::config::load_tests::KNOWN;

fn cases() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("tests/fixtures/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fits_this_build(path))
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    found
}

/// What a configuration with Kafka comes to is up to the feature.
fn fits_this_build(case: &Path) -> bool {
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with(if cfg!(feature = "kafka") { "without_kafka" } else { "kafka" })
}

/// The error, or the warnings and the description.
fn said(case: &Path) -> String {
    let main = if case.is_dir() { case.join("mimecollectd.toml") } else { case.to_owned() };
    match load(&main, KNOWN) {
        Err(error) => format!("exit {}\n{error}\n", error.exit as u8),
        Ok(settings) => {
            let warnings: String =
                settings.warnings.iter().map(|text| format!("warning: {text}\n")).collect();
            format!("{warnings}{}", describe(&settings))
        }
    }
}

#[test]
fn everything_is_said_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let mut bad = 0;
    for case in cases() {
        let said = said(&case);
        let expected = case.with_extension("expected");
        bad += usize::from(said.starts_with("exit 78"));
        if update {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {}\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{} differ; now they say:\n{}", wrong.len(), wrong.join("\n"));
    assert!(bad >= 25, "only {bad} bad configurations: was the folder moved?");
}

#[test]
fn no_secret_is_ever_shown() {
    let mut with_secret = 0;
    for case in cases() {
        let mut sources = vec![case.clone()];
        if case.is_dir() {
            sources = vec![case.join("mimecollectd.toml")];
            sources.extend(fs::read_dir(case.join("conf.d")).unwrap().map(|entry| entry.unwrap().path()));
        }
        with_secret +=
            sources.iter().filter(|path| fs::read_to_string(path).unwrap().contains("hunter2")).count();
        assert!(!said(&case).contains("hunter2"), "{}", case.display());
    }
    assert!(with_secret >= 5, "secrets have to be in the fixtures for this to mean anything");
}
