//! Which URLs may be fetched, and by whom. All are judged as the WHATWG parser writes them, for that
//! is what is fetched: it makes `0x7f.1` of it `127.0.0.1` and `/` of `\`, and takes `..` and
//! `%2e%2e` out of a path.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::rest::API_BASE;
use crate::config::{TwilioConfig, web_url};
use crate::web;

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
    let url = web::parse(recorded).filter(has_no_credentials)?;
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
    let url = web::join(&web::parse(from)?, location)?;
    let host = url.host_str()?;
    let is_media_host = MEDIA_DOMAINS.iter().any(|domain| {
        let above = host.strip_suffix(domain);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    });
    let is_bucket = host == MEDIA_BUCKET.0 && url.path().starts_with(MEDIA_BUCKET.1);
    let is_twilios =
        url.scheme() == "https" && url.port().is_none() && (is_media_host || is_bucket);
    let stand_in = config.api_base.as_deref().and_then(web::parse);
    let is_stand_in = stand_in.is_some_and(|base| base.origin() == url.origin());
    (has_no_credentials(&url) && (is_twilios || is_stand_in)).then(|| url.into())
}

fn has_no_credentials(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// A URL's path after that of `base`, if both are of one origin.
fn path_below<'a>(url: &'a Url, base: &str) -> Option<&'a str> {
    let base = web::parse(base)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::twilio::testing::{ACCOUNT, config};

    #[test]
    fn a_public_url_is_one_of_the_internet() {
        for (url, public) in [
            ("https://a.com/x.png?y=1#z", true),
            ("HTTP://A.com:8080", true),
            ("https://xn--bcher-kva.example/x", true),
            ("https://bücher.example/x", false),
            ("https://a.com./x", true),
            ("https://8.8.8.8/x", true),
            ("https://203.0.113.7/x", true),
            ("https://100.63.0.1", true),
            ("https://100.128.0.1", true),
            ("https://172.15.0.1", true),
            ("https://172.32.0.1", true),
            ("https://192.169.0.1", true),
            ("https://[2606:4700::1111]/x", true),
            ("https://[::ffff:8.8.8.8]/x", true),
            ("https://[64:ff9b::808:808]/x", true),
            ("https://localhost.example.com", true),
            ("", false),
            ("a.com/x", false),
            ("//a.com/x", false),
            ("ftp://a.com/x", false),
            ("data:image/png;base64,AA", false),
            ("javascript://a.com/%0Aalert(1)", false),
            ("https:a.com", false),
            ("https:///a.com", false),
            ("https:\\\\a.com", false),
            ("https://a.com\\@b.com", false),
            ("https://", false),
            (" https://a.com", false),
            ("https://a.com/x y", false),
            ("https://a.com/\n", false),
            ("https://u:p@a.com", false),
            ("https://u@a.com", false),
            ("https://:p@a.com", false),
            ("http://localhost", false),
            ("http://LOCALHOST.:80", false),
            ("http://a.localhost", false),
            ("http://printer.local", false),
            ("http://metadata.google.internal/x", false),
            ("http://intranet/x", false),
            ("http://intranet./x", false),
            ("http://0.0.0.0", false),
            ("http://0/x", false),
            ("http://10.1.2.3", false),
            ("http://100.64.0.1", false),
            ("http://100.127.255.255", false),
            ("http://127.0.0.1", false),
            ("http://127.1", false),
            ("http://127.0.0.1./x", false),
            ("http://2130706433", false),
            ("http://0x7f000001", false),
            ("http://0x7f.1", false),
            ("http://0177.0.0.1", false),
            ("http://017700000001", false),
            ("http://%31%32%37.0.0.1", false),
            ("http://１２７.0.0.1", false),
            ("http://127。0。0。1", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://172.16.0.1", false),
            ("http://172.31.255.255", false),
            ("http://192.168.0.1", false),
            ("http://198.18.0.1", false),
            ("http://224.0.0.1", false),
            ("http://255.255.255.255", false),
            ("http://256.1.1.1", false),
            ("http://[::]", false),
            ("http://[::1]", false),
            ("http://[0:0:0:0:0:0:0:1]", false),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://[::ffff:7f00:1]", false),
            ("http://[::ffff:a9fe:a9fe]", false),
            ("http://[::127.0.0.1]", false),
            ("http://[64:ff9b::7f00:1]", false),
            ("http://[2002:7f00:1::]", false),
            ("http://[fc00::1]", false),
            ("http://[fd12:3456::1]", false),
            ("http://[fe80::1]", false),
            ("http://[fec0::1]", false),
            ("http://[ff02::1]", false),
        ] {
            assert_eq!(is_public_url(url), public, "{url}");
        }
    }

    #[test]
    fn credentials_go_to_our_own_account_at_twilio_and_nowhere_else() {
        let good = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1");
        let lower = ACCOUNT.to_lowercase();
        for (recorded, expected) in [
            (format!("https://api.twilio.com{good}"), true),
            (format!("https://API.twilio.com:443{good}?x=1#top"), true),
            (format!("https://api.twilio.com/x/..{good}"), true),
            (format!("http://api.twilio.com{good}"), false),
            (format!("https://api.twilio.com:8443{good}"), false),
            (format!("https://u@api.twilio.com{good}"), false),
            (format!("https://api.twilio.com@evil.example{good}"), false),
            (format!("https://api.twilio.com\\@evil.example{good}"), false),
            (format!("https://api.twilio.com.evil.example{good}"), false),
            (format!("https://api.twilio.com.{good}"), false),
            (format!("https://evil.example{good}"), false),
            (format!("https://evil.example/https://api.twilio.com{good}"), false),
            (format!("http://127.0.0.1:4010{good}"), false),
            (format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}"), false),
            (format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/"), false),
            (format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}evil/Media/ME1"), false),
            (format!("https://api.twilio.com/2010-04-01/Accounts/{lower}/Media/ME1"), false),
            ("https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000002/Media/ME1".to_owned(), false),
            (format!("https://api.twilio.com{good}/../../../../../AC2/Media/ME1"), false),
            (format!("https://api.twilio.com{good}/%2e%2e/%2E%2e/.%2e/../../AC2/Media/ME1"), false),
            (format!("https://api.twilio.com{good}/..%2f..%2fAC2"), false),
            (format!("https://api.twilio.com{good}%5c..%5cAC2"), false),
            (format!("https://api.twilio.com{good}/..\\..\\..\\..\\..\\AC2"), false),
            (format!("https://api.twilio.com//2010-04-01/Accounts/{ACCOUNT}/Media/ME1"), false),
            (format!("https://api.twilio.com/2010-04-01/accounts/{ACCOUNT}/Media/ME1"), false),
            (good.clone(), false),
            (String::new(), false),
        ] {
            let expected = expected.then(|| format!("https://api.twilio.com{good}"));
            assert_eq!(source(&recorded, &config(None)), expected, "{recorded}");
        }
    }

    #[test]
    fn a_stand_in_for_twilio_gets_what_twilio_would() {
        let good = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1");
        for (base, recorded, expected) in [
            (
                "http://127.0.0.1:4010",
                format!("https://api.twilio.com{good}"),
                true,
            ),
            (
                "http://127.0.0.1:4010",
                format!("http://127.0.0.1:4010{good}"),
                true,
            ),
            (
                "http://127.0.0.1:4010",
                format!("http://127.0.0.1:4011{good}"),
                false,
            ),
            (
                "http://127.0.0.1:4010",
                format!("https://127.0.0.1:4010{good}"),
                false,
            ),
            (
                "http://127.0.0.1:4010",
                format!("http://localhost:4010{good}"),
                false,
            ),
            (
                "https://proxy.example/twilio",
                format!("https://api.twilio.com{good}"),
                true,
            ),
            (
                "https://proxy.example/twilio",
                format!("https://proxy.example/twilio{good}"),
                true,
            ),
            (
                "https://proxy.example/twilio",
                format!("https://proxy.example{good}"),
                false,
            ),
        ] {
            let expected = expected.then(|| format!("{base}{good}"));
            assert_eq!(
                source(&recorded, &config(Some(base))),
                expected,
                "{base} {recorded}"
            );
        }
        let mut without = config(None);
        without.auth_token = None;
        assert_eq!(
            source(&format!("https://api.twilio.com{good}"), &without),
            None
        );
    }

    #[test]
    fn redirects_lead_to_twilios_hosts_or_nowhere() {
        const FROM: &str = "https://api.twilio.com/a/b";
        for (location, expected) in [
            (
                "https://media.twiliocdn.com/AC1/x?y=1",
                Some("https://media.twiliocdn.com/AC1/x?y=1"),
            ),
            ("https://twiliocdn.com/x", Some("https://twiliocdn.com/x")),
            (
                "https://mms.TWILIO.com:443/x",
                Some("https://mms.twilio.com/x"),
            ),
            ("/c", Some("https://api.twilio.com/c")),
            ("//media.twilio.com/c", Some("https://media.twilio.com/c")),
            (
                "https://s3-external-1.amazonaws.com/media.twiliocdn.com/x",
                Some("https://s3-external-1.amazonaws.com/media.twiliocdn.com/x"),
            ),
            ("https://s3-external-1.amazonaws.com/evil/x", None),
            (
                "https://s3-external-1.amazonaws.com/media.twiliocdn.com/../evil/x",
                None,
            ),
            (
                "https://s3-external-1.amazonaws.com/media.twiliocdn.com/%2e%2e/evil/x",
                None,
            ),
            (
                "https://s3-external-1.amazonaws.com/media.twiliocdn.com",
                None,
            ),
            (
                "https://evil.s3-external-1.amazonaws.com/media.twiliocdn.com/x",
                None,
            ),
            ("http://media.twiliocdn.com/x", None),
            ("https://media.twiliocdn.com:8443/x", None),
            ("https://u:p@media.twiliocdn.com/x", None),
            ("https://media.twiliocdn.com@evil.example/x", None),
            ("https://media.twiliocdn.com.evil.example/x", None),
            ("https://eviltwilio.com/x", None),
            ("https://twilio.com./x", None),
            ("https://127.0.0.1/x", None),
            ("\\\\evil.example\\x", None),
            ("http://127.0.0.1:4010/x", None),
            ("javascript:alert(1)", None),
            ("https://", None),
        ] {
            let actual = redirect(FROM, location, &config(None));
            assert_eq!(actual.as_deref(), expected, "{location}");
        }
        let stand_in = config(Some("http://127.0.0.1:4010"));
        let from = "http://127.0.0.1:4010/a";
        for (location, expected) in [
            ("/x", Some("http://127.0.0.1:4010/x")),
            ("http://127.0.0.1:4011/x", None),
            ("http://u@127.0.0.1:4010/x", None),
        ] {
            let actual = redirect(from, location, &stand_in);
            assert_eq!(actual.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn only_what_holds_no_script_is_shown() {
        for (content_type, inline) in [
            ("image/png", true),
            ("IMAGE/JPEG", true),
            (" image/webp ; q=1", true),
            ("audio/ogg; codecs=opus", true),
            ("video/3gpp", true),
            ("image/svg+xml", false),
            ("image/", false),
            ("image/x-icon", false),
            ("audio/", false),
            ("video/mp4, text/html", false),
            ("audio", false),
            ("text/html", false),
            ("text/vcard", false),
            ("application/pdf", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            assert_eq!(is_shown_inline(content_type), inline, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_and_what_is_fetched_is_where_it_may_be(
            prefix in "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/|https?://|",
            rest in "(twilio\\.com|127\\.0\\.0\\.1|[./\\\\@%:a-f0-9]){0,12}\\PC{0,9}",
        ) {
            let url = format!("{prefix}{rest}");
            let _ = (is_public_url(&url), is_shown_inline(&url));
            if let Some(url) = source(&url, &config(None)) {
                let prefix = format!("{API_BASE}/2010-04-01/Accounts/{ACCOUNT}/");
                prop_assert!(url.starts_with(&prefix) && Url::parse(&url).unwrap().as_str() == url);
            }
            if let Some(url) = redirect("https://api.twilio.com/a", &rest, &config(None)) {
                let url = Url::parse(&url).unwrap();
                prop_assert!(url.scheme() == "https" && url.domain().is_some());
            }
        }
    }
}
