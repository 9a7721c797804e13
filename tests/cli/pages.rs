//! Help, usage errors, completions, man pages, and readers that leave early.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Folder, evenkeel, run, stderr, stdout};

#[test]
fn help_documents_the_exit_codes_and_every_command() {
    let help = run(["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = stdout(&help);
    for line in
        ["  0  done", "  1  refused", "  2  wrong", "  3  no balancer", "  4  pending", "  5  the conf"]
    {
        assert!(help.contains(line), "{line} is missing in\n{help}");
    }
    for command in [
        "check",
        "run",
        "replay",
        "status",
        "service",
        "backend",
        "flow",
        "route",
        "drops",
        "worker",
        "port",
        "next-hop",
        "reload",
        "stop",
        "completions",
        "man",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in\n{help}");
        assert_eq!(run([command, "--help"]).status.code(), Some(0));
    }
}

#[test]
fn the_version_says_what_was_built() {
    let version = stdout(&run(["--version"]));
    assert!(version.starts_with(&format!("evenkeel {} (", env!("CARGO_PKG_VERSION"))), "{version}");
    assert_eq!(version.contains("without DPDK"), !cfg!(feature = "dpdk"), "{version}");
}

#[test]
fn wrong_usage_ends_with_2_and_the_nearest_word() {
    for (arguments, message) in [
        (&["bakend", "list"][..], "'backend'"),
        (&["backend", "drian", "web", "10.0.0.3:80"], "'drain'"),
        (&["backend", "drain", "web", "10.0.0.3"], "expected a port after the address"),
        (&["backend", "drain", "web", "10.0.0.3:80", "--deadline", "soon"], "or \"never\""),
        (&["service", "add", "web", "192.0.2.1:80", "--mode", "full-nut"], "'full-nat'"),
        (&["service", "add", "web", "192.0.2.1:80", "--protocol", "tcq"], "'tcp'"),
        (&["flow", "list", "--jsn"], "'--json'"),
        (&["check"], "<FILE>"),
        (&[], "Usage: evenkeel"),
        (&["backend"], "Usage: evenkeel backend"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completions", shell]);
        assert_eq!(script.status.code(), Some(0));
        assert!(stdout(&script).contains("next-hop"), "{shell}");
        let Ok(mut reader) = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn() else { continue };
        reader.stdin.take().unwrap().write_all(&script.stdout).unwrap();
        assert!(reader.wait().unwrap().success(), "{shell}");
    }
}

#[test]
fn there_is_a_man_page_for_each_command_and_each_one_renders() {
    let folder = Folder::new();
    let pages = folder.path("man");
    assert_eq!(run(["man", "--directory", pages.to_str().unwrap()]).status.code(), Some(0));
    assert!(pages.join("evenkeel-backend-drain.1").exists());
    assert_eq!(fs::read(pages.join("evenkeel.1")).unwrap(), run(["man"]).stdout);
    for page in fs::read_dir(pages).unwrap() {
        let page = page.unwrap().path();
        let Ok(rendered) = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(&page).output() else {
            return; // no groff on this machine
        };
        assert!(rendered.status.success());
        assert_eq!(String::from_utf8_lossy(&rendered.stderr), "", "{}", page.display());
        assert!(rendered.stdout.len() > 400, "{}", page.display());
    }
    assert!(stdout(&run(["man"])).contains("no balancer answers at the control socket"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for arguments in [&["man"][..], &["completions", "zsh"]] {
        let mut child =
            evenkeel().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = evenkeel().arg("man").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot write to standard output: "), "{}", stderr(&output));
}

#[test]
fn the_commands_of_the_readme_are_understood() {
    let readme = include_str!("../../README.md");
    let commands = readme.lines().flat_map(|line| line.split(" && ")).filter_map(|line| {
        let command = line.strip_prefix("evenkeel ")?.split('#').next()?;
        Some(command.split_whitespace().collect::<Vec<_>>())
    });
    let mut count = 0;
    for command in commands {
        let output = evenkeel().args(&command).env("EVENKEEL_SOCKET", "/nonexistent/control.sock").output();
        let output = output.unwrap();
        assert!(matches!(output.status.code(), Some(3 | 5)), "{command:?}: {}", stderr(&output));
        count += 1;
    }
    assert!(count >= 8, "{count}");
}
