//! A point in time in 32 bits: ticks of 16 us, rounded up, that may lie nine hours ahead.

use crate::Time;

/// A tick is 2^14 nanoseconds, as in the timing wheel.
const TICK_SHIFT: u32 = 14;
/// Further ahead than this is brought nearer; who wakes too early looks at the clock and waits on.
const HORIZON_TICKS: u64 = 1 << 30;

/// When something is due, or that nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Alarm(u32);

impl Alarm {
    /// Never.
    pub(crate) const OFF: Self = Self(0);

    /// Due at `time`, which is not long ago, and at most nine hours ahead: what is set for later has to be bounded by the caller.
    #[inline]
    pub(crate) const fn at(time: Time) -> Self {
        let tick = (time.0.saturating_add((1 << TICK_SHIFT) - 1) >> TICK_SHIFT) as u32;
        // Zero says that nothing is due; a tick later does no harm.
        Self(if tick == 0 { 1 } else { tick })
    }

    #[inline]
    pub(crate) const fn is_on(self) -> bool {
        self.0 != 0
    }

    /// True if it is due at `now`.
    #[inline]
    pub(crate) const fn is_due(self, now: Time) -> bool {
        self.is_on() && ((now.0 >> TICK_SHIFT) as u32).wrapping_sub(self.0) < 1 << 31
    }

    /// When it is due, or `now` if that has passed.
    #[inline]
    pub(crate) const fn time(self, now: Time) -> Time {
        let tick = now.0 >> TICK_SHIFT;
        let ahead = self.0.wrapping_sub(tick as u32);
        if ahead >= 1 << 31 { now } else { Time((tick + ahead as u64) << TICK_SHIFT) }
    }

    /// True if it is due before the other one.
    #[inline]
    pub(crate) const fn is_before(self, other: Self) -> bool {
        self.is_on() && (!other.is_on() || self.0.wrapping_sub(other.0) >= 1 << 31)
    }

    /// The deadline, brought near enough for an alarm.
    pub(crate) fn bounded(deadline: Time, now: Time) -> Self {
        Self::at(deadline.min(Time(now.0.saturating_add(HORIZON_TICKS << TICK_SHIFT))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_when_it_was_set_for_and_not_before() {
        for now in [0, 5_000_000, (1u64 << 46) - 5_000, 1 << 46, u64::MAX / 2] {
            let alarm = Alarm::at(Time(now + 1_000_000));
            assert!(!alarm.is_due(Time(now)) && alarm.is_due(Time(now + 1_020_000)), "{now}");
            assert!(alarm.time(Time(now)).0.abs_diff(now + 1_000_000) < 1 << 15);
            assert!(Alarm::at(Time(now + 500_000)).is_before(alarm) && alarm.is_before(Alarm::OFF));
            assert!(!alarm.is_before(Alarm::at(Time(now + 500_000))));
        }
        assert!(!Alarm::OFF.is_due(Time(u64::MAX)) && !Alarm::OFF.is_before(Alarm::OFF));
        let now = Time(77);
        assert!(!Alarm::bounded(Time::NEVER, now).is_due(now));
    }
}
