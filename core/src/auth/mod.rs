//! Who is this, and where does the request come from?
//!
//! Reading order: [`credentials`] finds the token in a request → [`token`] takes it apart →
//! [`keys`] checks its signature, with secrets, with [`jwk`]s and with the issuer's [`key_set`] → [`claims`]
//! checks what it says, among it the [`grant`]s. [`origin`] is the other question: may this browser page
//! talk to us at all?
//!
//! Keeps the invariant "default deny": [`Claims`] come from [`Keys::begin`] and [`Keys::finish`] only.

pub mod claims;
pub mod credentials;
pub mod grant;
pub mod jwk;
pub mod key_set;
pub mod keys;
pub mod origin;
pub mod token;

pub use claims::Claims;
pub use grant::{Grant, GrantError};
pub use jwk::{JwkError, PublicKey};
pub use key_set::KeySet;
pub use keys::{Keys, Step, Verdict};
pub use origin::CorsDecision;
pub use token::{Algorithm, TokenError, Unverified};
