//! DPDK's environment abstraction layer: started once, kept by whatever uses it, cleaned up after the last.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, mem};

use super::error::EalError;

/// How to start DPDK.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// Take packet memory from huge pages, which need be reserved but not mounted; else from ordinary pages.
    pub huge_pages: bool,
    /// Without huge pages: how much memory DPDK takes at its start, in MiB.
    pub memory_mib: u32,
    /// Distinguishes this process from others that use DPDK.
    pub file_prefix: String,
    /// Look for PCI devices: only those of `devices` are touched.
    pub pci: bool,
    /// The device strings that ports will be opened with.
    pub devices: Vec<String>,
    /// Cores that DPDK's own threads and the caller keep clear of, as long as others are left.
    pub worker_cores: Vec<usize>,
    /// Further EAL arguments; they come last and win.
    pub args: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            huge_pages: true,
            memory_mib: 512,
            file_prefix: "evenkeel".to_owned(),
            pci: false,
            devices: Vec::new(),
            worker_cores: Vec::new(),
            args: Vec::new(),
        }
    }
}

impl EalConfig {
    /// The arguments that DPDK is started with, given the cores that this process may use.
    fn arguments(&self, allowed: &[usize]) -> Vec<String> {
        let mut arguments = vec!["evenkeel".to_owned(), format!("--file-prefix={}", self.file_prefix)];
        if self.huge_pages {
            arguments.push("--in-memory".to_owned());
        } else {
            arguments.extend([
                "--no-huge".to_owned(),
                "--no-shconf".to_owned(),
                format!("-m{}", self.memory_mib),
            ]);
        }
        let mut pci = self.devices.iter().filter(|device| is_pci(device)).peekable();
        if !self.pci || pci.peek().is_none() {
            arguments.push("--no-pci".to_owned());
        } else {
            arguments.extend(pci.map(|device| format!("--allow={device}")));
        }
        arguments.extend(main_lcore(allowed, &self.worker_cores));
        arguments.push("--log-level=*:error".to_owned());
        arguments.extend(self.args.iter().cloned());
        arguments
    }
}

/// One lcore for the calling thread, on every allowed core that no worker has; on all where the workers have all.
fn main_lcore(allowed: &[usize], workers: &[usize]) -> Option<String> {
    let list = |cores: Vec<&usize>| cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let free: Vec<_> = allowed.iter().filter(|core| !workers.contains(core)).collect();
    let cores = list(if free.is_empty() { allowed.iter().collect() } else { free });
    (!cores.is_empty()).then(|| format!("--lcores=0@({cores})"))
}

/// True for a device string that begins with a PCI address, with or without its domain.
pub(super) fn is_pci(device: &str) -> bool {
    let address = device.split(',').next().unwrap_or_default();
    let parts: Vec<_> = address.split([':', '.']).collect();
    (3..=4).contains(&parts.len())
        && parts.iter().all(|part| !part.is_empty() && part.chars().all(|digit| digit.is_ascii_hexdigit()))
}

/// DPDK, started. Clones are handles to the same; the last one to go, of these and of all pools, ports and registered
/// threads, cleans up.
#[derive(Clone, Debug)]
pub struct Eal {
    started: Arc<Started>,
}

#[derive(Debug)]
struct Started;

impl Drop for Started {
    fn drop(&mut self) {
        // SAFETY: the environment is up, and whatever used it held a handle and is gone.
        unsafe { dpdk_sys::rte_eal_cleanup() };
    }
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts DPDK. The calling thread's affinity becomes the cores that no worker has, where there are any.
    ///
    /// # Errors
    /// When it was started before, when huge pages are asked for and none is free, and when DPDK refuses.
    pub fn init(config: &EalConfig) -> Result<Self, EalError> {
        if config.huge_pages && !huge_page_free() {
            return Err(EalError::NoHugePages);
        }
        let allowed: Vec<_> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        let arguments = config.arguments(&allowed);
        let strings = arguments
            .iter()
            .map(|argument| CString::new(argument.as_str()).map_err(|_| EalError::Argument(argument.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::Again);
        }

        // DPDK keeps pointers into its arguments, so they stay for good.
        let pointers: &'static mut [*mut c_char] =
            strings.into_iter().map(CString::into_raw).collect::<Vec<_>>().leak();
        let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
        // SAFETY: `pointers` holds `count` strings that live for ever, and this is the process's only call.
        if unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) } < 0 {
            return Err(EalError::Init { arguments: arguments[1..].join(" "), source: last_error() });
        }
        Ok(Self { started: Arc::new(Started) })
    }

    /// Keeps DPDK's memory mapped until the process ends.
    pub(super) fn keep(&self) {
        mem::forget(Arc::clone(&self.started));
    }
}

/// True if some huge page of any size is free.
fn huge_page_free() -> bool {
    let free = |folder: fs::DirEntry| {
        let pages = fs::read_to_string(folder.path().join("free_hugepages")).unwrap_or_default();
        pages.trim().parse::<u64>().is_ok_and(|pages| pages > 0)
    };
    fs::read_dir("/sys/kernel/mm/hugepages").is_ok_and(|sizes| sizes.flatten().any(free))
}

/// The calling thread's membership in DPDK, which ends where it is dropped.
#[derive(Debug)]
pub struct RegisteredThread {
    _eal: Eal,
    /// It belongs to the thread that made it.
    _not_send: PhantomData<*const ()>,
}

/// Makes the calling thread one of DPDK's, which gives it caches of the packet pools: workers, and any other thread that
/// allocates or frees packets by the thousand. Pin the thread before, since
/// DPDK looks at its cores only now.
///
/// # Errors
/// When DPDK has no place for another thread.
pub fn register_thread(eal: &Eal) -> Result<RegisteredThread, EalError> {
    // SAFETY: the environment is up, as `eal` shows.
    if unsafe { dpdk_sys::rte_thread_register() } < 0 {
        return Err(EalError::Thread(last_error()));
    }
    Ok(RegisteredThread { _eal: eal.clone(), _not_send: PhantomData })
}

impl Drop for RegisteredThread {
    fn drop(&mut self) {
        // SAFETY: this thread was registered when the value was made, and the value cannot leave it.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}

/// The version of the DPDK that runs, as it says it.
#[must_use]
pub fn version() -> String {
    // SAFETY: a string without an end of life.
    unsafe { CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned()
}

/// What `rte_errno` says.
pub(super) fn last_error() -> io::Error {
    // SAFETY: reads a variable of this thread.
    io::Error::from_raw_os_error(unsafe { dpdk_sys::ek_errno() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_told_from_names() {
        for device in ["0000:03:00.0", "03:00.0", "0000:3b:00.1,tx_push=1"] {
            assert!(is_pci(device), "{device}");
        }
        for device in
            ["net_null0", "net_af_packet0,iface=ek-wan,qpairs=2", "", "net_tap0,mac=02:00:00:00:00:01"]
        {
            assert!(!is_pci(device), "{device}");
        }
    }

    #[test]
    fn arguments_by_memory_and_bus() {
        let mut config = EalConfig {
            huge_pages: false,
            memory_mib: 256,
            file_prefix: "lab".to_owned(),
            devices: vec!["0000:03:00.0".to_owned(), "net_null0".to_owned()],
            worker_cores: vec![1, 2],
            args: vec!["--no-telemetry".to_owned()],
            ..EalConfig::default()
        };
        assert_eq!(
            config.arguments(&[0, 1, 2, 3]).join(" "),
            "evenkeel --file-prefix=lab --no-huge --no-shconf -m256 --no-pci --lcores=0@(0,3) --log-level=*:error \
             --no-telemetry"
        );
        config.pci = true;
        config.huge_pages = true;
        assert_eq!(
            config.arguments(&[1, 2]).join(" "),
            "evenkeel --file-prefix=lab --in-memory --allow=0000:03:00.0 --lcores=0@(1,2) --log-level=*:error \
             --no-telemetry"
        );
        config.devices.remove(0);
        assert!(
            config.arguments(&[0]).contains(&"--no-pci".to_owned()),
            "no PCI device is wanted: none is touched"
        );
    }
}
