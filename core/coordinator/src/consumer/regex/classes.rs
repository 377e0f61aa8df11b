//! The named character classes of RE2J 1.8, as far as they have characters that a topic's name can have: ASCII.

/// A set of ASCII characters: bit n is character n.
pub(super) type AsciiSet = u128;

/// All of ASCII.
pub(super) const ALL: AsciiSet = u128::MAX;

/// The characters from `low` to `high` (code points, both included) that are ASCII.
pub(super) fn range(low: u32, high: u32) -> AsciiSet {
    if low > 127 || low > high {
        return 0;
    }
    (ALL << low) & (ALL >> (127 - high.min(127)))
}

/// The set with the other case of its letters.
pub(super) fn fold(set: AsciiSet) -> AsciiSet {
    let (upper, lower) = (range(65, 90), range(97, 122));
    set | (set & upper) << 32 | (set & lower) >> 32
}

/// `\d`, `\s`, `\w` and their opposites, by the letter.
pub(super) fn perl(letter: char) -> Option<(AsciiSet, bool)> {
    let set = match letter.to_ascii_lowercase() {
        'd' => DIGIT,
        's' => 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 32,
        'w' => WORD,
        _ => return None,
    };
    Some((set, letter.is_ascii_uppercase()))
}

const DIGIT: AsciiSet = 0x3ff << 48;
const LOWER: AsciiSet = 0x3ff_ffff << 97;
const UPPER: AsciiSet = 0x3ff_ffff << 65;
const WORD: AsciiSet = DIGIT | LOWER | UPPER | 1 << 95;

/// `[:alpha:]` and the others, by the name without brackets, colons and caret.
pub(super) fn posix(name: &str) -> Option<AsciiSet> {
    Some(match name {
        "alnum" => DIGIT | LOWER | UPPER,
        "alpha" => LOWER | UPPER,
        "ascii" => ALL,
        "blank" => 1 << 9 | 1 << 32,
        "cntrl" => range(0, 31) | 1 << 127,
        "digit" => DIGIT,
        "graph" => range(33, 126),
        "lower" => LOWER,
        "print" => range(32, 126),
        "punct" => range(33, 126) & !(DIGIT | LOWER | UPPER),
        "space" => range(9, 13) | 1 << 32,
        "upper" => UPPER,
        "word" => WORD,
        "xdigit" => DIGIT | range(65, 70) | range(97, 102),
        _ => return None,
    })
}

/// A general category or script of Unicode, as in `\p{Greek}`, with its ASCII characters; `folded` is for `(?i)`.
pub(super) fn unicode(name: &str, folded: bool) -> Option<AsciiSet> {
    if let Ok(place) = WITH_ASCII.binary_search_by_key(&name, |(name, _, _)| name) {
        let (_, exact, with_cases) = WITH_ASCII[place];
        return Some(if folded { with_cases } else { exact });
    }
    WITHOUT_ASCII.binary_search(&name).ok().map(|_| 0)
}

/// Name, ASCII characters, ASCII characters under `(?i)`. The last isn't always what one would expect (`Ll`): this is
/// what RE2J's tables yield.
#[rustfmt::skip]
const WITH_ASCII: &[(&str, AsciiSet, AsciiSet)] = &[
    ("Any", 0xffffffff_ffffffff_ffffffff_ffffffff, 0xffffffff_ffffffff_ffffffff_ffffffff),
    ("C", 0x80000000_00000000_00000000_ffffffff, 0x80000000_00000000_00000000_ffffffff),
    ("Cc", 0x80000000_00000000_00000000_ffffffff, 0x80000000_00000000_00000000_ffffffff),
    ("Common", 0xf8000001_f8000001_ffffffff_ffffffff, 0xf8000001_f8000001_ffffffff_ffffffff),
    ("L", 0x07fffffe_07fffffe_00000000_00000000, 0x07fffffe_07fffffe_00000000_00000000),
    ("Latin", 0x07fffffe_07fffffe_00000000_00000000, 0x07fffffe_07fffffe_00000000_00000000),
    ("Ll", 0x07fffffe_00000000_00000000_00000000, 0x07fffffe_00080800_00000000_00000000),
    ("Lu", 0x00000000_07fffffe_00000000_00000000, 0x07fffffe_07fffffe_00000000_00000000),
    ("N", 0x00000000_00000000_03ff0000_00000000, 0x00000000_00000000_03ff0000_00000000),
    ("Nd", 0x00000000_00000000_03ff0000_00000000, 0x00000000_00000000_03ff0000_00000000),
    ("P", 0x28000000_b8000001_8c00f7ee_00000000, 0x28000000_b8000001_8c00f7ee_00000000),
    ("Pc", 0x00000000_80000000_00000000_00000000, 0x00000000_80000000_00000000_00000000),
    ("Pd", 0x00000000_00000000_00002000_00000000, 0x00000000_00000000_00002000_00000000),
    ("Pe", 0x20000000_20000000_00000200_00000000, 0x20000000_20000000_00000200_00000000),
    ("Po", 0x00000000_10000001_8c00d4ee_00000000, 0x00000000_10000001_8c00d4ee_00000000),
    ("Ps", 0x08000000_08000000_00000100_00000000, 0x08000000_08000000_00000100_00000000),
    ("S", 0x50000001_40000000_70000810_00000000, 0x50000001_40000000_70000810_00000000),
    ("Sc", 0x00000000_00000000_00000010_00000000, 0x00000000_00000000_00000010_00000000),
    ("Sk", 0x00000001_40000000_00000000_00000000, 0x00000001_40000000_00000000_00000000),
    ("Sm", 0x50000000_00000000_70000800_00000000, 0x50000000_00000000_70000800_00000000),
    ("Z", 0x00000000_00000000_00000001_00000000, 0x00000000_00000000_00000001_00000000),
    ("Zs", 0x00000000_00000000_00000001_00000000, 0x00000000_00000000_00000001_00000000),
];

#[rustfmt::skip]
const WITHOUT_ASCII: &[&str] = &[
    "Arabic", "Armenian", "Avestan", "Balinese", "Bamum", "Batak", "Bengali", "Bopomofo", "Brahmi", "Braille",
    "Buginese", "Buhid", "Canadian_Aboriginal", "Carian", "Cf", "Cham", "Cherokee", "Co", "Coptic", "Cs", "Cuneiform",
    "Cypriot", "Cyrillic", "Deseret", "Devanagari", "Egyptian_Hieroglyphs", "Ethiopic", "Georgian", "Glagolitic",
    "Gothic", "Greek", "Gujarati", "Gurmukhi", "Han", "Hangul", "Hanunoo", "Hebrew", "Hiragana", "Imperial_Aramaic",
    "Inherited", "Inscriptional_Pahlavi", "Inscriptional_Parthian", "Javanese", "Kaithi", "Kannada", "Katakana",
    "Kayah_Li", "Kharoshthi", "Khmer", "Lao", "Lepcha", "Limbu", "Linear_B", "Lisu", "Lm", "Lo", "Lt", "Lycian",
    "Lydian", "M", "Malayalam", "Mandaic", "Mc", "Me", "Meetei_Mayek", "Mn", "Mongolian", "Myanmar", "New_Tai_Lue",
    "Nko", "Nl", "No", "Ogham", "Ol_Chiki", "Old_Italic", "Old_Persian", "Old_South_Arabian", "Old_Turkic", "Oriya",
    "Osmanya", "Pf", "Phags_Pa", "Phoenician", "Pi", "Rejang", "Runic", "Samaritan", "Saurashtra", "Shavian",
    "Sinhala", "So", "Sundanese", "Syloti_Nagri", "Syriac", "Tagalog", "Tagbanwa", "Tai_Le", "Tai_Tham", "Tai_Viet",
    "Tamil", "Telugu", "Thaana", "Thai", "Tibetan", "Tifinagh", "Ugaritic", "Unknown", "Vai", "Yi", "Zl", "Zp",
];
