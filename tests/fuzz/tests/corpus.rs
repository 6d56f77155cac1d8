//! No input of the repository's corpus panics: every seed, what fuzzing once found among them, through its body.

#![cfg(not(target_arch = "wasm32"))]

use std::{collections::BTreeSet, fs, panic};

use dialtone_fuzz::{BODIES, seeds};

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
