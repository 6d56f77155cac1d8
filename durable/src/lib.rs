//! The Room object and what it needs of workerd. Decides nothing: that is `dialtone-core`'s.

pub mod analytics;
pub mod bindings;
pub mod environment;
mod execute;
pub mod logging;
pub mod metrics;
pub mod peer_sockets;
pub mod peers;
pub mod random;
// The macro's generated functions have no docs.
#[allow(missing_docs)]
pub mod room;
mod shell;
pub mod sockets;
pub mod storage;
pub mod tokens;
mod web_crypto;

pub use room::Room;
