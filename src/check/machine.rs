//! What the machine must have for a configuration, read from /proc and /sys and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// `run` will fail, or forward badly.
    Warning,
    /// It could be faster.
    Note,
}

/// Something that the machine lacks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    /// How much it matters.
    pub(crate) level: Level,
    /// What is missing.
    pub(crate) what: String,
    /// The command (or change) that mends it.
    pub(crate) mend: String,
}

impl Finding {
    /// `run` will fail, or forward badly.
    pub(crate) fn warning(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, what: what.into(), mend: mend.into() }
    }

    /// It could be faster.
    pub(crate) fn note(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Note, what: what.into(), mend: mend.into() }
    }
}

/// A machine, by its /proc and /sys.
pub(crate) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine whose /proc and /sys are under `root`: `/`, or a test's folder.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        Some(fs::read_to_string(self.path(path)).ok()?.trim().to_owned())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// True if there is a network interface of this name.
    pub(crate) fn has_interface(&self, name: &str) -> bool {
        is_one_name(name) && self.path("sys/class/net").join(name).exists()
    }

    /// True if the interface is up, or says nothing of it.
    pub(crate) fn is_up(&self, interface: &str) -> bool {
        let flags = self.text(&format!("sys/class/net/{interface}/flags"));
        let flags = flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        flags.is_none_or(|flags| flags & 1 == 1)
    }

    /// True if there is a PCI device at this address.
    pub(crate) fn has_pci_device(&self, address: &str) -> bool {
        self.path("sys/bus/pci/devices").join(address).exists()
    }

    /// The kernel driver that a PCI device is bound to.
    pub(crate) fn pci_driver(&self, address: &str) -> Option<String> {
        let link = fs::read_link(self.path("sys/bus/pci/devices").join(address).join("driver")).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    /// Cores that run.
    pub(crate) fn online_cores(&self) -> Option<BTreeSet<usize>> {
        cores(&self.text("sys/devices/system/cpu/online")?)
    }

    /// Cores that the scheduler leaves alone.
    pub(crate) fn isolated_cores(&self) -> Option<BTreeSet<usize>> {
        cores(&self.text("sys/devices/system/cpu/isolated")?)
    }

    /// True if the core is there and only switched off.
    pub(crate) fn is_core_present(&self, core: usize) -> bool {
        self.path(&format!("sys/devices/system/cpu/cpu{core}/online")).exists()
    }

    /// Cores that this process may run on.
    pub(crate) fn allowed_cores(&self) -> Option<BTreeSet<usize>> {
        cores(&self.status("Cpus_allowed_list:")?)
    }

    /// Huge pages that are reserved and free, in octets, and the number of reserved ones of 2 MiB.
    pub(crate) fn huge_pages(&self) -> HugePages {
        let count = |size: u64, what: &str| {
            self.number(&format!("sys/kernel/mm/hugepages/hugepages-{}kB/{what}", size >> 10)).unwrap_or(0)
        };
        let free = [2 << 20, 1 << 30].iter().map(|&size| count(size, "free_hugepages") * size).sum();
        HugePages {
            free,
            free_small: count(2 << 20, "free_hugepages"),
            small: count(2 << 20, "nr_hugepages"),
        }
    }

    /// First and last transport port that the kernel gives to its own connections.
    pub(crate) fn local_port_range(&self) -> Option<(u16, u16)> {
        let text = self.text("proc/sys/net/ipv4/ip_local_port_range")?;
        let mut ports = text.split_whitespace().map(str::parse);
        Some((ports.next()?.ok()?, ports.next()?.ok()?))
    }

    /// Octets that this process may lock in memory; `None` without a limit.
    pub(crate) fn locked_memory_limit(&self) -> Option<u64> {
        let limits = self.text("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// True if this process has the capability of this number (capabilities(7)), or nothing says that it has not.
    pub(crate) fn is_capable(&self, capability: u32) -> bool {
        let effective = self.status("CapEff:").and_then(|text| u64::from_str_radix(&text, 16).ok());
        effective.is_none_or(|effective| effective >> capability & 1 == 1)
    }

    fn status(&self, field: &str) -> Option<String> {
        let status = self.text("proc/self/status")?;
        Some(status.lines().find_map(|line| line.strip_prefix(field))?.trim().to_owned())
    }
}

/// Huge pages of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HugePages {
    /// Octets in free pages of 2 MiB and 1 GiB.
    pub(crate) free: u64,
    /// Free pages of 2 MiB.
    pub(crate) free_small: u64,
    /// Reserved pages of 2 MiB.
    pub(crate) small: u64,
}

fn is_one_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

/// A list of cores as the kernel writes it: `0-2,5`. `None` where it is none.
fn cores(list: &str) -> Option<BTreeSet<usize>> {
    const MOST: usize = 1 << 16;
    let mut cores = BTreeSet::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read_as_the_kernel_writes_them() {
        assert_eq!(cores("0-2,5"), Some(BTreeSet::from([0, 1, 2, 5])));
        assert_eq!(cores(""), Some(BTreeSet::new()));
        assert_eq!(cores("0-"), None);
        assert_eq!(cores("0-99999999999"), None);
    }

    #[test]
    fn interface_names_do_not_leave_their_folder() {
        assert!(!Machine::at("/").has_interface("../net"));
        assert!(!Machine::at("/").has_interface(""));
    }
}
