//! Packet counts of any DPDK program, by the telemetry socket that EAL opens in each.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

/// A connection to one program.
#[derive(Debug)]
pub struct Telemetry {
    socket: Socket,
}

impl Telemetry {
    /// Connects to the program with this `--file-prefix` and process id, which may still be starting.
    ///
    /// # Errors
    /// When it does not answer within `patience`.
    pub fn connect(file_prefix: &str, process: u32, patience: Duration) -> Result<Self> {
        let path = PathBuf::from(format!("/var/run/dpdk/{file_prefix}/dpdk_telemetry.v2"));
        let deadline = Instant::now() + patience;
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        while let Err(error) = socket.connect(&SockAddr::unix(&path)?) {
            if Instant::now() > deadline {
                return Err(error).with_context(|| format!("no DPDK program answers at {}", path.display()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut telemetry = Self { socket };
        let greeting = telemetry.answer().context("no greeting")?;
        ensure!(greeting["pid"] == process, "another program answers at {}", path.display());
        Ok(telemetry)
    }

    /// Packets that the device `port` took for sending.
    ///
    /// # Errors
    /// When the program is gone or has no such port.
    pub fn sent(&mut self, port: u16) -> Result<u64> {
        self.socket.write_all(format!("/ethdev/stats,{port}").as_bytes())?;
        let answer = self.answer()?;
        answer["/ethdev/stats"]["opackets"].as_u64().with_context(|| format!("no counters of port {port}"))
    }

    fn answer(&mut self) -> Result<Value> {
        let mut buffer = [0; 16_384];
        let len = self.socket.read(&mut buffer)?;
        Ok(serde_json::from_slice(&buffer[..len])?)
    }
}
