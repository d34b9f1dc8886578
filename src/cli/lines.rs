//! Lines of standard input, read on a thread of their own, since reading a terminal cannot be interrupted.

use std::io;
use std::io::BufRead;

use tokio::sync::mpsc;

/// Chunks that may wait. When there are as many, reading pauses.
const CHUNKS_MAX: usize = 16;

/// Bytes that are read at a time.
const BUFFER_LEN: usize = 256 * 1024;

/// The lines that were there at one moment; at least one.
pub(super) type Chunk = Vec<Vec<u8>>;

/// Starts reading. The channel ends with the input, or after an error.
pub(super) fn read_stdin() -> mpsc::Receiver<io::Result<Chunk>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    std::thread::spawn(move || {
        let mut input = io::BufReader::with_capacity(BUFFER_LEN, io::stdin());
        while let Some(chunk) = next_chunk(&mut input).transpose() {
            let failed = chunk.is_err();
            // Nobody listens once the program is about to end.
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// Waits for one line and takes those that came with it. Line ends are LF or CRLF; the last line needs none.
fn next_chunk<R: io::Read>(input: &mut io::BufReader<R>) -> io::Result<Option<Chunk>> {
    let mut lines = Vec::new();
    while lines.is_empty() || input.buffer().contains(&b'\n') {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.pop_if(|last| *last == b'\n').is_some() {
            line.pop_if(|last| *last == b'\r');
        }
        lines.push(line);
    }
    Ok((!lines.is_empty()).then_some(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(input: &[u8]) -> Vec<Vec<String>> {
        let mut reader = io::BufReader::with_capacity(8, input);
        let mut chunks = Vec::new();
        while let Some(chunk) = next_chunk(&mut reader).unwrap() {
            chunks.push(
                chunk
                    .iter()
                    .map(|line| String::from_utf8_lossy(line).into_owned())
                    .collect(),
            );
        }
        chunks
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_the_last_one_with_the_input() {
        assert_eq!(chunks(b"a\nb\r\n\nc").concat(), ["a", "b", "", "c"]);
        assert_eq!(chunks(b"a\rb\n").concat(), ["a\rb"]);
        assert_eq!(chunks(b"\r"), [["\r"]]);
        assert_eq!(chunks(b""), Vec::<Vec<String>>::new());
    }

    #[test]
    fn what_has_come_is_given_without_waiting_for_more() {
        // Eight bytes are there at first: two whole lines and the beginning of a third.
        assert_eq!(chunks(b"abc\ndef\nghi\n"), [vec!["abc", "def"], vec!["ghi"]]);
        assert_eq!(chunks(b"abc\ndefghi\n"), [vec!["abc"], vec!["defghi"]]);
    }
}
