//! RE2J's syntax, read as RE2J reads it, written as the `regex` crate wants it.
//!
//! A topic's name is ASCII without line ends, so each character class comes out as a set of ASCII characters, and `^`,
//! `$`, `(?m)` and `(?s)` mean the same everywhere. Groups capture nothing and repetitions are greedy: only whether the
//! whole name matches counts.

use std::collections::BTreeSet;

use super::RegexError;
use super::classes::{ALL, AsciiSet, fold, perl, posix, range, unicode};

/// The largest count in `a{n,m}`.
const MAX_REPEAT: i64 = 1_000;

/// Translates a pattern; the error is RE2J's.
pub(super) fn translate(pattern: &str) -> Result<String, RegexError> {
    let mut parser = Parser {
        input: pattern,
        position: 0,
        output: String::with_capacity(pattern.len() * 2),
        ignore_case: false,
        groups: Vec::new(),
        names: BTreeSet::new(),
        has_operand: false,
        after_repeat: false,
    };
    while let Some(next) = parser.peek() {
        let repeated = std::mem::replace(&mut parser.after_repeat, false);
        parser.item(next, repeated)?;
    }
    if parser.groups.is_empty() { Ok(parser.output) } else { Err(RegexError::MissingParen) }
}

struct Parser<'a> {
    input: &'a str,
    position: usize,
    output: String,
    ignore_case: bool,
    /// Whether case was ignored before each open group: it is so again after it.
    groups: Vec<bool>,
    names: BTreeSet<&'a str>,
    /// Whether the last thing written can be repeated. Flags and `\Q\E` are nothing: `a(?i)*` repeats the `a`.
    has_operand: bool,
    /// Whether the last thing read was a repetition, or a `{` that could have been one.
    after_repeat: bool,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn pop(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.position += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.position += if found { text.len() } else { 0 };
        found
    }

    fn item(&mut self, next: char, repeated: bool) -> Result<(), RegexError> {
        match next {
            '(' if self.rest().starts_with("(?") => return self.flags_or_group(),
            '(' => {
                self.position += 1;
                self.open(self.ignore_case);
            }
            '|' => {
                self.position += 1;
                self.output.push('|');
                self.has_operand = false;
            }
            ')' => {
                self.position += 1;
                self.ignore_case = self.groups.pop().ok_or(RegexError::StackUnderflow)?;
                self.output.push(')');
                self.has_operand = true;
            }
            '^' => self.look(1, "^"),
            '$' => self.look(1, "$"),
            '.' => {
                self.position += 1;
                self.class(ALL);
            }
            '[' => {
                let set = self.bracketed()?;
                self.class(set);
            }
            '*' | '+' | '?' => {
                self.position += 1;
                let bounds = match next {
                    '*' => "*",
                    '+' => "+",
                    // Not `?`, which after another repetition would only make that one lazy.
                    _ => "{0,1}",
                };
                self.repeat(bounds, repeated)?;
            }
            '{' => {
                self.after_repeat = true;
                match self.counts()? {
                    Some(bounds) => self.repeat(&bounds, repeated)?,
                    None => {
                        self.position += 1;
                        self.literal('{'.into());
                    }
                }
            }
            '\\' => self.escape()?,
            _ => {
                self.position += next.len_utf8();
                self.literal(next.into());
            }
        }
        Ok(())
    }

    fn open(&mut self, ignore_case_after: bool) {
        self.groups.push(ignore_case_after);
        self.output.push_str("(?:");
        self.has_operand = false;
    }

    fn look(&mut self, length: usize, written: &str) {
        self.position += length;
        self.output.push_str(written);
        self.has_operand = true;
    }

    fn repeat(&mut self, bounds: &str, repeated: bool) -> Result<(), RegexError> {
        self.eat("?");
        if repeated {
            return Err(RegexError::NestedRepeat);
        }
        if !self.has_operand {
            return Err(RegexError::MissingOperand);
        }
        self.output.push_str(bounds);
        self.after_repeat = true;
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else that starts with a brace is a literal brace.
    fn counts(&mut self) -> Result<Option<String>, RegexError> {
        let Some((inside, _)) = self.rest()[1..].split_once('}') else { return Ok(None) };
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        let Some(min) = count(least) else { return Ok(None) };
        let max = count(most);
        if max.is_none() && !most.is_empty() {
            return Ok(None);
        }
        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
            return Err(RegexError::RepeatSize);
        }
        self.position += inside.len() + 2;
        Ok(Some(match max {
            Some(max) => format!("{{{min},{max}}}"),
            None => format!("{{{min},}}"),
        }))
    }

    /// `(?i)`, `(?i:`, `(?P<name>` or `(?<name>`.
    fn flags_or_group(&mut self) -> Result<(), RegexError> {
        let named = ["(?P<", "(?<"].into_iter().find(|start| self.rest().starts_with(start));
        if let Some(start) = named {
            let (name, _) = self.rest()[start.len()..].split_once('>').ok_or(RegexError::NamedCapture)?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(RegexError::NamedCapture);
            }
            self.position += start.len() + name.len() + 1;
            self.open(self.ignore_case);
            return if self.names.insert(name) { Ok(()) } else { Err(RegexError::DuplicateCapture) };
        }
        self.position += 2;
        let (mut ignore_case, mut clearing, mut seen) = (self.ignore_case, false, false);
        while let Some(flag) = self.pop() {
            match flag {
                'i' => ignore_case = !clearing,
                'm' | 's' | 'U' => {}
                '-' if !clearing => {
                    (clearing, seen) = (true, false);
                    continue;
                }
                ')' | ':' if !clearing || seen => {
                    if flag == ':' {
                        self.open(self.ignore_case);
                    }
                    self.ignore_case = ignore_case;
                    return Ok(());
                }
                _ => break,
            }
            seen = true;
        }
        Err(RegexError::PerlSyntax)
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), RegexError> {
        let mut after = self.rest()[1..].chars();
        match after.next() {
            Some('A') => self.look(2, "^"),
            Some('z') => self.look(2, "$"),
            Some('b') => self.look(2, r"\b"),
            Some('B') => self.look(2, r"\B"),
            Some('Q') => {
                self.position += 2;
                let quoted = self.rest().split_once(r"\E").map_or(self.rest(), |(quoted, _)| quoted);
                self.position += quoted.len();
                self.eat(r"\E");
                for literal in quoted.chars() {
                    self.literal(literal.into());
                }
            }
            _ => {
                if let Some(set) = self.named_escape()? {
                    self.class(set);
                } else {
                    let literal = self.escaped_char()?;
                    self.literal(literal);
                }
            }
        }
        Ok(())
    }

    /// `\p{Name}`, `\pN`, `\d` and the like.
    fn named_escape(&mut self) -> Result<Option<AsciiSet>, RegexError> {
        let mut after = self.rest().strip_prefix('\\').unwrap_or_default().chars();
        let Some(letter) = after.next() else { return Ok(None) };
        if let Some((set, negated)) = perl(letter) {
            self.position += 2;
            return Ok(Some(if negated { !set } else { set }));
        }
        if !matches!(letter, 'p' | 'P') {
            return Ok(None);
        }
        let rest = after.as_str();
        let first = after.next().ok_or(RegexError::CharRange)?;
        let (name, length) = match rest.strip_prefix('{') {
            Some(inside) => {
                let (name, _) = inside.split_once('}').ok_or(RegexError::CharRange)?;
                (name, name.len() + 2)
            }
            None => (&rest[..first.len_utf8()], first.len_utf8()),
        };
        let (bare, negated) = name.strip_prefix('^').map_or((name, false), |bare| (bare, true));
        let set = unicode(bare, self.ignore_case).ok_or(RegexError::CharRange)?;
        self.position += 2 + length;
        Ok(Some(if negated != (letter == 'P') { !set } else { set }))
    }

    /// A character behind a backslash, as a code point (RE2J lets escapes name surrogates).
    fn escaped_char(&mut self) -> Result<u32, RegexError> {
        self.position += 1;
        let next = self.pop().ok_or(RegexError::TrailingBackslash)?;
        let octal = |parser: &Self| parser.peek().and_then(|digit| digit.to_digit(8));
        Ok(match next {
            '0'..='7' => {
                if next != '0' && octal(self).is_none() {
                    return Err(RegexError::Escape);
                }
                let mut code = u32::from(next) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = octal(self) else { break };
                    code = code * 8 + digit;
                    self.position += 1;
                }
                code
            }
            'x' => self.hexadecimal().ok_or(RegexError::Escape)?,
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            _ if next.is_ascii_alphanumeric() => return Err(RegexError::Escape),
            _ => next.into(),
        })
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        if !self.eat("{") {
            let high = self.pop()?.to_digit(16)?;
            return Some(high * 16 + self.pop()?.to_digit(16)?);
        }
        let (digits, _) = self.rest().split_once('}')?;
        if digits.is_empty() {
            return None;
        }
        let mut code = 0;
        for digit in digits.chars() {
            code = code * 16 + digit.to_digit(16)?;
            if code > u32::from(char::MAX) {
                return None;
            }
        }
        self.position += digits.len() + 1;
        Some(code)
    }

    /// `[...]`
    fn bracketed(&mut self) -> Result<AsciiSet, RegexError> {
        self.position += 1;
        let negated = self.eat("^");
        let (mut set, mut first) = (0, true);
        while first || !self.rest().starts_with(']') {
            first = false;
            if let Some(named) = self.posix_class()? {
                set |= named;
                continue;
            }
            if let Some(named) = self.named_escape()? {
                set |= named;
                continue;
            }
            let low = self.class_char()?;
            let mut high = low;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.position += 1;
                high = self.class_char()?;
            }
            if high < low {
                return Err(RegexError::CharRange);
            }
            set |= self.cased_range(low, high);
        }
        self.position += 1;
        Ok(if negated { !set } else { set })
    }

    /// `[:alpha:]` or `[:^alpha:]`. RE2J looks for the end in all that is left of the pattern.
    fn posix_class(&mut self) -> Result<Option<AsciiSet>, RegexError> {
        let rest = self.rest();
        if !rest.starts_with("[:") {
            return Ok(None);
        }
        let Some(end) = rest.find(":]") else { return Ok(None) };
        let name = rest.get(2..end).ok_or(RegexError::CharRange)?;
        let (bare, negated) = name.strip_prefix('^').map_or((name, false), |bare| (bare, true));
        let set = self.cased(posix(bare).ok_or(RegexError::CharRange)?);
        self.position += end + 2;
        Ok(Some(if negated { !set } else { set }))
    }

    fn class_char(&mut self) -> Result<u32, RegexError> {
        match self.peek() {
            None => Err(RegexError::MissingBracket),
            Some('\\') => self.escaped_char(),
            Some(next) => {
                self.position += next.len_utf8();
                Ok(next.into())
            }
        }
    }

    fn cased(&self, set: AsciiSet) -> AsciiSet {
        if self.ignore_case { fold(set) } else { set }
    }

    fn cased_range(&self, low: u32, high: u32) -> AsciiSet {
        let mut set = range(low, high);
        // Two letters beyond ASCII are other cases of ASCII ones: the long s and the Kelvin sign.
        for (other, letter) in [(0x17f, u32::from('s')), (0x212a, u32::from('k'))] {
            if self.ignore_case && (low..=high).contains(&other) {
                set |= range(letter, letter);
            }
        }
        self.cased(set)
    }

    fn literal(&mut self, code: u32) {
        self.class(self.cased_range(code, code));
    }

    /// Writes a set of characters.
    fn class(&mut self, set: AsciiSet) {
        self.has_operand = true;
        if set == 0 {
            // No character of a topic's name: an intersection that is empty.
            self.output.push_str("[a&&b]");
            return;
        }
        let single = set.count_ones() == 1;
        self.output.push_str(if single { "" } else { "[" });
        let mut code = 0;
        while code < 128 {
            if set & 1 << code == 0 {
                code += 1;
                continue;
            }
            let run = (!(set >> code)).trailing_zeros();
            self.output.push_str(&format!(r"\x{code:02x}"));
            if run > 1 {
                self.output.push_str(&format!(r"-\x{:02x}", code + run - 1));
            }
            code += run;
        }
        self.output.push_str(if single { "" } else { "]" });
    }
}

/// A number as RE2J takes one in a repetition: no sign, no leading zero. Too long ones are too large ones.
fn count(digits: &str) -> Option<i64> {
    let canonical = digits == "0" || !digits.starts_with('0');
    if digits.is_empty() || !canonical || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(i64::MAX))
}
