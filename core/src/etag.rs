//! Entity tags (RFC 9110 §8.8.3): a poller that has the newest answer already is told so in a few bytes.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// How much of the body's hash a tag holds: 64 bits tell one client's answers apart.
const BYTES: usize = 8;

/// The strong entity tag of a body, with its quotes.
pub fn of(body: &[u8]) -> String {
    let mut tag = String::from('"');
    for byte in Sha256::digest(body).iter().take(BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether `If-None-Match` names this tag, so that a GET's answer is 304 (RFC 9110 §13.1.2): `*`, or
/// a list in which a tag is the same but for `W/`. What is no tag ends the list.
pub fn matches(if_none_match: &str, etag: &str) -> bool {
    let wanted = first_tag(etag).map(|(tag, _)| tag);
    let mut rest = if_none_match;
    while let Some((tag, after)) = first_tag(rest) {
        if wanted == Some(tag) {
            return true;
        }
        rest = after;
    }
    if_none_match.trim() == "*"
}

/// The first tag of a list without its quotes, and what follows. A comma may stand in a tag, and
/// elements may be empty (§5.6.1).
fn first_tag(list: &str) -> Option<(&str, &str)> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    let quoted = list.strip_prefix("W/").unwrap_or(list);
    quoted.strip_prefix('"')?.split_once('"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_has_one_tag_and_another_body_another() {
        assert_eq!(of(b""), r#""e3b0c44298fc1c14""#);
        assert_eq!(of(b"{}"), of(b"{}"));
        assert_ne!(of(b"{}"), of(b"{ }"));
    }

    #[test]
    fn if_none_match_names_a_tag_or_not() {
        const A: &str = r#""a""#;
        for (header, etag, expected) in [
            ("*", A, true),
            (" * ", A, true),
            (r#""a""#, A, true),
            (r#"  "a"	"#, A, true),
            (r#"W/"a""#, A, true),
            (r#""a""#, r#"W/"a""#, true),
            (r#"W/"a""#, r#"W/"a""#, true),
            (r#""b", "a""#, A, true),
            (r#""b","a""#, A, true),
            (r#""b" , W/"a", "c""#, A, true),
            (r#",, "b",, "a","#, A, true),
            (r#""b,c", "a""#, A, true),
            (r#""a,b""#, A, false),
            (r#""x, "a", y""#, A, false),
            (r#""b""#, A, false),
            (r#""A""#, A, false),
            (r#""""#, A, false),
            (r#""""#, r#""""#, true),
            ("", A, false),
            (",", A, false),
            ("a", A, false),
            (r#""a"#, A, false),
            (r#"w/"a""#, A, false),
            (r#"W/ "a""#, A, false),
            (r#"b, "a""#, A, false),
            (r#"*, "a""#, A, false),
            (r#""b" "c" x "a""#, A, false),
        ] {
            assert_eq!(matches(header, etag), expected, "{header} and {etag}");
        }
    }

    proptest! {
        #[test]
        fn a_tag_matches_itself_in_any_list_of_tags(body in any::<Vec<u8>>(), others in "(\"[a-z,]{0,3}\", ?){0,3}", garbage in any::<String>()) {
            let tag = of(&body);
            prop_assert!(matches(&tag, &tag));
            let list = format!("{others}W/{tag}");
            prop_assert!(matches(&list, &tag));
            prop_assert!(!matches(&others, &tag));
            let _ = matches(&garbage, &garbage);
        }
    }
}
