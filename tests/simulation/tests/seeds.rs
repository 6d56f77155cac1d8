//! Some seeds, always the same: all must be as it should be. `npm run simulate` runs as many as one likes.

#![cfg(not(target_arch = "wasm32"))]

use dialtone_simulation::{
    run::{Outcome, run},
    scenario::{Profile, Scenario},
};

fn scenario(profile: Profile, seed: u64, steps: u64) -> Scenario {
    Scenario {
        steps,
        ..Scenario::of(profile, seed)
    }
}

fn check(scenario: Scenario) -> Outcome {
    let seed = scenario.seed;
    let outcome = run(scenario, None, &mut |_, _| {});
    assert!(
        outcome.wrong.is_empty(),
        "seed {seed}: npm run simulate -- --seed {seed}\n{:#?}",
        outcome.wrong
    );
    outcome
}

#[test]
fn whatever_goes_wrong_nothing_accepted_is_lost_and_nobody_sees_anything_twice() {
    let (mut recovered, mut crashes, mut delivered, mut beats) = (0, 0, 0, 0);
    for seed in 1..=8 {
        let figures = check(scenario(Profile::Mixed, seed, 600)).figures;
        recovered += figures.recovered;
        crashes += figures.costs.crashes;
        delivered += figures.delivered;
        beats += figures.costs.beats;
    }
    // It would all be in vain if nothing happened.
    assert!(recovered > 300, "{recovered} sessions went on");
    assert!(crashes > 100, "{crashes} processes died");
    assert!(delivered > 5_000, "{delivered} messages seen");
    assert!(beats > 0, "no heartbeat found its object asleep");
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let figures = || {
        let outcome = check(scenario(Profile::Mixed, 11, 300));
        format!("{:?}", outcome.figures)
    };
    assert_eq!(figures(), figures());
}

/// DESIGN §6: one request for each linked lobby and turn, two rows in the room, one for each lobby and turn.
#[test]
fn a_message_costs_a_request_for_each_lobby_and_few_rows() {
    let scenario = Scenario {
        lobbies: 5,
        sockets: 200,
        steps: 20,
        ..Scenario::of(Profile::OneRoom, 1)
    };
    let figures = check(scenario).figures;
    assert_eq!(figures.accepted, 20);
    assert_eq!(figures.delivered, 20 * 200);
    assert_eq!(figures.costs.all_hops(), 20 * 5);
    assert!(figures.lobby_rows <= 20 * 5 + 5, "{figures:?}");
    assert!(figures.room_rows <= 20 * 3, "{figures:?}");
}
