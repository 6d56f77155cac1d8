//! socketioxide with the events that the scenarios send; prints its port.
//!
//! Guarantees: order on one connection, by running on one thread: on several, each event is a task of its own and may
//! overtake another. No log, no dedupe, no recovery; an ack says that the server has it in memory; no tokens, no limits.

use axum::{Router, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use tokio::net::TcpListener;

/// Frames that may wait for one socket: as many as a run of the benchmark has in flight, and some. The default, 128, is
/// for readers that keep up; past it an event is lost.
const MAX_WAITING_FRAMES: usize = 10_000;

#[derive(Serialize)]
struct Answer {
    ok: bool,
}

#[derive(Deserialize)]
struct Send {
    room: String,
    event: String,
    data: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typing {
    room: String,
    is_typing: bool,
}

fn acknowledge(ack: AckSender) {
    if let Err(error) = ack.send(&Answer { ok: true }) {
        eprintln!("ack: {error}");
    }
}

async fn tell(socket: &SocketRef, room: String, event: String, data: &impl Serialize) {
    if let Err(error) = socket.to(room).emit(event, data).await {
        eprintln!("emit: {error}");
    }
}

fn connected(socket: SocketRef) {
    socket.on(
        "join",
        async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
            socket.join(room);
            acknowledge(ack);
        },
    );
    socket.on(
        "send",
        async |socket: SocketRef, Data::<Send>(Send { room, event, data }), ack: AckSender| {
            tell(&socket, room, event, &data).await;
            acknowledge(ack);
        },
    );
    socket.on(
        "typing",
        async |socket: SocketRef, Data::<Typing>(typing), ack: AckSender| {
            tell(
                &socket,
                typing.room.clone(),
                "user_typing".to_owned(),
                &typing,
            )
            .await;
            acknowledge(ack);
        },
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = SocketIo::builder()
        .max_buffer_size(MAX_WAITING_FRAMES)
        .build_layer();
    io.ns("/", async |socket: SocketRef| connected(socket));
    let app = Router::new().fallback(get(async || "ok")).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    axum::serve(listener, app).await?;
    Ok(())
}
