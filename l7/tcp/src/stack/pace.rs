//! A limit on answers that anybody can provoke: a bucket of tokens (RFC 5961, section 7).

use crate::Time;

/// So many in a second, and no more than that at once.
///
/// The rate is shared by all connections, so what it lets pass must not tell an attacker about any one of them: the number of
/// tokens at the start of each second varies with a random number (CVE-2016-5696).
pub(crate) struct Pace {
    per_second: u32,
    left: u32,
    second: u64,
}

impl Pace {
    pub(crate) const fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, second: 0 }
    }

    /// Takes a token, if there is one.
    pub(crate) fn allows(&mut self, now: Time, random: impl FnOnce() -> u64) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            self.second = second;
            let half = self.per_second / 2;
            self.left = half + (random() % u64::from(half + 1)) as u32;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_and_not_one_more() {
        let mut pace = Pace::new(100);
        let mut passed = |second: u64, random| {
            (0..500).filter(|_| pace.allows(Time(second * 1_000_000_000), || random)).count()
        };
        assert_eq!(passed(1, 0), 50);
        assert_eq!(passed(1, 0), 0);
        assert_eq!(passed(2, 50), 100);
    }
}
