//! Where cores are.

use std::fs;

/// The NUMA node of a core as Linux numbers them; `None` where it does not say.
#[must_use]
pub fn numa_node(core: usize) -> Option<u8> {
    fs::read_dir(format!("/sys/devices/system/cpu/cpu{core}")).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix("node")?.parse().ok()
    })
}
