//! Machines made of files, and what is found missing on them.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_config::Config;

use super::machine::{Level, Machine};
use super::{findings, is_pci};

/// A folder that is removed with its value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenkeel-check-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A machine that has everything: two cores, 512 huge pages, an interface that is up, root.
fn ready(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder
        .file("sys/devices/system/cpu/online", "0-1\n")
        .file("sys/devices/system/cpu/isolated", "\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n")
        .file("sys/class/net/ek-wan/flags", "0x1003\n")
        .file("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
        .file("proc/self/status", "CapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-1\n")
        .file(
            "proc/self/limits",
            "Max locked memory         8388608              8388608              bytes\n",
        );
    folder
}

fn config(balancer: &str, port: &str) -> Config {
    let text = format!(
        r#"
[balancer]
control_socket = "/nonexistent/control.sock"
{balancer}
[full_nat]
local_addresses = ["10.0.0.1"]
[[port]]
name = "wan"
mtu = 1500
kernel = "ek-wan0"
addresses = ["10.0.0.1/24"]
{port}
"#
    );
    Config::parse(&text, "test.toml").unwrap().config
}

fn texts(config: &Config, root: &Path) -> Vec<String> {
    let lines = findings(config, &Machine::at(root)).into_iter();
    lines.map(|finding| format!("{:?}: {}: {}", finding.level, finding.what, finding.mend)).collect()
}

const AF_PACKET: &str = "device = \"net_af_packet0,iface=ek-wan,qpairs=2\"";

#[test]
fn nothing_is_said_of_a_machine_that_has_everything() {
    let machine = ready("ready");
    assert_eq!(texts(&config("workers = [0, 1]", AF_PACKET), &machine.0), [""; 0]);
}

#[test]
fn each_thing_that_is_missing_is_named_with_what_mends_it() {
    let machine = ready("missing");
    machine
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "12\n")
        .file("sys/devices/system/cpu/cpu2/online", "0\n")
        .file("sys/class/net/ek-wan/flags", "0x1002\n")
        .file("sys/class/net/ek-wan0/flags", "0x1003\n")
        .file("proc/sys/net/ipv4/ip_local_port_range", "1024 65000\n")
        .file("proc/self/status", "CapEff:\t0000000000000000\nCpus_allowed_list:\t0\n");
    let found = texts(&config("workers = [0, 1, 2, 3]", AF_PACKET), &machine.0);
    assert_eq!(
        found,
        [
            "Warning: 32768 packet buffers need 86 MiB of huge pages; 4 MiB of huge pages are free: scripts/hugepages 177",
            "Warning: port wan: there is an interface `ek-wan0` already, so its twin cannot be made: \
             ip link delete ek-wan0",
            "Warning: worker 1: this process may not run on core 1: taskset -c 0-1 evenkeel run --config FILE",
            "Warning: worker 2: core 2 is not online: echo 1 > /sys/devices/system/cpu/cpu2/online",
            "Warning: worker 3: core 3 is not online: name others in `workers`: {0, 1} are online",
            "Warning: port wan: interface `ek-wan` is down: ip link set ek-wan up",
            "Warning: full NAT sends from ports 1024-32767 of 10.0.0.1, and so does the kernel from 1024-65000: \
             answers would mix: sysctl -w net.ipv4.ip_local_port_range=\"32768 65535\"",
            "Warning: this is not root: ports and twins need CAP_NET_ADMIN and more: \
             sudo evenkeel run --config FILE",
        ]
    );
}

#[test]
fn flow_tables_would_like_huge_pages_too() {
    let machine = ready("flows");
    machine.file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "50\n");
    let found = texts(&config("workers = [0, 1]", AF_PACKET), &machine.0);
    assert_eq!(
        found,
        ["Note: flow tables are faster on huge pages, 209 MiB with the packet buffers; \
          100 MiB of huge pages are free: scripts/hugepages 567"]
    );
}

#[test]
fn devices_that_are_not_there_are_found() {
    let machine = ready("devices");
    let afx =
        r#"device = ["net_af_xdp0,iface=ek-lan,start_queue=0", "net_af_xdp1,iface=ek-lan,start_queue=1"]"#;
    machine.file("proc/self/status", "CapEff:\t0000000000001000\nCpus_allowed_list:\t0-1\n");
    assert_eq!(
        texts(&config("workers = [0, 1]", afx), &machine.0),
        [
            "Warning: port wan: there is no interface `ek-lan`: \
             ip link add ek-lan type veth peer name wan-peer",
            "Warning: af_xdp locks 75520 KiB of memory, and 8192 KiB are allowed: ulimit -l 75520",
        ]
    );
    let pci = "device = \"0000:03:00.0\"";
    assert_eq!(
        texts(&config("workers = [0]\nidle = \"backoff\"", pci), &machine.0),
        ["Warning: port wan: this machine has no PCI device 0000:03:00.0: lspci -D | grep -i ethernet"]
    );
    machine.file("sys/bus/pci/devices/0000:03:00.0/vendor", "0x8086\n");
    let found = texts(&config("workers = [0]", pci), &machine.0);
    assert_eq!(
        found,
        [
            "Note: the scheduler may put other work on the workers' cores (0): \
             boot with isolcpus=0 nohz_full=0 rcu_nocbs=0",
            "Warning: port wan: 0000:03:00.0 is bound to no driver, which does not leave it to DPDK: \
             scripts/bind 0000:03:00.0",
        ]
    );
}

#[test]
fn the_level_of_a_finding_is_a_word_in_json() {
    assert_eq!(serde_json::to_string(&Level::Note).unwrap(), "\"note\"");
}

#[test]
fn pci_addresses_are_told_from_device_strings() {
    for (device, is) in [
        ("0000:03:00.0", true),
        ("03:00.0,rx_burst=1", true),
        ("net_af_packet0,iface=a", false),
        ("net_null0", false),
    ] {
        assert_eq!(is_pci(device), is, "{device}");
    }
}
