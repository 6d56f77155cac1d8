//! Which phone lines someone is shown (`GET /api/lines`): those that they work, those that their token
//! opens, and all of them for a backend or an admin. And whom a conversation is assigned to.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::{
    auth::{Claims, Grant},
    error::Refusal,
    fields::Fields,
    limits::MAX_LINES_LISTED,
    names::{RoomName, UserId},
    namespaces::{self, Admission},
    wire::{Access, Lines},
};

/// What the name of every line's room begins with.
const LINE: &str = "line:";

fn sees_all(claims: &Claims) -> bool {
    claims.has_role("service") || claims.has_role("admin")
}

fn grants(claims: &Claims) -> impl Iterator<Item = &Grant> {
    claims.rooms.iter().chain(&claims.rooms_read)
}

/// Whether it takes the list of all lines to say which someone is shown: a grant that ends in `*` may
/// cover any.
pub fn takes_all(claims: &Claims) -> bool {
    let may_cover = |grant: &Grant| match grant {
        Grant::Exact(_) => false,
        Grant::Prefix(prefix) => LINE.starts_with(prefix.as_str()) || prefix.starts_with(LINE),
    };
    sees_all(claims) || grants(claims).any(may_cover)
}

/// The rooms of the lines that someone is shown, in order: `own` are those that they work, `all` those
/// that there are, where that [was asked](takes_all).
pub fn shown(claims: &Claims, own: &Lines, all: &Lines) -> Vec<RoomName> {
    let room = |number: &String| RoomName::new("line", number).ok();
    let named = grants(claims).filter_map(|grant| match grant {
        Grant::Exact(room) if room.kind() == "line" => Some(room.clone()),
        _ => None,
    });
    let may_join = |room: &RoomName| {
        let admission = namespaces::admit(claims, room, &[]);
        matches!(admission, Admission::Granted(Access::Full | Access::Read))
    };
    let opened = all.lines.iter().filter_map(room);
    let opened = opened.filter(|room| sees_all(claims) || may_join(room));
    let shown: BTreeSet<RoomName> = own
        .lines
        .iter()
        .filter_map(room)
        .chain(named)
        .chain(opened)
        .collect();
    shown.into_iter().take(MAX_LINES_LISTED).collect()
}

/// Reads `{userId: id | null}`; `null` is nobody. That must be said: a body without it is a 422.
pub fn assignee(json: &str) -> Result<Option<UserId>, Refusal> {
    const FIELD: &str = "userId";
    let json: &RawValue =
        serde_json::from_str(json).map_err(|_| Refusal::bad_request("the body is not JSON"))?;
    let fields = Fields::parse(json, "the body")?;
    let what = "a user's id, or null";
    match fields.raw(FIELD) {
        Some(_) => fields.optional(FIELD, what),
        None => Err(fields.wrong(FIELD, what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Timestamp;

    fn claims(role: Option<&str>, rooms: &[&str], rooms_read: &[&str]) -> Claims {
        let grants = |list: &[&str]| list.iter().map(|g| Grant::parse(g).unwrap()).collect();
        Claims {
            user: UserId::text("ann").unwrap(),
            name: None,
            role: role.map(str::to_owned),
            rooms: grants(rooms),
            rooms_read: grants(rooms_read),
            expires_at: Timestamp(0),
        }
    }

    fn lines(numbers: &[&str]) -> Lines {
        Lines {
            lines: numbers.iter().map(|&number| number.to_owned()).collect(),
        }
    }

    #[test]
    fn one_is_shown_the_lines_that_one_works_and_those_that_the_token_opens() {
        const ALL: &[&str] = &["+1", "+12", "+2", "whatsapp:+1"];
        for (role, rooms, rooms_read, own, takes, expected) in [
            (
                None,
                &[][..],
                &[][..],
                &["+2", "+1"][..],
                false,
                &["+1", "+2"][..],
            ),
            (
                None,
                &["line:+9"],
                &["line:+2"],
                &["+2"],
                false,
                &["+2", "+9"],
            ),
            (None, &["sms:*", "chat:4*", "lines:*"], &[], &[], false, &[]),
            (None, &["line:+1*"], &[], &[], true, &["+1", "+12"]),
            (
                None,
                &[],
                &["line:whatsapp:*"],
                &["+7"],
                true,
                &["+7", "whatsapp:+1"],
            ),
            (None, &["*"], &[], &[], true, ALL),
            (None, &["lin*"], &[], &[], true, ALL),
            (Some("lsm"), &[], &[], &[], false, &[]),
            (Some("admin"), &[], &[], &[], true, ALL),
            (
                Some("service"),
                &["line:+9"],
                &[],
                &[],
                true,
                &["+1", "+12", "+2", "+9", "whatsapp:+1"],
            ),
        ] {
            let claims = claims(role, rooms, rooms_read);
            assert_eq!(takes_all(&claims), takes, "{claims:?}");
            let all = if takes { lines(ALL) } else { Lines::default() };
            let shown = shown(&claims, &lines(own), &all);
            let numbers: Vec<&str> = shown.iter().map(RoomName::id).collect();
            assert_eq!(numbers, expected, "{claims:?}");
        }
    }

    #[test]
    fn what_is_no_line_is_not_shown_nor_more_than_the_limit() {
        let many: Vec<String> = (1000..2000).map(|n| format!("+{n}")).collect();
        let own = Lines { lines: many };
        let admin = claims(Some("admin"), &[], &[]);
        let all = shown(&admin, &own, &lines(&["", "a b"]));
        assert_eq!(all.len(), MAX_LINES_LISTED);
        assert_eq!(all.first().map(RoomName::id), Some("+1000"));
    }

    #[test]
    fn an_assignee_is_text_an_integer_or_null_and_is_said() {
        let long = format!(r#"{{"userId":"{}"}}"#, "a".repeat(129));
        for (json, expected) in [
            (r#"{"userId":"ann"}"#, Ok(r#""ann""#)),
            (r#"{"userId":7,"more":1}"#, Ok("7")),
            (r#"{"userId":7.0}"#, Ok("7")),
            (r#"{"userId":null}"#, Ok("null")),
            ("{}", Err(422)),
            (r#"{"userId":""}"#, Err(422)),
            (r#"{"userId":7.5}"#, Err(422)),
            (r#"{"userId":true}"#, Err(422)),
            (r#"{"userId":["ann"]}"#, Err(422)),
            (&long, Err(422)),
            ("null", Err(422)),
            ("[]", Err(422)),
            ("", Err(400)),
            (r#"{"userId":"#, Err(400)),
        ] {
            let read = assignee(json)
                .map(|user| serde_json::to_string(&user).unwrap())
                .map_err(|refusal| refusal.code.status());
            assert_eq!(read, expected.map(str::to_owned), "{json}");
        }
    }
}
