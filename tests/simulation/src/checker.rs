//! The judge. It is told what was sent, acknowledged and seen ([`Ledger`]), what each room's history
//! says at the end, as anyone may read it, and who is where; and says what is wrong.

use std::collections::{BTreeSet, HashMap};

use crate::ledger::{Kind, Ledger, Message, RoomId, Stay};

/// A room's history as the API gives it: the messages by offset, 1 first; none where it is not one of
/// the scenario's.
pub type History = Vec<Option<u32>>;

/// Who is in a room, in three ways: as it is, as the API says, as clients see it.
#[derive(Debug)]
pub struct Presence {
    /// The room.
    pub room: RoomId,
    /// The users who are there.
    pub truth: BTreeSet<String>,
    /// What the API says.
    pub answer: BTreeSet<String>,
    /// What clients see who are told, by client.
    pub views: Vec<(usize, BTreeSet<String>)>,
}

/// Past so many the rest of what is wrong says nothing new.
const MAX_WRONG: usize = 20;

/// All that is wrong, the first things first.
pub fn check(
    ledger: &Ledger,
    histories: &HashMap<RoomId, History>,
    presence: &[Presence],
) -> Vec<String> {
    let mut wrong: Vec<String> = ledger.wrong.clone();
    let places = places(histories, &mut wrong);
    wrong.extend(accepted_is_kept(ledger, &places));
    for stay in &ledger.stays {
        let head = histories
            .get(&stay.room)
            .map_or(0, |history| history.len() as u64);
        if let Err(what) =
            in_order_each_once(stay, head, histories.get(&stay.room), ledger, &places)
        {
            let Stay { client, room, .. } = stay;
            wrong.push(format!("client {client} in room {room}: {what}"));
        }
    }
    wrong.extend(news_reach_everyone(ledger));
    wrong.extend(ephemeral_once(ledger));
    wrong.extend(presence.iter().flat_map(present));
    wrong.truncate(MAX_WRONG);
    wrong
}

/// Where each message is, by its number.
fn places(
    histories: &HashMap<RoomId, History>,
    wrong: &mut Vec<String>,
) -> HashMap<u32, (RoomId, u64)> {
    let mut places = HashMap::new();
    for (room, history) in histories {
        for (n, offset) in history.iter().zip(1_u64..) {
            let Some(n) = n else { continue };
            if let Some(other) = places.insert(*n, (*room, offset)) {
                wrong.push(format!(
                    "message {n} is in the history twice: {other:?} and {:?}",
                    (room, offset)
                ));
            }
        }
    }
    places
}

/// What was acknowledged is in its room's history, where the acknowledgement said.
fn accepted_is_kept(ledger: &Ledger, places: &HashMap<u32, (RoomId, u64)>) -> Vec<String> {
    let numbered = ledger.messages.iter().zip(0_u32..);
    let kept = numbered.filter(|(message, _)| message.kind == Kind::Kept);
    kept.filter_map(|(message, n)| {
        let accepted = (message.room, message.accepted?);
        let found = places.get(&n);
        (found != Some(&accepted)).then(|| {
            format!(
                "message {n} was acknowledged at {accepted:?} and the history has it at {found:?}"
            )
        })
    })
    .collect()
}

/// From where a stay began everything was seen in the room's order, each once; to the end, where the
/// stay goes on. One's own messages may come back or not: the acknowledgement stands for them.
fn in_order_each_once(
    stay: &Stay,
    head: u64,
    history: Option<&History>,
    ledger: &Ledger,
    places: &HashMap<u32, (RoomId, u64)>,
) -> Result<(), String> {
    let is_own = |offset: u64| {
        let n = history.and_then(|h| h.get(usize::try_from(offset).ok()? - 1).copied().flatten());
        let message: Option<&Message> = n.and_then(|n| ledger.messages.get(n as usize));
        message.is_some_and(|message| message.sender == Some(stay.client))
    };
    let skipped = |after: u64, before: u64| (after + 1..before).find(|offset| !is_own(*offset));
    let mut at = stay.base;
    for n in &stay.seen {
        let Some((_, offset)) = places.get(n).filter(|(room, _)| *room == stay.room) else {
            return Err(format!("saw {n}, which the history does not have"));
        };
        match at {
            Some(at) if *offset <= at => {
                return Err(format!(
                    "saw {n} at {offset} after {at}: twice, or too late"
                ));
            }
            Some(at) => {
                if let Some(lost) = skipped(at, *offset) {
                    return Err(format!(
                        "never saw offset {lost}, between {at} and {offset}"
                    ));
                }
            }
            None => {
                if let Some(first) = stay.at_most
                    && let Some(lost) = skipped(first, *offset)
                {
                    return Err(format!(
                        "never saw offset {lost}, after its join at {first}"
                    ));
                }
            }
        }
        at = Some(*offset);
    }
    match at.or(stay.at_most) {
        Some(at) if stay.is_open => match skipped(at, head + 1) {
            Some(lost) => Err(format!(
                "never saw offset {lost} of {head}, the last were {at}"
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// News of after a session began reach it, once, if it goes on; no session gets any twice.
fn news_reach_everyone(ledger: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    let numbered = || ledger.messages.iter().zip(0_u32..);
    for session in &ledger.sessions {
        let mut seen = session.news.clone();
        seen.sort_unstable();
        for pair in seen.windows(2).filter(|pair| pair[0] == pair[1]) {
            wrong.push(format!(
                "client {} saw news {} twice",
                session.client, pair[0]
            ));
        }
        if !session.is_open {
            continue;
        }
        let missed = numbered().find(|(message, n)| {
            message.kind == Kind::News(session.namespace)
                && message.accepted.is_some()
                && message.sent_at > session.began
                && seen.binary_search(n).is_err()
        });
        if let Some((_, n)) = missed {
            wrong.push(format!("client {} never saw news {n}", session.client));
        }
    }
    wrong
}

fn ephemeral_once(ledger: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((client, _), seen) in &ledger.ephemeral {
        let mut seen = seen.clone();
        seen.sort_unstable();
        let twice = seen.windows(2).find(|pair| pair[0] == pair[1]);
        wrong.extend(twice.map(|pair| format!("client {client} saw ephemeral {} twice", pair[0])));
    }
    wrong.sort();
    wrong
}

/// Who is in a room is who is said to be, to everyone who is told.
fn present(presence: &Presence) -> Vec<String> {
    let Presence {
        room,
        truth,
        answer,
        views,
    } = presence;
    let told = |whom: String, view: &BTreeSet<String>| {
        let ghosts: Vec<_> = view.difference(truth).take(3).collect();
        let missing: Vec<_> = truth.difference(view).take(3).collect();
        (view != truth)
            .then(|| format!("{whom}, of room {room}: ghosts {ghosts:?}, not shown {missing:?}"))
    };
    let api = told("the API's presence".to_owned(), answer);
    let views = views
        .iter()
        .map(|(client, view)| told(format!("client {client}'s presence"), view));
    api.into_iter().chain(views.flatten()).collect()
}
