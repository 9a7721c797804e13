//! What workers refer to and the control thread alone frees: each thing made once, and again when what it is made of has changed.
//!
//! Invariant: whoever still uses one has a reference, and one is kept here too until nobody else has any, so that no worker
//! ever frees one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Things `T` by the key of whoever wants them, with what they were made of.
#[derive(Debug)]
pub(crate) struct Kept<K, R, T> {
    made: HashMap<K, (R, Arc<T>)>,
    /// What nobody wants any more, and perhaps a connection uses.
    retired: Vec<Arc<T>>,
}

impl<K, R, T> Default for Kept<K, R, T> {
    fn default() -> Self {
        Self { made: HashMap::new(), retired: Vec::new() }
    }
}

impl<K: Clone, R: Clone, T> Clone for Kept<K, R, T> {
    fn clone(&self) -> Self {
        Self { made: self.made.clone(), retired: self.retired.clone() }
    }
}

impl<K: Eq + Hash, R: PartialEq, T> Kept<K, R, T> {
    /// What is made of `recipe` for `key`: the one of before if that has not changed.
    pub(crate) fn of(&mut self, key: K, recipe: R, before: &Self, make: impl FnOnce(&R) -> T) -> Arc<T> {
        let made = match before.made.get(&key) {
            Some((known, made)) if *known == recipe => Arc::clone(made),
            _ => Arc::new(make(&recipe)),
        };
        self.made.insert(key, (recipe, Arc::clone(&made)));
        made
    }

    /// What there is for `key` now.
    pub(crate) fn current(&self, key: &K) -> Option<&Arc<T>> {
        self.made.get(key).map(|(_, made)| made)
    }

    /// Keeps what was there before and is not any more, as long as somebody else has it.
    pub(crate) fn retire(&mut self, before: &Self) {
        let is_kept = |key: &K, thing| self.made.get(key).is_some_and(|(_, made)| Arc::ptr_eq(made, thing));
        let gone =
            before.made.iter().filter(|(key, (_, thing))| !is_kept(key, thing)).map(|(_, (_, thing))| thing);
        // The one reference that is sure to be there is the one of before.
        let is_held = |thing: &&Arc<T>| Arc::strong_count(thing) > 1;
        self.retired = gone.chain(&before.retired).filter(is_held).map(Arc::clone).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept when one thing is wanted, made of this.
    fn kept(before: &Kept<u8, String, String>, recipe: &str) -> (Kept<u8, String, String>, Arc<String>) {
        let mut kept = Kept::default();
        let thing = kept.of(1, recipe.to_owned(), before, Clone::clone);
        kept.retire(before);
        (kept, thing)
    }

    #[test]
    fn a_thing_stays_what_it_is_and_goes_when_nobody_has_it() {
        let (first, thing) = kept(&Kept::default(), "a");
        let (second, same) = kept(&first, "a");
        assert!(Arc::ptr_eq(&thing, &same));
        drop((first, same));
        let (third, other) = kept(&second, "b");
        drop(second);
        assert!(!Arc::ptr_eq(&thing, &other));
        assert_eq!((third.retired.len(), Arc::strong_count(&thing)), (1, 2), "a connection has it still");
        drop(thing);
        let (fourth, _) = kept(&third, "b");
        assert!(fourth.retired.is_empty());
    }
}
