//! How many SMS a text is sent as.
//!
//! <https://www.twilio.com/docs/glossary/what-sms-character-limit>. npm `sms-segments-calculator`
//! 1.3.0, Twilio's own, is the oracle: encoding `auto`, smart encoding off.

use unicode_segmentation::UnicodeSegmentation as _;

/// An SMS: 140 octets.
const SEGMENT_BITS: usize = 140 * 8;
/// What each of several holds less, for the header that joins them: 6 octets.
const HEADER_BITS: usize = 6 * 8;
/// GSM 03.38's basic characters: 7 bits.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table: an escape and a character.
const EXTENDED: &str = "\u{c}^{}\\[~]|€";
/// Viramas join consonants to one cluster since Unicode 15.1; the oracle has 10.0. Other differences
/// are emoji of 2018 and later, which it takes apart where they meet a segment's end.
const VIRAMAS: [char; 8] = [
    '\u{94d}', '\u{9cd}', '\u{acd}', '\u{b4d}', '\u{c4d}', '\u{d4d}', '\u{1039}', '\u{17d2}',
];
/// A mark that joins nothing; as long as those in UTF-16.
const MARK: &str = "\u{300}";

/// The segments of a text in one SMS message; of an empty one, 1. In GSM-7 an escape stays with its
/// character, in UCS-2 a cluster of code points stays together.
pub fn count(text: &str) -> u32 {
    let mut segments: u32 = 1;
    let mut used = 0;
    // What the first segment holds: some of it moves on if there is a second.
    let mut first = Vec::new();
    for bits in gsm_7(text).unwrap_or_else(|| ucs_2(text)) {
        if used + bits > SEGMENT_BITS {
            let mut moved = 0;
            while segments == 1 && used + HEADER_BITS > SEGMENT_BITS {
                let last = first.pop().unwrap_or(used);
                used -= last;
                moved += last;
            }
            segments = segments.saturating_add(1);
            used = HEADER_BITS + moved;
        }
        used += bits;
        if segments == 1 {
            first.push(bits);
        }
    }
    segments
}

/// The bits of each character in GSM-7. `None` if one is not in it.
fn gsm_7(text: &str) -> Option<Vec<usize>> {
    let bits = |c| match c {
        _ if BASIC.contains(c) => Some(7),
        _ if EXTENDED.contains(c) => Some(14),
        _ => None,
    };
    text.chars().map(bits).collect()
}

/// The bits of each cluster in UCS-2. A line's end is two.
fn ucs_2(text: &str) -> Vec<usize> {
    text.replace('\r', "\n")
        .replace(VIRAMAS, MARK)
        .graphemes(true)
        .map(|cluster| cluster.encode_utf16().count() * 16)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_have_the_segments_that_twilios_calculator_counts() {
        let rows: Vec<(u32, Vec<(String, usize)>)> =
            serde_json::from_str(include_str!("../../../tests/vectors/segments.json")).unwrap();
        assert!(rows.len() > 800);
        for (segments, parts) in rows {
            let text: String = parts
                .iter()
                .map(|(text, times)| text.repeat(*times))
                .collect();
            assert_eq!(count(&text), segments, "{parts:?}");
        }
    }

    #[test]
    fn twilios_examples() {
        for (text, segments) in [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("ç".repeat(71), 2),
            ("👍".repeat(35), 1),
            ("👍".repeat(36), 2),
        ] {
            assert_eq!(count(&text), segments, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_fits_in_less_than_its_bits_take(text in "(\\PC|[a-z€\u{301}\u{200d}👍\r\n]){0,400}") {
            let bits: usize = gsm_7(&text).unwrap_or_else(|| ucs_2(&text)).iter().sum();
            let segments = usize::try_from(count(&text)).unwrap();
            prop_assert!(segments >= bits.div_ceil(SEGMENT_BITS).max(1));
            prop_assert!(segments <= bits / 7 + 1);
        }
    }
}
