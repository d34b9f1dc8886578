//! The syntax of Java's properties files, as `java.util.Properties.load` reads it, with the line of every entry.
//!
//! Always holds: whatever the bytes, the answer is a list of entries or the line that is wrong.

/// One `key=value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped; blanks at its end are still there.
    pub value: String,
    /// The line on which the entry begins, from 1.
    pub line: usize,
}

/// A `\u` that four hexadecimal digits do not follow: the one thing that this syntax refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed \\uxxxx escape on line {line}")]
pub struct MalformedEscape {
    /// The line on which the entry begins, from 1.
    pub line: usize,
}

/// All entries in the order of the file, repeated keys included: the last one counts.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, MalformedEscape> {
    logical_lines(bytes)
        .into_iter()
        .map(|(line, text)| {
            let (key, value) = split(&text);
            let unescape = |part| unescape(part).ok_or(MalformedEscape { line });
            Ok(Property {
                key: unescape(key)?,
                value: unescape(value)?,
                line,
            })
        })
        .collect()
}

/// Lines without comments and blank ones, continuations joined, each with the number of its first natural line.
/// Bytes are ISO-8859-1, so every byte is one character.
fn logical_lines(bytes: &[u8]) -> Vec<(usize, Vec<char>)> {
    let mut lines = Vec::new();
    let mut joined: Option<(usize, Vec<char>)> = None;
    for (index, natural) in natural_lines(bytes).into_iter().enumerate() {
        let text: Vec<char> = natural.iter().map(|byte| char::from(*byte)).collect();
        let mut text = text.into_iter().skip_while(|c| is_blank(*c)).peekable();
        let (number, mut line) = match joined.take() {
            Some(unfinished) => unfinished,
            None if matches!(text.peek(), None | Some('#' | '!')) => continue,
            None => (index.saturating_add(1), Vec::new()),
        };
        line.extend(text);
        let backslashes = line.iter().rev().take_while(|c| **c == '\\').count();
        if backslashes % 2 == 1 {
            line.pop();
            // After nothing but a backslash the next line is a new one.
            joined = Some((number, line)).filter(|(_, line)| !line.is_empty());
        } else {
            lines.push((number, line));
        }
    }
    // A backslash at the end of the file joins nothing.
    lines.extend(joined);
    lines
}

/// The file cut at `\n`, `\r` and `\r\n`.
fn natural_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        // A carriage return before the line feed belongs to it; any other one ends a line itself.
        lines.extend(
            line.strip_suffix(b"\r")
                .unwrap_or(line)
                .split(|byte| *byte == b'\r'),
        );
    }
    lines
}

/// Cuts a line at the first unescaped `=`, `:` or blank, and drops one separator with the blanks around it.
fn split(line: &[char]) -> (&[char], &[char]) {
    let mut escaped = false;
    let key_len = line
        .iter()
        .position(|c| {
            let ends = !escaped && (is_blank(*c) || is_separator(*c));
            escaped = *c == '\\' && !escaped;
            ends
        })
        .unwrap_or(line.len());
    let (key, rest) = line.split_at_checked(key_len).unwrap_or((line, &[]));
    let rest = skip_blanks(rest);
    match rest.split_first() {
        Some((first, after)) if is_separator(*first) => (key, skip_blanks(after)),
        _ => (key, rest),
    }
}

fn skip_blanks(text: &[char]) -> &[char] {
    let blanks = text.iter().take_while(|c| is_blank(**c)).count();
    text.get(blanks..).unwrap_or_default()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn is_separator(c: char) -> bool {
    matches!(c, '=' | ':')
}

/// Replaces escapes; `None` if a `\u` is malformed. Works on UTF-16 as Java does, since an escape is one unit of it.
fn unescape(text: &[char]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.push(latin1_unit(c));
            continue;
        }
        match rest.next() {
            Some('u') => units.push(hex_unit(&mut rest)?),
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(u16::from(b'\x0c')),
            Some(other) => units.push(latin1_unit(other)),
            None => {}
        }
    }
    Some(String::from_utf16_lossy(&units))
}

/// Every character here was one byte.
fn latin1_unit(c: char) -> u16 {
    u16::try_from(u32::from(c)).unwrap_or(u16::MAX)
}

/// The unit that the next four hexadecimal digits name.
fn hex_unit(digits: &mut impl Iterator<Item = char>) -> Option<u16> {
    (0..4).try_fold(0u16, |unit, _| {
        let digit = digits.next()?.to_digit(16)?;
        Some((unit << 4) | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[u8]) -> Vec<(String, String)> {
        parse(text)
            .unwrap()
            .into_iter()
            .map(|p| (p.key, p.value))
            .collect()
    }

    type Case = (&'static [u8], &'static [(&'static str, &'static str)]);

    /// Text of a file, and what `java.util.Properties` makes of it.
    const CASES: &[Case] = &[
        (b"broker.id=1", &[("broker.id", "1")]),
        (b"broker.id 1", &[("broker.id", "1")]),
        (b"broker.id:1", &[("broker.id", "1")]),
        (b"broker.id = 1", &[("broker.id", "1")]),
        (b"broker.id\t:\x0c1", &[("broker.id", "1")]),
        (b"  \t broker.id=1", &[("broker.id", "1")]),
        (b"a == 1", &[("a", "= 1")]),
        (b"a : = 1", &[("a", "= 1")]),
        (b"a  b = c", &[("a", "b = c")]),
        (b"port=9092 # x", &[("port", "9092 # x")]),
        (b"# a=1\n ! b=2\n\n \t\nc=3", &[("c", "3")]),
        (b"# ends in a backslash \\\na=1", &[("a", "1")]),
        (b"a=5 \t", &[("a", "5 \t")]),
        (b"a", &[("a", "")]),
        (b"a=", &[("a", "")]),
        (b"=1", &[("", "1")]),
        (b"a=1\nb=2\na=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
        (
            b"a=1\rb=2\r\nc=3\n\rd=4",
            &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
        ),
        (b"a=x,\\\n   y,\\\r\n\tz", &[("a", "x,y,z")]),
        (b"a=x\\\\\nb=1", &[("a", "x\\"), ("b", "1")]),
        (b"a=x\\\\\\\ny", &[("a", "x\\y")]),
        (b"a=x\\\n#y", &[("a", "x#y")]),
        (b"a=x\\\n\nb=1", &[("a", "x"), ("b", "1")]),
        (b"a=x\\", &[("a", "x")]),
        (b"\\", &[]),
        (b"\\\n#a=1\n\\\n\nb=2", &[("b", "2")]),
        (b"a\\=b=c", &[("a=b", "c")]),
        (b"a\\ b\\:c d", &[("a b:c", "d")]),
        (b"a\\\\=b", &[("a\\", "b")]),
        (b"a=C:\\data\\temp", &[("a", "C:data\temp")]),
        (b"a=\\t\\n\\r\\f\\z\\\\", &[("a", "\t\n\r\x0cz\\")]),
        (b"a=\\ b", &[("a", " b")]),
        (b"a=\\u00e9\\u20AC", &[("a", "\u{e9}\u{20ac}")]),
        (b"a=\\ud83d\\ude00", &[("a", "\u{1f600}")]),
        (b"a=\\ud83d", &[("a", "\u{fffd}")]),
        (b"a=\\\\u00zz", &[("a", "\\u00zz")]),
        (b"\\u0061=\\u003d", &[("a", "=")]),
        (b"a=caf\xe9", &[("a", "caf\u{e9}")]),
        (b"", &[]),
    ];

    #[test]
    fn files_are_read_as_java_reads_them() {
        for (text, expected) in CASES {
            let expected: Vec<_> = expected
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(pairs(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn an_entry_knows_the_line_on_which_it_begins() {
        let text = b"# comment\n\na=1\r\nb=x,\\\n  y\n  \nc=3\n";
        let lines: Vec<_> = parse(text)
            .unwrap()
            .into_iter()
            .map(|p| (p.key, p.line))
            .collect();
        assert_eq!(
            lines,
            [("a".to_owned(), 3), ("b".to_owned(), 4), ("c".to_owned(), 7)]
        );
    }

    #[test]
    fn a_malformed_escape_is_refused_with_its_line() {
        for text in [&b"a=1\nb=\\u12"[..], b"a=1\nb=\\u12g4", b"a=1\n\\u=1"] {
            assert_eq!(
                parse(text),
                Err(MalformedEscape { line: 2 }),
                "{}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..20_000 {
            let alphabet = b"a=: \\u0\n\r#!\t\xff";
            let text: Vec<u8> = (0..random.usize(0..12))
                .map(|_| *random.choice(alphabet).unwrap())
                .collect();
            let _ = parse(&text);
        }
    }
}
