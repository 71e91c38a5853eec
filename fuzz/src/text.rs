//! Strings and numbers that parsers stumble over, and damage to a text.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

/// Strings with a meaning of their own to some parser, or longer than any field may be.
const STRINGS: [&str; 34] = [
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "//",
    "\\",
    "\0",
    "\u{1}",
    "\n",
    "\u{202e}gpj.exe",
    "\u{feff}",
    "\u{fffd}",
    "ä\u{308}",
    "🎬",
    "%",
    "%zz",
    "%00",
    "%2e%2e%2f",
    "%FF%FE",
    "%c3",
    "%25%32%35",
    "+",
    "null",
    "{random}",
    "$(HOME)",
    "1e999",
    "-1Gi",
    "99999999999999999999h",
    "0s",
    "0.5Mi",
    "2026-02-30T25:61:61Z",
    "arn:aws:iam::000000000000:role/x",
];

/// Lengths around those at which names, annotations and messages end.
const LENGTHS: [usize; 8] = [40, 41, 63, 64, 253, 254, 1025, 5000];

/// A string that a parser may not expect.
pub fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&STRINGS[..]).prop_map(str::to_owned),
        2 => ".{0,24}",
        1 => (prop::sample::select(&LENGTHS[..]), prop::sample::select(vec!["a", "é", "/", "%41", "\u{1}"]))
            .prop_map(|(length, part)| part.repeat(length)),
    ]
}

/// A value of JSON that a parser may not expect.
pub fn value() -> impl Strategy<Value = Value> {
    let numbers = vec![
        json!(0),
        json!(-1),
        json!(1),
        json!(65_536),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(-0.0),
        json!(0.1),
        json!(1e308),
        json!(4e-324),
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(numbers),
        string().prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        prop::sample::select(vec![2_usize, 60, 126, 129, 300]).prop_map(nested),
    ]
}

/// So many lists in one another.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// What happens to a text.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Insert(Index, String),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let pieces =
        vec!["{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "\0", "1e9", "-", "\u{feff}", "\n"];
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), prop_oneof![prop::sample::select(pieces).prop_map(str::to_owned), ".{1,3}"])
            .prop_map(|(at, text)| Damage::Insert(at, text)),
        (any::<Index>(), 1..8_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        (any::<Index>(), 1..64_usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ]
}

/// The texts, some of them damaged once or more.
pub fn damaged(texts: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (texts, vec(damage(), 0..3)).prop_map(|(mut text, damages)| {
        for damage in damages {
            apply(&mut text, &damage);
        }
        text
    })
}

/// A place between two characters.
fn place(text: &str, at: &Index) -> usize {
    let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
    *at.get(&places)
}

fn apply(text: &mut String, damage: &Damage) {
    let after = |text: &str, begin: usize, length: usize| {
        text[begin..].char_indices().nth(length).map_or(text.len(), |(place, _)| begin + place)
    };
    match damage {
        Damage::Cut(at) => text.truncate(place(text, at)),
        Damage::Insert(at, piece) => text.insert_str(place(text, at), piece),
        Damage::Remove(at, length) => {
            let begin = place(text, at);
            let end = after(text, begin, *length);
            text.replace_range(begin..end, "");
        }
        Damage::Repeat(at, length) => {
            let begin = place(text, at);
            let piece = text[begin..after(text, begin, *length)].to_owned();
            text.insert_str(begin, &piece);
        }
    }
}
