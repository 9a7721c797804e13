//! What is made from the command line's own description: completion scripts and man pages.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::shells::{Bash, Fish, Zsh};

use crate::cli::{Cli, Shell};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;

/// Prints the completion script for `shell`.
pub(crate) fn completions(output: &mut Output, shell: Shell) -> Outcome {
    let mut command = Cli::command();
    let mut script = Vec::new(); // clap_complete panics where it cannot write: memory always takes it
    match shell {
        Shell::Bash => clap_complete::generate(Bash, &mut command, "evenkeel", &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, &mut command, "evenkeel", &mut script),
        Shell::Fish => clap_complete::generate(Fish, &mut command, "evenkeel", &mut script),
    }
    output.bytes(&script)?;
    Ok(Exit::Done)
}

/// Prints the main man page.
pub(crate) fn man(output: &mut Output) -> Outcome {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|error| Failure::new(format!("cannot make the man page: {error}")))?;
    output.bytes(&page)?;
    Ok(Exit::Done)
}

/// Writes one man page for each command into `directory`, which is made if it is missing.
pub(crate) fn man_directory(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| {
            Failure::new(format!("cannot write man pages into {}: {error}", directory.display()))
        })?;
    Ok(Exit::Done)
}
