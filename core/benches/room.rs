//! The room machine: whole turns on a real SQLite, and the wake from hibernation.
//!
//! `cargo bench -p dialtone-core --bench room`. Under `valgrind --tool=callgrind
//! --toggle-collect='room::measured*' … --bench --test NAME` a case's instructions are counted, once
//! through and without what sets it up.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{cell::Cell, hint::black_box};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dialtone_core::{hub::Attachment, object::Input};

#[path = "../tests/world/mod.rs"]
mod world;

use world::{World, push};

/// What is counted: a name of its own for profilers.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Turns with a backend's publications, in a room whose sockets are at home.
fn publish(c: &mut Criterion) {
    for sockets in [100, 1_000] {
        for events in [1, 64] {
            for socket_io in [false, true] {
                let kind = if socket_io { "socket.io" } else { "plain" };
                c.bench_function(&format!("publish {events} to {sockets} {kind}"), |b| {
                    let mut world = World::home(sockets, socket_io);
                    let inputs = world.publishes(events);
                    b.iter(|| measured(|| world.turn(&inputs)));
                });
            }
        }
    }
}

/// Turns of a lobby with a room's publications, for all of its sockets or for three of them.
fn pushed(c: &mut Criterion) {
    for (sockets, joined, events) in [
        (100, 100, 64),
        (1_000, 1_000, 64),
        (10, 3, 1),
        (10_000, 3, 1),
    ] {
        let name = format!("push {events} to {joined} of {sockets} in a lobby");
        c.bench_function(&name, |b| {
            let mut world = World::lobby(sockets, joined);
            let offset = Cell::new(0);
            let next = || -> [Input; 1] {
                let after = offset.get();
                offset.set(after + events);
                [push("demo:1", after, events)]
            };
            b.iter_batched(
                next,
                |inputs| measured(|| world.turn(&inputs)),
                BatchSize::PerIteration,
            );
        });
    }
}

/// 5,000 sockets, plain ones at home or a lobby's in a room elsewhere, after a thousand turns; and what
/// would be news to them.
fn asleep(is_lobby: bool) -> (World, Vec<Input>) {
    if !is_lobby {
        let mut world = World::new("demo:1");
        for _ in 0..1_000 {
            let inputs = world.publishes(1);
            world.turn(&inputs);
        }
        world.plain(0..5_000);
        let news = world.publishes(1);
        return (world, news);
    }
    let mut world = World::lobby(1, 1);
    for n in 0..1_000 {
        world.turn(&[push("demo:1", n, 1)]);
    }
    let others = world.socket_io(1..5_000);
    world.join(&others, "demo:1");
    (world, vec![push("demo:1", 1_000, 1)])
}

/// From the attachments' JSON to the object, and on to its first turn: an alarm's, which is what wakes
/// idle ones, or one with news.
fn wake(c: &mut Criterion) {
    for (name, is_lobby) in [("5,000 plain", false), ("a lobby's 5,000", true)] {
        for (what, is_news) in [("an alarm", false), ("news", true)] {
            c.bench_function(&format!("wake {name} by {what}"), |b| {
                let (world, news) = asleep(is_lobby);
                let stored = world.attachments.values().map(Attachment::to_json);
                let stored: Vec<String> = stored.collect();
                let alarm = vec![Input::Alarm { heard: vec![] }];
                let inputs = if is_news { &news } else { &alarm };
                b.iter_with_large_drop(|| {
                    measured(|| {
                        let mut object = world.wake_from(black_box(&stored));
                        let outputs = object.turn(&world.sql, world.now, inputs).unwrap();
                        (object, outputs)
                    })
                });
            });
        }
    }
}

/// A plain socket comes into a room where many are.
fn join(c: &mut Criterion) {
    c.bench_function("a plain socket opens and leaves among 5,000", |b| {
        let mut world = World::new("demo:1");
        world.plain(0..5_000);
        b.iter(|| {
            let input = [world.open_input("u1")];
            let outputs = measured(|| world.turn(&input));
            let connection = world::accepted(&outputs)[0];
            world.attachments.remove(&connection);
            world.turn(&[Input::Closed { connection }])
        });
    });
}

criterion_group! {
    name = room;
    config = Criterion::default().sample_size(20);
    targets = publish, pushed, wake, join
}
criterion_main!(room);
