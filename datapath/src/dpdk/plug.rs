//! How devices come and go: found by name or plugged into their bus, owned by one port, closed and unplugged.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::sync::{Mutex, PoisonError};

use dpdk_sys::{rte_device, rte_eth_dev_owner};

use super::eal::is_pci;
use super::error::PortError;

/// Held while devices are plugged, closed or unplugged: DPDK does not guard its lists of them.
static PLUGGING: Mutex<()> = Mutex::new(());

/// DPDK's number of the device, and whether it was plugged for us. From here on it is ours.
pub(super) fn find(port: &str, device: &str) -> Result<(u16, bool), PortError> {
    let advice = if is_pci(device) {
        "is `pci = true`, is the address right (`scripts/bind --status`), and is it bound to vfio-pci or \
         uio_pci_generic?"
    } else {
        "is the driver's name right, does the interface exist, and may this user open it?"
    };
    let (port, device) = (port.to_owned(), device.to_owned());
    let absent = |source| PortError::Probe { port: port.clone(), device: device.clone(), source, advice };
    let zero_octet = |_| absent(io::Error::from(io::ErrorKind::InvalidInput));
    let arguments = CString::new(device.as_str()).map_err(zero_octet)?;
    let name = CString::new(ethernet_name(&device)).map_err(zero_octet)?;

    let _plugging = PLUGGING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut plugged = false;
    let mut number = number_of(&name);
    if number.is_none() {
        // SAFETY: a string that ends in zero and is copied.
        let result = unsafe { dpdk_sys::rte_dev_probe(arguments.as_ptr()) };
        if result < 0 {
            // -1 is what most drivers say, whatever the reason; they print it themselves.
            let refused = || io::Error::other("its driver refused");
            return Err(absent(if result == -1 { refused() } else { error_of(result) }));
        }
        plugged = true;
        number = number_of(&name);
    }
    let number = number.ok_or_else(|| absent(io::Error::from(io::ErrorKind::NotFound)))?;

    let mut owner = rte_eth_dev_owner::default();
    // SAFETY: `owner` is ours to fill, and is copied.
    let result = unsafe {
        dpdk_sys::rte_eth_dev_owner_new(&raw mut owner.id);
        dpdk_sys::rte_eth_dev_owner_set(number, &raw const owner)
    };
    if result == 0 { Ok((number, plugged)) } else { Err(PortError::InUse { port, device }) }
}

/// Closes a device, and unplugs it where its bus's device is given.
///
/// # Safety
/// Nothing polls the device any more, its number is not used again, and the bus's device is its own, or null.
pub(super) unsafe fn close(number: u16, bus_device: *mut rte_device) {
    let _plugging = PLUGGING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: as the caller says; the bus knows its device until it is removed here.
    unsafe {
        dpdk_sys::rte_eth_dev_close(number);
        if !bus_device.is_null() {
            dpdk_sys::rte_dev_remove(bus_device);
        }
    }
}

fn number_of(name: &CStr) -> Option<u16> {
    let mut number = 0;
    // SAFETY: a string that ends in zero, and a number that is ours.
    (unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut number) } == 0).then_some(number)
}

/// What DPDK calls the device: a PCI address always with its domain.
fn ethernet_name(device: &str) -> String {
    let name = name_of(device);
    let domain = if is_pci(name) && name.matches(':').count() == 1 { "0000:" } else { "" };
    format!("{domain}{name}")
}

/// A device string's name, without arguments.
pub(super) fn name_of(device: &str) -> &str {
    device.split(',').next().unwrap_or_default()
}

/// DPDK's negative results as errors.
pub(super) fn error_of(result: c_int) -> io::Error {
    io::Error::from_raw_os_error(-result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_one_name_each() {
        for (device, name) in [
            ("03:00.0", "0000:03:00.0"),
            ("0001:03:00.0,arg=1", "0001:03:00.0"),
            ("net_af_packet0,iface=ek-wan,qpairs=2", "net_af_packet0"),
        ] {
            assert_eq!(ethernet_name(device), name);
        }
    }
}
