//! The seeds: `seeds/{target}.txt` has one a line, written as in a Rust byte string; a line that begins with
//! `# ` says what follows, or what was found with it. Those of the codecs are joined by the vectors that the
//! npm parsers have written (`tests/vectors`).

use std::{fs, path::PathBuf};

use serde_json::Value;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All seeds of a target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let file = format!("tests/fuzz/seeds/{target}.txt");
    let text =
        fs::read_to_string(repository().join(&file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty());
    let mut seeds: Vec<Vec<u8>> = lines
        .map(|line| read(line).unwrap_or_else(|| panic!("{file}: {line}")))
        .collect();
    seeds.extend(of_vectors(target));
    seeds
}

/// A seed as it stands in a file.
pub fn write(seed: &[u8]) -> String {
    let line = seed.escape_ascii().to_string();
    // As it is easier to read; and a comment is none.
    let line = line.replace("\\\"", "\"").replace("\\'", "'");
    match line.strip_prefix('#') {
        Some(rest) => format!("\\x23{rest}"),
        None => line,
    }
}

/// A line of a file.
pub fn read(line: &str) -> Option<Vec<u8>> {
    let mut seed = Vec::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            seed.extend(character.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        seed.push(match characters.next()? {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'x' => {
                let digits: String = characters.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok()?
            }
            other => u8::try_from(other).ok()?,
        });
    }
    Some(seed)
}

/// Every frame of the parsers' vectors.
fn of_vectors(target: &str) -> Vec<Vec<u8>> {
    let vectors = |name: &str| -> Value {
        let file = repository().join("tests/vectors").join(name);
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let texts = |list: &Value| -> Vec<Vec<u8>> {
        let firsts = list.as_array().into_iter().flatten().filter_map(|row| {
            let first = if row[0].is_array() {
                &row[0][0]
            } else {
                &row[0]
            };
            Some(first.as_str()?.as_bytes().to_vec())
        });
        firsts.collect()
    };
    match target {
        "engine_io" => {
            let all = vectors("engine-io.json");
            [texts(&all["packets"]), texts(&all["payloads"])].concat()
        }
        "socket_io" => texts(&vectors("socket-io.json")["decode"]),
        "msgpack" => {
            let all = vectors("socket-io-msgpack.json");
            let packets = [texts(&all["values"]), texts(&all["decode"])].concat();
            let bytes = |hex: Vec<u8>| {
                let pairs = hex.chunks_exact(2);
                let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                pairs.map_while(byte).collect()
            };
            packets.into_iter().map(bytes).collect()
        }
        _ => Vec::new(),
    }
}
