//! What a backend emits (CONTRACT "HTTP API", `POST /api/emit`): from the body to what each room is
//! asked, and from the rooms' answers to the response. All of a batch is checked before any of it is
//! done.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    error::{Code, Refusal},
    event::{self, Args},
    fields::Fields,
    hub::plain::is_client_id,
    limits::{
        MAX_CLIENT_ID_LEN, MAX_EMIT_EXCEPT, MAX_EMIT_ITEMS, MAX_EMIT_ROOMS, MAX_EMIT_TARGETS,
        MAX_JSON_DEPTH, MAX_LOGGED_BYTES,
    },
    names::{RoomName, Timestamp, UserId},
    namespaces::{self, Emitted, kind_of, namespace_of, room_from_client},
    wire::{Accepted, Audience, Item, Parcel, Published, Request},
};

/// Everyone in the namespace.
const EVERYONE: &str = "*";

/// One event for some rooms, checked.
#[derive(Debug)]
struct Emission {
    /// As they were named, each once.
    rooms: Vec<(String, RoomName)>,
    /// What each is asked.
    items: Vec<Item>,
}

/// What one request wants emitted, checked.
#[derive(Debug)]
pub struct Batch {
    emissions: Vec<Emission>,
    /// Whether it was a list.
    is_list: bool,
}

/// Why nothing was emitted.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The body is wrong, or its only item.
    Whole(Refusal),
    /// These items of the list are.
    Items(Vec<BadItem>),
}

/// An item that is wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BadItem {
    index: usize,
    code: Code,
    detail: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Whole(refusal)
    }
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(flatten)]
    accepted: Accepted,
}

/// An event of the backend's, not yet checked.
#[derive(Debug)]
pub struct Wanted {
    /// The namespace; none for that of each room.
    pub namespace: Option<String>,
    /// The rooms' names.
    pub rooms: Vec<String>,
    /// Whether they are a list.
    pub is_list: bool,
    /// The event's name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// Who does not get it.
    pub except: Vec<UserId>,
    /// Only those who are here now get it.
    pub volatile: bool,
    /// The last of a turn is enough.
    pub latest: bool,
    /// Accepted once under this.
    pub id: Option<String>,
}

impl Wanted {
    /// An event for one room of a namespace.
    pub fn of(namespace: &str, room: String, event: &str, args: Args, id: Option<String>) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            rooms: vec![room],
            is_list: false,
            event: event.to_owned(),
            args,
            except: Vec::new(),
            volatile: false,
            latest: false,
            id,
        }
    }

    fn parse(json: &RawValue) -> Result<Self, Refusal> {
        let fields = Fields::parse(json, "an item")?;
        let room: Option<String> = fields.optional("room", "a room's name")?;
        let rooms: Option<Vec<String>> = fields.optional("rooms", "a list of rooms' names")?;
        let is_list = rooms.is_some();
        let rooms = match (room, rooms) {
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid("`room` and `rooms` cannot both be given"));
            }
            (Some(room), None) => vec![room],
            (None, Some(rooms)) => rooms,
            (None, None) => vec![EVERYONE.to_owned()],
        };
        Ok(Self {
            namespace: fields.optional("namespace", "a namespace's name")?,
            rooms,
            is_list,
            event: fields.required("event", "text")?,
            args: arguments(&fields)?,
            except: fields
                .optional("except", "a list of user ids")?
                .unwrap_or_default(),
            volatile: flag(&fields, "volatile")?,
            latest: flag(&fields, "latest")?,
            id: fields.optional("id", "text")?,
        })
    }

    /// Checks it; `fresh_id` is one that nothing else has.
    fn check(self, now: Timestamp, fresh_id: &str) -> Result<Emission, Refusal> {
        let Self {
            namespace,
            rooms: names,
            is_list,
            event,
            args,
            except,
            volatile,
            latest,
            id,
        } = self;
        event::check_name_of_server(&event)?;
        if !(1..=MAX_EMIT_ROOMS).contains(&names.len()) {
            let message = format!("`rooms` must have 1 to {MAX_EMIT_ROOMS} rooms");
            return Err(Refusal::invalid(message));
        }
        if except.len() > MAX_EMIT_EXCEPT {
            let message = format!("`except` has {MAX_EMIT_EXCEPT} users at most");
            return Err(Refusal::invalid(message));
        }
        if id.as_ref().is_some_and(|id| !is_client_id(id)) {
            let message = format!("`id` must be 1 to {MAX_CLIENT_ID_LEN} bytes");
            return Err(Refusal::invalid(message));
        }
        if args.len() > MAX_LOGGED_BYTES {
            let message = format!("an event that is kept has at most {MAX_LOGGED_BYTES} bytes");
            return Err(Refusal::new(Code::PayloadTooLarge, message));
        }
        let mut rooms: Vec<(String, RoomName)> = Vec::with_capacity(names.len());
        let mut namespaces = Vec::with_capacity(names.len());
        let field = if is_list { "rooms" } else { "room" };
        for name in names {
            let (room, namespace) = find(&name, namespace.as_deref(), &event, field)?;
            if !rooms.iter().any(|(_, known)| *known == room) {
                rooms.push((name, room));
                namespaces.push(namespace);
            }
        }
        let copies: Vec<RoomName> = match rooms.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|(_, room)| room.clone()).collect(),
        };
        // Sent again under its id it is the same, also where its payload's id was left out.
        let fresh_id = id.as_deref().unwrap_or(fresh_id);
        let dedupe = id.as_ref().map(|id| format!("emit:{id}"));
        let item = |((_, room), namespace): (&(String, RoomName), &String)| {
            let known = namespace_of(namespace).ok_or_else(|| no_namespace(namespace))?;
            let emitted = Emitted {
                room,
                is_only: copies.is_empty(),
                now,
                fresh_id,
            };
            let is_own = kind_of(room).namespace_for(&event) == namespace;
            Ok(Item {
                event: event.clone(),
                args: known.emitted(&emitted, &event, args.clone())?,
                dedupe: dedupe.clone(),
                audience: Audience {
                    namespace: (!is_own).then(|| namespace.clone()),
                    except_users: except.clone(),
                    copies: copies.clone(),
                    ..Audience::default()
                },
                volatile,
                latest,
                ..Item::default()
            })
        };
        let items: Result<Vec<Item>, Refusal> = rooms.iter().zip(&namespaces).map(item).collect();
        let items = items?;
        Ok(Emission { rooms, items })
    }
}

/// The room of this name, and the namespace in which it is meant.
fn find(
    name: &str,
    namespace: Option<&str>,
    event: &str,
    field: &str,
) -> Result<(RoomName, String), Refusal> {
    if let Some(namespace) = namespace
        && namespace_of(namespace).is_none_or(|known| known.watches())
    {
        return Err(no_namespace(namespace));
    }
    if name == EVERYONE {
        let namespace = namespace.unwrap_or("/");
        let room = RoomName::everyone(namespace).map_err(|_| no_namespace(namespace))?;
        return Ok((room, namespace.to_owned()));
    }
    let room = room_from_client(name).map_err(|refusal| match refusal.code {
        Code::BadRequest => Refusal::invalid(format!("`{field}`: {}", refusal.message)),
        _ => refusal,
    })?;
    match namespace {
        Some(namespace) if !namespaces::serves(&room, namespace) => {
            let message = format!("{room} is not served in {namespace}");
            Err(Refusal::new(Code::WrongNamespace, message))
        }
        namespace => {
            let namespace = namespace.unwrap_or_else(|| kind_of(&room).namespace_for(event));
            let namespace = namespace.to_owned();
            Ok((room, namespace))
        }
    }
}

fn no_namespace(name: &str) -> Refusal {
    let message = format!("`namespace`: there is no {}", name.escape_debug());
    Refusal::new(Code::InvalidNamespace, message)
}

fn flag(fields: &Fields, name: &str) -> Result<bool, Refusal> {
    Ok(fields.optional(name, "true or false")?.unwrap_or_default())
}

fn arguments(fields: &Fields) -> Result<Args, Refusal> {
    match (fields.raw("data"), fields.raw("args")) {
        (Some(_), Some(_)) => Err(Refusal::invalid("`data` and `args` cannot both be given")),
        (data, None) => Args::from_client(data),
        (None, Some(args)) if !args.get().starts_with('[') => {
            Err(Refusal::invalid("`args` must be a list"))
        }
        (None, Some(args)) if event::depth(args.get()) > MAX_JSON_DEPTH.saturating_add(1) => Err(
            Refusal::invalid(format!("`args` nests deeper than {MAX_JSON_DEPTH} levels")),
        ),
        (None, Some(args)) => match Args::from_client(Some(args))? {
            Args::One(list) | Args::Array(list) => Ok(Args::from_array(list)),
        },
    }
}

impl Batch {
    /// Reads and checks the body of `POST /api/emit`: an item, or a list of them.
    pub fn parse(body: &str, now: Timestamp, fresh_id: &str) -> Result<Self, Refused> {
        let not_json = |_| Refusal::bad_request("the body is not JSON");
        let body: &RawValue = serde_json::from_str(body).map_err(not_json)?;
        if !body.get().starts_with('[') {
            return Ok(Self::one(Wanted::parse(body)?, now, fresh_id)?);
        }
        let items: Vec<&RawValue> = serde_json::from_str(body.get()).map_err(not_json)?;
        if !(1..=MAX_EMIT_ITEMS).contains(&items.len()) {
            let message = format!("a batch has 1 to {MAX_EMIT_ITEMS} items");
            return Err(Refusal::invalid(message).into());
        }
        let (mut emissions, mut bad) = (Vec::new(), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            let fresh_id = format!("{fresh_id}-{index}");
            match Wanted::parse(item).and_then(|wanted| wanted.check(now, &fresh_id)) {
                Ok(emission) => emissions.push(emission),
                Err(Refusal { code, message }) => bad.push(BadItem {
                    index,
                    code,
                    detail: message,
                }),
            }
        }
        if !bad.is_empty() {
            return Err(Refused::Items(bad));
        }
        let batch = Self {
            emissions,
            is_list: true,
        };
        if batch.by_room().len() > MAX_EMIT_TARGETS {
            let message = format!("a batch has {MAX_EMIT_TARGETS} rooms in all at most");
            return Err(Refusal::invalid(message).into());
        }
        Ok(batch)
    }

    /// One event.
    pub fn one(wanted: Wanted, now: Timestamp, fresh_id: &str) -> Result<Self, Refusal> {
        Ok(Self {
            emissions: vec![wanted.check(now, fresh_id)?],
            is_list: false,
        })
    }

    fn by_room(&self) -> BTreeMap<&RoomName, Vec<&Item>> {
        let mut by_room: BTreeMap<&RoomName, Vec<&Item>> = BTreeMap::new();
        for emission in &self.emissions {
            for ((_, room), item) in emission.rooms.iter().zip(&emission.items) {
                by_room.entry(room).or_default().push(item);
            }
        }
        by_room
    }

    /// What is to be asked: each room once, whatever the batch has for it.
    pub fn requests(&self) -> Vec<(RoomName, Request)> {
        let parcels = |items: Vec<&Item>| items.into_iter().cloned().map(Parcel::Event).collect();
        self.by_room()
            .into_iter()
            .map(|(room, items)| {
                let parcels = parcels(items);
                (room.clone(), Request::Deliver { parcels })
            })
            .collect()
    }

    /// The response, from what the rooms answered, in the order of [`Batch::requests`].
    pub fn answer(&self, published: Vec<Published>) -> String {
        let mut accepted: BTreeMap<&RoomName, std::vec::IntoIter<Accepted>> = self
            .by_room()
            .into_keys()
            .zip(published.into_iter().map(|p| p.results.into_iter()))
            .collect();
        let mut results = Vec::new();
        for (index, emission) in self.emissions.iter().enumerate() {
            for (name, room) in &emission.rooms {
                results.push(Outcome {
                    room: name,
                    index: self.is_list.then_some(index),
                    accepted: accepted
                        .get_mut(room)
                        .and_then(Iterator::next)
                        .unwrap_or_default(),
                });
            }
        }
        serde_json::to_string(&Results { results }).unwrap_or_default()
    }

    /// The id that the one event's payload has, where it has one.
    pub fn payload_id(&self) -> Option<String> {
        let item = self.emissions.first()?.items.first()?;
        Fields::of(&item.args).ok()?.required("id", "text").ok()
    }
}

#[cfg(test)]
mod tests;
