-- {"schema":1,"commit":"bb51195","at":1795914696177}

-- demo:1 in 07fc95ec0837e1b8a56ec2e8de5a7c5d50d15be95d47a2c7f03a4d2a8a595aef.sqlite
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('epoch', '36d38f66a57f0d2c');
INSERT INTO meta (key, value) VALUES ('room', 'demo:1');
INSERT INTO meta (key, value) VALUES ('schema', '1');
CREATE TABLE log ( offset INTEGER PRIMARY KEY, namespace TEXT NOT NULL, event TEXT NOT NULL, args TEXT NOT NULL, sender TEXT, at INTEGER NOT NULL );
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (1, '/', 'note', '[{"n":1,"text":"Grüße 👍"}]', '"ann"', 1795914694948);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (2, '/', 'note', '[{"n":2,"text":"Grüße 👍"}]', '"bob"', 1795914695020);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (3, '/', 'note', '[{"n":3,"text":"Grüße 👍"}]', '"ann"', 1795914695035);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (4, '/', 'note', '[{"n":4,"text":"Grüße 👍"}]', '"bob"', 1795914695044);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (5, '/', 'note', '[{"n":5,"text":"Grüße 👍"}]', '"ann"', 1795914695053);
CREATE TABLE dedupe ( key TEXT PRIMARY KEY, offset INTEGER NOT NULL, at INTEGER NOT NULL ) WITHOUT ROWID;
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:ann:n-1', 1, 1795914694948);
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:ann:n-3', 3, 1795914695035);
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:ann:n-5', 5, 1795914695053);
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:bob:n-2', 2, 1795914695020);
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:bob:n-4', 4, 1795914695044);
CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO members (user, since) VALUES ('guest', 1795914695058);
CREATE TABLE followers ( user TEXT NOT NULL, room TEXT NOT NULL, PRIMARY KEY (user, room) ) WITHOUT ROWID;
CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO roster (user, entry) VALUES ('guest', '{"user":"guest","since":1795914695083,"holders":{},"leaving":1795914700198}');
CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO state (key, json) VALUES ('read:guest', '3');
CREATE TABLE outbox ( id INTEGER PRIMARY KEY, room TEXT NOT NULL, parcel TEXT NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL );

-- user:ann in 1170152df7b60622a43ca34e1d5a31df5329312a25e93027be5378e703757b81.sqlite
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('epoch', '06a22ed4af6328d4');
INSERT INTO meta (key, value) VALUES ('room', 'user:ann');
INSERT INTO meta (key, value) VALUES ('schema', '1');
CREATE TABLE log ( offset INTEGER PRIMARY KEY, namespace TEXT NOT NULL, event TEXT NOT NULL, args TEXT NOT NULL, sender TEXT, at INTEGER NOT NULL );
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (1, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"first","direction":"inbound","timestamp":"2026-11-29T01:11:35.740Z","messageSid":"SM00000000000000000000000000000001","media":[],"channel":"sms"}]', NULL, 1795914695770);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (2, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"second","direction":"inbound","timestamp":"2026-11-29T01:11:35.796Z","messageSid":"SM00000000000000000000000000000002","media":[],"channel":"sms"}]', NULL, 1795914695804);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (3, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550009999","to":"+15552223333","body":"third","direction":"inbound","timestamp":"2026-11-29T01:11:35.814Z","messageSid":"SM00000000000000000000000000000003","media":[],"channel":"sms"}]', NULL, 1795914695847);
CREATE TABLE dedupe ( key TEXT PRIMARY KEY, offset INTEGER NOT NULL, at INTEGER NOT NULL ) WITHOUT ROWID;
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000001', 1, 1795914695770);
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000002', 2, 1795914695804);
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000003', 3, 1795914695847);
CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE followers ( user TEXT NOT NULL, room TEXT NOT NULL, PRIMARY KEY (user, room) ) WITHOUT ROWID;
CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox ( id INTEGER PRIMARY KEY, room TEXT NOT NULL, parcel TEXT NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL );

-- chat:42 in 5f0aa82b3fb1096b5e6fbc3e3e53da60030d58c27d02311ee302fbdfe0897fae.sqlite
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('epoch', 'ba64ad3b41a58a7d');
INSERT INTO meta (key, value) VALUES ('room', 'chat:42');
INSERT INTO meta (key, value) VALUES ('schema', '1');
CREATE TABLE log ( offset INTEGER PRIMARY KEY, namespace TEXT NOT NULL, event TEXT NOT NULL, args TEXT NOT NULL, sender TEXT, at INTEGER NOT NULL );
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (1, '/chat', 'new_message', '[{"id":"ba64ad3b41a58a7d-1","chatId":"42","sender_type":"user","sender_id":"ann","message":"hello 1","message_type":"text","created_at":"2026-11-29T01:11:35.399Z"}]', '"ann"', 1795914695399);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (2, '/chat', 'new_message', '[{"id":"ba64ad3b41a58a7d-2","chatId":"42","sender_type":"user","sender_id":"ann","message":"hello 2","message_type":"text","created_at":"2026-11-29T01:11:35.443Z"}]', '"ann"', 1795914695443);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (3, '/chat', 'new_message', '[{"id":"ba64ad3b41a58a7d-3","chatId":"42","sender_type":"user","sender_id":"ann","message":"hello 3","message_type":"text","created_at":"2026-11-29T01:11:35.543Z"}]', '"ann"', 1795914695543);
CREATE TABLE dedupe ( key TEXT PRIMARY KEY, offset INTEGER NOT NULL, at INTEGER NOT NULL ) WITHOUT ROWID;
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:ann:c-1', 1, 1795914695399);
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:ann:c-2', 2, 1795914695443);
INSERT INTO dedupe (key, offset, at) VALUES ('c:3:ann:c-3', 3, 1795914695543);
CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO members (user, since) VALUES ('ann', 1795914695243);
INSERT INTO members (user, since) VALUES ('bob', 1795914695263);
CREATE TABLE followers ( user TEXT NOT NULL, room TEXT NOT NULL, PRIMARY KEY (user, room) ) WITHOUT ROWID;
CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox ( id INTEGER PRIMARY KEY, room TEXT NOT NULL, parcel TEXT NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL );

-- sms:+15552223333:+15550001111 in a1a547627bb9813e96709a1d6cf81b2dbcfe156e174d0cdb44f088979eb8acb4.sqlite
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('epoch', 'f74e21163edfcb49');
INSERT INTO meta (key, value) VALUES ('room', 'sms:+15552223333:+15550001111');
INSERT INTO meta (key, value) VALUES ('schema', '1');
CREATE TABLE log ( offset INTEGER PRIMARY KEY, namespace TEXT NOT NULL, event TEXT NOT NULL, args TEXT NOT NULL, sender TEXT, at INTEGER NOT NULL );
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (1, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"first","direction":"inbound","timestamp":"2026-11-29T01:11:35.740Z","messageSid":"SM00000000000000000000000000000001","media":[],"channel":"sms"}]', NULL, 1795914695752);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (2, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"second","direction":"inbound","timestamp":"2026-11-29T01:11:35.796Z","messageSid":"SM00000000000000000000000000000002","media":[],"channel":"sms"}]', NULL, 1795914695797);
CREATE TABLE dedupe ( key TEXT PRIMARY KEY, offset INTEGER NOT NULL, at INTEGER NOT NULL ) WITHOUT ROWID;
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000001', 1, 1795914695752);
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000002', 2, 1795914695797);
CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE followers ( user TEXT NOT NULL, room TEXT NOT NULL, PRIMARY KEY (user, room) ) WITHOUT ROWID;
CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox ( id INTEGER PRIMARY KEY, room TEXT NOT NULL, parcel TEXT NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL );

-- sms:+15552223333:+15550009999 in a4e91daeb169f35c52aefab33cc4aca149656ef0c61f1c95d79b422d47a823ed.sqlite
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('epoch', 'a34eb438e9f692fa');
INSERT INTO meta (key, value) VALUES ('room', 'sms:+15552223333:+15550009999');
INSERT INTO meta (key, value) VALUES ('schema', '1');
CREATE TABLE log ( offset INTEGER PRIMARY KEY, namespace TEXT NOT NULL, event TEXT NOT NULL, args TEXT NOT NULL, sender TEXT, at INTEGER NOT NULL );
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (1, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550009999","to":"+15552223333","body":"third","direction":"inbound","timestamp":"2026-11-29T01:11:35.814Z","messageSid":"SM00000000000000000000000000000003","media":[],"channel":"sms"}]', NULL, 1795914695820);
CREATE TABLE dedupe ( key TEXT PRIMARY KEY, offset INTEGER NOT NULL, at INTEGER NOT NULL ) WITHOUT ROWID;
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000003', 1, 1795914695820);
CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE followers ( user TEXT NOT NULL, room TEXT NOT NULL, PRIMARY KEY (user, room) ) WITHOUT ROWID;
CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox ( id INTEGER PRIMARY KEY, room TEXT NOT NULL, parcel TEXT NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL );

-- line:+15552223333 in f36ab1d7ede9faa770006852eb52074a712c8c66359d0ba251fb27aa797a631f.sqlite
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('epoch', 'f002141726da6f33');
INSERT INTO meta (key, value) VALUES ('room', 'line:+15552223333');
INSERT INTO meta (key, value) VALUES ('schema', '1');
CREATE TABLE log ( offset INTEGER PRIMARY KEY, namespace TEXT NOT NULL, event TEXT NOT NULL, args TEXT NOT NULL, sender TEXT, at INTEGER NOT NULL );
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (1, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"first","direction":"inbound","timestamp":"2026-11-29T01:11:35.740Z","messageSid":"SM00000000000000000000000000000001","media":[],"channel":"sms"}]', NULL, 1795914695765);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (2, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"second","direction":"inbound","timestamp":"2026-11-29T01:11:35.796Z","messageSid":"SM00000000000000000000000000000002","media":[],"channel":"sms"}]', NULL, 1795914695803);
INSERT INTO log (offset, namespace, event, args, sender, at) VALUES (3, '/', 'new_message', '[{"phoneNumberId":"+15552223333","from":"+15550009999","to":"+15552223333","body":"third","direction":"inbound","timestamp":"2026-11-29T01:11:35.814Z","messageSid":"SM00000000000000000000000000000003","media":[],"channel":"sms"}]', NULL, 1795914695842);
CREATE TABLE dedupe ( key TEXT PRIMARY KEY, offset INTEGER NOT NULL, at INTEGER NOT NULL ) WITHOUT ROWID;
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000001', 1, 1795914695765);
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000002', 2, 1795914695803);
INSERT INTO dedupe (key, offset, at) VALUES ('g:twilio:SM00000000000000000000000000000003', 3, 1795914695842);
CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO members (user, since) VALUES ('ann', 1795914695638);
CREATE TABLE followers ( user TEXT NOT NULL, room TEXT NOT NULL, PRIMARY KEY (user, room) ) WITHOUT ROWID;
CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox ( id INTEGER PRIMARY KEY, room TEXT NOT NULL, parcel TEXT NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL );
