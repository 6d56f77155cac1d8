//! The checker finds what breaks a promise: each fault of the list, by some of a few seeds.

#![cfg(not(target_arch = "wasm32"))]

use dialtone_simulation::{
    mutant::MUTANTS,
    run::run,
    scenario::{Profile, Scenario},
};

#[test]
fn the_checker_finds_every_fault_that_is_put_in_on_purpose() {
    let mut unfound = Vec::new();
    for mutant in MUTANTS {
        let found = (1..=12).any(|seed| {
            let scenario = Scenario {
                steps: 500,
                ..Scenario::of(Profile::Mixed, seed)
            };
            !run(scenario, Some(*mutant), &mut |_, _| {})
                .wrong
                .is_empty()
        });
        if !found {
            unfound.push(mutant);
        }
    }
    assert!(unfound.is_empty(), "nothing was wrong with {unfound:?}");
}
