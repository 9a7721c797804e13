//! What is known about a connection, in the terms of Linux's `TCP_INFO`.

use crate::connection::{Bits, Connection};
use crate::{Buf, State, Time};

/// A connection at a glance. Names and meanings are those of `struct tcp_info`, spelt out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// `tcpi_state`.
    pub state: State,
    /// `tcpi_retransmits`: timeouts in a row.
    pub retransmits: u8,
    /// `tcpi_probes`: probes of window or silence without an answer.
    pub probes: u8,
    /// `tcpi_backoff`.
    pub backoff: u8,
    /// `TCPI_OPT_TIMESTAMPS`.
    pub timestamps: bool,
    /// `TCPI_OPT_SACK`.
    pub sack: bool,
    /// `TCPI_OPT_ECN`.
    pub ecn: bool,
    /// `tcpi_snd_wscale`, if windows are scaled.
    pub send_scale: Option<u8>,
    /// `tcpi_rto`, in microseconds.
    pub rto: u32,
    /// `tcpi_snd_mss`.
    pub send_mss: u16,
    /// `tcpi_unacked`, in octets.
    pub unacknowledged: u32,
    /// `tcpi_sacked`, in octets.
    pub sacked: u32,
    /// `tcpi_lost`, in octets.
    pub lost: u32,
    /// `tcpi_retrans`, in octets: sent again and still under way.
    pub retransmitting: u32,
    /// `tcpi_last_data_recv` and `tcpi_last_ack_recv`, whichever is shorter, in milliseconds.
    pub last_received_ms: u32,
    /// `tcpi_rtt`, in microseconds.
    pub rtt: u32,
    /// `tcpi_rttvar`, in microseconds.
    pub rtt_variation: u32,
    /// `tcpi_min_rtt`, in microseconds.
    pub min_rtt: u32,
    /// `tcpi_snd_cwnd`, in octets.
    pub congestion_window: u32,
    /// `tcpi_snd_ssthresh`, in octets.
    pub slow_start_threshold: u32,
    /// `tcpi_rcv_space`: the receive window's size.
    pub receive_space: u32,
    /// `tcpi_snd_wnd`.
    pub send_window: u32,
    /// `tcpi_total_retrans`: segments, 65,535 or more shown as that.
    pub total_retransmissions: u32,
    /// `tcpi_pacing_rate`, in octets a second; zero without pacing.
    pub pacing_rate: u64,
    /// `tcpi_bytes_acked`.
    pub octets_acknowledged: u64,
    /// `tcpi_bytes_received`.
    pub octets_received: u64,
    /// `tcpi_segs_out`.
    pub segments_out: u32,
    /// `tcpi_segs_in`.
    pub segments_in: u32,
    /// `tcpi_notsent_bytes`.
    pub not_sent: u32,
    /// `tcpi_reord_seen`, as a yes or no.
    pub reordering_seen: bool,
}

impl<B: Buf> Connection<B> {
    pub(crate) fn info(&self, now: Time) -> Info {
        let recovery = self.recovery.info();
        Info {
            state: self.state,
            retransmits: self.timeouts,
            probes: self.attempts,
            backoff: recovery.backoff,
            timestamps: self.bits.has(Bits::TIMESTAMPS),
            sack: self.bits.has(Bits::SACK),
            ecn: self.bits.has(Bits::ECN),
            send_scale: self.bits.has(Bits::SCALING).then_some(self.send_shift),
            rto: recovery.rto,
            send_mss: self.mss,
            unacknowledged: self.outstanding(),
            sacked: recovery.sacked,
            lost: recovery.lost,
            retransmitting: recovery.resent,
            last_received_ms: now.wrapping_millis().wrapping_sub(self.heard_ms),
            rtt: recovery.smoothed,
            rtt_variation: recovery.variation,
            min_rtt: recovery.minimum,
            congestion_window: recovery.window,
            slow_start_threshold: recovery.threshold,
            receive_space: self.window.size(self.receive_next()),
            send_window: self.send_window,
            total_retransmissions: self.retransmissions.into(),
            pacing_rate: recovery.pacing_rate,
            octets_acknowledged: self.counts.octets_acknowledged,
            octets_received: self.counts.octets_received,
            segments_out: self.counts.segments_out,
            segments_in: self.counts.segments_in,
            not_sent: self.send.end().octets_after(self.send_next),
            reordering_seen: recovery.reordering_seen,
        }
    }
}
