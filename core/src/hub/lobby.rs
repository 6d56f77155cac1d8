//! Which lobby holds a Socket.IO client that has named no home.

use crate::names::RoomName;

/// Continents as Cloudflare names them, with the hint that has an object made there.
const CONTINENTS: [(&str, &str); 7] = [
    ("NA", "enam"),
    ("EU", "weur"),
    ("AS", "apac"),
    ("SA", "sam"),
    ("OC", "oc"),
    ("AF", "afr"),
    ("AN", "oc"),
];

/// One of `lobbies`, and where it is to be made should it be new. Where the continent is known, its
/// clients share some of the lobbies with no other continent's, as far as there are enough.
pub fn choose(
    lobbies: u32,
    continent: Option<&str>,
    random: u32,
) -> (RoomName, Option<&'static str>) {
    let lobbies = lobbies.max(1);
    let known = CONTINENTS
        .iter()
        .zip(0_u32..)
        .find(|((name, _), _)| continent == Some(*name));
    let (number, hint) = match known {
        None => (random.checked_rem(lobbies), None),
        Some(((_, hint), index)) => {
            let groups = lobbies.min(6);
            let group = index.checked_rem(groups).unwrap_or_default();
            // Lobbies group, group + groups, group + 2 × groups, …
            let of_group = lobbies.saturating_sub(group).div_ceil(groups);
            let pick = random.checked_rem(of_group).unwrap_or_default();
            let number = group.saturating_add(pick.saturating_mul(groups));
            (Some(number), Some(*hint))
        }
    };
    (RoomName::lobby(number.unwrap_or_default()), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn clients_spread_over_all_lobbies_and_continents_keep_together() {
        for lobbies in 1..20 {
            let mut all = BTreeSet::new();
            for random in 0..200 {
                all.insert(choose(lobbies, None, random).0);
            }
            assert_eq!(all.len(), lobbies as usize);
            let mut by_continent: BTreeMap<&str, BTreeSet<RoomName>> = BTreeMap::new();
            for (continent, _) in CONTINENTS {
                for random in 0..200 {
                    let (lobby, hint) = choose(lobbies, Some(continent), random);
                    assert!(hint.is_some());
                    by_continent.entry(continent).or_default().insert(lobby);
                }
            }
            let together: BTreeSet<RoomName> = by_continent.values().flatten().cloned().collect();
            assert_eq!(together, all, "{lobbies} lobbies");
            if lobbies >= 6 {
                assert!(by_continent["NA"].is_disjoint(&by_continent["EU"]));
            }
        }
    }
}
