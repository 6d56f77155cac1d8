//! `seeds DIR`: writes each target's seeds into `DIR/{target}/`, a file each, as libFuzzer wants them.
//! `seeds --line FILE`: a file that libFuzzer has found, as a line for `seeds/{target}.txt`.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::io::Result<()> {
    use dialtone_fuzz::{BODIES, seeds};
    use std::{fs, path::Path};

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [option, file] if option == "--line" => println!("{}", seeds::write(&fs::read(file)?)),
        [dir] => {
            for (target, _) in BODIES {
                let dir = Path::new(dir).join(target);
                fs::create_dir_all(&dir)?;
                for (n, seed) in seeds::seeds(target).into_iter().enumerate() {
                    fs::write(dir.join(format!("seed-{n}")), seed)?;
                }
            }
        }
        _ => {
            eprintln!("seeds DIR | seeds --line FILE");
            std::process::exit(2);
        }
    }
    Ok(())
}

#[cfg(target_arch = "wasm32")]
fn main() {}
