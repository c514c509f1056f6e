//! The heads of HTTP/1 requests, looked at before hyper reads them, for what hyper hides.
//!
//! hyper drops `Content-Length` from a request that also has `Transfer-Encoding`, and takes a bare
//! LF for a line's end. Either lets two readers of one connection see different requests
//! (RFC 9112 §2.2, §6.1, §11.2). Such a head is handed on with bytes that hyper cannot read, so
//! that hyper itself answers 400 and closes; requests before it on the connection are served.
//!
//! httparse, which hyper uses too, does the parsing. A body is passed over by its length; behind a
//! chunked one nothing is looked at, and [`super::edge`] ends the connection after it.
//!
//! Promises (P8): bytes that are not refused go on unchanged; at most [`HEAD_BYTES_MAX`] are kept.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What hyper buffers of a head; it refuses a longer one.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// As many as hyper takes; it refuses a head that has more.
const HEADERS_MAX: usize = 100;
/// What no reader of HTTP takes, wherever in a head it stands.
const UNREADABLE: &[u8] = b"\0\r\n\r\n";

/// A connection whose incoming heads are looked at.
pub(super) struct Watched<S> {
    stream: S,
    watch: Watch,
}

enum Watch {
    /// A head is awaited; this much of it has arrived.
    Head(Vec<u8>),
    /// So many bytes belong to a body.
    Body(u64),
    /// Bytes that were read already; this much of them was not handed on yet. Nothing behind is looked at.
    Begun(&'static [u8]),
    /// Nothing more is looked at.
    Over,
    /// A head was refused; this much of [`UNREADABLE`] was not handed on yet.
    Refused(&'static [u8]),
}

impl<S> Watched<S> {
    /// Looks at the heads of HTTP/1 requests on `stream`.
    pub(super) fn http1(stream: S) -> Self {
        Watched { stream, watch: Watch::Head(Vec::new()) }
    }

    /// HTTP/2 frames its messages; there is nothing to look at.
    pub(super) fn http2(stream: S) -> Self {
        Watched { stream, watch: Watch::Over }
    }

    /// The same, where `begun` was read from `stream` already.
    pub(super) fn http2_begun(stream: S, begun: &'static [u8]) -> Self {
        Watched { stream, watch: Watch::Begun(begun) }
    }
}

impl Watch {
    /// Follows the connection over `new`; says where in it a head that is refused begins.
    fn follow(&mut self, new: &[u8]) -> Option<usize> {
        let mut rest = new;
        while !rest.is_empty() {
            match self {
                Watch::Over | Watch::Begun(_) | Watch::Refused(_) => return None,
                Watch::Body(left) => {
                    let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    rest = &rest[passed..];
                    *left -= passed as u64;
                    if *left == 0 {
                        *self = Watch::Head(Vec::new());
                    }
                }
                Watch::Head(arrived) => {
                    let before = arrived.len();
                    let seen = if before == 0 {
                        rest
                    } else {
                        arrived.extend_from_slice(rest);
                        arrived.as_slice()
                    };
                    match Head::of(seen, before) {
                        Head::Partial if seen.len() > HEAD_BYTES_MAX => *self = Watch::Over,
                        Head::Partial => {
                            if before == 0 {
                                arrived.extend_from_slice(rest);
                            }
                            return None;
                        }
                        Head::Whole { bytes, body } => {
                            rest = &rest[bytes.saturating_sub(before)..];
                            *self = if body == 0 { Watch::Head(Vec::new()) } else { Watch::Body(body) };
                        }
                        Head::Last => *self = Watch::Over,
                        Head::Refused => {
                            *self = Watch::Refused(UNREADABLE);
                            return Some(new.len() - rest.len());
                        }
                    }
                }
            }
        }
        None
    }
}

/// What stands at the beginning of some bytes.
enum Head {
    Partial,
    /// A head of so many bytes, and the length of the body behind it.
    Whole {
        bytes: usize,
        body: u64,
    },
    /// A head whose connection ends with it: its body is chunked, or hyper refuses it.
    Last,
    Refused,
}

impl Head {
    /// Looks at `seen`, of which the first `before` bytes were looked at already.
    fn of(seen: &[u8], before: usize) -> Head {
        let new = &seen[before.saturating_sub(3)..];
        if !(new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")) {
            return Head::Partial;
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let bytes = match request.parse(seen) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return Head::Partial,
            Err(_) => return Head::Last,
        };
        let named = |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let (length, coding) = (named("content-length"), named("transfer-encoding"));
        let ends_bare = |at: usize| at == 0 || seen[at - 1] != b'\r';
        if seen[..bytes].iter().enumerate().any(|(at, byte)| *byte == b'\n' && ends_bare(at)) {
            return Head::Refused;
        }
        match (length, coding) {
            (Some(_), Some(_)) => Head::Refused,
            (None, Some(_)) => Head::Last,
            (None, None) => Head::Whole { bytes, body: 0 },
            (Some(length), None) => {
                match std::str::from_utf8(length.value).ok().and_then(|text| text.parse().ok()) {
                    Some(body) => Head::Whole { bytes, body },
                    None => Head::Last,
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Watch::Begun(left) = self.watch {
            let (now, later) = left.split_at(left.len().min(into.remaining()));
            into.put_slice(now);
            self.watch = if later.is_empty() { Watch::Over } else { Watch::Begun(later) };
            return Poll::Ready(Ok(()));
        }
        if !matches!(self.watch, Watch::Refused(_)) {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
            match self.watch.follow(&into.filled()[before..]) {
                Some(at) => into.set_filled(before + at),
                None => return Poll::Ready(Ok(())),
            }
        }
        if let Watch::Refused(left) = &mut self.watch {
            let (now, later) = left.split_at(left.len().min(into.remaining()));
            into.put_slice(now);
            *left = later;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    /// What hyper gets of `sent`, when it arrives in pieces of `piece` bytes and is read so, too.
    async fn handed_on(sent: &[u8], piece: usize) -> Vec<u8> {
        let mut mock = Watched::http1(sent);
        let mut got = Vec::new();
        let mut buffer = vec![0; piece];
        loop {
            match mock.read(&mut buffer).await.unwrap() {
                0 => return got,
                read => got.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// P8: however the bytes arrive, a good request goes on unchanged, and a head that hides
    /// something becomes unreadable without harm to what came before it.
    #[tokio::test]
    async fn only_the_head_that_hides_something_becomes_unreadable() {
        let good = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 48\r\n\r\n\
                    x HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: ";
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let both = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        let turned = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\ncontent-length: 3\r\n\r\n";
        let bare = "GET / HTTP/1.1\nHost: a\n\n";
        let mixed = "GET / HTTP/1.1\r\nHost: a\n\r\n";
        for piece in [1, 2, 3, 7, 16, 4096] {
            let whole = [good, get, good, get].concat();
            assert_eq!(handed_on(whole.as_bytes(), piece).await, whole.as_bytes(), "in pieces of {piece}");
            for bad in [both, turned, bare, mixed] {
                let sent = [good, get, bad, get].concat();
                let got = handed_on(sent.as_bytes(), piece).await;
                let (unharmed, head) = got.split_at(good.len() + get.len());
                assert_eq!(unharmed, [good, get].concat().as_bytes(), "in pieces of {piece}: {bad}");
                let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
                let read = httparse::Request::new(&mut headers).parse(head);
                assert!(read.is_err(), "in pieces of {piece}: {bad}: {read:?}");
            }
        }
    }
}
