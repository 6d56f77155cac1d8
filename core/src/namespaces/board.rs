//! `/board`: a shared drawing board.

use serde::{Deserialize, Serialize};

use super::namespace::{Action, Client, Namespace, unknown_event};
use super::{Admission, Context, Kind, Publish, by_grant_open_or_member};
use crate::{auth::Claims, error::Refusal, event::Args, names::RoomName};

/// The namespace `/board`, and its rooms `board:{id}`.
pub struct Board;

#[derive(Deserialize)]
struct OnBoard {
    board: String,
}

#[derive(Serialize, Deserialize)]
struct Stroke {
    from: [f64; 2],
    to: [f64; 2],
}

#[derive(Serialize)]
struct Votes<'a> {
    board: &'a str,
    votes: usize,
}

/// What Socket.IO clients of `/board` send.
impl Namespace for Board {
    fn name(&self) -> &'static str {
        "/board"
    }

    fn connect(&self, client: &Client<'_>) -> Vec<Action> {
        vec![Action::emit("welcome", client.user())]
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let OnBoard { board } = args.read()?;
        let room = RoomName::new("board", &board)
            .map_err(|_| Refusal::invalid("`board` is not a board's id"))?;
        Ok(vec![match event {
            "open" => Action::Join(room),
            "close" => Action::Leave(room),
            "draw" => Action::Send {
                room,
                event: event.to_owned(),
                args: args.clone(),
                id: None,
            },
            "poll" => Action::AskRoom {
                room,
                event: "vote".to_owned(), // to everyone else on the board, with an ack
                args: args.clone(),
                timeout_ms: 5_000,
                tag: board,
            },
            _ => return Err(unknown_event(self.name(), event)),
        }])
    }

    fn answered_by_all(&self, _: &Client<'_>, board: &str, votes: &[Args]) -> Vec<Action> {
        let votes = votes.len();
        vec![Action::emit("votes", &Votes { board, votes })]
    }
}

/// What a board is, for Socket.IO clients and plain WebSockets at `/rooms/board:{id}` alike.
impl Kind for Board {
    fn namespace(&self) -> &'static str {
        "/board"
    }

    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }

    fn client_event(&self, _: &Context<'_>, event: &str, args: &Args) -> Result<Publish, Refusal> {
        if event != "draw" {
            return Err(unknown_event("/board", event));
        }
        let stroke: Stroke = args.read()?; // the wrong shape is a 422 to whoever sent it
        Ok(Publish {
            event: "drawn".to_owned(), // logged, numbered, and told to everyone on the board
            args: Args::of(&stroke),
            ..Publish::default()
        })
    }
}
