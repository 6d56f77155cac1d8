//! Cost grows as it should: O(sockets in the room) for a fan-out, O(lobbies) between objects, O(1) in
//! the length of the history, O(changed) for presence.
//!
//! The same thing is done at two sizes, and what it took is compared: blocks allocated, statements,
//! steps of SQLite's virtual machine, rows, requests, frames. No clock is looked at. What allocates
//! nothing and touches no storage is not seen here; those walks are ruled out by `deadlines.rs`, whose
//! answers every turn of the other tests compares with a walk's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod world;

use std::{collections::BTreeSet, rc::Rc};

use dialtone_core::{
    hub::{ConnectionId, Frame},
    names::{RoomName, StreamPosition, UserId},
    object::{Input, Output},
    wire::{Access, Op, Parcel, Request},
};
use world::{World, claims, push};

/// What a turn took.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cost {
    blocks: u64,
    statements: Vec<(String, usize)>,
    steps: i64,
    rows_read: usize,
    asks: usize,
    /// Frames that were encoded, and to how many connections frames go.
    frames: usize,
    bytes: usize,
    told: usize,
}

fn cost(world: &mut World, inputs: &[Input]) -> (Cost, Vec<Output>) {
    world.sql.forget();
    let mut outputs = Vec::new();
    let taken = allocation_counter::measure(|| outputs = world.turn(inputs));
    let (mut frames, mut bytes, mut told, mut asks) = (BTreeSet::new(), 0, 0, 0);
    for output in &outputs {
        match output {
            Output::Ask { .. } => asks += 1,
            Output::Send(flush) => {
                told += flush.connections.len();
                for frame in &flush.frames {
                    if frames.insert(frame.address()) {
                        bytes += frame.len();
                    }
                }
            }
            _ => {}
        }
    }
    let cost = Cost {
        blocks: taken.count_total,
        statements: world.sql.statements.borrow().clone().into_iter().collect(),
        steps: world.sql.steps(),
        rows_read: world.sql.rows_read.get(),
        asks,
        frames: frames.len(),
        bytes,
        told,
    };
    (cost, outputs)
}

/// Of the second time: vectors have their size by then, statements are prepared.
fn second(world: &mut World, mut inputs: impl FnMut(&mut World) -> Vec<Input>) -> Cost {
    let first = inputs(world);
    world.turn(&first);
    let second = inputs(world);
    cost(world, &second).0
}

/// Vectors that hold an entry for each of ten times as many double three or four times more.
const VECTORS: u64 = 24;

#[track_caller]
fn same_blocks(small: &Cost, large: &Cost) {
    assert!(
        large.blocks <= small.blocks + VECTORS,
        "{} blocks, and {} at the larger size",
        small.blocks,
        large.blocks
    );
}

/// The same in everything, but for the digits of a number.
#[track_caller]
fn same(small: &Cost, large: &Cost) {
    same_blocks(small, large);
    same_storage(small, large);
    let told = |cost: &Cost| (cost.asks, cost.frames, cost.told);
    assert_eq!(told(small), told(large));
    assert!(large.bytes <= small.bytes + 4 * large.frames);
}

/// The same work in storage.
#[track_caller]
fn same_storage(small: &Cost, large: &Cost) {
    assert_eq!(small.statements, large.statements);
    assert_eq!(small.rows_read, large.rows_read);
    assert_eq!(small.steps, large.steps);
}

// ── A fan-out ──

#[test]
fn a_broadcast_allocates_nothing_for_each_socket() {
    for is_socket_io in [false, true] {
        let of = |sockets| {
            second(&mut World::home(sockets, is_socket_io), |world| {
                world.publishes(1)
            })
        };
        let (small, large) = (of(100), of(1_000));
        assert_eq!((small.told, large.told), (100, 1_000));
        assert_eq!((small.frames, large.frames), (1, 1));
        same_blocks(&small, &large);
        same_storage(&small, &large);
    }
}

#[test]
fn a_turn_of_many_events_allocates_nothing_for_each_socket() {
    for is_socket_io in [false, true] {
        let of = |sockets| {
            second(&mut World::home(sockets, is_socket_io), |world| {
                world.publishes(64)
            })
        };
        let (small, large) = (of(100), of(1_000));
        assert_eq!((small.frames, large.frames), (64, 64));
        same_blocks(&small, &large);
        same_storage(&small, &large);
    }
}

#[test]
fn a_lobby_that_is_told_allocates_nothing_for_each_socket() {
    let of = |sockets| {
        let mut after = 0;
        second(&mut World::lobby(sockets, sockets), |_| {
            after += 64;
            vec![push("demo:1", after - 64, 64)]
        })
    };
    let (small, large) = (of(100), of(1_000));
    assert_eq!((small.told, large.told), (100, 1_000));
    same_blocks(&small, &large);
    same_storage(&small, &large);
}

#[test]
fn each_frame_is_encoded_once_for_all() {
    for is_socket_io in [false, true] {
        let of = |sockets| {
            second(&mut World::home(sockets, is_socket_io), |world| {
                world.publishes(3)
            })
        };
        let (small, large) = (of(10), of(1_000));
        assert_eq!((small.frames, large.frames), (3, 3));
        assert!(large.bytes <= small.bytes + 12, "digits of numbers alone");
        same_storage(&small, &large);
    }
}

#[test]
fn those_who_are_elsewhere_cost_nothing() {
    let of = |sockets| {
        let mut after = 0;
        second(&mut World::lobby(sockets, 3), |_| {
            after += 1;
            vec![push("demo:1", after - 1, 1)]
        })
    };
    let (small, large) = (of(10), of(5_000));
    assert_eq!((small.told, large.told), (3, 3));
    same(&small, &large);
}

#[test]
fn a_timer_that_is_due_for_nobody_costs_the_same_among_many() {
    let of = |sockets| second(&mut World::lobby(sockets, 3), |_| vec![Input::Timer]);
    same(&of(10), &of(2_000));
}

// ── The history ──

fn with_history(messages: usize) -> World {
    let mut world = World::home(3, false);
    for _ in 0..messages.div_ceil(50) {
        let inputs = world.publishes(50);
        world.turn(&inputs);
    }
    world
}

#[test]
fn a_publication_costs_the_same_after_fifty_and_after_ten_thousand() {
    let of = |messages| second(&mut with_history(messages), |world| world.publishes(1));
    let (short, long) = (of(50), of(9_950));
    same_blocks(&short, &long);
    same_storage(&short, &long);
}

#[test]
fn whoever_comes_back_costs_what_they_missed() {
    let back = |world: &mut World, missed: u64| {
        let head = head(world);
        let since = format!("{}:{}", head.epoch.as_str(), head.offset.0 - missed);
        let input = world.open_since("u1", Some(since));
        cost(world, &[input]).0
    };
    let (mut short, mut long) = (with_history(200), with_history(9_950));
    for world in [&mut short, &mut long] {
        back(world, 10);
    }
    let (few_of_short, few_of_long) = (back(&mut short, 10), back(&mut long, 10));
    same_storage(&few_of_short, &few_of_long);
    let many = back(&mut long, 100);
    assert_eq!(many.rows_read - few_of_long.rows_read, 90);
    assert_eq!(many.statements, few_of_long.statements);
    let per_row = |cost: &Cost, rows: i64| cost.steps / rows;
    assert!(per_row(&many, 100) <= per_row(&few_of_long, 10));
}

/// Where the room stands.
fn head(world: &mut World) -> StreamPosition {
    let input = world.open_input("asker");
    let outputs = world.turn(&[input]);
    let connected = outputs.iter().find_map(|output| match output {
        Output::Send(flush) => match &flush.frames[0] {
            Frame::Text(text) if text.contains("connected") => Some(text.to_string()),
            _ => None,
        },
        _ => None,
    });
    let connected: serde_json::Value = serde_json::from_str(&connected.unwrap()).unwrap();
    let data = &connected["data"];
    let position = format!("{}:{}", data["epoch"].as_str().unwrap(), data["offset"]);
    let connection = world::accepted(&outputs)[0];
    world.turn(&[Input::Closed { connection }]);
    StreamPosition::parse(&position).unwrap()
}

#[test]
fn a_full_history_is_pruned_in_one_go_for_many_publications() {
    let mut world = with_history(10_200);
    world.sql.forget();
    for _ in 0..300 {
        let inputs = world.publishes(1);
        world.turn(&inputs);
    }
    let statements = world.sql.statements.borrow();
    let prunes = statements
        .iter()
        .filter(|(text, _)| text.starts_with("DELETE FROM log"));
    let prunes: usize = prunes.map(|(_, count)| count).sum();
    assert!((2..=4).contains(&prunes), "{prunes} in 300");
}

/// Publications that a backend gave ids of its own, from the `from`-th on.
fn with_ids(world: &mut World, from: usize, count: usize) -> Vec<Input> {
    let mut inputs = world.publishes(count);
    for (n, input) in inputs.iter_mut().enumerate() {
        if let Input::Request { body, .. } = input
            && let Request::Deliver { parcels } = &mut **body
            && let [Parcel::Event(item)] = parcels.as_mut_slice()
        {
            item.dedupe = Some(format!("id-{}", from + n));
        }
    }
    inputs
}

#[test]
fn pruning_walks_none_of_what_is_kept_for_longer() {
    let of = |messages: usize| {
        let mut world = World::home(3, false);
        for from in (0..messages).step_by(50) {
            let inputs = with_ids(&mut world, from, 50);
            world.turn(&inputs);
        }
        let inputs = with_ids(&mut world, messages, 60);
        let (cost, _) = cost(&mut world, &inputs);
        let pruned = |(text, _): &(String, usize)| text.starts_with("DELETE FROM log");
        assert!(cost.statements.iter().any(pruned));
        cost
    };
    // Fifty after a prune, both of them: with sixty more it is due again.
    let (few_keys, many_keys) = (of(10_200), of(20_250));
    assert_eq!(few_keys.statements, many_keys.statements);
    let (few, many) = (few_keys.steps, many_keys.steps);
    assert!(many <= few + few.div_euclid(20), "{few} steps, and {many}");
}

// ── Between objects ──

/// `lobbies` with so many sockets each are linked to the room.
fn linked(lobbies: usize, sockets: usize) -> World {
    let mut world = World::new("demo:1");
    for lobby in 0..lobbies {
        let join = |socket: usize| join_op(&format!("u{lobby}-{socket}"), false);
        let ops = (0..sockets).map(join).collect();
        let input = link(&mut world, lobby, ops);
        world.settle(&[input]);
    }
    world
}

fn join_op(user: &str, people: bool) -> Op {
    Op::Join {
        user: UserId::text(user).unwrap(),
        name: claims(user).name,
        access: Access::Full,
        since: None,
        people,
        first: false,
    }
}

fn link(world: &mut World, lobby: usize, ops: Vec<Op>) -> Input {
    Input::Request {
        request: world.next_request(),
        body: Box::new(Request::Link {
            from: RoomName::parse(&format!("lobby:{lobby}")).unwrap(),
            number: None,
            at: None,
            holds: None,
            ops,
        }),
    }
}

#[test]
fn a_turn_costs_a_request_for_each_lobby_however_many_sockets_and_events() {
    for lobbies in [1, 8, 40] {
        for sockets in [1, 50] {
            for events in [1, 64] {
                let mut world = linked(lobbies, sockets);
                let inputs = world.publishes(events);
                let (cost, outputs) = cost(&mut world, &inputs);
                assert_eq!(cost.asks, lobbies, "{sockets} sockets, {events} events");
                let bodies = outputs.iter().filter_map(|output| match output {
                    Output::Ask { body, .. } => Some(Rc::as_ptr(body).cast::<u8>()),
                    _ => None,
                });
                assert_eq!(bodies.collect::<BTreeSet<_>>().len(), 1, "encoded once");
            }
        }
    }
}

#[test]
fn the_sockets_of_a_lobby_cost_the_room_nothing() {
    let of = |sockets| {
        let mut world = linked(4, sockets);
        let inputs = world.publishes(1);
        world.settle(&inputs);
        let inputs = world.publishes(1);
        cost(&mut world, &inputs).0
    };
    let (few, many) = (of(2), of(500));
    same_blocks(&few, &many);
    same_storage(&few, &many);
    assert_eq!(few.asks, many.asks);
}

// ── Presence ──

#[test]
fn one_who_comes_into_a_room_of_five_thousand_is_one_frame_and_one_row() {
    let of = |here: usize| {
        let mut world = linked(4, here / 4);
        world.plain(0..20);
        let mut newcomers = 0;
        let mut join = |world: &mut World| {
            newcomers += 1;
            let ops = vec![join_op(&format!("newcomer{newcomers}"), false)];
            vec![link(world, 0, ops)]
        };
        let first = join(&mut world);
        world.settle(&first);
        world.pass();
        let second = join(&mut world);
        cost(&mut world, &second).0
    };
    let (small, large) = (of(40), of(5_000));
    assert_eq!((large.frames, large.told, large.asks), (1, 20, 4));
    same(&small, &large);
}

#[test]
fn a_list_of_who_is_here_is_one_pass() {
    let of = |here: usize| {
        let mut world = linked(1, here);
        let join = |world: &mut World| {
            let ops = vec![join_op("u0-1", true)];
            vec![link(world, 0, ops)]
        };
        second(&mut world, join)
    };
    let (small, large) = (of(50), of(5_000));
    // The list's own text doubles as it grows.
    same_blocks(&small, &large);
    same_storage(&small, &large);
}

#[test]
fn many_who_come_in_one_turn_are_one_diff_and_one_list() {
    let mut world = World::home(50, false);
    world.pass();
    let inputs: Vec<Input> = (0..200)
        .map(|n| world.open_input(&format!("new{n}")))
        .collect();
    let (cost, outputs) = cost(&mut world, &inputs);
    let sends = outputs.iter().filter_map(|output| match output {
        Output::Send(flush) => Some(flush),
        _ => None,
    });
    let about = |what: &str| -> BTreeSet<*const u8> {
        let frames = sends.clone().flat_map(|flush| &flush.frames);
        let about =
            frames.filter(|frame| matches!(frame, Frame::Text(text) if text.contains(what)));
        about.map(Frame::address).collect()
    };
    assert_eq!(about(r#""event":"presence_diff""#).len(), 1);
    assert_eq!(about(r#""event":"presence_state""#).len(), 1);
    assert_eq!(cost.frames, 202, "and `connected` for each");
    let inserted = cost
        .statements
        .iter()
        .find(|(text, _)| text.contains("INTO roster"));
    assert_eq!(inserted.unwrap().1, 200);
}

#[test]
fn another_tab_of_someone_who_is_here_is_no_row() {
    let mut world = World::home(50, false);
    let input = world.open_input("u1");
    let (cost, _) = cost(&mut world, &[input]);
    assert_eq!(cost.statements, []);
}

// ── What is open ──

#[test]
fn a_frame_from_one_of_many_sockets_costs_what_it_tells() {
    let of = |sockets| {
        let mut world = World::new("lobby:0");
        let ids: Vec<ConnectionId> = world.socket_io(0..sockets);
        world.join(&ids[..1], "demo:1");
        second(&mut world, |_| {
            vec![world::text(ids[0], r#"420["typing",{"isTyping":true}]"#)]
        })
    };
    same(&of(10), &of(2_000));
}
