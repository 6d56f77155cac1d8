//! What a run is: how many of what, who may be where, and how much goes wrong.

use crate::{
    ledger::{ClientId, RoomId},
    random::Random,
};

/// The namespaces of the scenario's clients, by index.
pub const NAMESPACES: [&str; 3] = ["/", "/chat", "/jobs"];

/// What goes wrong by itself, in a million.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// Turns whose process dies, before or after the commit.
    pub dies: u32,
    /// Turns that storage fails.
    pub storage_fails: u32,
    /// Turns that panic, before or after the commit: the memory of half of all objects is gone with the instance,
    /// and their sockets stay.
    pub falls: u32,
    /// Requests between objects that do not arrive, or whose answer does not.
    pub calls_fail: u32,
    /// Those that take up to nine seconds.
    pub calls_slow: u32,
    /// Those that arrive twice.
    pub calls_twice: u32,
    /// Alarms that are late.
    pub alarms_late: u32,
}

/// In every second run requests between objects keep their order: what is checked of who
/// sees whom needs that.
fn trouble(profile: Profile, seed: u64) -> Trouble {
    match (profile, seed % 2) {
        (Profile::Mixed, 0) => TROUBLE,
        (Profile::Mixed, _) => Trouble {
            calls_slow: 0,
            ..TROUBLE
        },
        _ => Trouble::default(),
    }
}

/// The trouble of a run that is to find mistakes.
pub const TROUBLE: Trouble = Trouble {
    dies: 1_500,
    storage_fails: 5_000,
    falls: 2_000,
    calls_fail: 40_000,
    calls_slow: 40_000,
    calls_twice: 20_000,
    alarms_late: 200_000,
};

impl Trouble {
    /// Without one of its kinds; none if there is no such kind.
    pub fn without(&mut self, kind: &str) -> Option<()> {
        *match kind {
            "dies" => &mut self.dies,
            "storage" => &mut self.storage_fails,
            "panics" => &mut self.falls,
            "fail" => &mut self.calls_fail,
            "slow" => &mut self.calls_slow,
            "twice" => &mut self.calls_twice,
            "late" => &mut self.alarms_late,
            _ => return None,
        } = 0;
        Some(())
    }
}

/// What kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Everything goes wrong that can: clients of all kinds, rooms of all sizes.
    Mixed,
    /// Calm, to count: one room, everyone in it, a backend that publishes.
    OneRoom,
    /// Calm, to count: rooms of ten, whose people write.
    SmallRooms,
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// The frames of a client.
    Client(ClientId),
    /// What an object is asked by others, and answers; and when it ends.
    Object(String),
}

/// How many of what.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What kind of run.
    pub profile: Profile,
    /// Whence all chance.
    pub seed: u64,
    /// How many things happen.
    pub steps: u64,
    /// Objects that hold Socket.IO clients without a home.
    pub lobbies: usize,
    /// Clients.
    pub sockets: usize,
    /// Rooms.
    pub rooms: usize,
    /// What goes wrong by itself.
    pub trouble: Trouble,
    /// What of it is printed.
    pub watch: Option<Watch>,
    /// How many messages at once, where it is calm.
    pub burst: u64,
    /// Socket.IO clients name their first room as their home.
    pub homes: bool,
}

impl Scenario {
    /// The usual numbers of a profile.
    pub fn of(profile: Profile, seed: u64) -> Self {
        let (steps, lobbies, sockets, rooms) = match profile {
            Profile::Mixed => (3_000, 4, 60, 8),
            Profile::OneRoom => (100, 10, 10_000, 1),
            Profile::SmallRooms => (2_000, 10, 10_000, 1_000),
        };
        Self {
            profile,
            seed,
            steps,
            lobbies,
            sockets,
            rooms,
            trouble: trouble(profile, seed),
            watch: None,
            burst: 1,
            homes: false,
        }
    }

    /// Whether anything goes wrong.
    pub fn has_trouble(&self) -> bool {
        self.profile == Profile::Mixed
    }
}

/// A room of the scenario.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// The namespace that serves it, by index.
    pub namespace: usize,
}

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Socket.IO in a namespace, by index.
    SocketIo(usize),
    /// A plain WebSocket; `true`: with `?batch=1`.
    Plain(bool),
}

/// Who a client is.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their user.
    pub user: String,
    /// How their client speaks.
    pub speech: Speech,
    /// Where they want to be.
    pub wants: Vec<RoomId>,
    /// Where their token lets them, besides.
    pub granted: Vec<RoomId>,
    /// Rooms of those that they want which let them in as a member, not by their token.
    pub member_of: Vec<RoomId>,
    /// The room that holds their client.
    pub home: Option<RoomId>,
}

impl Scenario {
    /// The rooms: chats, every fourth a relay, and one job where all are in one room.
    pub fn places(&self) -> Vec<Place> {
        let place = |n: usize| match self.profile {
            Profile::OneRoom => (format!("job:{n}"), 2),
            Profile::Mixed if n % 4 == 3 => (format!("demo:{n}"), 0),
            _ => (format!("chat:{n}"), 1),
        };
        (0..self.rooms)
            .map(place)
            .map(|(name, namespace)| Place { name, namespace })
            .collect()
    }

    /// The clients.
    pub fn people(&self, places: &[Place], random: &mut Random) -> Vec<Person> {
        (0..self.sockets)
            .map(|client| match self.profile {
                Profile::Mixed => mixed(client, places, random),
                Profile::OneRoom => self.calm(client, 0, 2),
                Profile::SmallRooms => self.calm(client, client % self.rooms, 1),
            })
            .collect()
    }

    fn calm(&self, client: ClientId, room: RoomId, namespace: usize) -> Person {
        Person {
            user: format!("u{client}"),
            speech: Speech::SocketIo(namespace),
            wants: vec![room],
            granted: Vec::new(),
            member_of: Vec::new(),
            home: self.homes.then_some(room),
        }
    }
}

/// Users with two tabs, of all dialects. Those in `/` are few: each user there has a room of their own,
/// an object more.
fn mixed(client: ClientId, places: &[Place], random: &mut Random) -> Person {
    let speech = match client % 8 {
        0..4 => Speech::SocketIo(1),
        4 | 5 => Speech::SocketIo(0),
        kind => Speech::Plain(kind == 7),
    };
    let user = match speech {
        Speech::SocketIo(0) => format!("r{}", client % 200),
        _ => format!("u{}", client / 2),
    };
    let served = |room: &RoomId| match speech {
        Speech::SocketIo(namespace) => places[*room].namespace == namespace,
        Speech::Plain(_) => true,
    };
    let served: Vec<RoomId> = (0..places.len()).filter(served).collect();
    let count = match speech {
        Speech::SocketIo(_) => 1 + random.index(3),
        Speech::Plain(_) => 1,
    };
    let mut wants = Vec::new();
    for _ in 0..count {
        let room = served[random.index(served.len())];
        if !wants.contains(&room) {
            wants.push(room);
        }
    }
    // A user's tabs are members and are put out together, so each user has one such client.
    let is_member = client % 16 == 2 || client % 16 == 6;
    let member_of = if is_member { wants.clone() } else { Vec::new() };
    let user = if is_member {
        format!("m{client}")
    } else {
        user
    };
    let home = client.is_multiple_of(5).then(|| wants[0]);
    Person {
        user,
        speech,
        granted: vec![served[random.index(served.len())]],
        wants,
        member_of,
        home,
    }
}
