//! Raw FFI to the installed DPDK.
