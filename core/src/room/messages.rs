//! The messages that a conversation's room was given to send, and what became of each; and how the
//! conversation stands.

use serde::{Deserialize, Serialize};

use super::{Outcome, Room};
use crate::{
    event::{Args, Publication},
    fields::Fields,
    limits::ANNOUNCE_MS,
    names::{Offset, Timestamp, UserId},
    storage::{self, Row, Sql, StorageError, json, optional, optional_text, text, unsigned},
    twilio::{
        inbound::{MessageSid, OptOut},
        status::{Report, Status},
    },
    wire::Standing,
};

/// The event that an outbound message is told by.
pub const OUTBOUND: &str = "message_updated";
/// The event that an inbound message is told by.
pub const INBOUND: &str = "new_message";
/// The event that says what became of an outbound one.
pub const STATUS: &str = "message_status";

/// The state that is how the conversation stands.
const STANDING: &str = "standing";

/// What is stored of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    read: Offset,
    unread: u64,
    opted_out: bool,
}

/// A message that was accepted to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, unique in the conversation.
    pub id: String,
    /// Where it stands in the log.
    pub offset: Offset,
    /// Whose it is, as text.
    pub user: String,
    /// The hash of its body.
    pub hash: String,
    /// Its media.
    pub media: Vec<String>,
    /// What is known of it.
    pub report: Report,
}

/// What a status event says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_sid: Option<&'a MessageSid>,
    id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    phone_number_id: &'a str,
    to: &'a str,
}

impl Message {
    /// Merges what is said of it now into what is known: forward only, whatever the order in which
    /// reports come, and no error that was known is forgotten. Whether anything is new.
    pub fn merge(&mut self, new: &Report) -> bool {
        let known = &mut self.report;
        // It names another message: not ours.
        if known.sid.is_some() && new.sid.is_some() && known.sid != new.sid {
            return false;
        }
        let moves = known.status.moves_to(new.status);
        if !moves && known.status != new.status {
            return false;
        }
        let learns = known.error_code.is_none() && (moves || new.error_code.is_some());
        let named = known.sid.is_none() && new.sid.is_some();
        if learns {
            known.error_code = new.error_code;
            known.error_message.clone_from(&new.error_message);
        }
        if named {
            known.sid.clone_from(&new.sid);
        }
        known.status = new.status;
        moves || learns || named
    }
}

const COLUMNS: &str = "id, offset, user, hash, media, status, sid, error_code, error_message";

fn read(row: &Row) -> Result<Message, StorageError> {
    const WHAT: &str = "message";
    let corrupt = || StorageError::Corrupt(WHAT);
    let sid = row.optional_text(6, WHAT)?.map(MessageSid::parse);
    let error_code = row.optional(7, WHAT)?.map(u32::try_from);
    Ok(Message {
        id: row.text(0, WHAT)?.to_owned(),
        offset: Offset(row.unsigned(1, WHAT)?),
        user: row.text(2, WHAT)?.to_owned(),
        hash: row.text(3, WHAT)?.to_owned(),
        media: row.json(4, WHAT)?,
        report: Report {
            sid: sid.transpose().map_err(|_| corrupt())?,
            status: Status::stored(row.text(5, WHAT)?).ok_or_else(corrupt)?,
            error_code: error_code.transpose().map_err(|_| corrupt())?,
            error_message: row.optional_text(8, WHAT)?.map(str::to_owned),
        },
    })
}

impl Room {
    fn stored_standing(sql: &dyn Sql) -> Result<Stored, StorageError> {
        Ok(storage::state(sql, STANDING)?.unwrap_or_default())
    }

    /// How this conversation stands.
    pub fn standing(&self, sql: &dyn Sql) -> Result<Standing, StorageError> {
        let stored = Self::stored_standing(sql)?;
        Ok(Standing {
            room: self.name.clone(),
            unread: stored.unread,
            opted_out: stored.opted_out,
        })
    }

    /// An inbound message has come, and perhaps says that the contact wants no more, or some again.
    pub(super) fn heard(&self, sql: &dyn Sql, consent: Option<OptOut>) -> Result<(), StorageError> {
        let mut stored = Self::stored_standing(sql)?;
        stored.unread = stored.unread.saturating_add(1);
        match consent {
            Some(OptOut::Stop) => stored.opted_out = true,
            Some(OptOut::Start) => stored.opted_out = false,
            Some(OptOut::Help) | None => {}
        }
        storage::set_state(sql, STANDING, &stored)
    }

    /// Twilio says that the contact wants nothing more. Whether that is new.
    pub fn opt_out(&self, sql: &dyn Sql) -> Result<bool, StorageError> {
        let mut stored = Self::stored_standing(sql)?;
        if std::mem::replace(&mut stored.opted_out, true) {
            return Ok(false);
        }
        storage::set_state(sql, STANDING, &stored)?;
        Ok(true)
    }

    /// Somebody who works the line has read so far. Whether less is unread now.
    pub fn line_read(&self, sql: &dyn Sql, through: Offset) -> Result<bool, StorageError> {
        let mut stored = Self::stored_standing(sql)?;
        if through <= stored.read {
            return Ok(false);
        }
        let unread = self.log.count_after(sql, through, INBOUND)?;
        let is_less = unread != stored.unread;
        (stored.read, stored.unread) = (through, unread);
        storage::set_state(sql, STANDING, &stored)?;
        Ok(is_less)
    }

    /// The message of this id, if one was accepted.
    pub fn message(&self, sql: &dyn Sql, id: &str) -> Result<Option<Message>, StorageError> {
        let statement = format!("SELECT {COLUMNS} FROM messages WHERE id = ?");
        let rows = sql.run(&statement, &[text(id)])?;
        rows.first().map(read).transpose()
    }

    /// Remembers a message that was accepted.
    pub fn keep_message(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        message: &Message,
    ) -> Result<(), StorageError> {
        sql.run(
            "INSERT INTO messages (id, offset, at, user, hash, media, announced, status)
             VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
            &[
                text(message.id.as_str()),
                unsigned(message.offset.0),
                unsigned(now.0),
                text(message.user.as_str()),
                text(message.hash.as_str()),
                json(&message.media, "media")?,
                text(message.report.status.key()),
            ],
        )
        .map(drop)
    }

    /// What is said of the message `id` now: of several that may be it, the first that is no other
    /// message of this conversation. Gives the message as it was and as it is; none if there is none.
    pub fn reported(
        &self,
        sql: &dyn Sql,
        id: &str,
        reports: &[Report],
    ) -> Result<Option<(Message, Message)>, StorageError> {
        let Some(before) = self.message(sql, id)? else {
            return Ok(None);
        };
        let mut after = before.clone();
        for report in reports {
            if self.is_of_another(sql, id, report.sid.as_ref())? {
                continue;
            }
            if after.merge(report) {
                let known = &after.report;
                sql.run(
                    "UPDATE messages SET status = ?, sid = ?, error_code = ?, error_message = ?
                     WHERE id = ?",
                    &[
                        text(known.status.key()),
                        optional_text(known.sid.as_ref().map(MessageSid::as_str)),
                        optional(known.error_code.map(u64::from)),
                        optional_text(known.error_message.as_deref()),
                        text(id),
                    ],
                )?;
            }
            break;
        }
        Ok(Some((before, after)))
    }

    fn is_of_another(
        &self,
        sql: &dyn Sql,
        id: &str,
        sid: Option<&MessageSid>,
    ) -> Result<bool, StorageError> {
        let Some(sid) = sid else {
            return Ok(false);
        };
        let others = sql.run(
            "SELECT 1 FROM messages WHERE sid = ? AND id <> ?",
            &[text(sid.as_str()), text(id)],
        )?;
        Ok(!others.is_empty())
    }

    /// The event that tells what became of a message.
    pub fn status_event(&self, sql: &dyn Sql, message: &Message) -> Result<Args, StorageError> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Parties {
            phone_number_id: String,
            to: String,
        }
        let sent = self.log.at(sql, message.offset)?;
        let parties: Parties = sent
            .and_then(|sent| sent.args.read().ok())
            .unwrap_or_default();
        let known = &message.report;
        Ok(Args::of(&StatusEvent {
            message_sid: known.sid.as_ref(),
            id: &message.id,
            status: known.status.as_str(),
            error_code: known.error_code,
            error_message: known.error_message.as_deref(),
            phone_number_id: &parties.phone_number_id,
            to: &parties.to,
        }))
    }

    /// A client says of itself that it has sent a message: the one that it means, if the room was
    /// given it a moment ago. Each is meant once.
    pub fn announced(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        id: Option<&str>,
        hash: &str,
    ) -> Result<Option<Offset>, StorageError> {
        let rows = match id {
            Some(id) => sql.run("SELECT id, offset FROM messages WHERE id = ?", &[text(id)])?,
            None => sql.run(
                "SELECT id, offset FROM messages
                 WHERE announced = 0 AND user = ? AND hash = ? AND at >= ? ORDER BY offset LIMIT 1",
                &[
                    text(user.as_str()),
                    text(hash),
                    unsigned(now.minus(ANNOUNCE_MS).0),
                ],
            )?,
        };
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        sql.run(
            "UPDATE messages SET announced = 1 WHERE id = ?",
            &[text(row.text(0, "message")?)],
        )?;
        row.unsigned(1, "message").map(|at| Some(Offset(at)))
    }

    /// Where the inbound message of this name is in the log.
    pub fn inbound(
        &self,
        sql: &dyn Sql,
        sid: &MessageSid,
    ) -> Result<Option<Publication>, StorageError> {
        let key = super::Dedupe::Global(sid.dedupe_key());
        match self.find_duplicate(sql, &key)? {
            Some(offset) => self.log.at(sql, offset),
            None => Ok(None),
        }
    }

    /// An outbound message as it is shown: with what is known of it by now.
    pub fn with_status(
        &self,
        sql: &dyn Sql,
        mut publication: Publication,
    ) -> Result<Publication, StorageError> {
        if publication.event != OUTBOUND {
            return Ok(publication);
        }
        let Ok(mut fields) = Fields::of(&publication.args) else {
            return Ok(publication);
        };
        let id: Option<String> = fields.optional("id", "text").unwrap_or_default();
        let Some(Message { report, .. }) =
            id.map(|id| self.message(sql, &id)).transpose()?.flatten()
        else {
            return Ok(publication);
        };
        fields.put("status", &report.status.as_str());
        if let Some(sid) = &report.sid {
            fields.put("messageSid", sid);
        }
        if let Some(code) = report.error_code {
            fields.put("errorCode", &code);
        }
        if let Some(message) = &report.error_message {
            fields.put("errorMessage", message);
        }
        publication.args = fields.into_args();
        Ok(publication)
    }
}

impl Outcome {
    /// The offset of what was published.
    pub(crate) fn offset(&self) -> Option<Offset> {
        match self {
            Self::New(publication) => publication.offset,
            Self::Duplicate(offset) => Some(*offset),
            Self::Unchanged | Self::NotFound => None,
        }
    }
}
