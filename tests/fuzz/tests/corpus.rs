//! No input of the repository's corpus panics: every seed, what fuzzing once found among them, through its body.

#![cfg(not(target_arch = "wasm32"))]

use std::{collections::BTreeSet, fs, panic};

use dialtone_fuzz::{BODIES, seeds};
use dialtone_simulation::random::Random;

#[test]
fn no_input_of_the_corpus_panics() {
    for (target, body) in BODIES {
        let seeds = seeds::seeds(target);
        assert!(seeds.len() >= 5, "{target} has but {} seeds", seeds.len());
        for seed in seeds {
            // The message is printed by then; which seed it was is what is missing.
            let result = panic::catch_unwind(|| body(&seed));
            assert!(result.is_ok(), "{target}: {}", seeds::write(&seed));
        }
    }
}

/// The seeds, damaged: what there is of fuzzing without a nightly. The same ones each time.
#[test]
fn no_damaged_seed_panics() {
    let tries = std::env::var("DAMAGED_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok());
    for (target, body) in BODIES {
        let seeds = seeds::seeds(target);
        let mut random = Random::new(7);
        // Those take a whole object each.
        let few = matches!(*target, "object" | "rows");
        for _ in 0..tries.unwrap_or(if few { 100 } else { 2_000 }) {
            let mut seed = seeds[random.index(seeds.len())].clone();
            for _ in 0..=random.below(3) {
                damage(&mut seed, &seeds, &mut random);
            }
            let result = panic::catch_unwind(|| body(&seed));
            assert!(result.is_ok(), "{target}: {}", seeds::write(&seed));
        }
    }
}

/// Something in it is cut out, doubled, changed, or put in from another seed.
fn damage(seed: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    const TELLING: &[&[u8]] = &[
        b"0",
        b"-1",
        b"9223372036854775807",
        b"\"",
        b"{}",
        b"[",
        b"null",
        b"\n",
        "é".as_bytes(),
        b"\xff",
    ];
    let at = random.index(seed.len() + 1);
    let end = (at + random.index(9)).min(seed.len());
    match random.below(5) {
        0 => drop(seed.drain(at..end)),
        1 => {
            let part = seed[at..end].to_vec();
            seed.splice(at..at, part);
        }
        2 => {
            if let Some(byte) = seed.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        3 => {
            let other = &seeds[random.index(seeds.len())];
            let from = random.index(other.len() + 1);
            let to = (from + random.index(60)).min(other.len());
            seed.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let telling = TELLING[random.index(TELLING.len())];
            seed.splice(at..end, telling.iter().copied());
        }
    }
}

#[test]
fn each_body_has_its_target_and_its_seeds() {
    let here = env!("CARGO_MANIFEST_DIR");
    let names = |dir: &str, suffix: &str| -> BTreeSet<String> {
        let files = fs::read_dir(format!("{here}/{dir}")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names
            .filter_map(|name| name.strip_suffix(suffix).map(str::to_owned))
            .collect()
    };
    let bodies: BTreeSet<String> = BODIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("libfuzzer/targets", ".rs"), bodies);
    assert_eq!(names("seeds", ".txt"), bodies);
    let manifest = fs::read_to_string(format!("{here}/libfuzzer/Cargo.toml")).unwrap();
    for name in bodies {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"targets/{name}.rs\"")),
            "{name}"
        );
        let target = fs::read_to_string(format!("{here}/libfuzzer/targets/{name}.rs")).unwrap();
        assert!(
            target.contains(&format!("dialtone_fuzz::{name}(bytes)")),
            "{name}"
        );
    }
}

#[test]
fn a_seed_is_written_as_it_is_read() {
    let all: Vec<u8> = (0..=255).collect();
    for seed in [
        &all[..],
        b"# no comment",
        b"\\x00",
        b"",
        "é😀\n\r\t\"'".as_bytes(),
    ] {
        let line = seeds::write(seed);
        assert!(!line.contains('\n') && !line.starts_with('#'), "{line}");
        assert_eq!(seeds::read(&line).as_deref(), Some(seed), "{line}");
    }
}
