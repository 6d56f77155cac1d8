// `npm run sms`: an inbound message as Twilio sends it, signed with TWILIO_AUTH_TOKEN of .dev.vars (or of the
// environment), to a Dialtone that runs here.
//
//   npm run sms -- --from +15550001111 --to +15552223333 --body "hello"
//                  [--whatsapp] [--name NAME] [--media URL]… [--sid SM…] [--url http://127.0.0.1:8787]

import { createHmac, randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { Complaint, main, readDevVars } from "./tools.mjs";

const PATH = "/webhooks/twilio/inbound";

/** Twilio's X-Twilio-Signature: the URL and, sorted by name, each form field's name and value. */
export function twilioSignature(authToken, url, fields) {
  const text = url + Object.keys(fields).sort().map((name) => name + fields[name]).join("");
  return createHmac("sha1", authToken).update(text).digest("base64");
}

/** The form fields of one inbound message. */
export function inboundFields({ accountSid, from, to, body, whatsapp, name, media, sid }) {
  const address = (number) => (whatsapp && !number.startsWith("whatsapp:") ? `whatsapp:${number}` : number);
  const fields = {
    AccountSid: accountSid,
    ApiVersion: "2010-04-01",
    Body: body,
    From: address(from),
    MessageSid: sid,
    NumMedia: String(media.length),
    NumSegments: "1",
    SmsMessageSid: sid,
    SmsSid: sid,
    SmsStatus: "received",
    To: address(to),
  };
  if (whatsapp) Object.assign(fields, { ProfileName: name, WaId: from.replace(/\D/g, "") });
  media.forEach((url, at) => Object.assign(fields, { [`MediaUrl${at}`]: url, [`MediaContentType${at}`]: contentType(url) }));
  return fields;
}

/** Twilio says what its media are; here the name has to. */
function contentType(url) {
  const types = { gif: "image/gif", mp3: "audio/mpeg", mp4: "video/mp4", pdf: "application/pdf", png: "image/png" };
  return types[url.split(".").at(-1)] ?? "image/jpeg";
}

main(import.meta.url, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      from: { type: "string" },
      to: { type: "string" },
      body: { type: "string", default: "" },
      whatsapp: { type: "boolean", default: false },
      name: { type: "string", default: "A customer" },
      media: { type: "string", multiple: true, default: [] },
      sid: { type: "string" },
      url: { type: "string", default: "http://127.0.0.1:8787" },
    },
  });
  if (!values.from || !values.to) throw new Complaint("--from and --to are needed: the sender's number and one's own line.");
  const vars = { ...readDevVars(), ...process.env };
  if (!vars.TWILIO_AUTH_TOKEN) throw new Complaint("There is no TWILIO_AUTH_TOKEN to sign with: run `npm run setup`.");
  const url = values.url.replace(/\/+$/, "") + PATH;
  const signedUrl = vars.PUBLIC_BASE_URL ? vars.PUBLIC_BASE_URL.replace(/\/+$/, "") + PATH : url;
  const sid = values.sid ?? `${values.media.length ? "MM" : "SM"}${randomBytes(16).toString("hex")}`;
  const fields = inboundFields({ ...values, sid, accountSid: vars.TWILIO_ACCOUNT_SID ?? `AC${"0".repeat(32)}` });
  const response = await post(url, fields, twilioSignature(vars.TWILIO_AUTH_TOKEN, signedUrl, fields));
  const answer = (await response.text()).trim();
  console.log(`${response.status} ${response.statusText}  ${sid}`);
  if (!response.ok) throw new Complaint(answer);
});

async function post(url, fields, signature) {
  try {
    return await fetch(url, { method: "POST", headers: { "X-Twilio-Signature": signature }, body: new URLSearchParams(fields) });
  } catch (error) {
    throw new Complaint(`${url} does not answer (${error.cause?.code ?? error.message}): is \`npm start\` running?`);
  }
}
