//! `npm run simulate -- [--seed N] [--steps N] [--profile mixed|one-room|small-rooms] [--lobbies N]
//! [--sockets N] [--rooms N] [--burst N] [--homes] [--seeds N] [--mutant NAME]`

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
mod cli {
    use std::{
        process::ExitCode,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    };

    use dialtone_simulation::{
        mutant::{MUTANTS, Mutant},
        run::run,
        scenario::{Profile, Scenario, Watch},
    };

    const USAGE: &str = "npm run simulate -- [--seed N] [--seeds N] [--steps N] \
        [--profile mixed|one-room|small-rooms] [--lobbies N] [--sockets N] [--rooms N] [--burst N] \
        [--homes] [--mutant NAME] [--watch CLIENT|OBJECT] \
        [--without dies,storage,panics,fail,slow,twice,late]";

    /// What was asked for: the first seed's scenario, how many seeds, the mutant.
    fn options() -> Result<(Scenario, u64, Option<Mutant>), String> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1)
        };
        let known = [
            "--seed",
            "--seeds",
            "--steps",
            "--profile",
            "--lobbies",
            "--sockets",
            "--rooms",
            "--burst",
            "--mutant",
            "--watch",
            "--without",
        ];
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if known.contains(&argument.as_str()) {
                rest.next().ok_or(format!("{argument} needs a value"))?;
            } else if argument != "--homes" {
                return Err(format!("{argument} is not an option. {USAGE}"));
            }
        }
        let number = |name: &str| {
            value(name)
                .map(|text| {
                    text.parse::<u64>()
                        .map_err(|_| format!("{name} is a number, not {text}"))
                })
                .transpose()
        };
        let profile = match value("--profile").map(String::as_str) {
            None | Some("mixed") => Profile::Mixed,
            Some("one-room") => Profile::OneRoom,
            Some("small-rooms") => Profile::SmallRooms,
            Some(other) => return Err(format!("--profile {other}? {USAGE}")),
        };
        let any = SystemTime::now().duration_since(UNIX_EPOCH);
        let any = any.map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs());
        let mut scenario = Scenario::of(profile, number("--seed")?.unwrap_or(any));
        scenario.steps = number("--steps")?.unwrap_or(scenario.steps);
        let count = |name: &str, usual: usize| -> Result<usize, String> {
            let number = number(name)?.map_or(usual, |n| usize::try_from(n).unwrap_or(usize::MAX));
            if number == 0 {
                Err(format!("{name} is at least 1"))
            } else {
                Ok(number)
            }
        };
        scenario.lobbies = count("--lobbies", scenario.lobbies)?;
        scenario.sockets = count("--sockets", scenario.sockets)?;
        scenario.rooms = count("--rooms", scenario.rooms)?;
        // One of each kind of room, so that everyone has one to be in.
        if profile == Profile::Mixed && scenario.rooms < 4 {
            return Err("--rooms is at least 4 here: chats, and every fourth a relay".to_owned());
        }
        scenario.burst = number("--burst")?.unwrap_or(scenario.burst);
        scenario.watch = value("--watch").map(|watched| match watched.parse() {
            Ok(client) => Watch::Client(client),
            Err(_) => Watch::Object(watched.clone()),
        });
        for kind in value("--without")
            .into_iter()
            .flat_map(|kinds| kinds.split(','))
        {
            let known = scenario.trouble.without(kind);
            known.ok_or(format!(
                "--without is of dies, storage, panics, fail, slow, twice, late, not {kind}"
            ))?;
        }
        scenario.homes = arguments.iter().any(|argument| argument == "--homes");
        let mutant = match value("--mutant") {
            None => None,
            Some(name) => Some(
                *MUTANTS
                    .iter()
                    .find(|mutant| format!("{mutant:?}") == *name)
                    .ok_or(format!("--mutant is one of {MUTANTS:?}"))?,
            ),
        };
        Ok((scenario, number("--seeds")?.unwrap_or(1), mutant))
    }

    pub fn main() -> ExitCode {
        let (first, seeds, mutant) = match options() {
            Ok(options) => options,
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::from(2);
            }
        };
        for seed in first.seed..first.seed.saturating_add(seeds) {
            let scenario = Scenario {
                seed,
                ..first.clone()
            };
            println!("seed {seed}: {scenario:?}");
            let began = Instant::now();
            let mut last = Instant::now();
            let outcome = run(scenario, mutant, &mut |world, what| {
                if last.elapsed() > Duration::from_secs(2) {
                    last = Instant::now();
                    let (awake, all) = world.awake();
                    let seconds = began.elapsed().as_secs();
                    let seen = world.ledger.delivered;
                    println!(
                        "{seconds:4} s  {what}; {awake} of {all} objects awake, {seen} messages seen"
                    );
                }
            });
            println!("{}", outcome.figures);
            println!("{:.1} s", began.elapsed().as_secs_f64());
            if !outcome.wrong.is_empty() {
                println!("\nseed {seed} is WRONG:");
                for what in &outcome.wrong {
                    println!("  {what}");
                }
                return ExitCode::FAILURE;
            }
            println!("seed {seed}: all is as it should be");
        }
        ExitCode::SUCCESS
    }
}
