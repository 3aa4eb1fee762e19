//! Places where nothing could be translated: the instruction there must be interpreted, or the code generator refused.
//!
//! A trial costs a copy of the code around and a turn of the worker, so it is repeated, for the bytes may be others by
//! then, but ever more rarely.

use rustc_hash::FxHashMap as HashMap;

use crate::cache::TranslationKey;

/// Executions of such a place before it is tried again, the first time; they double with each trial, up to the most.
const RETRY_AFTER: u32 = 64;
const RETRY_AFTER_MOST: u32 = 1 << 12;

/// Such places remembered.
const MOST_PLACES: usize = 4096;

/// How often a place is passed by.
struct Wait {
    left: u32,
    next: u32,
}

/// The places.
#[derive(Default)]
pub struct Hopeless(HashMap<TranslationKey, Wait>);

impl Hopeless {
    /// Whether an execution of this place is to pass by without a trial.
    pub fn pass_by(&mut self, key: &TranslationKey) -> bool {
        let Some(wait) = self.0.get_mut(key) else { return false };
        let passed_by = wait.left > 0;
        wait.left = wait.left.saturating_sub(1);
        passed_by
    }

    /// Something could be translated here after all.
    pub fn forget(&mut self, key: &TranslationKey) {
        self.0.remove(key);
    }

    /// Notes that nothing can be translated here.
    pub fn give_up(&mut self, key: TranslationKey) {
        if self.0.len() >= MOST_PLACES {
            self.0.clear();
        }
        let wait = self.0.entry(key).or_insert(Wait { left: 0, next: RETRY_AFTER });
        *wait = Wait { left: wait.next, next: (wait.next * 2).min(RETRY_AFTER_MOST) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::ModeKey;
    use memory::RamId;

    fn waits(places: &mut Hopeless, key: &TranslationKey) -> u32 {
        (0..).take_while(|_| places.pass_by(key)).count() as u32
    }

    #[test]
    fn a_place_is_tried_again_ever_more_rarely_but_always() {
        let mode = ModeKey::of(&cpu::CpuState::new_boxed());
        let key = TranslationKey { ram: RamId::next(), offset: 0, eip: 0, mode };
        let mut places = Hopeless::default();
        assert_eq!(waits(&mut places, &key), 0);
        for expected in [64, 128, 256] {
            places.give_up(key);
            assert_eq!(waits(&mut places, &key), expected);
            assert!(!places.pass_by(&key), "until it is given up again it is tried each time");
        }
        (0..20).for_each(|_| places.give_up(key));
        assert_eq!(waits(&mut places, &key), RETRY_AFTER_MOST);
        places.forget(&key);
        places.give_up(key);
        assert_eq!(waits(&mut places, &key), RETRY_AFTER);
    }
}
