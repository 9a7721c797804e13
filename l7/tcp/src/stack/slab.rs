//! Places for connections: a fixed number in one array, which takes memory as far as it was ever used.
//!
//! Invariant: the epoch of a place changes whenever it is given back, so that an id of old finds nothing.

use crate::event::ConnectionId;

/// What knows its own epoch, so that the slab takes no memory for it.
pub(crate) trait Epoch {
    fn epoch(&self) -> u32;
    fn set_epoch(&mut self, epoch: u32);
}

enum Place<T> {
    Free { next: u32, epoch: u32 },
    Used(T),
}

/// The values, found by index.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    capacity: u32,
    used: u32,
    /// The place given back last, or [`NONE`].
    free: u32,
}

const NONE: u32 = u32::MAX;

impl<T: Epoch> Slab<T> {
    /// Octets that a place takes.
    #[cfg(test)]
    pub(crate) const PLACE: usize = size_of::<Place<T>>();

    pub(crate) fn new(capacity: u32) -> Self {
        Self { places: Vec::with_capacity(capacity as usize), capacity, used: 0, free: NONE }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.used
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.used >= self.capacity
    }

    /// Takes a place; `None` if all are taken.
    pub(crate) fn insert(&mut self, mut value: T) -> Option<ConnectionId> {
        if self.is_full() {
            return None;
        }
        self.used += 1;
        let free = self.free;
        if free == NONE {
            let index = self.places.len() as u32;
            value.set_epoch(0);
            self.places.push(Place::Used(value));
            return Some(ConnectionId { index, epoch: 0 });
        }
        let place = self.places.get_mut(free as usize)?;
        let Place::Free { next, epoch } = *place else { return None };
        value.set_epoch(epoch);
        *place = Place::Used(value);
        self.free = next;
        Some(ConnectionId { index: free, epoch })
    }

    /// Gives a place back.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let place = self.places.get_mut(index as usize)?;
        let Place::Used(value) = place else { return None };
        let epoch = value.epoch();
        let left = core::mem::replace(place, Place::Free { next: free, epoch: epoch.wrapping_add(1) });
        self.free = index;
        self.used -= 1;
        if let Place::Used(value) = left { Some(value) } else { None }
    }

    /// What is at `index`.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        if let Some(Place::Used(value)) = self.places.get(index as usize) { Some(value) } else { None }
    }

    /// What is at `index`.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        if let Some(Place::Used(value)) = self.places.get_mut(index as usize) { Some(value) } else { None }
    }

    /// The id of what is at `index`.
    #[inline]
    pub(crate) fn id(&self, index: u32) -> Option<ConnectionId> {
        self.at(index).map(|value| ConnectionId { index, epoch: value.epoch() })
    }

    /// What `id` names, unless it was released.
    #[inline]
    pub(crate) fn named(&self, id: ConnectionId) -> Option<&T> {
        self.at(id.index).filter(|value| value.epoch() == id.epoch)
    }

    /// What `id` names, unless it was released.
    #[inline]
    pub(crate) fn named_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        self.at_mut(id.index).filter(|value| value.epoch() == id.epoch)
    }

    /// All that is there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &T)> {
        self.places.iter().zip(0u32..).filter_map(|(place, index)| match place {
            Place::Used(value) => Some((ConnectionId { index, epoch: value.epoch() }, value)),
            Place::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(PartialEq, Debug)]
    struct Value(&'static str, u32);

    impl Epoch for Value {
        fn epoch(&self) -> u32 {
            self.1
        }

        fn set_epoch(&mut self, epoch: u32) {
            self.1 = epoch;
        }
    }

    #[test]
    fn an_id_of_old_finds_nothing() {
        let mut slab = Slab::new(2);
        let first = slab.insert(Value("first", 0)).unwrap();
        let second = slab.insert(Value("second", 0)).unwrap();
        assert!(slab.insert(Value("third", 0)).is_none());
        assert_eq!(slab.remove(first.index), Some(Value("first", 0)));
        assert_eq!(slab.remove(first.index), None);
        let third = slab.insert(Value("third", 0)).unwrap();
        assert_eq!(third.index, first.index);
        assert_eq!(slab.named(first), None);
        assert_eq!(slab.named(third).map(|value| value.0), Some("third"));
        assert_eq!(slab.named_mut(second).map(|value| value.0), Some("second"));
        assert_eq!(slab.iter().count(), 2);
    }
}
