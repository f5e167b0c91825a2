//! The command line: roles, and one flag for each setting.

use crate::{
    prices,
    settings::{CONFIG_ENV, SETTINGS},
};
use clap::{Arg, Command};
use std::ffi::OsString;

/// What this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything in one process on an embedded store.
    All,
    /// The routes alone.
    Api,
    /// Embeddings and what texts speak of, as a service.
    Ml,
    /// A cross-encoder as a service.
    Reranker,
    /// Background jobs alone, in children.
    Worker,
    /// One of those children.
    WorkerChild,
    /// Makes or upgrades the store, and ends.
    Migrate,
    /// Prints the description of the API, and ends.
    OpenApi,
    /// Prints what models cost, and ends.
    Prices,
    /// Asks a running server whether it is ready, and ends.
    Healthcheck,
}

/// Name of the role that `worker` starts, which nobody else need know.
const CHILD: &str = "worker-child";
impl Role {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(role, _, _)| *role == self).map_or("all", |(_, name, _)| name)
    }
}

/// Roles with their names and what they do.
pub const ROLES: &[(Role, &str, &str)] = &[
    (Role::All, "all", "Everything in one process on an embedded store (the default)"),
    (Role::Api, "api", "The HTTP API alone"),
    (Role::Ml, "ml", "The ml service: embeddings, keywords, triples, entities; port 8001 by default"),
    (Role::Reranker, "reranker", "The reranker service; port 8002 by default"),
    (Role::Worker, "worker", "Background jobs alone, in child processes; metrics and health on RAE_WORKER_PORT"),
    (Role::WorkerChild, CHILD, "A child of a worker"),
    (Role::Migrate, "migrate", "Make the store or bring it to this version's schema, and end"),
    (Role::OpenApi, "openapi", "Print the OpenAPI description of the API, and end"),
    (Role::Prices, "prices", "List what models cost, in US dollars for a million tokens, and end"),
    (
        Role::Healthcheck,
        "healthcheck",
        "Ask the server at the configured address whether it is ready; exit code 0 or 1",
    ),
];

/// The command line's grammar.
pub fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .global(true)
        .help(format!("File with settings, in TOML [env: {CONFIG_ENV}]"));
    let mut command = Command::new("rae-server")
        .version(rae_core::version())
        .about("RAE, the long-term memory of AI agents, as a service.")
        .after_help(after_help())
        .disable_help_subcommand(true)
        .arg(config);
    for spec in SETTINGS {
        let Some(flag) = spec.flag else { continue };
        let default = if spec.default.is_empty() { "none" } else { spec.default };
        let help = format!("{} [env: {}] [default: {default}]", spec.help, spec.env);
        command = command
            .arg(Arg::new(flag).long(flag).value_name("VALUE").global(true).hide_possible_values(true).help(help));
    }
    ROLES.iter().fold(command, |command, (role, name, about)| {
        let own = if *role == Role::Prices { prices::arguments() } else { Vec::new() };
        command.subcommand(Command::new(*name).about(*about).hide(*name == CHILD).args(own))
    })
}

/// The arguments that start a child with the flags of this process; the environment it inherits.
pub fn child_arguments(flags: &clap::ArgMatches) -> Vec<OsString> {
    let mut arguments = vec![CHILD.into()];
    for flag in SETTINGS.iter().filter_map(|spec| spec.flag).chain(["config"]) {
        if let Some(value) = flags.get_one::<String>(flag) {
            arguments.push(format!("--{flag}={value}").into());
        }
    }
    arguments
}

/// What has no flag: command lines are seen by other users of the machine.
fn after_help() -> String {
    let mut text = String::from(
        "A setting is taken from its flag, else from its environment variable, else from the file, else it has its default.\n\
         Secrets have no flag, as command lines are seen by other users of the machine. They are taken from the file, from \
         their variable, or from the file that the variable with _FILE after its name names:\n",
    );
    for spec in SETTINGS.iter().filter(|spec| spec.is_secret()) {
        text.push_str(&format!("  {}: {}\n", spec.env, spec.help));
    }
    text
}

/// The role that was asked for, and the flags given before or after it.
pub fn role(matches: &clap::ArgMatches) -> (Role, &clap::ArgMatches) {
    let Some((name, flags)) = matches.subcommand() else { return (Role::All, matches) };
    let role = ROLES.iter().find(|(_, known, _)| *known == name).map_or(Role::All, |(role, _, _)| *role);
    (role, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_count_before_and_after_the_role_and_without_one() {
        for args in [vec!["--port", "1"], vec!["all", "--port", "1"], vec!["--port", "1", "all"]] {
            let args = ["rae-server"].into_iter().chain(args);
            let matches = command().try_get_matches_from(args).unwrap();
            let (found, flags) = role(&matches);
            assert_eq!((found, flags.get_one::<String>("port").map(String::as_str)), (Role::All, Some("1")));
        }
    }
}
