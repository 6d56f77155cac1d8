//! Ids that nobody can guess: core has no source of randomness, so it is handed a seed and derives
//! them with HMAC-SHA256 over a counter. Each wake has a seed of its own.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::names::{Epoch, RoomName};

/// 256 random bits.
pub type Seed = [u8; 32];

/// The ids of one wake.
pub struct Ids {
    seed: Seed,
    count: u64,
}

impl Ids {
    pub fn new(seed: Seed) -> Self {
        Self { seed, count: 0 }
    }

    fn next(&mut self) -> [u8; 32] {
        self.count = self.count.saturating_add(1);
        // HMAC takes a key of any length.
        Hmac::<Sha256>::new_from_slice(&self.seed).map_or([0; 32], |mut mac| {
            mac.update(&self.count.to_be_bytes());
            mac.finalize().into_bytes().into()
        })
    }

    /// An epoch for a new room.
    pub fn epoch(&mut self) -> Epoch {
        Epoch::from_random(self.number())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        let bytes = self.next();
        let first = bytes.iter().take(8);
        first.fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
    }

    /// 120 bits as 20 characters of `[A-Za-z0-9_-]`.
    pub fn random(&mut self) -> String {
        URL_SAFE_NO_PAD.encode(self.next().get(..15).unwrap_or_default())
    }

    /// An id that carries the object which holds what it names.
    pub fn at_home(&mut self, object: &RoomName) -> String {
        format!("{object}.{}", self.random())
    }
}

/// The object that a session id or a pid names (`{object}.{random}`).
pub fn home_of(id: &str) -> Option<RoomName> {
    RoomName::parse(id.rsplit_once('.')?.0).ok()
}

/// The object that gave an offset (`{object}.{life}.{number}`).
pub fn home_of_offset(offset: &str) -> Option<RoomName> {
    let (rest, number) = offset.rsplit_once('.')?;
    number.parse::<u64>().ok()?;
    home_of(rest)
}
