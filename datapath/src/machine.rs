//! The machine below: memory on huge pages, prefetch, the clock and the cycle counter.
//!
//! Besides the skin over DPDK this is the only module with `unsafe`. Every other part of the pipeline works on slices.
#![allow(unsafe_code)] // the one place for what the language cannot check, besides `dpdk`

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;
use std::io;

use crate::time::Time;

const HUGE_PAGE: usize = 2 << 20;

/// Any page size of the machine's will do for what is unmapped whole.
const PAGE: usize = 4096;

/// What is smaller gets ordinary pages: most of a huge one would be wasted, and cleared for nothing.
const WORTH_A_HUGE_PAGE: usize = HUGE_PAGE / 16;

/// A fixed array in memory of its own: on huge pages where the machine has any to give, and touched whole by the
/// thread that makes it, so that it lies on that thread's NUMA node and never faults later.
#[derive(Debug)]
pub struct Region<T: Copy> {
    start: NonNull<T>,
    len: usize,
    mapped: usize,
}

// SAFETY: a region owns its memory alone, as a `Vec<T>` does.
unsafe impl<T: Copy + Send> Send for Region<T> {}

impl<T: Copy> Region<T> {
    /// An array of `len` times `value`; one of less than 128 KiB is on ordinary pages.
    ///
    /// # Errors
    /// What `mmap` says, in practice that there is not enough memory.
    pub fn filled(len: usize, value: T) -> io::Result<Self> {
        let octets = len
            .checked_mul(size_of::<T>())
            .map(|octets| octets.max(1))
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let is_small = octets < WORTH_A_HUGE_PAGE;
        let octets = octets
            .checked_next_multiple_of(if is_small { PAGE } else { HUGE_PAGE })
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let reserved = if is_small { None } else { map(octets, libc::MAP_HUGETLB | libc::MAP_POPULATE).ok() };
        let (start, huge) = match reserved {
            Some(start) => (start, true),
            None => (map(octets, 0)?, false),
        };
        if !huge && !is_small {
            // SAFETY: the range was mapped just above; the call is advice and touches no memory. Failure is no harm.
            unsafe { libc::madvise(start.as_ptr().cast(), octets, libc::MADV_HUGEPAGE) };
        }
        let start = start.cast::<T>();
        for index in 0..len {
            // SAFETY: `index` is within the mapping, which is page aligned, writable and not shared with anyone.
            unsafe { start.add(index).write(value) };
        }
        Ok(Self { start, len, mapped: octets })
    }
}

fn map(octets: usize, flags: libc::c_int) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice cannot disturb memory in use.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), octets, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

impl<T: Copy> Deref for Region<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `filled` initialised all `len` elements; the borrow of self keeps the mapping alive and unaliased.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Region<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Copy> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `filled` made, with its length, and nobody borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}

/// Asks for the cache line of `target` to be brought near; a hint without other effect.
#[inline]
pub fn prefetch<T>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither reads nor writes in the language's sense and cannot fault.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(
            core::ptr::from_ref(target).cast(),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

/// Bit i is set where lane i of `lanes` equals `value`.
#[must_use]
#[inline]
pub fn equal_lanes(lanes: &[u16; 8], value: u16) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has SSE2, and the load is of 16 octets, aligned or not, that `lanes` owns.
    unsafe {
        use core::arch::x86_64::{
            _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
            _mm_setzero_si128,
        };
        let lanes = _mm_loadu_si128(core::ptr::from_ref(lanes).cast());
        let equal = _mm_cmpeq_epi16(lanes, _mm_set1_epi16(value.cast_signed()));
        _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())).cast_unsigned()
    }
    #[cfg(not(target_arch = "x86_64"))]
    (0..).zip(lanes).fold(0, |mask, (index, lane)| mask | u32::from(*lane == value) << index)
}

/// `CLOCK_MONOTONIC`, which all threads and processes of the machine agree on; no system call where the vDSO has it.
#[must_use]
pub fn now() -> Time {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local of the right type. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut spec) };
    Time(u64::try_from(spec.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(spec.tv_nsec).unwrap_or(0))
}

/// The time-stamp counter, in cycles; nanoseconds where the machine has none.
#[must_use]
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it has no effect on memory.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    now().0
}

/// Lets the calling thread sleep as short as it asks for: Linux would add 50 us of slack otherwise.
pub fn sleep_precisely() {
    #[cfg(target_os = "linux")]
    // SAFETY: this option takes a number and changes nothing but the calling thread's timer slack.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_holds_what_is_written_to_it() {
        let mut region = Region::filled(1000, 7_u64).unwrap();
        assert_eq!(region.len(), 1000);
        assert!(region.iter().all(|&value| value == 7));
        region[999] = 8;
        assert_eq!(region.last(), Some(&8));
    }

    #[test]
    fn equal_lanes_are_those_that_are_equal() {
        assert_eq!(equal_lanes(&[7, 0, 7, 0xffff, 1, 0x0707, 700, 7], 7), 0b1000_0101);
        assert_eq!(equal_lanes(&[0x8000; 8], 0x8000), 0xff);
    }

    #[test]
    fn a_size_past_all_memory_is_an_error() {
        assert!(Region::filled(usize::MAX / 2, 0_u64).is_err());
    }

    #[test]
    fn clocks_do_not_go_backwards() {
        let (time, count) = (now(), cycles());
        assert!(now() >= time);
        assert!(cycles() >= count);
    }
}
