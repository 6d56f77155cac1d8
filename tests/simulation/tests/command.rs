//! What `npm run simulate` runs: its exit code and what it prints are what CI and people go by.

#![cfg(not(target_arch = "wasm32"))]

use std::process::Command;

/// The exit code, and what was printed.
fn simulate(arguments: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_check_that_fails_is_exit_code_1_with_the_seed_and_what_is_wrong() {
    for (arguments, code, says) in [
        ("--seed 5 --steps 60", 0, "seed 5: all is as it should be"),
        (
            "--seed 5 --steps 300 --mutant FrameLost",
            1,
            "seed 5 is WRONG:\n  client",
        ),
        (
            "--profile one-room --sockets 100 --lobbies 2 --steps 3 --seed 1",
            0,
            "requests between objects: 6 ",
        ),
        ("--sed 5", 2, "--sed is not an option"),
        ("--seed five", 2, "--seed is a number, not five"),
        ("--sockets 0", 2, "--sockets is at least 1"),
    ] {
        let (found, text) = simulate(arguments);
        assert_eq!(found, Some(code), "{arguments}: {text}");
        assert!(text.contains(says), "{arguments}: {text}");
    }
}
