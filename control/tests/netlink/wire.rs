//! A twin and the wire behind it, on which neighbours answer as the test says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::snapshot::{MacAddress, PortId};
use evenkeel_datapath::twin::{RunningTwin, Twin, TwinRings};

type Neighbours = Arc<Mutex<BTreeMap<IpAddr, MacAddress>>>;

/// One wire.
pub(crate) struct Wire {
    neighbours: Neighbours,
    stop: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
    _twin: RunningTwin<String>,
}

impl Wire {
    /// A twin `name` for `port`, and nobody on its wire yet.
    pub(crate) fn new(name: &str, port: PortId, mac: MacAddress) -> Self {
        let rings = TwinRings::new(1024);
        let twin = Twin::new(name, port, mac, 1500).unwrap();
        let twin = twin.start(rings.clone(), HeapPool, || Ok::<_, String>(())).unwrap();
        let (neighbours, stop) = (Neighbours::default(), Arc::new(AtomicBool::new(false)));
        let answering = {
            let (neighbours, stop) = (Arc::clone(&neighbours), Arc::clone(&stop));
            std::thread::spawn(move || answer(&rings, port, &neighbours, &stop))
        };
        Self { neighbours, stop, answering: Some(answering), _twin: twin }
    }

    /// `address` answers with `mac` from now on, or not at all.
    pub(crate) fn set(&self, address: &str, mac: Option<MacAddress>) {
        let address = address.parse().unwrap();
        let mut neighbours = self.neighbours.lock().unwrap();
        match mac {
            Some(mac) => neighbours.insert(address, mac),
            None => neighbours.remove(&address),
        };
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.answering.take().unwrap().join().unwrap();
    }
}

fn answer(rings: &TwinRings<HeapPacket>, port: PortId, neighbours: &Neighbours, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let Some(packet) = rings.from_kernel.pop() else {
            // There is no wake-up to wait for.
            std::thread::sleep(std::time::Duration::from_micros(200));
            continue;
        };
        let known = |address: IpAddr| neighbours.lock().unwrap().get(&address).copied();
        let frame = packet.bytes();
        let reply = match frame[12..14] {
            [8, 6] => arp_reply(frame, known),
            [0x86, 0xdd] => advertisement(frame, known),
            _ => None,
        };
        if let Some(reply) = reply {
            rings.to_kernel.push(HeapPacket::new(&reply, port)).unwrap();
        }
    }
}

/// RFC 826.
fn arp_reply(frame: &[u8], known: impl Fn(IpAddr) -> Option<MacAddress>) -> Option<Vec<u8>> {
    let target: [u8; 4] = frame[38..42].try_into().unwrap();
    let mac = known(target.into()).filter(|_| frame[20..22] == [0, 1])?;
    let asker = &frame[22..32];
    Some([&frame[6..12], &mac.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &mac.0, &target, asker].concat())
}

/// RFC 4861, section 4.4: solicited, override.
fn advertisement(frame: &[u8], known: impl Fn(IpAddr) -> Option<MacAddress>) -> Option<Vec<u8>> {
    let is_solicitation = frame[20] == 58 && frame.get(54) == Some(&135);
    let target: [u8; 16] = frame.get(62..78).filter(|_| is_solicitation)?.try_into().unwrap();
    let mac = known(Ipv6Addr::from(target).into())?;
    let asker = &frame[22..38];
    let mut message = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &target, &[2, 1], &mac.0].concat();
    let pseudo_header = [&target, asker, &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
    let words = [pseudo_header, message.clone()].concat();
    let sum: u32 = words.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    message[2..4].copy_from_slice(&(!u16::try_from(folded).unwrap()).to_be_bytes());
    let header = [&[0x60, 0, 0, 0, 0, 32, 58, 255][..], &target, asker].concat();
    Some([&frame[6..12], &mac.0, &[0x86, 0xdd], &header, &message].concat())
}
