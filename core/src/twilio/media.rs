//! Which URLs may be fetched, and by whom. All are judged as the WHATWG parser writes them, for that
//! is what is fetched: it makes `0x7f.1` of it `127.0.0.1` and `/` of `\`, and takes `..` and
//! `%2e%2e` out of a path.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::rest::API_BASE;
use crate::config::{TwilioConfig, web_url};

/// Top-level names that are never on the Internet (RFC 6761, RFC 6762, ICANN's `internal`).
const PRIVATE_NAMES: [&str; 3] = ["localhost", "local", "internal"];
/// Where Twilio's redirects lead: these and their subdomains.
const MEDIA_DOMAINS: [&str; 2] = ["twilio.com", "twiliocdn.com"];
/// And this bucket of Twilio's.
const MEDIA_BUCKET: (&str, &str) = ("s3-external-1.amazonaws.com", "/media.twiliocdn.com/");
/// Pictures that a browser shows and that cannot hold a script (SVG can).
const IMAGES: [&str; 9] = [
    "png", "jpeg", "jpg", "gif", "webp", "avif", "bmp", "heic", "heif",
];

/// Whether Twilio could fetch this medium: an absolute `http` or `https` URL, without credentials,
/// that does not point inside somebody's network.
pub fn is_public_url(url: &str) -> bool {
    web_url(url).is_some_and(|url| is_public_host(&url))
}

/// Whether a URL's host is a name or an address of the Internet.
pub(super) fn is_public_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_public_name(name),
        Some(Host::Ipv4(address)) => is_public_v4(address),
        Some(Host::Ipv6(address)) => is_public_v6(address),
        None => false,
    }
}

/// A name of two labels or more; the parser has put it in lower case.
fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.rsplit_once('.')
        .is_some_and(|(_, top)| !PRIVATE_NAMES.contains(&top))
}

/// IANA's registry of special addresses, without those that are for documentation.
const fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0, _]
            | [192, 168, ..]
            | [198, 18..=19, ..]
            | [224..=255, ..]
    )
}

/// Global unicast is `2000::/3`. What holds an IPv4 address is as public as that: v4-mapped and
/// v4-compatible addresses, NAT64's and 6to4's.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => {
            let bits = (u32::from(high) << 16) | u32::from(low);
            is_public_v4(Ipv4Addr::from_bits(bits))
        }
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

/// Where to fetch a medium that came with an inbound message, with our credentials: `recorded`, as
/// Twilio gave it, at `TWILIO_API_BASE` where that is set. `None` if it is not our account's at
/// Twilio's API (the credentials go nowhere else), or the account is not configured.
pub fn source(recorded: &str, config: &TwilioConfig) -> Option<String> {
    let (account, _) = config.credentials()?;
    let url = Url::parse(recorded).ok().filter(has_no_credentials)?;
    let base = config.api_base.as_deref().unwrap_or(API_BASE);
    let path = path_below(&url, API_BASE).or_else(|| path_below(&url, base))?;
    let medium = path
        .strip_prefix("/2010-04-01/Accounts/")?
        .strip_prefix(account)?
        .strip_prefix('/')?;
    // Nothing that a server might decode to another path.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    (!medium.is_empty() && medium.bytes().all(is_plain)).then(|| format!("{base}{path}"))
}

/// Where a redirect leads, to be fetched without credentials: `location`, as the answer for `from`
/// had it. `None` if that is neither at Twilio's nor at `TWILIO_API_BASE`'s origin.
pub fn redirect(from: &str, location: &str, config: &TwilioConfig) -> Option<String> {
    let url = Url::parse(from).ok()?.join(location).ok()?;
    let host = url.host_str()?;
    let is_media_host = MEDIA_DOMAINS.iter().any(|domain| {
        let above = host.strip_suffix(domain);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    });
    let is_bucket = host == MEDIA_BUCKET.0 && url.path().starts_with(MEDIA_BUCKET.1);
    let is_twilios =
        url.scheme() == "https" && url.port().is_none() && (is_media_host || is_bucket);
    let stand_in = config
        .api_base
        .as_deref()
        .and_then(|base| Url::parse(base).ok());
    let is_stand_in = stand_in.is_some_and(|base| base.origin() == url.origin());
    (has_no_credentials(&url) && (is_twilios || is_stand_in)).then(|| url.into())
}

fn has_no_credentials(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// A URL's path after that of `base`, if both are of one origin.
fn path_below<'a>(url: &'a Url, base: &str) -> Option<&'a str> {
    let base = Url::parse(base).ok()?;
    let same_origin = url.origin() == base.origin();
    let prefix = base.path().trim_end_matches('/');
    url.path().strip_prefix(prefix).filter(|_| same_origin)
}

/// Whether a browser may show a medium of this `Content-Type` in our own origin; all others are
/// downloads.
pub fn is_shown_inline(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+.-_".contains(&b))
    };
    match essence.split_once('/') {
        Some(("image", kind)) => IMAGES.contains(&kind),
        Some(("audio" | "video", kind)) => is_token(kind),
        _ => false,
    }
}
