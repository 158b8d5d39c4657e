//! argv → verb → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mimecollectd::cli::main()
}
