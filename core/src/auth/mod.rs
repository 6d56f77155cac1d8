//! Who is this, and where does the request come from?
//!
//! Reading order: [`credentials`] finds the token in a request → [`token`] takes it apart →
//! [`keys`] checks its signature → [`claims`] checks what it says, among it the [`grant`]s.
//! [`origin`] is the other question: may this browser page talk to us at all?
//!
//! Keeps the invariant "default deny": [`Claims`] for a request come from [`Keys::verify`] only.

pub mod claims;
pub mod credentials;
pub mod grant;
pub mod keys;
pub mod origin;
pub mod token;

pub use claims::Claims;
pub use grant::{Grant, GrantError};
pub use keys::{JwkError, Keys, PublicKey};
pub use origin::CorsDecision;
pub use token::TokenError;
