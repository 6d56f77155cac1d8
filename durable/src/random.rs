//! Randomness, for core has none.

use dialtone_core::object::Seed;
use worker::Date;

/// What all ids of one wake are made from.
pub fn seed() -> Seed {
    let mut seed = Seed::default();
    if getrandom::fill(&mut seed).is_err() {
        // Never seen. Ids of the time still differ from the last ones.
        let now = Date::now().as_millis().to_be_bytes();
        seed.iter_mut().zip(now).for_each(|(to, from)| *to = from);
    }
    seed
}

/// An id that nothing else has: 128 bits, in hexadecimal.
pub fn id() -> String {
    (0..4).map(|_| format!("{:08x}", number())).collect()
}

/// Any number.
pub fn number() -> u32 {
    getrandom::u32().unwrap_or_default()
}
