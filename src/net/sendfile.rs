//! From file to socket without passing through this process, and bytes with the hint that a file follows.

use std::io;
use std::io::IoSlice;
use std::num::NonZeroU64;

use rustix::fs::Advice;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::blocking;
use crate::message::slice::FileSlice;

/// Bytes of a file per call, so that a fast reader does not keep a thread for itself.
const CALL_MAX: u64 = 1 << 20;

/// Writes some of `bytes`, in one call. `more`: something follows at once, so the kernel may wait to fill a packet.
pub(super) async fn send_bytes(socket: &TcpStream, bytes: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let flags = if more {
        SendFlags::NOSIGNAL | SendFlags::MORE
    } else {
        SendFlags::NOSIGNAL
    };
    let send = || {
        Ok(rustix::net::sendmsg(
            socket,
            bytes,
            &mut SendAncillaryBuffer::default(),
            flags,
        )?)
    };
    socket.async_io(Interest::WRITABLE, send).await
}

/// Sends some of `slice` and moves it past what was sent.
///
/// An error if the file ends before the slice does: it was truncated meanwhile.
pub(super) async fn send_file(socket: &TcpStream, slice: &mut FileSlice) -> io::Result<u64> {
    let sent = if slice.cold {
        loop {
            socket.writable().await?;
            match blocking::in_place(|| send_cold(socket, slice)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => break sent?,
            }
        }
    } else {
        socket
            .async_io(Interest::WRITABLE, || send_once(socket, slice))
            .await?
    };
    if sent == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    slice.position += sent;
    slice.len = slice.len.saturating_sub(sent);
    Ok(sent)
}

fn send_cold(socket: &TcpStream, slice: &FileSlice) -> io::Result<u64> {
    // Twice what is sent now: the second half is read while the first is on its way. Advice that fails is no loss.
    let ahead = NonZeroU64::new(slice.len.min(2 * CALL_MAX));
    let _ = rustix::fs::fadvise(&*slice.file, slice.position, ahead, Advice::WillNeed);
    socket.try_io(Interest::WRITABLE, || send_once(socket, slice))
}

fn send_once(socket: &TcpStream, slice: &FileSlice) -> io::Result<u64> {
    let mut position = slice.position;
    let count = usize::try_from(slice.len.min(CALL_MAX)).unwrap_or(usize::MAX);
    let sent = rustix::fs::sendfile(socket, &*slice.file, Some(&mut position), count)?;
    Ok(u64::try_from(sent).unwrap_or(0))
}
