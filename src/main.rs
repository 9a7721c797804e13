//! The `evenkeel` program: wiring only.
//!
//! Each command is one module; standard output is written through [`output::Output`] alone, errors end here.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod client;
mod exit;
mod handles;
mod output;
mod pages;
mod replay;
mod requests;
mod run;
mod tables;

use std::process::ExitCode;

use clap::Parser;
use evenkeel_control::protocol::Answer;

use cli::{Ask, Cli, Command, Connection};
use exit::{Exit, Failure, Outcome};
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::stdout();
    let outcome = dispatch(&cli, &mut output).and_then(|exit| output.finish().map(|()| exit));
    match outcome {
        Ok(exit) => exit.into(),
        Err(Failure::ReaderLeft) => Exit::Done.into(),
        Err(Failure::Invalid(errors)) => {
            eprintln!("{errors}");
            Exit::Invalid.into()
        }
        Err(Failure::Told(exit, message)) => {
            eprintln!("error: {message}");
            exit.into()
        }
    }
}

fn dispatch(cli: &Cli, output: &mut Output) -> Outcome {
    match &cli.command {
        Command::Check { file } => check::check(output, file, cli.json),
        Command::Run(run) => run::run(output, run),
        Command::Replay(replay) => replay::replay(output, replay, cli.json),
        Command::Completions { shell } => pages::completions(output, *shell),
        Command::Man { directory: Some(directory) } => pages::man_directory(directory),
        Command::Man { directory: None } => pages::man(output),
        Command::Ask(command) => ask(cli, command, output),
    }
}

/// Asks the running balancer and prints its answer.
fn ask(cli: &Cli, command: &Ask, output: &mut Output) -> Outcome {
    let request = requests::request(command);
    let line = client::ask(&cli.socket, &request)?;
    let exit = client::exit(&line);
    if cli.json {
        output.line(&line)?;
        return Ok(exit);
    }
    match client::meaning(&request, &line)? {
        Answer::Done { generation, report: Some(report) } => {
            let is_all = matches!(
                command,
                Ask::Drops { all: true } | Ask::Connection(Connection::Counters { all: true })
            );
            tables::write(output, generation, &report, is_all)?;
        }
        Answer::Done { generation, report: None } => {
            output.line(&match command {
                Ask::Stop => "stopping".to_owned(),
                _ => format!("in force on every worker, generation {generation}"),
            })?;
        }
        Answer::Pending { generation, late_workers } => {
            return Err(Failure::Told(
                exit,
                format!(
                    "pending: generation {generation} is not in force on workers {} yet; see `evenkeel worker list`",
                    tables::list(&late_workers)
                ),
            ));
        }
        Answer::Refused(refusal) => return Err(Failure::Told(exit, refusal.message)),
    }
    Ok(exit)
}
