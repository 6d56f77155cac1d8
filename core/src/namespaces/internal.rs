//! Rooms that the system makes for itself and nobody joins by name: `all:{namespace}` is where everyone
//! in a namespace is, from CONNECT on.

use super::{Admission, Kind};
use crate::{auth::Claims, names::RoomName};

/// `lobby:{n}`, `all:{namespace}`.
pub struct Internal;

impl Kind for Internal {
    fn admit(&self, _: &Claims, _: &RoomName, _: &[String]) -> Admission {
        Admission::Refused
    }

    fn keeps_presence(&self) -> bool {
        false
    }
}
