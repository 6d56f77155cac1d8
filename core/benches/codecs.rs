//! The codecs: what each frame costs on its way in and out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dialtone_core::{
    engine_io::{self, decode_payload, encode_payload},
    event::{Args, Publication},
    hub::plain,
    names::{Offset, Timestamp, UserId},
    socket_io::{Decoder, Parser},
    wire::Audience,
};
use serde_json::value::RawValue;

/// An event's data of about so many bytes.
fn data(bytes: usize) -> String {
    let word = r#"{"id":12345,"text":"häufig \"so\"","on":true,"list":[1,2.5,null]}"#;
    let words = vec![word; bytes.div_ceil(word.len())];
    format!("[{}]", words.join(","))
}

fn args(bytes: usize) -> Args {
    Args::One(RawValue::from_string(data(bytes)).unwrap())
}

const SIZES: [(&str, usize); 2] = [("100 B", 100), ("100 KB", 100_000)];

fn engine(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine.io");
    for (name, bytes) in SIZES {
        let packet = format!("42[\"note\",{}]", data(bytes));
        group.throughput(Throughput::Bytes(packet.len() as u64));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| engine_io::Packet::decode(black_box(&packet)).unwrap());
        });
        let decoded = engine_io::Packet::decode(&packet).unwrap();
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| black_box(&decoded).encode())
        });
    }
    let packets: Vec<_> = (0..100)
        .map(|_| engine_io::Packet::decode("42[\"note\",1]").unwrap())
        .collect();
    let payload = encode_payload(&packets);
    group.bench_function("decode a payload of 100 packets", |b| {
        b.iter(|| decode_payload(black_box(&payload)).unwrap());
    });
    group.finish();
}

fn socket(c: &mut Criterion) {
    for (parser_name, parser) in [("socket.io", Parser::Json), ("msgpack", Parser::MsgPack)] {
        let mut group = c.benchmark_group(parser_name);
        for (name, bytes) in SIZES {
            let args = args(bytes);
            let encode = || {
                parser.event(
                    "/chat",
                    Some(7),
                    "note",
                    black_box(&args),
                    Some("lobby:0.e.12"),
                )
            };
            let frames = encode();
            group.throughput(Throughput::Bytes(args.len() as u64));
            group.bench_function(format!("encode {name}"), |b| b.iter(encode));
            group.bench_function(format!("decode {name}"), |b| {
                let mut decoder = Decoder::default();
                b.iter(|| match black_box(&frames[0]) {
                    dialtone_core::socket_io::Message::Text(text) => {
                        let message = text.strip_prefix('4').unwrap();
                        parser.text(&mut decoder, message, 1_000_000).unwrap()
                    }
                    dialtone_core::socket_io::Message::Binary(bytes) => {
                        parser.binary(&mut decoder, bytes).unwrap()
                    }
                });
            });
        }
        group.finish();
    }
}

fn plain_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("plain");
    for (name, bytes) in SIZES {
        let frame = format!(r#"{{"event":"note","data":{},"id":"c-1"}}"#, data(bytes));
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| plain::decode(black_box(&frame)))
        });
        let publication = Publication {
            event: "note".to_owned(),
            args: args(bytes),
            sender: UserId::text("ann").ok(),
            at: Timestamp(1_767_607_200_000),
            offset: Some(Offset(12)),
            audience: Audience::default(),
        };
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| black_box(&publication).to_json())
        });
    }
    group.finish();
}

criterion_group!(codecs, engine, socket, plain_frames);
criterion_main!(codecs);
