//! What README.md shows is true: its configuration is valid, its commands and requests are understood.

use std::process::Command;

use evenkeel_config::Config;
use evenkeel_control::next_hops::{self, NextHops, Wanted};
use evenkeel_control::protocol::parse_line;
use evenkeel_control::{ControlSocket, Setup};
use evenkeel_datapath::port::PortCapabilities;
use evenkeel_datapath::snapshot::{ChecksumOffload, MacAddress};
use evenkeel_datapath::time::Time;

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
    let mut commands: Vec<&str> = Vec::new();
    for title in ["The control socket", "Layer 7"] {
        let section = README.split("\n## ").find(|section| section.starts_with(title)).expect("the section");
        let before = commands.len();
        commands.extend(section.lines().filter_map(|line| line.strip_prefix("evenkeel ")));
        assert!(commands.len() > before + 2, "{title}: {commands:?}");
    }
    for command in commands {
        let words = words(command.split('#').next().unwrap_or_default());
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["--socket", "/nonexistent/control.sock"])
            .args(words)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(3), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What the answers to questions about routes look like, from a control thread without workers.
#[test]
fn routes_are_explained_as_shown() {
    let folder = std::env::temp_dir().join(format!("evenkeel-readme-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let path = folder.join("control.sock");
    let whole = blocks("toml").into_iter().find(|block| block.contains("[[service.route]]")).expect("routes");
    let config = Config::parse(&format!("{EXAMPLE}\n{whole}"), "README.md").expect("valid").config;
    let socket = ControlSocket::claim(&path).expect("a socket");
    let (reader, _writer) = next_hops::channel(NextHops::default(), Wanted::of(&config));
    let capabilities = PortCapabilities {
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        transmit_checksums: ChecksumOffload::default(),
        rss: None,
        queues: 1,
        numa_node: None,
    };
    let setup = Setup {
        ports: vec![capabilities; config.ports.len()],
        config,
        config_file: folder.join("evenkeel.toml"),
        workers: Vec::new(),
        clock: || Time(0),
        version: "test".to_owned(),
    };
    let (is_ready, ready) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        evenkeel_control::run(setup, reader, socket, || is_ready.send(()).expect("somebody waits"))
    });
    ready.recv().expect("it begins");
    let ask = |command: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        let output =
            program.arg("--socket").arg(&path).args(words(command)).output().expect("the program runs");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let mut count = 0;
    for block in blocks("console") {
        let Some((command, shown)) = block.split_once('\n') else { continue };
        if let Some(command) =
            command.strip_prefix("$ evenkeel ").filter(|command| command.starts_with("route "))
        {
            assert_eq!(ask(command).trim_end(), shown);
            count += 1;
        }
    }
    ask("stop");
    server.join().expect("the control thread ends").expect("well");
    std::fs::remove_dir_all(&folder).expect("it goes");
    assert!(count > 0);
}

/// The words of a line as a shell takes them, as far as the examples need it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
