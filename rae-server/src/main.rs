//! `rae-server`: see [`rae_server::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rae_server::run(std::env::args_os())
}
