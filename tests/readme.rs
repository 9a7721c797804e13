//! What README.md shows is true: its configuration is valid, its commands and requests are understood.

use std::process::Command;

use evenkeel_config::Config;
use evenkeel_control::protocol::parse_line;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../config/example.toml");

/// The blocks of code in README.md of this language.
fn blocks(language: &str) -> Vec<&str> {
    let fence = format!("\n```{language}\n");
    README.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn the_configuration_is_valid() {
    let blocks = blocks("toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        // A piece is to be added to the complete example.
        let whole = if block.contains("[balancer]") { block } else { &format!("{EXAMPLE}\n{block}") };
        if let Err(errors) = Config::parse(whole, "README.md") {
            panic!("{errors}");
        }
    }
}

#[test]
fn the_requests_are_understood() {
    let requests: Vec<&str> = README
        .split("echo '")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .filter(|text| text.starts_with('{'))
        .collect();
    assert!(!requests.is_empty());
    for request in requests {
        if let Err(refusal) = parse_line(request.as_bytes()) {
            panic!("{request}: {refusal}");
        }
    }
}

/// Every command for the running balancer: understood, and then there is none.
#[test]
fn the_commands_are_understood() {
    let section =
        README.split("\n## ").find(|section| section.starts_with("The control socket")).expect("the section");
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("evenkeel ")).collect();
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let words = command.split('#').next().unwrap_or_default().split_whitespace();
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["--socket", "/nonexistent/control.sock"])
            .args(words)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(3), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
