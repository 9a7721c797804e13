//! The different settings that connections and listeners have, each once, known by a number that fits into an octet.
//!
//! Invariant: a profile that nobody uses is a free place; what it says stays until somebody needs the place.

use crate::congestion::Algorithm;
use crate::recovery::RtoPolicy;
use crate::{Congestion, Settings, recovery};

/// Different settings at one time, at most.
const MOST: usize = 256;

struct Profile {
    settings: Settings,
    /// What loss recovery is set up with, but for what the ends agree upon.
    recovery: recovery::Settings,
    users: u32,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Profiles(Vec<Profile>);

impl Profiles {
    /// The number of these settings, new or known; `None` if there are too many. Whoever keeps it says so: [`Profiles::hold`].
    pub(crate) fn number(&mut self, settings: &Settings) -> Option<u8> {
        let known = self.0.iter().position(|profile| profile.settings == *settings);
        let index = known.or_else(|| {
            let profile =
                Profile { settings: settings.clone(), recovery: recovery_settings(settings), users: 0 };
            if let Some(free) = self.0.iter().position(|profile| profile.users == 0) {
                self.0[free] = profile;
                return Some(free);
            }
            (self.0.len() < MOST).then(|| {
                self.0.push(profile);
                self.0.len() - 1
            })
        })?;
        u8::try_from(index).ok()
    }

    /// Settings by their number.
    #[inline]
    pub(crate) fn at(&self, number: u8) -> &Settings {
        &self.0[usize::from(number)].settings
    }

    /// Those of loss recovery.
    #[inline]
    pub(crate) fn recovery(&self, number: u8) -> &recovery::Settings {
        &self.0[usize::from(number)].recovery
    }

    /// One more uses them.
    pub(crate) fn hold(&mut self, number: u8) {
        if let Some(profile) = self.0.get_mut(usize::from(number)) {
            profile.users += 1;
        }
    }

    /// One less uses them.
    pub(crate) fn let_go(&mut self, number: u8) {
        if let Some(profile) = self.0.get_mut(usize::from(number)) {
            debug_assert!(profile.users > 0);
            profile.users = profile.users.saturating_sub(1);
        }
    }
}

fn recovery_settings(settings: &Settings) -> recovery::Settings {
    let micros = |duration: core::time::Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    recovery::Settings {
        rto: RtoPolicy { minimum: micros(settings.min_rto), ack_delay: micros(settings.delayed_ack_margin) },
        algorithm: match settings.congestion {
            Congestion::Cubic => Algorithm::Cubic,
            Congestion::NewReno => Algorithm::NewReno,
        },
        ..recovery::Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mtu: u16) -> Settings {
        Settings { mtu, ..Settings::default() }
    }

    #[test]
    fn there_is_room_for_as_many_as_are_in_use_at_one_time() {
        let mut profiles = Profiles::default();
        for mtu in 0..MOST as u16 {
            let number = profiles.number(&settings(mtu)).unwrap();
            assert_eq!(profiles.number(&settings(mtu)), Some(number), "equal ones share a number");
            profiles.hold(number);
        }
        assert_eq!(profiles.number(&settings(1_000)), None);
        profiles.let_go(7);
        assert_eq!(profiles.number(&settings(1_000)), Some(7));
        assert_eq!(profiles.at(7).mtu, 1_000);
    }
}
