//! What the balancer is given on the rig: ten services of a hundred backends each, TCP and UDP, IPv4 and IPv6.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use super::frames::NEIGHBOUR;

const BACKENDS: u16 = 100;

/// Services: protocol, VIP and port, and the prefix of the backends' addresses.
const SERVICES: [(&str, &str, u16, &str); 10] = [
    ("tcp", "192.0.2.1", 80, "10.1.0."),
    ("tcp", "192.0.2.2", 80, "10.1.1."),
    ("tcp", "192.0.2.3", 80, "10.1.2."),
    ("tcp", "192.0.2.4", 443, "10.1.3."),
    ("tcp", "192.0.2.5", 443, "10.1.4."),
    ("tcp", "192.0.2.6", 443, "10.1.5."),
    ("udp", "192.0.2.7", 53, "10.1.6."),
    ("udp", "192.0.2.8", 443, "10.1.7."),
    ("tcp", "2001:db8::1", 80, "fd00:1::1:"),
    ("udp", "2001:db8::2", 53, "fd00:1::2:"),
];

/// The VIPs that 64-octet TCP frames can be sent to: those of IPv4 and TCP.
#[must_use]
pub fn tcp_vips() -> Vec<SocketAddrV4> {
    SERVICES
        .iter()
        .filter(|service| service.0 == "tcp")
        .filter_map(|service| Some(SocketAddrV4::new(service.1.parse::<Ipv4Addr>().ok()?, service.2)))
        .collect()
}

/// What differs from run to run.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// `dsr-mac`, `nat` or `full-nat`.
    pub mode: &'a str,
    /// Its control socket.
    pub socket: &'a Path,
    /// Keeps EAL's files apart.
    pub file_prefix: &'a str,
    /// DPDK devices, one a port.
    pub devices: &'a [String],
    /// Packet buffers: more than the capture files hold.
    pub mbufs: usize,
    /// The core of its worker.
    pub core: usize,
}

/// The configuration file.
#[must_use]
pub fn text(setting: &Setting<'_>) -> String {
    let mac = NEIGHBOUR.map(|octet| format!("{octet:02x}")).join(":");
    let mut text = format!(
        "[balancer]\nworkers = [{}]\nidle = \"poll\"\nseed = 7\ncontrol_socket = \"{}\"\n\n\
         [dpdk]\nmemory = \"1G\"\nmbufs = {}\nfile_prefix = \"{}\"\npci = false\n\n\
         # The rig stops programs between slots, and most of its flows never hear their backend.\n\
         [timeouts]\ntcp_handshake = \"1h\"\ntcp_established = \"1h\"\n\n\
         [full_nat]\nlocal_addresses = [\"10.1.255.1\", \"fd00:1::ffff\"]\n\n",
        setting.core,
        setting.socket.display(),
        setting.mbufs,
        setting.file_prefix,
    );
    let ports = ["wan", "lan"];
    let subnets = ["\"10.1.255.254/16\", \"fd00:1::fffd/64\"", ""];
    for ((name, device), subnets) in ports.iter().zip(setting.devices).zip(subnets) {
        let _ =
            writeln!(text, "[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\naddresses = [{subnets}]\n");
    }
    let port = ports[0];
    for (prefix, via) in [("198.18.0.0/15", "10.1.254.1"), ("2001:db8:1::/48", "fd00:1::fffe")] {
        let _ = writeln!(text, "[[route]]\nto = \"{prefix}\"\nvia = \"{via}\"\n");
        let _ = writeln!(text, "[[neighbor]]\naddress = \"{via}\"\nmac = \"{mac}\"\nport = \"{port}\"\n");
    }
    for (at, (protocol, vip, number, backends)) in SERVICES.iter().enumerate() {
        let bracketed = |address: &str| match address.contains(':') {
            true => format!("[{address}]:{number}"),
            false => format!("{address}:{number}"),
        };
        let _ = writeln!(
            text,
            "[[service]]\nname = \"s{at}\"\nvip = \"{}\"\nprotocol = \"{protocol}\"\nmode = \"{}\"\n",
            bracketed(vip),
            setting.mode
        );
        for backend in 1..=BACKENDS {
            let _ = writeln!(
                text,
                "[[service.backend]]\naddress = \"{}\"\n",
                bracketed(&format!("{backends}{backend}"))
            );
        }
        for backend in 1..=BACKENDS {
            let address = format!("{backends}{backend}");
            let _ =
                writeln!(text, "[[neighbor]]\naddress = \"{address}\"\nmac = \"{mac}\"\nport = \"{port}\"\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balancer_takes_every_setting() {
        for mode in ["dsr-mac", "nat", "full-nat"] {
            let setting = Setting {
                mode,
                socket: Path::new("/tmp/rig.sock"),
                file_prefix: "rig",
                devices: &["net_pcap0,rx_pcap=a.pcap".to_owned(), "net_pcap1,rx_pcap=b.pcap".to_owned()],
                mbufs: 262_144,
                core: 0,
            };
            let parsed = evenkeel_config::Config::parse(&text(&setting), "rig.toml");
            assert!(parsed.is_ok(), "{}", parsed.err().map(|errors| errors.to_string()).unwrap_or_default());
        }
        assert_eq!(tcp_vips().len(), 6);
    }
}
