//! Proportional rate reduction (RFC 6937bis, section 6): during fast recovery the window shrinks with what is delivered.

/// The state of one recovery; octets throughout.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prr {
    /// `prr_delivered`.
    delivered: u32,
    /// `prr_out`.
    out: u32,
    /// `RecoverFS`: what was in flight when recovery began, without what had been SACKed.
    flight: u32,
}

impl Prr {
    /// Recovery begins with `flight` octets not known to have arrived before this acknowledgement.
    pub(super) fn begin(flight: u32) -> Self {
        Self { delivered: 0, out: 0, flight: flight.max(1) }
    }

    /// `octets` went out.
    #[inline]
    pub(super) fn sent(&mut self, octets: u32) {
        self.out = self.out.saturating_add(octets);
    }

    /// The congestion window, after an acknowledgement that `delivered` octets arrived. `safe`: SND.UNA moved, and no
    /// further loss was found.
    pub(super) fn window(&mut self, delivered: u32, pipe: u32, threshold: u32, safe: bool, mss: u32) -> u32 {
        self.delivered = self.delivered.saturating_add(delivered);
        let mut count = if pipe > threshold {
            let share = (u64::from(self.delivered) * u64::from(threshold)).div_ceil(u64::from(self.flight));
            u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            // PRR-CRB, and PRR-SSRB while recovery makes progress.
            let conservative = self.delivered.saturating_sub(self.out).max(delivered);
            (conservative + if safe { mss } else { 0 }).min(threshold - pipe)
        };
        if self.out == 0 {
            count = count.max(mss); // the fast retransmission itself
        }
        pipe.saturating_add(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loss_of_twenty_shrinks_by_the_share_of_the_reduction() {
        // Section 7 of RFC 6937: 20 segments, the first lost, the threshold at 10 (Reno): one goes out for every other
        // that arrives, and in the end the window is the threshold.
        let (mss, threshold) = (1, 10);
        let mut prr = Prr::begin(20);
        let (mut pipe, mut sent) = (19, Vec::new());
        for _ in 0..19 {
            pipe -= 1;
            let window = prr.window(1, pipe, threshold, false, mss);
            let out = window.saturating_sub(pipe);
            prr.sent(out);
            pipe += out;
            sent.push(out);
        }
        assert!(sent.windows(2).take(15).all(|pair| pair[0] + pair[1] == 1), "{sent:?}");
        assert_eq!(pipe, threshold);
    }

    #[test]
    fn after_heavy_loss_the_pipe_fills_up_as_in_slow_start_and_not_at_once() {
        // 16 of 20 lost: the pipe is far below the threshold.
        let mut prr = Prr::begin(20);
        let window = prr.window(1, 3, 10, false, 1);
        assert_eq!(window, 4, "conservative: as much as arrived");
        prr.sent(1);
        assert_eq!(prr.window(1, 3, 10, true, 1), 5, "one more while SND.UNA moves");
    }

    #[test]
    fn the_first_retransmission_may_always_go() {
        assert_eq!(Prr::begin(4).window(0, 3, 2, false, 1), 4);
    }
}
