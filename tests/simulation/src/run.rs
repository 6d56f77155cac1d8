//! A run from its beginning to its end: people come, things happen, all comes to rest, the checker looks,
//! everyone goes, and nothing may be left.

use std::collections::{BTreeSet, HashMap};

use dialtone_core::{
    names::{Offset, RoomName, UserId},
    wire::{Access, Caller, Request},
};
use serde_json::Value as Json;

use crate::{
    checker::{self, History, Presence},
    ledger::{Kind, RoomId},
    mutant::Mutant,
    report::Figures,
    scenario::{Profile, Scenario, Speech, Trouble},
    tokens,
    world::{Job, Purpose, World},
};

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong; nothing, if all is as it should be.
    pub wrong: Vec<String>,
    /// What it did and what that cost.
    pub figures: Figures,
}

/// Runs a scenario. `progress` hears what goes on.
pub fn run(
    scenario: Scenario,
    mutant: Option<Mutant>,
    progress: &mut dyn FnMut(&World, &str),
) -> Outcome {
    let mut world = World::new(scenario, mutant);
    come(&mut world, progress);
    let before = Figures::of(&world);
    let steps = world.scenario.steps;
    for step in 0..steps {
        match world.scenario.profile {
            Profile::Mixed => mixed_step(&mut world),
            Profile::OneRoom => {
                for _ in 0..world.scenario.burst {
                    world.publish(0, Kind::Kept);
                }
                world.pass(1_000);
            }
            Profile::SmallRooms => {
                let client = world.random.index(world.clients.len());
                for _ in 0..world.scenario.burst {
                    world.act(client, |client, around| client.write(0, around));
                }
                world.pass(10);
            }
        }
        progress(&world, &format!("step {step} of {steps}"));
    }
    world.pass(1_000);
    let mut figures = Figures::of(&world).since(&before);
    let mut wrong = Vec::new();
    rest(&mut world, progress, &mut wrong);
    progress(&world, "checking");
    let presence = presence(&mut world);
    let histories = histories(&mut world, &mut wrong);
    wrong.extend(checker::check(&world.ledger, &histories, &presence));
    if wrong.is_empty() {
        everyone_goes(&mut world, progress, &mut wrong);
    }
    figures.finish(&world);
    Outcome { wrong, figures }
}

/// Members are admitted, then everyone connects, not all at once.
fn come(world: &mut World, progress: &mut dyn FnMut(&World, &str)) {
    let members: Vec<(String, RoomId)> = world
        .clients
        .iter()
        .flat_map(|client| {
            let person = &client.person;
            person
                .member_of
                .iter()
                .map(|room| (person.user.clone(), *room))
        })
        .collect();
    for (user, room) in members {
        let user = UserId::text(&user).unwrap();
        let to = name_of(world, room);
        let body = Request::AddMember { user };
        world.outside(Job {
            to,
            body,
            purpose: Purpose::Admit,
        });
    }
    let trouble = std::mem::take(&mut world.trouble);
    world.pass(2_000);
    world.trouble = trouble;
    let clients = world.clients.len() as u64;
    // 2,000 a second.
    for client in 0..world.clients.len() {
        let after = world.random.below(1_000 + clients / 2);
        world.dial_after(after, client);
    }
    for second in 0..=clients / 2_000 {
        world.pass(1_000);
        progress(world, &format!("people come, second {second}"));
    }
    world.pass(5_000);
}

fn name_of(world: &World, room: RoomId) -> RoomName {
    RoomName::parse(&world.places[room].name).unwrap()
}

/// Anything.
fn mixed_step(world: &mut World) {
    let clients = world.clients.len();
    let client = world.random.index(clients);
    let room = world.random.index(world.places.len());
    let which = world.random.index(8);
    match world.random.below(1_000) {
        0..300 => world.act(client, |client, around| client.write(which, around)),
        300..420 => world.publish(room, Kind::Kept),
        420..460 => world.publish(room, Kind::Ephemeral),
        460..500 => world.publish(0, Kind::News(which % 2)),
        500..600 => world.cut(client),
        600..670 => world.act(client, |client, around| client.toggle(which, around)),
        670..700 => world.act(client, |client, around| client.trespass(room, around)),
        700..740 => world.act(client, |client, around| client.types(which, around)),
        740..820 => {
            for _ in 0..4 {
                let object = world.random.index(world.awake().1);
                world.sleep(object);
            }
        }
        820..850 => {
            let object = world.random.index(world.awake().1);
            world.crash(object);
        }
        // A deploy: every object starts anew.
        850..852 => {
            for object in 0..world.awake().1 {
                world.crash(object);
            }
        }
        852..862 => put_out(world, client),
        // One user's burst: a turn of several messages.
        862..900 => {
            for _ in 0..5 {
                world.act(client, |client, around| client.write(which, around));
            }
        }
        900..985 => {
            let ms = world.random.below(3_000);
            world.pass(ms);
        }
        985..998 => {
            let ms = world.random.below(30_000);
            world.pass(ms);
        }
        // Longer than anything can be recovered.
        _ => world.pass(130_000),
    }
    let ms = world.random.below(80);
    world.pass(ms);
    world.act(client, |client, around| client.lose_patience(around));
}

/// A member is put out of the rooms that let them in as one.
fn put_out(world: &mut World, client: usize) {
    let rooms = world.clients[client].person.member_of.clone();
    for room in rooms {
        let user = world.clients[client].person.user.clone();
        if world.ledger.ended.contains_key(&(client, room)) {
            continue;
        }
        // Until it is answered, it may go on.
        world.ledger.ended.insert(
            (client, room),
            dialtone_core::names::Timestamp(u64::MAX / 2),
        );
        let ledger = &mut world.ledger;
        world.clients[client].put_out(room, ledger);
        let user = UserId::text(&user).unwrap();
        let to = name_of(world, room);
        let body = Request::RemoveMember { user };
        let purpose = Purpose::PutOut(client, room);
        world.outside(Job { to, body, purpose });
    }
}

/// Nothing goes wrong any more; everyone who wants to be somewhere gets there.
fn rest(world: &mut World, progress: &mut dyn FnMut(&World, &str), wrong: &mut Vec<String>) {
    world.trouble = Trouble::default();
    for client in 0..world.clients.len() {
        world.dial_after(1_000, client);
    }
    for second in 0..300 {
        world.pass(1_000);
        progress(world, &format!("coming to rest, second {second}"));
        for client in 0..world.clients.len() {
            world.act(client, |client, around| client.lose_patience(around));
        }
        let mut clients = world.clients.iter();
        let is_there = |c: &crate::client::Client| !c.is_on || (c.is_connected && !c.is_waiting());
        if second > 60 && clients.all(is_there) {
            break;
        }
    }
    for (id, client) in world.clients.iter().enumerate() {
        if client.is_on && !client.is_connected {
            wrong.push(format!("client {id} never got through"));
        } else if client.is_on && client.is_waiting() {
            wrong.push(format!(
                "client {id} was never answered: {}",
                client.what_waits()
            ));
        }
    }
    let trouble = world.scenario.trouble;
    if world.ledger.gave_up > 0 && trouble.storage_fails == 0 && trouble.falls == 0 {
        wrong.push(format!("{} acks never came", world.ledger.gave_up));
    }
    // Dead wires are found by their heartbeats, and their people are out after the grace; then objects
    // sleep for so long that heartbeats no longer wake them.
    if world.scenario.has_trouble() {
        world.pass(400_000);
        progress(world, "dead wires are found");
    }
    // Whoever is behind without knowing is found out by what comes next.
    for room in 0..world.places.len() {
        world.publish(room, Kind::Kept);
    }
    for namespace in 0..2 {
        world.publish(0, Kind::News(namespace));
    }
    world.pass(25_000);
    let (timers, _) = world.wakes();
    if !timers.is_empty() {
        let some = timers.iter().take(3);
        wrong.push(format!(
            "idle objects with timers: {:?}",
            some.collect::<Vec<_>>()
        ));
    }
}

fn admin() -> Caller {
    let mut claims = tokens::claims("admin", &["*".to_owned()]);
    claims.role = Some("admin".to_owned());
    Caller {
        claims,
        access: Access::Full,
    }
}

/// Who is where, as it is, as the API says, and as clients see it.
fn presence(world: &mut World) -> Vec<Presence> {
    let rooms = world.places.len();
    let asked =
        (0..rooms).map(|room| (name_of(world, room), Request::Presence { caller: admin() }));
    let asked = asked.collect();
    let answers = world.questions(asked);
    let mut presence: Vec<Presence> = answers
        .iter()
        .enumerate()
        .map(|(room, answer)| {
            let users = answer["users"].as_array().into_iter().flatten();
            let users = users.filter_map(|user| user["userId"].as_str().map(str::to_owned));
            Presence {
                room,
                truth: BTreeSet::new(),
                answer: users.collect(),
                views: Vec::new(),
            }
        })
        .collect();
    for (id, client) in world.clients.iter().enumerate() {
        for seat in &client.seats {
            if client.is_in(seat.room) && !world.ledger.ended.contains_key(&(id, seat.room)) {
                let of_room = &mut presence[seat.room];
                of_room.truth.insert(client.person.user.clone());
                if let Some(view) = &seat.view {
                    of_room.views.push((id, view.clone()));
                }
            }
        }
    }
    presence
}

/// Every room's history, page by page, read by an admin from objects that have slept.
fn histories(world: &mut World, wrong: &mut Vec<String>) -> HashMap<RoomId, History> {
    for object in 0..world.awake().1 {
        world.sleep(object);
    }
    let mut histories: HashMap<RoomId, History> = (0..world.places.len())
        .map(|room| (room, History::new()))
        .collect();
    let mut open: Vec<RoomId> = (0..world.places.len()).collect();
    while !open.is_empty() {
        let asked = open.iter().map(|room| {
            let after = Some(Offset(histories[room].len() as u64));
            let body = Request::History {
                caller: admin(),
                after,
                before: None,
                limit: 200,
            };
            (name_of(world, *room), body)
        });
        let answers = world.questions(asked.collect());
        let mut next = Vec::new();
        for (room, answer) in open.into_iter().zip(answers) {
            let history = histories.get_mut(&room).unwrap();
            for message in answer["messages"].as_array().into_iter().flatten() {
                let offset = message["offset"].as_u64().unwrap_or_default();
                if offset != history.len() as u64 + 1 {
                    wrong.push(format!("room {room} has {offset} after {}", history.len()));
                    return histories;
                }
                history.push(number_of(message));
            }
            if history.len() as u64 != answer["offset"].as_u64().unwrap_or_default() {
                let is_over = answer["messages"].as_array().is_none_or(Vec::is_empty);
                if is_over {
                    wrong.push(format!(
                        "room {room} ends at {} and says {answer}",
                        history.len()
                    ));
                    return histories;
                }
                next.push(room);
            }
        }
        open = next;
    }
    histories
}

fn number_of(message: &Json) -> Option<u32> {
    let data = &message["data"];
    let n = data["n"].as_u64().and_then(|n| u32::try_from(n).ok());
    n.or_else(|| data["message"].as_str()?.parse().ok())
}

/// Everyone goes; a day later nothing is left to do.
fn everyone_goes(
    world: &mut World,
    progress: &mut dyn FnMut(&World, &str),
    wrong: &mut Vec<String>,
) {
    for client in 0..world.clients.len() {
        world.goes(client);
    }
    world.pass(200_000);
    progress(world, "everyone has gone");
    for of_room in presence(world) {
        if !of_room.answer.is_empty() {
            let some: Vec<_> = of_room.answer.iter().take(3).collect();
            wrong.push(format!("ghosts in room {}: {some:?}", of_room.room));
        }
    }
    // What is remembered of sessions that moved is remembered for a day.
    world.pass(26 * 3_600_000);
    let (timers, alarms) = world.wakes();
    if !timers.is_empty() || !alarms.is_empty() {
        let some: Vec<_> = timers.iter().chain(&alarms).take(3).collect();
        wrong.push(format!(
            "nobody is there and {} timers and {} alarms are set: {some:?}",
            timers.len(),
            alarms.len()
        ));
    }
    let is_plain =
        |client: &crate::client::Client| matches!(client.person.speech, Speech::Plain(_));
    debug_assert!(world.clients.iter().any(is_plain) || !world.scenario.has_trouble());
}
