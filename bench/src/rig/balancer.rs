//! The balancer on the rig: its configuration, its captures, and questions over its control socket.
//!
//! A NAT flow begins with a SYN, which must not come again in each pass over an endless capture. So the balancer has two
//! devices: one plays the SYNs once, the other the traffic that is measured, for ever; the empty device is polled
//! in every turn, at the balancer's cost. Replies must be addressed to the local ports that it chose: with the same seed and the same
//! SYNs it chooses the same again, so a first run opens the flows and lists them, and a second one, which is measured, gets
//! the replies to them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::config::{self, Setting};
use super::frames::{self, FRAME_LEN, Pair, Random, Segment};
use super::others;
use super::program::Program;

/// What the endless capture holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Traffic {
    /// One data packet of each flow, from the client.
    Data,
    /// One data packet of each flow, from the backend.
    Replies,
    /// The SYN of each flow, and half a pass later its RST.
    Opens,
}

/// What the balancer has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Packets received.
    pub received: u64,
    /// Packets dropped, for whatever reason.
    pub dropped: u64,
    /// Flows opened.
    pub opened: u64,
}

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    program: Program,
    socket: PathBuf,
}

impl Balancer {
    /// Starts it with `flows` and waits until they are open.
    ///
    /// # Errors
    /// When it does not start or does not open them.
    pub fn start(
        binary: &Path,
        mode: &str,
        traffic: Traffic,
        flows: &[Pair],
        folder: &Path,
        core: usize,
    ) -> Result<Self> {
        let to = |device, segment| {
            flows.iter().map(move |&flow| frames::frame(frames::device_mac(device), flow, segment))
        };
        let endless: Vec<[u8; FRAME_LEN]> = match traffic {
            Traffic::Data => to(0, Segment::Data).collect(),
            Traffic::Replies => {
                let learning = Self::launch(
                    binary,
                    mode,
                    flows,
                    &to(0, Segment::Data).collect::<Vec<_>>(),
                    folder,
                    core,
                )?
                .when_open(flows.len())?;
                let replies = learning.replies(flows.len())?;
                replies
                    .iter()
                    .map(|&reply| frames::frame(frames::device_mac(0), reply, Segment::Data))
                    .collect()
            }
            Traffic::Opens => opens(flows),
        };
        let once: &[Pair] = if traffic == Traffic::Opens { &[] } else { flows };
        Self::launch(binary, mode, once, &endless, folder, core)?.when_open(flows.len())
    }

    fn launch(
        binary: &Path,
        mode: &str,
        once: &[Pair],
        endless: &[[u8; FRAME_LEN]],
        folder: &Path,
        core: usize,
    ) -> Result<Self> {
        let socket = folder.join("control.sock");
        let file = |name: &str| folder.join(format!("balancer-{name}.pcap"));
        frames::write_pcap(&file("endless"), endless.iter().copied())?;
        let syns = once.iter().map(|&flow| frames::frame(frames::device_mac(1), flow, Segment::Syn));
        frames::write_pcap(&file("once"), syns)?;
        let devices = [
            format!("net_pcap0,rx_pcap={},infinite_rx=1", file("endless").display()),
            format!("net_pcap1,rx_pcap={}", file("once").display()),
        ];
        let file_prefix = others::prefix("evenkeel");
        let text = config::text(&Setting {
            mode,
            socket: &socket,
            file_prefix: &file_prefix,
            devices: &devices,
            mbufs: endless.len() + 65_536,
            core,
        });
        let configuration = folder.join("rig.toml");
        std::fs::write(&configuration, text)?;
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(&configuration);
        let program = Program::start(
            "evenkeel",
            &mut command,
            &file_prefix,
            "worker-0",
            2,
            &folder.join("evenkeel.log"),
        )?;
        Ok(Self { program, socket })
    }

    /// Waits until so many flows have been opened.
    fn when_open(self, flows: usize) -> Result<Self> {
        let mut opened = 0;
        for _ in 0..300 {
            opened = self.counts()?.opened;
            if opened >= flows as u64 {
                return Ok(self);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("{opened} of {flows} flows opened; drops: {:?}", self.drops()?)
    }

    /// The process.
    pub const fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// What it has counted until now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn counts(&self) -> Result<Counts> {
        self.program.resume()?;
        // Counters are published some turns late.
        std::thread::sleep(Duration::from_millis(50));
        let answer = self.ask(&json!({"command": "worker list"}))?;
        let worker = &answer["workers"][0];
        let counter = |name: &str| {
            worker["counters"][name].as_u64().with_context(|| format!("no counter {name}: {answer}"))
        };
        Ok(Counts {
            received: counter("received")?,
            dropped: self.drops()?.iter().map(|drop| drop.1).sum(),
            opened: counter("flows_opened")?,
        })
    }

    /// Drops by reason, those that are not zero.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn drops(&self) -> Result<Vec<(String, u64)>> {
        let answer = self.ask(&json!({"command": "drops"}))?;
        let reasons = answer["drops"]["reasons"].as_array().with_context(|| format!("no drops: {answer}"))?;
        let count = |reason: &Value| Some((reason["reason"].as_str()?.to_owned(), reason["count"].as_u64()?));
        Ok(reasons.iter().filter_map(count).filter(|drop| drop.1 > 0).collect())
    }

    /// What answers to all of its flows look like on the wire: from the backend to the local address and port.
    fn replies(&self, wanted: usize) -> Result<Vec<Pair>> {
        // An answer holds 10,000 flows at most, so that they are asked for by service.
        let vips = config::tcp_vips().len();
        let mut flows = Vec::with_capacity(wanted);
        for service in 0..vips {
            let request = json!({"command": "flow list", "service": format!("s{service}"), "limit": 10_000});
            // A busy balancer answers in part when its time for an answer is up.
            let whole = (0..50).find_map(|_| {
                match self.ask(&request).map(|mut answer| answer["flows"]["flows"].take()) {
                    Ok(Value::Array(some)) if some.len() * vips < wanted => None,
                    answer => Some(answer),
                }
            });
            match whole.transpose()? {
                Some(Value::Array(some)) => flows.extend(some),
                _ => anyhow::bail!("service s{service} does not list its {} flows", wanted / vips),
            }
        }
        let reply = |flow: &Value| -> Result<Pair> {
            let end = |name: &str| -> Result<SocketAddrV4> {
                let text = flow[name].as_str().with_context(|| format!("no {name}: {flow}"))?;
                Ok(text.parse()?)
            };
            Ok(Pair { source: end("backend")?, destination: end("local")? })
        };
        let mut replies = flows.iter().map(reply).collect::<Result<Vec<_>>>()?;
        ensure!(replies.len() == wanted, "{} flows listed, {wanted} opened", replies.len());
        Random(1).shuffle(&mut replies);
        Ok(replies)
    }

    fn ask(&self, request: &Value) -> Result<Value> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("the balancer does not listen at {}", self.socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        ensure!(answer["ok"] == true, "{request}: {answer}");
        Ok(answer)
    }
}

/// The SYN of each flow, and half a pass after it the RST that frees it: every pass opens every flow anew.
fn opens(flows: &[Pair]) -> Vec<[u8; FRAME_LEN]> {
    let to = frames::device_mac(0);
    let resets = flows.iter().cycle().skip(flows.len() / 2);
    let pairs = flows.iter().zip(resets);
    pairs
        .flat_map(|(&open, &close)| {
            [frames::frame(to, open, Segment::Syn), frames::frame(to, close, Segment::Reset)]
        })
        .collect()
}
