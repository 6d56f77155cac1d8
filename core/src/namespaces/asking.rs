//! `/asking`: clients are asked and say what they answered. For the tests of [`Action::Ask`] and
//! [`Action::EmitVolatile`].

use super::namespace::{Action, Client, Namespace, unknown_event};
use crate::{error::Refusal, event::Args};

pub struct Asking;

fn ask(event: &str, args: Args) -> Action {
    Action::Ask {
        event: event.to_owned(),
        args,
        timeout_ms: 1_000,
        tag: event.to_owned(),
    }
}

impl Namespace for Asking {
    fn name(&self) -> &'static str {
        "/asking"
    }

    fn connect(&self, client: &Client<'_>) -> Vec<Action> {
        vec![ask("who", Args::of(client.user()))]
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        match event {
            "ask me" => Ok(vec![ask("question", args.clone())]),
            "tell me now" => Ok(vec![Action::EmitVolatile {
                event: "now".to_owned(),
                args: args.clone(),
            }]),
            _ => Err(unknown_event(self.name(), event)),
        }
    }

    fn answered(&self, _: &Client<'_>, tag: &str, answer: Option<&Args>) -> Vec<Action> {
        let answer = answer.map(|args| {
            serde_json::value::RawValue::from_string(args.to_array()).unwrap_or_default()
        });
        vec![Action::emit("answered", &(tag, answer))]
    }
}
