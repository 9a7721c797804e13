//! Raw FFI to the installed DPDK: generated bindings, and a shim for what is inline in its headers.
//!
//! There is no logic here, and every function is as unsafe as DPDK makes it; `evenkeel-datapath` has the safe side.
//! Names that begin with `ek_` or `EK_` are the shim's: see `shim.h`.

// Generated code follows C's naming, and the documentation is DPDK's own.
#![allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals)]
// bindgen's accessors for bit-fields and its layout assertions are not written for clippy or for our lints.
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
#![allow(clippy::cast_lossless, clippy::semicolon_if_nothing_returned, unreachable_pub)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// A packet buffer. Its fields are read and written at the shim's `EK_MBUF_*` offsets, since their names move.
#[repr(C)]
pub struct rte_mbuf {
    opaque: [u8; 0],
}

/// A pool of packet buffers.
#[repr(C)]
pub struct rte_mempool {
    opaque: [u8; 0],
}

/// A device on a bus.
#[repr(C)]
pub struct rte_device {
    opaque: [u8; 0],
}
