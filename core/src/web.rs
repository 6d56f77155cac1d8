//! URLs, as the WHATWG parser reads them, for that is what is fetched.
//!
//! A host's name is ASCII here: a name in another script is given as browsers send it, in Punycode
//! (`xn--…`). The tables of Unicode that the parser would need to write it so itself are left out
//! (`idna_adapter` in Cargo.lock): they are a tenth of the Worker.

use percent_encoding::percent_decode_str;
use url::Url;

/// An absolute URL; `None` also where its host is not written in ASCII.
pub(crate) fn parse(text: &str) -> Option<Url> {
    has_ascii_host(text).then(|| Url::parse(text).ok())?
}

/// Where `reference`, on the page `base`, leads.
pub(crate) fn join(base: &Url, reference: &str) -> Option<Url> {
    has_ascii_host(reference).then(|| base.join(reference).ok())?
}

/// Whether a reference names no host, or one in ASCII, after the parser's percent-decoding.
fn has_ascii_host(reference: &str) -> bool {
    let reference = reference.replace(['\t', '\n', '\r'], ""); // so does the parser
    let reference = reference.trim_start_matches(|c: char| c <= ' ');
    let slashes = ['/', '\\'];
    let authority = match reference.split_once(':').filter(|(s, _)| is_scheme(s)) {
        Some((_, rest)) => rest,
        None if reference
            .chars()
            .take_while(|c| slashes.contains(c))
            .count()
            >= 2 =>
        {
            reference
        }
        None => return true,
    };
    let host = authority.trim_start_matches(slashes);
    let host = host.split(['/', '\\', '?', '#']).next();
    percent_decode_str(host.unwrap_or_default()).all(|byte| byte.is_ascii())
}

/// RFC 3986 §3.1.
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_written_in_ascii() {
        let base = Url::parse("https://a.com/x/y").unwrap();
        for (reference, expected) in [
            (
                "https://xn--bcher-kva.example/é",
                Some("https://xn--bcher-kva.example/%C3%A9"),
            ),
            (
                "https://XN--BCHER-KVA.example",
                Some("https://xn--bcher-kva.example/"),
            ),
            ("https://bücher.example", None),
            ("https:\\\\b\tü.example", None),
            (" https://b%C3%BCcher.example", None),
            ("https://%\tC3%BC.example", None),
            ("https:ü.example", None),
            ("//bücher.example", None),
            ("\\/ü?x:y", None),
            ("/é:1", Some("https://a.com/%C3%A9:1")),
            ("//b.com/%C3%A9", Some("https://b.com/%C3%A9")),
            ("é?ü", Some("https://a.com/x/%C3%A9?%C3%BC")),
        ] {
            let joined = join(&base, reference).map(String::from);
            assert_eq!(joined.as_deref(), expected, "{reference:?}");
            if reference.contains("://") {
                assert_eq!(parse(reference).map(String::from), joined, "{reference:?}");
            }
        }
    }

    proptest! {
        // In a debug build the parser itself asserts that it is never given another host.
        #[test]
        fn no_input_panics(text in "[ \\t]?(http|https|HTTP|ws|file)?:?[/\\\\\\t]{0,3}[a-zA-Z%0-9éЖ.@:Ａ\\t]{0,12}[/?#]?.{0,4}") {
            let base = Url::parse("https://a.com/x/y").unwrap();
            for url in [parse(&text), join(&base, &text)].into_iter().flatten() {
                prop_assert!(url.as_str().is_ascii());
            }
        }
    }
}
