//! The options of a segment: read from every encoding, written in one.
//!
//! Invariant: what is written reads back as itself, and takes [`Options::length`] octets, a multiple of four.

use crate::{Range, SequenceNumber};

use super::Flags;

/// The most octets that options take: a header of 60 without its fixed 20.
pub const MAX_OPTIONS: usize = 40;
/// The largest shift of a window (RFC 7323, section 2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// What nearly every segment of an established connection carries: the form of RFC 7323, appendix A.
pub(super) const ALIGNED_TIMESTAMPS: [u8; 4] = [NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10];

/// The timestamps option (RFC 7323, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the clock's value that the sender saw last; it means something only beside the ACK bit.
    pub echo: u32,
}

/// Up to four SACK blocks, in the order in which they stand in the option (RFC 2018, section 3).
#[derive(Clone, Copy, Default)]
pub struct SackBlocks {
    blocks: [Range; Self::MAX],
    count: u8,
}

impl SackBlocks {
    /// As many as fit into a header.
    pub const MAX: usize = 4;
    /// No blocks.
    pub const NONE: Self =
        Self { blocks: [Range { start: SequenceNumber(0), end: SequenceNumber(0) }; Self::MAX], count: 0 };

    /// Adds a block behind the others; does nothing if there are four.
    #[inline]
    pub fn push(&mut self, block: Range) {
        if let Some(free) = self.blocks.get_mut(usize::from(self.count)) {
            *free = block;
            self.count += 1;
        }
    }

    /// The blocks.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[Range] {
        self.blocks.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// True if there is none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(u8::try_from(count).unwrap_or(u8::MAX));
    }
}

impl PartialEq for SackBlocks {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SackBlocks {}

impl core::fmt::Debug for SackBlocks {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_list().entries(self.as_slice()).finish()
    }
}

/// The options of a segment that this TCP knows.
///
/// MSS, window scale and SACK permitted are only read beside SYN, and SACK blocks only without it, as their RFCs say; an
/// option that comes twice counts as it came last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The largest segment that its sender can receive, as it came: zero and one are as possible as 1460 (RFC 9293,
    /// section 3.7.1).
    pub mss: Option<u16>,
    /// The shift of the sender's windows, at most 14 (RFC 7323, section 2.2).
    pub window_scale: Option<u8>,
    /// The sender understands SACK blocks (RFC 2018, section 2).
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323, section 3.2).
    pub timestamps: Option<Timestamps>,
    /// What the sender has received above the acknowledgement number (RFC 2018), or twice (RFC 2883). Where they lie is
    /// not looked at here.
    pub sack: SackBlocks,
    /// The list had an impossible length: nothing of it is believed (RFC 9293, MUST-7). Never set for writing.
    pub are_malformed: bool,
}

impl Options {
    /// No options.
    pub const NONE: Self = Self {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: SackBlocks::NONE,
        are_malformed: false,
    };

    /// Reads a list of at most 40 octets from a segment with these flags.
    #[must_use]
    #[inline]
    pub fn read(list: &[u8], flags: Flags) -> Self {
        if let Some((octets, [])) = list.split_first_chunk::<12>()
            && octets[..4] == ALIGNED_TIMESTAMPS
        {
            let timestamps = read_timestamps(&octets[2..]);
            return Self { timestamps, ..Self::NONE };
        }
        if list.is_empty() { Self::NONE } else { Self::read_any(list, flags) }
    }

    fn read_any(mut list: &[u8], flags: Flags) -> Self {
        let is_syn = flags.contains(Flags::SYN);
        let mut options = Self::NONE;
        while let Some((&kind, rest)) = list.split_first() {
            // These two have no length (RFC 9293, section 3.1, MUST-5 and MUST-68).
            match kind {
                END => break,
                NO_OPERATION => {
                    list = rest;
                    continue;
                }
                _ => {}
            }
            // Every other option has one, and it counts the two octets before the data too (MUST-6, MUST-68).
            let Some((option, behind)) = rest
                .first()
                .filter(|length| **length >= 2)
                .and_then(|length| list.split_at_checked(usize::from(*length)))
            else {
                return Self { are_malformed: true, ..Self::NONE };
            };
            list = behind;
            // A known kind with a length that is not its own is as good as unknown: skipped (MUST-6).
            match (kind, option) {
                (MSS, &[_, _, high, low]) if is_syn => options.mss = Some(u16::from_be_bytes([high, low])),
                // RFC 7323, section 2.3: a larger shift is taken for 14.
                (WINDOW_SCALE, &[_, _, shift]) if is_syn => {
                    options.window_scale = Some(shift.min(MAX_WINDOW_SCALE));
                }
                (SACK_PERMITTED, &[_, _]) if is_syn => options.sack_permitted = true,
                (TIMESTAMPS, _) => options.timestamps = read_timestamps(option).or(options.timestamps),
                (SACK, [_, _, blocks @ ..]) if !is_syn => {
                    if let Some(blocks) = read_blocks(blocks) {
                        options.sack = blocks;
                    }
                }
                _ => {}
            }
        }
        options
    }

    /// How many octets [`Options::write`] takes: what the payload of a segment has to leave free.
    #[must_use]
    #[inline]
    pub fn length(&self) -> usize {
        let timestamps = if self.timestamps.is_some() { 12 } else { 0 };
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let scale = if self.window_scale.is_some() { 4 } else { 0 };
        // Where there are timestamps, SACK permitted stands in the place of their padding.
        let permitted = if self.sack_permitted && self.timestamps.is_none() { 4 } else { 0 };
        let before = timestamps + mss + scale + permitted;
        match self.blocks_that_fit(before) {
            0 => before,
            count => before + 4 + 8 * count,
        }
    }

    fn blocks_that_fit(&self, before: usize) -> usize {
        (MAX_OPTIONS - before).saturating_sub(4).div_euclid(8).min(self.sack.as_slice().len())
    }

    /// Writes the list, as many SACK blocks of it as there is room for, and returns its length.
    #[inline]
    pub fn write(&self, into: &mut [u8; MAX_OPTIONS]) -> usize {
        let mut writer = Writer { into, length: 0 };
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            writer.put([MSS, 4, high, low]);
        }
        if let Some(timestamps) = self.timestamps {
            let lead =
                if self.sack_permitted { [SACK_PERMITTED, 2, TIMESTAMPS, 10] } else { ALIGNED_TIMESTAMPS };
            writer.put(lead);
            writer.put(timestamps.value.to_be_bytes());
            writer.put(timestamps.echo.to_be_bytes());
        } else if self.sack_permitted {
            writer.put([NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2]);
        }
        if let Some(shift) = self.window_scale {
            writer.put([NO_OPERATION, WINDOW_SCALE, 3, shift]);
        }
        let count = self.blocks_that_fit(writer.length);
        if count > 0 {
            writer.put([NO_OPERATION, NO_OPERATION, SACK, 2 + 8 * count as u8]);
            for block in self.sack.as_slice().iter().take(count) {
                writer.put(block.start.0.to_be_bytes());
                writer.put(block.end.0.to_be_bytes());
            }
        }
        writer.length
    }
}

fn read_timestamps(option: &[u8]) -> Option<Timestamps> {
    let &[_, _, a, b, c, d, e, f, g, h] = option else { return None };
    Some(Timestamps { value: u32::from_be_bytes([a, b, c, d]), echo: u32::from_be_bytes([e, f, g, h]) })
}

/// One to four blocks of eight octets; anything else is no SACK option (RFC 2018, section 3).
fn read_blocks(octets: &[u8]) -> Option<SackBlocks> {
    let (blocks, rest) = octets.as_chunks::<8>();
    if !rest.is_empty() || blocks.is_empty() || blocks.len() > SackBlocks::MAX {
        return None;
    }
    let mut read = SackBlocks::NONE;
    for &[a, b, c, d, e, f, g, h] in blocks {
        let start = SequenceNumber(u32::from_be_bytes([a, b, c, d]));
        read.push(Range { start, end: SequenceNumber(u32::from_be_bytes([e, f, g, h])) });
    }
    Some(read)
}

struct Writer<'a> {
    into: &'a mut [u8; MAX_OPTIONS],
    length: usize,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, octets: [u8; 4]) {
        if let Some(to) = self.into.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *to = octets;
            self.length += 4;
        }
    }
}
