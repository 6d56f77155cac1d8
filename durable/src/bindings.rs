//! The parts of workerd's API that `worker` 0.8 lacks or whose failures it does not catch, bound by
//! hand. Every call that can throw is `catch`: an exception becomes a value, never a panic.
#![allow(missing_docs)]

use worker::{
    js_sys::{Array, Function, Object, Promise},
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
};

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectState`.
    #[derive(Clone)]
    pub type Context;

    #[wasm_bindgen(method, getter)]
    pub fn id(this: &Context) -> ObjectId;
    #[wasm_bindgen(method, getter)]
    pub fn storage(this: &Context) -> Storage;
    /// What is outside of the WASM and brings the object through a panic; it has put itself there.
    #[wasm_bindgen(method, getter)]
    pub fn guard(this: &Context) -> Guard;
    #[wasm_bindgen(method, catch, js_name = acceptWebSocket)]
    pub fn accept_web_socket(this: &Context, socket: &Socket) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = acceptWebSocket)]
    pub fn accept_web_socket_tagged(
        this: &Context,
        socket: &Socket,
        tags: &Array,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = getWebSockets)]
    pub fn get_web_sockets(this: &Context) -> Result<Array, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getWebSockets)]
    pub fn get_web_sockets_tagged(this: &Context, tag: &str) -> Result<Array, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setWebSocketAutoResponse)]
    pub fn set_web_socket_auto_response(
        this: &Context,
        pair: &AutoResponsePair,
    ) -> Result<(), JsValue>;
    /// When the runtime last answered this socket by itself: a `Date`, or `null`.
    #[wasm_bindgen(method, catch, js_name = getWebSocketAutoResponseTimestamp)]
    pub fn get_web_socket_auto_response_timestamp(
        this: &Context,
        socket: &Socket,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = waitUntil)]
    pub fn wait_until(this: &Context, promise: &Promise) -> Result<(), JsValue>;

    /// `guard.js`.
    pub type Guard;
    /// Runs a turn, within what catches a panic in it.
    #[wasm_bindgen(method)]
    pub fn turn(this: &Guard, run: &mut dyn FnMut() -> bool) -> bool;
    /// A turn's transaction: storage's `transactionSync`. Once it is through, what came is not tried again.
    #[wasm_bindgen(method, catch)]
    pub fn transaction(
        this: &Guard,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
    /// The turn has a request in it.
    #[wasm_bindgen(method)]
    pub fn asked(this: &Guard);
    /// So many more of the outbox's requests are under way, or fewer.
    #[wasm_bindgen(method)]
    pub fn brings(this: &Guard, more: i32);
    /// Sockets are on their way into this room, or out of it; or no longer.
    #[wasm_bindgen(method)]
    pub fn moves(this: &Guard, room: &str, under_way: bool);
    /// Those rooms, of which a machine that was lost knew; they are forgotten.
    #[wasm_bindgen(method, js_name = takeMoving)]
    pub fn take_moving(this: &Guard) -> Vec<String>;
    /// Calls this method of the room in a while, whichever instance it lives in by then.
    #[wasm_bindgen(method)]
    pub fn later(this: &Guard, method: &str, ms: f64) -> JsValue;
    /// Our end of a WebSocket whose events come to closures of this instance, which a panic ends.
    #[wasm_bindgen(method)]
    pub fn holds(this: &Guard, socket: &Socket);

    pub type ObjectId;
    #[wasm_bindgen(method, getter)]
    pub fn name(this: &ObjectId) -> Option<String>;

    #[wasm_bindgen(js_name = WebSocketRequestResponsePair)]
    pub type AutoResponsePair;
    #[wasm_bindgen(constructor, catch, js_class = WebSocketRequestResponsePair)]
    pub fn new(request: &str, response: &str) -> Result<AutoResponsePair, JsValue>;

    /// `DurableObjectStorage`.
    #[derive(Clone)]
    pub type Storage;
    #[wasm_bindgen(method, getter)]
    pub fn sql(this: &Storage) -> SqlStorage;
    /// At a Unix time in milliseconds.
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub fn set_alarm(this: &Storage, at_ms: f64) -> Result<Promise, JsValue>;

    #[derive(Clone)]
    pub type SqlStorage;
    #[wasm_bindgen(method, catch, variadic)]
    pub fn exec(this: &SqlStorage, statement: &str, parameters: &Array) -> Result<Cursor, JsValue>;

    pub type Cursor;
    #[wasm_bindgen(method, catch)]
    pub fn raw(this: &Cursor) -> Result<RawRows, JsValue>;

    pub type RawRows;
    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub fn to_array(this: &RawRows) -> Result<Array, JsValue>;

    /// The server's end of a WebSocket.
    #[derive(Clone)]
    #[wasm_bindgen(js_name = WebSocket)]
    pub type Socket;
    #[wasm_bindgen(method, getter, js_name = readyState)]
    pub fn ready_state(this: &Socket) -> u16;
    /// How many bytes of what was sent workerd still holds; none where the runtime does not say.
    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    pub fn buffered_amount(this: &Socket) -> Option<f64>;
    /// One JavaScript string serves all sockets: `send_with_str` would decode UTF-8 for each.
    #[wasm_bindgen(method, catch)]
    pub fn send(this: &Socket, frame: &JsValue) -> Result<(), JsValue>;
    /// Accepts it without hibernation.
    #[wasm_bindgen(method, catch)]
    pub fn accept(this: &Socket) -> Result<(), JsValue>;
    #[wasm_bindgen(method, setter, js_name = binaryType)]
    pub fn set_binary_type(this: &Socket, kind: &str);
    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    pub fn add_event_listener(
        this: &Socket,
        event: &str,
        listener: &Function,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn close(this: &Socket) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = close)]
    pub fn close_with(this: &Socket, code: u16, reason: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = serializeAttachment)]
    pub fn serialize_attachment(this: &Socket, value: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = deserializeAttachment)]
    pub fn deserialize_attachment(this: &Socket) -> Result<JsValue, JsValue>;
    /// Ours: which connection this is, as long as the JavaScript object lives.
    #[wasm_bindgen(method, getter, js_name = dialtoneConnection)]
    pub fn connection(this: &Socket) -> Option<u32>;
    #[wasm_bindgen(method, setter, js_name = dialtoneConnection)]
    pub fn set_connection(this: &Socket, connection: u32);

    /// Ours: its client waits for an answer that a panic would lose, which guard.js must know.
    #[wasm_bindgen(method, setter, js_name = dialtoneAwaits)]
    pub fn set_awaits(this: &Socket, awaits: bool);

    /// `AnalyticsEngineDataset`.
    pub type Dataset;
    #[wasm_bindgen(method, catch, js_name = writeDataPoint)]
    pub fn write_data_point(this: &Dataset, point: &Object) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = clearTimeout)]
    pub fn clear_timeout(timer: &JsValue);
}

/// `WebSocket.OPEN`.
pub const OPEN: u16 = 1;
