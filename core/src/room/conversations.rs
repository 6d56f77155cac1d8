//! The conversations of a phone line, in the line's room, newest message first; and, in the rooms of
//! those who work it, which lines there are.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{Room, Target};
use crate::{
    event::Publication,
    fields::Fields,
    limits::{MAX_CONVERSATIONS, MAX_LINES},
    names::{Offset, RoomName, Timestamp, UserId},
    storage::{self, Sql, StorageError, count, json, optional_text, text, unsigned},
    twilio::inbound::{Address, line_of},
    wire::{Lines, Parcel, Standing},
};

/// The state that says that this line is in the lists of lines.
const LISTED: &str = "listed";
/// The room whose list has all lines.
const ALL_LINES: &str = "admins:all";

/// An item of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The contact, as the conversation's room has it.
    pub contact: String,
    /// `sms`, `whatsapp`, or another.
    pub channel: String,
    /// The newest message.
    pub last_message: LastMessage,
    /// How many inbound messages nobody has read.
    pub unread: u64,
    /// The contact wants nothing more from this line.
    pub opted_out: bool,
    /// Who deals with it.
    pub assigned_to: Option<UserId>,
    /// What a WhatsApp user calls themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// When the newest message came, RFC 3339.
    pub updated_at: String,
}

/// What the list shows of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastMessage {
    body: String,
    direction: String,
    timestamp: String,
    /// How many there are.
    media: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_sid: Option<String>,
}

/// A page of the list, as the HTTP API shows it.
#[derive(Debug, Serialize)]
pub struct Conversations {
    /// Newest first.
    pub conversations: Vec<Conversation>,
    /// Where the next page begins, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `conversation_updated`.
#[derive(Debug, Serialize)]
pub struct Updated<'a> {
    line: &'a str,
    #[serde(flatten)]
    conversation: &'a Conversation,
}

/// `conversation_assigned`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assigned<'a> {
    line: &'a str,
    contact: &'a str,
    user_id: Option<&'a UserId>,
}

impl Conversation {
    /// The event that tells of it.
    pub fn updated<'a>(&'a self, line: &'a RoomName) -> Updated<'a> {
        Updated {
            line: line.id(),
            conversation: self,
        }
    }

    /// The event that tells whose it is.
    pub fn assigned<'a>(&'a self, line: &'a RoomName) -> Assigned<'a> {
        Assigned {
            line: line.id(),
            contact: &self.contact,
            user_id: self.assigned_to.as_ref(),
        }
    }

    fn stand(&mut self, standing: &Standing) {
        self.unread = standing.unread;
        self.opted_out = standing.opted_out;
    }

    fn of(contact: String) -> Self {
        Self {
            channel: Address::parse(&contact).map_or_else(String::new, |a| a.channel().to_owned()),
            contact,
            last_message: LastMessage::default(),
            unread: 0,
            opted_out: false,
            assigned_to: None,
            profile_name: None,
            updated_at: String::new(),
        }
    }
}

impl Room {
    /// One conversation, and the offset of its newest message.
    fn conversation(
        &self,
        sql: &dyn Sql,
        contact: &str,
    ) -> Result<Option<(Conversation, Offset)>, StorageError> {
        let rows = sql.run(
            "SELECT json, rank FROM conversations WHERE contact = ?",
            &[text(contact)],
        )?;
        rows.first()
            .map(|row| {
                let rank = Offset(row.unsigned(1, "conversation")?);
                Ok((row.json(0, "conversation")?, rank))
            })
            .transpose()
    }

    fn keep_conversation(
        &self,
        sql: &dyn Sql,
        conversation: &Conversation,
        rank: Offset,
    ) -> Result<(), StorageError> {
        let assigned_to = conversation.assigned_to.as_ref().map(UserId::as_str);
        sql.run(
            "INSERT OR REPLACE INTO conversations (contact, rank, unread, assigned_to, json)
             VALUES (?, ?, ?, ?, ?)",
            &[
                text(conversation.contact.as_str()),
                unsigned(rank.0),
                unsigned(conversation.unread),
                optional_text(assigned_to),
                json(conversation, "conversation")?,
            ],
        )
        .map(drop)
    }

    /// A message of a conversation has come to this line. Past [`MAX_CONVERSATIONS`] the oldest goes
    /// from the list; it comes back with its next message.
    pub fn conversation_heard(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        message: &Publication,
        standing: &Standing,
    ) -> Result<Option<Conversation>, StorageError> {
        let Some((_, contact)) = line_of(&standing.room) else {
            return Ok(None);
        };
        let known = self.conversation(sql, &contact)?;
        let is_new = known.is_none();
        let mut conversation = known.map_or_else(|| Conversation::of(contact), |(known, _)| known);
        // Each field by itself: a client or a backend may have said any of them in its own way.
        let told = Fields::of(&message.args).ok();
        let text = |name| -> Option<String> { told.as_ref()?.optional(name, "text").ok()? };
        let media: Option<Vec<IgnoredAny>> = told
            .as_ref()
            .and_then(|told| told.optional("media", "a list").ok()?);
        conversation.last_message = LastMessage {
            body: text("body").unwrap_or_default(),
            direction: text("direction").unwrap_or_default(),
            timestamp: text("timestamp").unwrap_or_else(|| message.at.rfc3339()),
            media: media.map_or(0, |media| media.len()),
            id: text("id"),
            message_sid: text("messageSid"),
        };
        if let Some(name) = text("profileName") {
            conversation.profile_name = Some(name);
        }
        conversation.updated_at = message.at.rfc3339();
        conversation.stand(standing);
        let rank = message.offset.unwrap_or_default();
        self.keep_conversation(sql, &conversation, rank)?;
        if is_new {
            self.list(sql, now)?;
            self.conversation_count.add();
            if self.conversation_count.get(sql)? > MAX_CONVERSATIONS {
                sql.run(
                    "DELETE FROM conversations WHERE contact =
                         (SELECT contact FROM conversations ORDER BY rank LIMIT 1)",
                    &[],
                )?;
                self.conversation_count.deleted(1);
            }
        }
        Ok(Some(conversation))
    }

    /// A conversation stands otherwise than before; as it is now, if that is news here.
    pub fn conversation_stands(
        &self,
        sql: &dyn Sql,
        standing: &Standing,
    ) -> Result<Option<Conversation>, StorageError> {
        let Some((_, contact)) = line_of(&standing.room) else {
            return Ok(None);
        };
        let Some((before, rank)) = self.conversation(sql, &contact)? else {
            return Ok(None);
        };
        let mut conversation = before.clone();
        conversation.stand(standing);
        if conversation == before {
            return Ok(None);
        }
        self.keep_conversation(sql, &conversation, rank)?;
        Ok(Some(conversation))
    }

    /// Gives a conversation to somebody, or to nobody. As it is now, and whether that is news; none if
    /// there is none.
    pub fn assign_conversation(
        &self,
        sql: &dyn Sql,
        contact: &str,
        user: Option<&UserId>,
    ) -> Result<Option<(Conversation, bool)>, StorageError> {
        let Some((mut conversation, rank)) = self.conversation(sql, contact)? else {
            return Ok(None);
        };
        let is_news = conversation.assigned_to.as_ref() != user;
        if is_news {
            conversation.assigned_to = user.cloned();
            self.keep_conversation(sql, &conversation, rank)?;
        }
        Ok(Some((conversation, is_news)))
    }

    /// Who deals with which conversation: those of `user`.
    pub fn conversations_of(
        &self,
        sql: &dyn Sql,
        user: &UserId,
    ) -> Result<Vec<String>, StorageError> {
        sql.run(
            "SELECT contact FROM conversations WHERE assigned_to = ? ORDER BY rank",
            &[text(user.as_str())],
        )?
        .iter()
        .map(|row| row.text(0, "conversation").map(str::to_owned))
        .collect()
    }

    /// A page of the list, from those older than `before`.
    pub fn conversations(
        &self,
        sql: &dyn Sql,
        before: Option<Offset>,
        limit: u32,
    ) -> Result<Conversations, StorageError> {
        let before = before.unwrap_or(self.head().next());
        let rows = sql.run(
            "SELECT json, rank FROM conversations WHERE rank < ? ORDER BY rank DESC LIMIT ?",
            &[unsigned(before.0), unsigned(limit.into())],
        )?;
        let conversations: Result<Vec<Conversation>, StorageError> =
            rows.iter().map(|row| row.json(0, "conversation")).collect();
        let is_full = u32::try_from(rows.len()).is_ok_and(|rows| rows >= limit);
        let last = rows.last().filter(|_| is_full);
        let cursor = last.map(|row| row.unsigned(1, "conversation"));
        Ok(Conversations {
            conversations: conversations?,
            cursor: cursor.transpose()?.map(|rank| rank.to_string()),
        })
    }

    /// How much is unread on this line.
    pub fn unread(&self, sql: &dyn Sql) -> Result<u64, StorageError> {
        count(
            sql,
            "SELECT COALESCE(SUM(unread), 0) FROM conversations",
            &[],
        )
    }

    // ── The lists of lines ──

    /// Has this line put into the list of all, and into those of its members, if it is not yet.
    fn list(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        if storage::state::<bool>(sql, LISTED)?.is_some() {
            return Ok(());
        }
        storage::set_state(sql, LISTED, &true)?;
        let members = self.members(sql)?.into_iter();
        let own = members.filter_map(|member| RoomName::user(&member.user_id).ok());
        for room in own.chain(RoomName::parse(ALL_LINES)) {
            self.tell_of_line(sql, now, room, true)?;
        }
        Ok(())
    }

    /// Has this line put into the list of one who works it from now on, or taken out of it.
    pub(super) fn list_for(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        listed: bool,
    ) -> Result<(), StorageError> {
        if listed {
            self.list(sql, now)?;
        }
        match RoomName::user(user) {
            Ok(room) => self.tell_of_line(sql, now, room, listed),
            Err(_) => Ok(()),
        }
    }

    fn tell_of_line(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: RoomName,
        listed: bool,
    ) -> Result<(), StorageError> {
        let number = self.name.id().to_owned();
        let parcel = Parcel::Line { number, listed };
        self.outbox.push(sql, now, Target::Room(room), parcel)
    }

    /// This room's list has a line, or has it no longer. One that is full stays as it is.
    pub fn line_listed(
        &self,
        sql: &dyn Sql,
        number: &str,
        listed: bool,
    ) -> Result<(), StorageError> {
        let number = [text(number)];
        if !listed {
            sql.run("DELETE FROM lines WHERE number = ?", &number)?;
        } else if count(sql, "SELECT COUNT(*) FROM lines", &[])? < MAX_LINES {
            sql.run("INSERT OR IGNORE INTO lines (number) VALUES (?)", &number)?;
        }
        Ok(())
    }

    /// This room's list of lines.
    pub fn lines(&self, sql: &dyn Sql) -> Result<Lines, StorageError> {
        let rows = sql.run("SELECT number FROM lines ORDER BY number", &[])?;
        let lines: Result<_, _> = rows
            .iter()
            .map(|row| row.text(0, "line").map(str::to_owned))
            .collect();
        Ok(Lines { lines: lines? })
    }
}
