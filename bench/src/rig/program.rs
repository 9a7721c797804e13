//! The programs under test: each is stopped except in its own slots, and its worker's CPU time is what the kernel says.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::telemetry::Telemetry;

/// A running forwarder.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    thread: u32,
    telemetry: Telemetry,
    /// Ports whose sent packets count.
    ports: u16,
}

impl Program {
    /// Starts `command`, whose EAL was given `file_prefix`, and finds its worker: the thread called `worker`, or the main thread when
    /// that is empty. What it prints goes to the file `log`.
    ///
    /// # Errors
    /// When it ends or does not answer, with the end of what it printed.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        file_prefix: &str,
        worker: &str,
        ports: u16,
        log: &Path,
    ) -> Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let found = find(&mut child, file_prefix, worker);
        match found {
            Ok((telemetry, thread)) => Ok(Self { name, child, thread, telemetry, ports }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let text = fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                bail!("{name}: {error}\n{}", lines[lines.len().saturating_sub(15)..].join("\n"))
            }
        }
    }

    /// What it is called in figures.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Lets it run for `time` and stops it again: packets sent and seconds of CPU time of its worker.
    ///
    /// # Errors
    /// When it is gone.
    pub fn slot(&mut self, time: Duration) -> Result<Slot> {
        self.signal("CONT")?;
        // Caches and page tables are another program's.
        sleep(Duration::from_millis(200));
        let before = self.sample()?;
        sleep(time);
        let after = self.sample()?;
        self.signal("STOP")?;
        Ok(Slot { packets: after.0 - before.0, seconds: (after.1 - before.1) as f64 / 1e9 })
    }

    /// Stops it, to be continued by [`Program::slot`].
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on, for questions over its own socket.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn sample(&mut self) -> Result<(u64, u64)> {
        let mut packets = 0;
        for port in 0..self.ports {
            packets += self.telemetry.sent(port).with_context(|| format!("{} is gone", self.name))?;
        }
        let path = format!("/proc/{}/task/{}/schedstat", self.child.id(), self.thread);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let nanos = text.split_whitespace().next().context("schedstat is empty")?.parse()?;
        Ok((packets, nanos))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let status =
            Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.id())]).status()?;
        ensure!(status.success(), "{} is gone", self.name);
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It holds nothing but memory and a folder of sockets, which the next program of this name takes over.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program did in one slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Packets sent.
    pub packets: u64,
    /// CPU time of the worker.
    pub seconds: f64,
}

impl Slot {
    /// Millions of packets per second of CPU time.
    #[must_use]
    pub fn mpps(self) -> f64 {
        self.packets as f64 / self.seconds / 1e6
    }
}

fn find(child: &mut Child, file_prefix: &str, worker: &str) -> Result<(Telemetry, u32)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut telemetry = None;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("ended at once ({status})");
        }
        if telemetry.is_none() {
            telemetry = Telemetry::connect(file_prefix, child.id(), Duration::from_millis(200)).ok();
        }
        if let Some(connected) = &mut telemetry
            && connected.sent(0).is_ok_and(|sent| sent > 0)
            && let Some(thread) = thread_called(child.id(), worker)?
            && let Some(telemetry) = telemetry.take()
        {
            return Ok((telemetry, thread));
        }
        ensure!(Instant::now() < deadline, "forwards nothing");
        sleep(Duration::from_millis(50));
    }
}

fn thread_called(process: u32, name: &str) -> Result<Option<u32>> {
    if name.is_empty() {
        return Ok(Some(process));
    }
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let entry = entry?;
        let called = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if called.trim() == name {
            return Ok(entry.file_name().to_str().and_then(|id| id.parse().ok()));
        }
    }
    Ok(None)
}
