//! A segment's way out.

use super::Stack;
use crate::checksum::Sum;
use crate::connection::{Bits, Planned};
use crate::packet::{Outgoing, Payload};
use crate::segment::{MAX_HEADER, Segment};
use crate::{Buf, Checksums, Time, Tuple};

impl<B: Buf> Stack<B> {
    /// The next segment to send, if there is any. What is asked for counts as sent: ask while there is room for it.
    ///
    /// The payload lies where the application put it; it may be copied, or its buffers shared.
    #[inline]
    pub fn poll_transmit(&mut self, now: Time) -> Option<Outgoing<'_, B>> {
        self.see(now);
        if let Some(answer) = self.shared.answers.pop_front() {
            let length = answer.segment.write(&mut self.header);
            if self.checksums != Checksums::Absent {
                let whole = self.checksums == Checksums::Whole;
                fill(&mut self.header, length, &answer.tuple, core::iter::empty(), 0, whole);
            }
            return Some(Outgoing {
                local: answer.tuple.local,
                remote: answer.tuple.remote,
                ecn: 0,
                header: &self.header[..length],
                payload: Payload::none(),
            });
        }
        let (index, planned) = self.plan(self.now)?;
        let length = planned.header;
        // Found again instead of handed on, since it is borrowed for as long as the caller looks at the segment.
        let connection = self.connections.at(index)?;
        if self.checksums != Checksums::Absent {
            let whole = self.checksums == Checksums::Whole;
            let payload = connection.send.pieces(planned.payload).map(|piece| piece.octets());
            fill(&mut self.header, length, &connection.tuple, payload, planned.payload.length(), whole);
        }
        Some(Outgoing {
            local: connection.tuple.local,
            remote: connection.tuple.remote,
            ecn: planned.ecn,
            header: &self.header[..length],
            payload: Payload::new(connection.send.pieces(planned.payload), planned.payload.length()),
        })
    }

    /// The next segment of the first connection that has one.
    #[inline]
    fn plan(&mut self, now: Time) -> Option<(u32, Planned)> {
        while let Some(&index) = self.output.front() {
            let Some(connection) = self.connections.at_mut(index) else {
                self.output.pop_front();
                continue;
            };
            let planned = connection.next_segment(now, &mut self.shared, &mut self.header);
            if planned.is_none() || connection.has_sent_all() {
                connection.bits.clear(Bits::IN_OUTPUT | Bits::OUTPUT);
                self.output.pop_front();
                if !connection.bits.has(Bits::UNARMED) {
                    connection.bits.set(Bits::UNARMED);
                    self.unarmed.push(index);
                }
            }
            if let Some(planned) = planned {
                if connection.bits.has(Bits::TRACED) {
                    self.trace_sent(index, &planned);
                }
                return Some((index, planned));
            }
        }
        self.arm();
        None
    }
}

/// Puts the checksum into a header: the whole one, or that of the pseudo-header for a device to go on from.
fn fill<'a>(
    header: &mut [u8; MAX_HEADER],
    length: usize,
    tuple: &Tuple,
    payload: impl Iterator<Item = &'a [u8]>,
    payload_length: u32,
    is_whole: bool,
) {
    let total = length as u32 + payload_length;
    let pseudo = Sum::pseudo_header(&tuple.local.addr, &tuple.remote.addr, total);
    let checksum = if is_whole {
        pseudo.octets(&header[..length]).slices(payload).checksum()
    } else {
        pseudo.folded().to_ne_bytes()
    };
    Segment::put_checksum(header, checksum);
}
