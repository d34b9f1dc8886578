//! Files in the syntax of Java's properties: refused, or read as entries that are read again when they are written.

use std::fmt::Write;
use std::path::Path;

use gregor::broker::config::properties;

use super::within;

pub fn holds(input: &[u8]) {
    // A character is four bytes while lines are joined, and a line is a list of them.
    let Ok(found) = within(96 * input.len() + 4096, || properties::parse(input)) else {
        return;
    };
    let lines = input.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    let mut last = 0;
    let mut text = String::new();
    for property in &found {
        assert!(
            (last + 1..=lines).contains(&property.line),
            "entries are on lines of their own"
        );
        last = property.line;
        writeln!(text, "{}={}", escaped(&property.key), escaped(&property.value)).unwrap();
    }
    let again = properties::parse(text.as_bytes()).unwrap();
    let pairs = |properties: Vec<properties::Property>| {
        let pairs = properties
            .into_iter()
            .map(|property| (property.key, property.value));
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(pairs(again), pairs(found));
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for unit in text.encode_utf16() {
        write!(escaped, "\\u{unit:04x}").unwrap();
    }
    escaped
}

pub fn seeds(_: &Path) -> Vec<Vec<u8>> {
    let lines: [&[u8]; 10] = [
        b"broker.id=0\nport : 9092\nhost.name localhost\n",
        b"# comment\n! another\n\nlog.dirs=/a,\\\n   /b,\\\r\n\t/c\n",
        b"a\\ b\\:c d\\u00e9\\ud83d\\ude00 = \\t\\n\\r\\f\\z\\\\\n",
        b"a=1\rb=2\r\nc=3\n\rd=4",
        b"a=x\\\\\\\ny\n\\\n#a=1\n",
        b"=1\n\\u0061=\\u003d\na",
        b"a=\\ud83d\nb=caf\xe9\n",
        b"zookeeper.connect=zk1:2181,zk2:2181/chroot\nlog.retention.hours=168\n",
        b"a=\\u12g4",
        b"a=x\\",
    ];
    lines.map(<[u8]>::to_vec).to_vec()
}
