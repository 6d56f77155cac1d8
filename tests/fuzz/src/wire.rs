//! What objects say to each other, and the Worker to them. What is read is written, and read for the same.

use dialtone_core::{
    hub::{Attachment, Wire},
    peer,
    wire::{
        Connect, EngineRequest, Lines, LinkAnswers, Membership, Parcel, Published, Pushed, Queued,
        Recorded, Recovered, Request, Unread, to_header,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::text;

/// A frame between two objects, and the JSON of each type on its own.
pub fn wire(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some((number, body)) = peer::parse(text) {
        let again = peer::frame(number, body.unwrap_or_default());
        assert_eq!(peer::parse(&again), Some((number, body)));
    }
    if let Some(request) = comes_back::<Request>(text) {
        assert!(
            request
                .ids_of_events()
                .all(|(user, _)| !user.as_str().is_empty())
        );
    }
    comes_back::<Parcel>(text);
    comes_back::<Published>(text);
    comes_back::<LinkAnswers>(text);
    comes_back::<Pushed>(text);
    comes_back::<Recovered>(text);
    comes_back::<Membership>(text);
    comes_back::<Queued>(text);
    comes_back::<Recorded>(text);
    comes_back::<Lines>(text);
    comes_back::<Unread>(text);
    comes_back::<EngineRequest>(text);
    if let Some(connect) = comes_back::<Connect>(text) {
        let header = to_header(&connect);
        assert!(header.is_ascii());
        assert_eq!(connect, serde_json::from_str(&header).unwrap());
    }
    if let Some(attachment) = Attachment::from_json(text) {
        assert_eq!(
            Attachment::from_json(&attachment.to_json()),
            Some(attachment.clone())
        );
        assert_eq!(
            attachment.sid().is_none(),
            matches!(attachment.wire, Wire::Plain(_))
        );
    }
}

fn comes_back<T: Serialize + DeserializeOwned>(text: &str) -> Option<T> {
    let value: T = serde_json::from_str(text).ok()?;
    let json = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
    Some(value)
}
