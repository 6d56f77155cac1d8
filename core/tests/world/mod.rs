//! One object on a real SQLite, with what its shell would keep and with other objects that say yes to
//! everything: growth tests and benches drive it.
#![allow(dead_code)] // Each of those uses some of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use dialtone_core::{
    auth::{Claims, Grant, Keys},
    config::Config,
    event::{Args, Publication},
    hub::{Attachment, ConnectionId},
    limits::PRESENCE_GATHER_MS,
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp, UserId},
    object::{Environment, Input, Object, Output, RequestId},
    storage::{Row, Sql, StorageError, Value},
    wire::{
        Accepted, Access, Caller, Connect, Door, EngineRequest, Item, Joined, LinkAnswers, Method,
        Notice, Op, OpAnswer, Parcel, Pushed, Request,
    },
};

#[path = "../../src/storage/memory.rs"]
mod memory;

use memory::Memory;

pub const T0: Timestamp = Timestamp(1_767_607_200_000);

/// SQLite that counts what is asked of it.
pub struct Counting {
    sql: Memory,
    /// Statements run, by their text.
    pub statements: RefCell<BTreeMap<String, usize>>,
    pub rows_read: Cell<usize>,
}

impl Counting {
    /// Counting begins anew.
    pub fn forget(&self) {
        self.statements.borrow_mut().clear();
        self.rows_read.set(0);
        self.sql.1.set(0);
    }

    /// The steps that SQLite's virtual machine has made.
    pub fn steps(&self) -> i64 {
        self.sql.1.get()
    }
}

impl Sql for Counting {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        let rows = self.sql.run(statement, parameters)?;
        let mut statements = self.statements.borrow_mut();
        match statements.get_mut(statement) {
            Some(count) => *count += 1,
            None => drop(statements.insert(statement.to_owned(), 1)),
        }
        self.rows_read.set(self.rows_read.get() + rows.len());
        Ok(rows)
    }
}

pub struct World {
    pub name: RoomName,
    pub sql: Counting,
    pub object: Object,
    environment: Rc<Environment>,
    pub attachments: BTreeMap<ConnectionId, Attachment>,
    pub now: Timestamp,
    requests: u64,
}

pub fn claims(user: &str) -> Claims {
    Claims {
        user: UserId::text(user).unwrap(),
        name: Some(format!("{user} of the benches")),
        role: Some("agent".to_owned()),
        rooms: vec![Grant::parse("*").unwrap()],
        rooms_read: vec![],
        expires_at: T0.plus(30 * 24 * 3_600_000),
    }
}

pub fn caller(user: &str) -> Caller {
    Caller {
        claims: claims(user),
        access: Access::Full,
    }
}

fn environment() -> Rc<Environment> {
    let secret = "a secret of the benches, of more than 32 bytes";
    let config = Config::read(|name| (name == "JWT_SECRET").then(|| secret.to_owned())).unwrap();
    let keys = Keys::new(&config.auth).unwrap();
    Rc::new(Environment { config, keys })
}

fn open(
    sql: &Counting,
    environment: &Rc<Environment>,
    name: &RoomName,
    now: Timestamp,
    attachments: Vec<Attachment>,
) -> Object {
    let last = attachments
        .last()
        .map_or_else(ConnectionId::default, |a| a.connection);
    Object::open(
        sql,
        Rc::clone(environment),
        name.clone(),
        [7; 32],
        now,
        attachments,
        last,
    )
    .unwrap()
}

impl World {
    pub fn new(room: &str) -> Self {
        let name = RoomName::parse(room).unwrap();
        let sql = Counting {
            sql: Memory::new(),
            statements: RefCell::default(),
            rows_read: Cell::new(0),
        };
        let environment = environment();
        let object = open(&sql, &environment, &name, T0, vec![]);
        Self {
            name,
            sql,
            object,
            environment,
            attachments: BTreeMap::new(),
            now: T0,
            requests: 0,
        }
    }

    /// The object as it wakes with all that is stored.
    pub fn wake(&self) -> Object {
        let attachments = self
            .attachments
            .values()
            .map(Attachment::to_json)
            .collect::<Vec<_>>();
        self.wake_from(&attachments)
    }

    /// The same from the attachments' JSON, as the runtime hands it out.
    pub fn wake_from(&self, attachments: &[String]) -> Object {
        let attachments = attachments
            .iter()
            .filter_map(|json| Attachment::from_json(json));
        open(
            &self.sql,
            &self.environment,
            &self.name,
            self.now,
            attachments.collect(),
        )
    }

    pub fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// One transaction, as the shell makes it.
    pub fn turn(&mut self, inputs: &[Input]) -> Vec<Output> {
        self.sql.sql.0.execute_batch("BEGIN").unwrap();
        let outputs = self.object.turn(&self.sql, self.now, inputs).unwrap();
        self.sql.sql.0.execute_batch("COMMIT").unwrap();
        for output in &outputs {
            match output {
                Output::Accept { attachment, .. } | Output::Attach(attachment) => {
                    self.attachments
                        .insert(attachment.connection, attachment.clone());
                }
                Output::Close { connection, .. } => drop(self.attachments.remove(connection)),
                _ => {}
            }
        }
        outputs
    }

    /// Time goes by, until who comes is not gathered with those who came before.
    pub fn pass(&mut self) {
        for _ in 0..2 {
            self.now = self.now.plus(PRESENCE_GATHER_MS);
            self.settle(&[Input::Timer]);
        }
    }

    /// A turn, and those that follow from other objects' answers.
    pub fn settle(&mut self, inputs: &[Input]) -> Vec<Output> {
        let mut all = self.turn(inputs);
        let mut inputs = answers(&all);
        while !inputs.is_empty() {
            let outputs = self.turn(&inputs);
            inputs = answers(&outputs);
            all.extend(outputs);
        }
        all
    }

    pub fn open_input(&mut self, user: &str) -> Input {
        self.open_since(user, None)
    }

    pub fn open_since(&mut self, user: &str, since: Option<String>) -> Input {
        let connect = Connect {
            caller: caller(user),
            since,
            batch: false,
        };
        Input::Open {
            request: self.next_request(),
            connect: Box::new(connect),
        }
    }

    /// A room with so many sockets of its own.
    pub fn home(sockets: usize, is_socket_io: bool) -> Self {
        let mut world = Self::new("demo:1");
        if is_socket_io {
            let ids = world.socket_io(0..sockets);
            world.join(&ids, "demo:1");
        } else {
            world.plain(0..sockets);
        }
        world
    }

    /// A lobby with so many sockets, the first of which have joined a room elsewhere.
    pub fn lobby(sockets: usize, joined: usize) -> Self {
        let mut world = Self::new("lobby:0");
        let ids = world.socket_io(0..sockets);
        world.join(&ids[..joined], "demo:1");
        world
    }

    /// So many plain sockets, each another user's.
    pub fn plain(&mut self, users: std::ops::Range<usize>) -> Vec<ConnectionId> {
        let inputs: Vec<Input> = users.map(|n| self.open_input(&format!("u{n}"))).collect();
        accepted(&self.settle(&inputs))
    }

    /// So many Socket.IO sockets, each another user's, connected to `/`.
    pub fn socket_io(&mut self, users: std::ops::Range<usize>) -> Vec<ConnectionId> {
        let handshakes: Vec<Input> = users
            .map(|n| Input::Engine {
                request: self.next_request(),
                engine: Box::new(EngineRequest {
                    method: Method::Upgrade,
                    sid: None,
                    door: Door {
                        recovery: true,
                        claims: Some(claims(&format!("u{n}"))),
                        echo: false,
                    },
                }),
                body: String::new(),
            })
            .collect();
        let ids = accepted(&self.settle(&handshakes));
        let connects: Vec<Input> = ids.iter().map(|id| text(*id, "40")).collect();
        self.settle(&connects);
        ids
    }

    /// They join a room.
    pub fn join(&mut self, sockets: &[ConnectionId], room: &str) {
        let packet = format!(r#"42["join","{room}"]"#);
        let joins: Vec<Input> = sockets.iter().map(|id| text(*id, &packet)).collect();
        self.settle(&joins);
    }

    /// A backend publishes so many events, each with a request of its own.
    pub fn publishes(&mut self, count: usize) -> Vec<Input> {
        (0..count)
            .map(|n| Input::Request {
                request: self.next_request(),
                body: Box::new(Request::Deliver {
                    parcels: vec![Parcel::Event(item(n))],
                }),
            })
            .collect()
    }
}

fn epoch() -> Epoch {
    Epoch::stored("elsewhere".to_owned())
}

/// A room elsewhere tells of publications after this offset.
pub fn push(room: &str, after: u64, count: u64) -> Input {
    let notice = |n: u64| {
        let item = item(0);
        let publication = Publication {
            event: item.event,
            args: item.args,
            sender: None,
            at: T0,
            offset: Some(Offset(after + n)),
            audience: item.audience,
        };
        Notice::Publication(Rc::new(publication))
    };
    Input::Request {
        request: RequestId(u64::MAX),
        body: Box::new(Request::Push {
            room: RoomName::parse(room).unwrap(),
            epoch: epoch(),
            number: None,
            notices: (1..=count).map(notice).collect(),
        }),
    }
}

/// About 100 characters of data.
pub fn item(n: usize) -> Item {
    let body = "a message of the usual length, which is about one hundred characters";
    let data = serde_json::json!({"id": format!("m-{n}"), "body": body});
    Item {
        event: "note".to_owned(),
        args: Args::of(&data),
        ..Item::default()
    }
}

pub fn text(connection: ConnectionId, text: &str) -> Input {
    Input::Text {
        connection,
        text: text.to_owned(),
    }
}

pub fn accepted(outputs: &[Output]) -> Vec<ConnectionId> {
    let ids = outputs.iter().filter_map(|output| match output {
        Output::Accept { attachment, .. } => Some(attachment.connection),
        _ => None,
    });
    ids.collect()
}

/// What other objects say to what this one asks: yes.
fn answers(outputs: &[Output]) -> Vec<Input> {
    let asks = outputs.iter().filter_map(|output| match output {
        Output::Ask { call, body, .. } => Some(Input::Answered {
            call: *call,
            answer: Some(answer(&serde_json::from_str(body).unwrap())),
        }),
        _ => None,
    });
    asks.collect()
}

fn answer(request: &Request) -> String {
    match request {
        Request::Link { ops, .. } => {
            let answers = ops.iter().map(|op| match op {
                Op::Join { .. } => OpAnswer::Joined(Joined::at(StreamPosition {
                    epoch: epoch(),
                    offset: Offset(0),
                })),
                Op::Event { .. } => OpAnswer::Accepted(Accepted::default()),
                _ => OpAnswer::Done,
            });
            let answers = LinkAnswers {
                answers: answers.collect(),
                told: None,
            };
            serde_json::to_string(&answers).unwrap()
        }
        Request::Push { .. } => Pushed { linked: true }.to_json(),
        other => panic!("nobody answers {other:?}"),
    }
}
