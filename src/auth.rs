//! Who asks, and from where. The rules are core's; here is where a request keeps what they need.

use dialtone_core::{
    auth::{Claims, CorsDecision, credentials, origin},
    config::Config,
    error::Refusal,
    names::{RoomName, Timestamp},
    namespaces::{self, Admission},
    object::Environment,
    wire::{self, Access, Membership},
};
use dialtone_durable::tokens;
use worker::{Date, Env, Request};

use crate::{Failure, rooms};

/// Someone whose token was verified.
pub struct Caller<'a> {
    /// The Worker's bindings.
    pub env: &'a Env,
    /// Its configuration.
    pub environment: &'a Environment,
    /// The token.
    pub claims: Claims,
}

/// Now.
pub fn now() -> Timestamp {
    Timestamp(Date::now().as_millis())
}

/// A header, if it is there and is text.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// A parameter of the query, decoded.
pub fn query(request: &Request, name: &str) -> Option<String> {
    let url = request.url().ok()?;
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// May this page talk to us?
pub fn check_origin(request: &Request, config: &Config) -> Result<CorsDecision, Refusal> {
    let own = request.inner().url();
    let base = config.public_base_url.as_deref().unwrap_or(&own);
    let from = header(request, "origin");
    origin::check(from.as_deref(), &[&own, base], &config.allowed_origins)
}

/// The verified token of a request.
pub async fn claims(request: &Request, environment: &Environment) -> Result<Claims, Refusal> {
    let token = credentials::find_token(
        header(request, "authorization").as_deref(),
        header(request, "sec-websocket-protocol").as_deref(),
        query(request, "token").as_deref(),
    );
    // Before the token is even looked for: nobody can have one that we could check.
    if !environment.config.missing().is_empty() {
        return Err(dialtone_core::auth::TokenError::NotConfigured.into());
    }
    let token = token.ok_or(dialtone_core::auth::TokenError::Missing)?;
    Ok(tokens::verify(&environment.keys, &token).await?)
}

impl Caller<'_> {
    /// Only a backend or an admin goes on from here.
    pub fn must_operate(&self) -> Result<(), Refusal> {
        if self.claims.has_role("service") || self.claims.has_role("admin") {
            Ok(())
        } else {
            Err(Refusal::forbidden("this takes role service or admin"))
        }
    }

    /// Only a backend goes on from here: nobody's session in a browser is to take rooms out or bring them in.
    pub fn must_be_service(&self) -> Result<(), Refusal> {
        if self.claims.has_role("service") {
            Ok(())
        } else {
            Err(Refusal::forbidden("this takes role service"))
        }
    }

    /// The caller's own room.
    pub fn own_room(&self) -> Result<RoomName, Refusal> {
        RoomName::user(&self.claims.user).map_err(|error| Refusal::bad_request(error.to_string()))
    }

    /// What the policy gives the caller in a room, for one request.
    pub async fn access(&self, room: &RoomName) -> Result<Access, Failure> {
        self.resolve(self.admission(room), None).await
    }

    /// The same for a connection that stays: it is closed when what gave it access is taken away.
    pub async fn access_to_stay(&self, room: &RoomName) -> Result<Access, Failure> {
        self.resolve(self.admission(room), Some(room)).await
    }

    /// The same for reading the room's history.
    pub async fn access_to_history(&self, room: &RoomName) -> Result<Access, Failure> {
        let open_kinds = &self.environment.config.open_kinds;
        self.resolve(
            namespaces::admit_reader(&self.claims, room, open_kinds),
            None,
        )
        .await
    }

    fn admission(&self, room: &RoomName) -> Admission {
        namespaces::admit(&self.claims, room, &self.environment.config.open_kinds)
    }

    async fn resolve(
        &self,
        admission: Admission,
        follower: Option<&RoomName>,
    ) -> Result<Access, Failure> {
        match admission {
            Admission::Granted(access) => Ok(access),
            Admission::Refused => Err(namespaces::not_yours().into()),
            Admission::IfMemberOf(room) => {
                let (user, follower) = (self.claims.user.clone(), follower.cloned());
                let question = wire::Request::IsMember { user, follower };
                let answer: Membership = rooms::ask_json(self.env, &room, &question).await?;
                if answer.member {
                    Ok(Access::ByOtherRoom)
                } else {
                    Err(namespaces::not_yours().into())
                }
            }
        }
    }

    /// The caller as a Room is told of them.
    pub fn with(&self, access: Access) -> wire::Caller {
        wire::Caller {
            claims: self.claims.clone(),
            access,
        }
    }
}
