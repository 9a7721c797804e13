//! `evenkeel check`: errors with their place, warnings of the machine, exit codes.

use serde_json::Value;

use crate::support::{Folder, run, stderr, stdout};

const VALID: &str = r#"
[balancer]
workers = [0]
control_socket = "/nonexistent/control.sock"

[dpdk]
huge_pages = false

[[port]]
name = "wan"
device = "net_af_packet0,iface=ek-none"
addresses = ["10.0.0.1/24"]

[[service]]
name = "web"
vip = "192.0.2.10:80"
protocol = "tcp"
mode = "nat"
[[service.backend]]
address = "10.0.0.3:8080"
"#;

#[test]
fn a_valid_file_ends_with_0_and_what_the_machine_lacks() {
    let folder = Folder::new();
    let file = folder.write("evenkeel.toml", VALID);
    let output = run(["check".as_ref(), file.as_os_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let expected = "warning: port wan: there is no interface `ek-none`\n  \
                    mend: ip link add ek-none type veth peer name wan-peer\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("valid: 1 worker, 1 port, 1 service; "), "{text}");

    let output = run(["check".as_ref(), file.as_os_str(), "--json".as_ref()]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ok"], true);
    let findings = answer["machine"].as_array().unwrap();
    assert!(
        findings.iter().any(|finding| finding["mend"].as_str().unwrap().starts_with("ip link add ek-none"))
    );
}

#[test]
fn an_invalid_file_ends_with_5_and_every_error_at_its_place() {
    let folder = Folder::new();
    let text = VALID.replace("workers = [0]", "worker = [0]").replace("\"nat\"", "\"mat\"");
    let file = folder.write("evenkeel.toml", text);
    let output = run(["check".as_ref(), file.as_os_str()]);
    assert_eq!(output.status.code(), Some(5));
    let errors = stderr(&output);
    assert!(errors.contains(&format!("{}:3:1", file.display())), "{errors}");
    assert!(errors.contains("^"), "{errors}");
    assert!(errors.contains("workers") && errors.contains("mat"), "{errors}");

    let output = run(["check".as_ref(), file.as_os_str(), "--json".as_ref()]);
    assert_eq!(output.status.code(), Some(5));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    assert!(answer["errors"]["diagnostics"].as_array().unwrap().len() >= 2, "{answer}");
}

#[test]
fn a_file_that_is_not_there_is_an_invalid_configuration() {
    let output = run(["check", "/nonexistent/evenkeel.toml"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("/nonexistent/evenkeel.toml"), "{}", stderr(&output));
}

#[test]
fn certificates_that_cannot_be_used_end_with_5_under_their_files_names() {
    let folder = Folder::new();
    let key = folder.write("a.key", "no key");
    let absent = folder.path("absent.pem");
    let tls = format!(
        "[[service]]\nname = \"shop\"\nvip = \"192.0.2.11:443\"\nprotocol = \"tcp\"\nmode = \"l7\"\nrespond = {{}}\n\
         tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}] }}\n",
        absent.display(),
        key.display()
    );
    let file = folder.write("evenkeel.toml", format!("{VALID}{tls}"));
    let output = run(["check".as_ref(), file.as_os_str()]);
    assert_eq!(output.status.code(), Some(5), "{}", stdout(&output));
    let errors = stderr(&output);
    assert!(errors.contains(&format!("service shop: {}: No such file", absent.display())), "{errors}");

    let output = run(["check".as_ref(), file.as_os_str(), "--json".as_ref()]);
    assert_eq!(output.status.code(), Some(5));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["ok"].as_bool(), answer["files"].as_array().map(Vec::len)), (Some(false), Some(1)));
}
