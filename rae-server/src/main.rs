//! `rae-server`: prints the engine's version until the service itself lands.
use std::io::Write;

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "rae-server {}", rae_server::version())
}
