//! Session tickets (RFC 5077, section 4; RFC 8446, section 4.6.1): what a client brings back to resume a session, sealed by keys that the control
//! thread makes anew from time to time and all workers have. The server keeps nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use rustls::server::ProducesTickets;

/// Octets that a key is made of: its name, and the secret.
pub const KEY_LENGTH: usize = NAME + 32;

const NAME: usize = 16;

/// A key: whoever knows it can read sessions that were resumed by its tickets.
struct Key {
    name: [u8; NAME],
    key: RandomizedNonceKey,
}

impl Key {
    fn new(octets: &[u8; KEY_LENGTH]) -> Result<Self, Unspecified> {
        let (name, secret) = octets.split_first_chunk::<NAME>().ok_or(Unspecified)?;
        Ok(Self { name: *name, key: RandomizedNonceKey::new(&AES_256_GCM, secret)? })
    }
}

/// Seals tickets by the newest key, and opens those of the newest and the ones before it.
pub struct Tickets {
    keys: Vec<Key>,
    lifetime_seconds: u32,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Tickets {
    /// By these keys, the newest first, which are random octets.
    ///
    /// # Errors
    /// When the library refuses a key, which it has no reason to.
    pub fn new(keys: &[[u8; KEY_LENGTH]], lifetime_seconds: u32) -> Result<Self, Unspecified> {
        Ok(Self { keys: keys.iter().map(Key::new).collect::<Result<_, _>>()?, lifetime_seconds })
    }
}

/// What a new key is made of: random octets.
///
/// # Errors
/// When the system has none, which it always has.
pub fn random_key() -> Result<[u8; KEY_LENGTH], Unspecified> {
    let mut key = [0; KEY_LENGTH];
    aws_lc_rs::rand::fill(&mut key)?;
    Ok(key)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        !self.keys.is_empty()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_seconds
    }

    /// The name of the key, a nonce, and the sealed session.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let Key { name, key } = self.keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([&name[..], nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let Key { key, .. } = self.keys.iter().find(|key| key.name == *name)?;
        let mut opened = sealed.to_vec();
        let plain = key.open_in_place(Nonce::from(nonce), Aad::from(name), &mut opened).ok()?.len();
        opened.truncate(plain);
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_of_the_last_keys_are_good() {
        let (old, new, other) = ([1; KEY_LENGTH], [2; KEY_LENGTH], [3; KEY_LENGTH]);
        let before = Tickets::new(&[old], 60).unwrap();
        let after = Tickets::new(&[new, old], 60).unwrap();
        let ticket = before.encrypt(b"session").unwrap();
        assert_eq!(after.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(Tickets::new(&[new, other], 60).unwrap().decrypt(&ticket), None);
        assert_ne!(after.encrypt(b"session"), after.encrypt(b"session"));
        assert!(!Tickets::new(&[], 60).unwrap().enabled());
    }

    #[test]
    fn what_is_not_a_ticket_is_none() {
        let tickets = Tickets::new(&[[1; KEY_LENGTH]], 60).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..length]), None);
        }
        for at in 0..ticket.len() {
            let mut wrong = ticket.clone();
            wrong[at] ^= 1;
            assert_eq!(tickets.decrypt(&wrong), None, "{at}");
        }
    }
}
