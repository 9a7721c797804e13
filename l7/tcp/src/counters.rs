//! Every counter once: its name as `nstat` prints it where Linux has the same, its help, its place.

macro_rules! counters {
    ($($variant:ident $name:literal $help:literal,)+) => {
        /// What a stack counts.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Counter {
            $(#[doc = $help] $variant,)+
        }

        impl Counter {
            /// All of them, in order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in metrics, JSON and on the terminal.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence of help.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

counters! {
    ActiveOpens "TcpActiveOpens" "Connections opened from this side.",
    PassiveOpens "TcpPassiveOpens" "Connections opened from the other side that completed their handshake.",
    AttemptFails "TcpAttemptFails" "Connections that ended before their handshake did.",
    EstabResets "TcpEstabResets" "Established connections that were reset.",
    InSegs "TcpInSegs" "Segments received, bad ones included.",
    OutSegs "TcpOutSegs" "Segments sent, without those that carry only retransmitted octets.",
    RetransSegs "TcpRetransSegs" "Segments sent again, whole or in part.",
    InErrs "TcpInErrs" "Segments received whose header or checksum is wrong.",
    OutRsts "TcpOutRsts" "Resets sent.",
    InMarked "IpExtInCEPkts" "Segments with data received with a congestion mark (RFC 3168), on connections that use them.",
    InCsumErrors "TcpInCsumErrors" "Segments received whose checksum is wrong.",
    SyncookiesSent "TcpExtSyncookiesSent" "SYNs answered with a cookie because the SYN queue was full.",
    SyncookiesRecv "TcpExtSyncookiesRecv" "Cookies that came back.",
    SyncookiesFailed "TcpExtSyncookiesFailed" "Acknowledgements without a connection that are no cookie of ours.",
    ReqQFullDoCookies "TcpExtTCPReqQFullDoCookies" "SYNs that found the SYN queue full.",
    ListenOverflows "TcpExtListenOverflows" "Handshakes that found the accept queue full.",
    ListenDrops "TcpExtListenDrops" "SYNs and last acknowledgements of handshakes that were dropped for want of room.",
    OutOfWindowIcmps "TcpExtOutOfWindowIcmps" "ICMP errors about octets that are not in flight.",
    LockDroppedIcmps "TcpExtIcmpsIgnored" "ICMP errors that say nothing to act on, or about no connection.",
    Pmtu "TcpExtPmtuReduced" "Paths found to carry only smaller segments.",
    TimeWait "TcpExtTW" "Connections that ended in TIME-WAIT by its timer.",
    TimeWaitRecycled "TcpExtTWRecycled" "Connections opened anew out of TIME-WAIT.",
    TimeWaitOverflow "TcpExtTCPTimeWaitOverflow" "Connections forgotten before their TIME-WAIT was over, for want of room.",
    PawsEstab "TcpExtPAWSEstab" "Segments refused for an old timestamp (RFC 7323, section 5).",
    DelayedAcks "TcpExtDelayedACKs" "Acknowledgements that a timer sent.",
    PureAcks "TcpExtTCPPureAcks" "Segments received that only acknowledge.",
    HpHits "TcpExtTCPHPHits" "Segments with data that came as predicted.",
    OfoQueue "TcpExtTCPOFOQueue" "Segments received out of order and kept.",
    OfoDrop "TcpExtTCPOFODrop" "Segments received out of order and dropped, for a budget's sake.",
    RcvQDrop "TcpExtTCPRcvQDrop" "Segments received in order and dropped, for a budget's sake.",
    ZeroWindowDrop "TcpExtTCPZeroWindowDrop" "Segments with data for a window that is closed.",
    ToZeroWindowAdv "TcpExtTCPToZeroWindowAdv" "Windows closed.",
    FromZeroWindowAdv "TcpExtTCPFromZeroWindowAdv" "Windows opened again.",
    WantZeroWindowProbe "TcpExtTCPWinProbe" "Probes of a window that is closed.",
    KeepAlive "TcpExtTCPKeepAlive" "Probes of a silent connection.",
    ChallengeAck "TcpExtTCPChallengeACK" "Challenge ACKs sent (RFC 5961).",
    SynChallenge "TcpExtTCPSYNChallenge" "SYNs amid a connection that were answered with a challenge.",
    AckSkipped "TcpExtTCPACKSkipped" "Answers to unacceptable segments that the rate limit withheld.",
    AbortOnData "TcpExtTCPAbortOnData" "Connections reset because data came after the application had let go.",
    AbortOnClose "TcpExtTCPAbortOnClose" "Connections reset because the application let go before it had read everything.",
    AbortOnMemory "TcpExtTCPAbortOnMemory" "Connections reset, or not opened, for want of memory.",
    AbortOnTimeout "TcpExtTCPAbortOnTimeout" "Connections given up because nothing was acknowledged for too long.",
    AbortOnLinger "TcpExtTCPAbortOnLinger" "Connections given up because the other end never closed them.",
    Timeouts "TcpExtTCPTimeouts" "Retransmission timeouts.",
    SynRetrans "TcpExtTCPSynRetrans" "SYNs and answers to SYNs sent again.",
    FastRetrans "TcpExtTCPFastRetrans" "Segments sent again by fast retransmit or RACK.",
    SlowStartRetrans "TcpExtTCPSlowStartRetrans" "Segments sent again after a timeout.",
    PartialAckRetrans "TcpExtTCPNewRenoRetrans" "Segments sent again on a partial acknowledgement, without SACK.",
    LossProbes "TcpExtTCPLossProbes" "Tail loss probes sent (RFC 8985, section 7).",
    DsackRecv "TcpExtTCPDSACKRecv" "Octets that the other end reported as received twice.",
    SackReneging "TcpExtTCPSACKReneging" "Times that the other end dropped what it had reported as received.",
    SackDiscard "TcpExtTCPSACKDiscard" "SACK blocks that make no sense.",
    SpuriousRtos "TcpExtTCPSpuriousRTOs" "Timeouts that were undone because nothing had been lost.",
    LossUndo "TcpExtTCPUndo" "Recoveries that were undone because nothing had been lost.",
    AcksUnsent "TcpExtTCPAckedUnsent" "Acknowledgements of what was never sent, or too long ago.",
}

/// The counters of one stack.
#[derive(Clone, Debug)]
pub struct Counters([u64; Counter::COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Counter::COUNT])
    }
}

impl Counters {
    /// What `counter` stands at.
    #[must_use]
    pub const fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// All counters and what they stand at.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.iter().map(|&counter| (counter, self.value(counter)))
    }

    #[inline]
    pub(crate) const fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    #[inline]
    pub(crate) const fn add(&mut self, counter: Counter, number: u64) {
        self.0[counter as usize] += number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::COUNT);
    }
}
