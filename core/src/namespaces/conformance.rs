//! What the official Socket.IO suite expects of its server, on `/` and `/custom` alike. Compiled
//! with the cargo feature `conformance` alone (`npm run serve:conformance`).

use super::{Action, Client, Namespace};
use crate::{error::Refusal, event::Args};

struct Suite(&'static str);

/// The suite's namespaces.
pub fn namespace_of(name: &str) -> Option<&'static dyn Namespace> {
    match name {
        "/" => Some(&Suite("/")),
        "/custom" => Some(&Suite("/custom")),
        _ => None,
    }
}

impl Namespace for Suite {
    fn name(&self) -> &'static str {
        self.0
    }

    fn connect(&self, client: &Client<'_>) -> Vec<Action> {
        let auth = client.auth.unwrap_or("{}");
        let args = serde_json::from_str(&format!("[{auth}]")).unwrap_or_else(|_| Args::none());
        vec![Action::Emit {
            event: "auth".to_owned(),
            args,
        }]
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let args = args.clone();
        Ok(match event {
            "message" => vec![Action::Emit {
                event: "message-back".to_owned(),
                args,
            }],
            "message-with-ack" => vec![Action::Ack(args)],
            _ => vec![],
        })
    }

    fn is_open(&self) -> bool {
        true
    }
}
