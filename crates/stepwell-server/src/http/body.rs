//! Bodies of requests and answers. Request bodies are read with limits in bytes and in time, whole or as a stream; an
//! unread rest is read and dropped, so that the client sees the answer. Answers are held until clients have fetched
//! them. All of them share a bounded amount of memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::http::room::{Held, Room, SMALL};
use axum::body::Body;
use axum::http::header::EXPECT;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use stepwell_wire::{Code, Fault};

/// Bytes a second that a client has to send on the whole.
const RATE: f64 = 1024.0;
/// Bytes of a long answer that are given on at once.
const ANSWER_PIECE: usize = 256 << 10;
/// Bytes of an unwanted body that are read off before the connection is closed.
const UNWANTED_BYTES_MAX: usize = 64 << 20;
/// How long they are read off.
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(5);

/// A body that was read whole, and the room that it takes as long as it is held.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    /// Given back when it is dropped.
    pub(crate) room: Held,
}

/// A body that is being read.
pub(crate) struct Reader {
    body: Body,
    begun: Instant,
    left: u64,
    limit: u64,
    /// How many bytes the client says there are.
    told: Option<usize>,
    idle: Duration,
}

impl Reader {
    /// Reads a body of at most `limit` bytes, from a client that is never silent for longer than `idle` and sends at
    /// least 1 KiB a second on average.
    ///
    /// # Errors
    /// 413 when the client says beforehand that it is longer.
    pub(crate) fn new(body: Body, limit: u64, idle: Duration) -> Result<Self, Fault> {
        if body.size_hint().lower() > limit {
            return Err(Fault::too_long(limit));
        }
        let told = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        Ok(Self { body, begun: Instant::now(), left: limit, limit, told, idle })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// 413 over the limit, 408 when the client is too slow, 400 when it breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let earned = Duration::from_secs_f64((self.limit - self.left) as f64 / RATE);
            let left = (self.idle + earned).saturating_sub(self.begun.elapsed());
            let Ok(frame) = tokio::time::timeout(self.idle.min(left), self.body.frame()).await else {
                return Err(Fault::new(Code::BadRequest, "The request's body did not arrive in time.").with_status(408));
            };
            let frame = match frame {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(Fault::new(Code::BadRequest, "The request's body broke off.")),
            };
            if let Ok(data) = frame.into_data() {
                if data.is_empty() {
                    continue;
                }
                self.left = self.left.checked_sub(data.len() as u64).ok_or_else(|| Fault::too_long(self.limit))?;
                return Ok(Some(data));
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Self::next`], and 503 when there is no room for it.
    pub(crate) async fn all(mut self, room: &Room) -> Result<Whole, Fault> {
        let mut held = Held::default();
        let Some(first) = self.next().await? else { return Ok(Whole::default()) };
        room.pass(first.len());
        room.take(first.len(), usize::MAX, &mut held)?;
        let Some(second) = self.next().await? else { return Ok(Whole { bytes: first, room: held }) };
        // Memory that nobody writes to costs nothing, so that a client may say how much it will send and not send it.
        let mut all = BytesMut::with_capacity(self.told.unwrap_or(first.len() + second.len()));
        all.extend_from_slice(&first);
        drop(first);
        let mut next = Some(second);
        while let Some(more) = next {
            room.pass(more.len());
            room.take(all.len() + more.len(), usize::MAX, &mut held)?;
            all.extend_from_slice(&more);
            next = self.next().await?;
        }
        Ok(Whole { bytes: all.freeze(), room: held })
    }
}

/// The body of a complete answer. It gives its room back as the client fetches it. However long it is, it takes at most
/// half of all room, so that one slow client leaves some to the others. `held` is the room that was reserved before.
/// Copies the answer.
///
/// # Errors
/// 503 when there is no room for it.
pub(crate) fn answer(mut bytes: Vec<u8>, room: &Room, mut held: Held) -> Result<Body, Fault> {
    room.pass(bytes.len());
    room.take(bytes.len(), room.half(), &mut held)?;
    if bytes.len() <= SMALL || held.is_none() {
        return Ok(Body::from(bytes));
    }
    held.shrink(bytes.len());
    let left = bytes.len();
    let mut pieces = Vec::with_capacity(left.div_ceil(ANSWER_PIECE));
    // From its end, so that the memory of what is cut off goes back at once.
    while bytes.len() > ANSWER_PIECE {
        pieces.push(bytes.split_off((bytes.len() - 1) / ANSWER_PIECE * ANSWER_PIECE).into());
        bytes.shrink_to_fit();
    }
    pieces.push(bytes.into());
    Ok(Body::new(Answer { pieces, left, room: held }))
}

/// See [`answer`]. It goes out in pieces, each with memory of its own.
struct Answer {
    /// What is left, the next last.
    pieces: Vec<Bytes>,
    left: usize,
    room: Held,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let own = self.get_mut();
        // Who asks for a piece has sent the one before, but not yet this one.
        own.room.shrink(own.left);
        let piece = own.pieces.pop();
        own.left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// The body of a request; it reads and drops part of what was not read. If a connection is closed while the client
/// still sends, it is reset, and the client may never see the answer that says why.
struct ReadOff {
    body: Option<Body>,
}

/// Makes sure that an answer is heard although the body of its request was not read.
pub(crate) fn read_off(request: axum::extract::Request) -> axum::extract::Request {
    // Who asks before sending is answered before sending.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return request;
    }
    request.map(|body| Body::new(ReadOff { body: Some(body) }))
}

impl hyper::body::Body for ReadOff {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let own = self.get_mut();
        let Some(body) = &mut own.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            own.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), hyper::body::Body::size_hint)
    }
}

impl Drop for ReadOff {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(UNWANTED_TIME_MAX, async move {
            let mut left = UNWANTED_BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: usize, bytes: usize) -> Body {
        let (to, from) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let mut to = to;
            for _ in 0..pieces {
                if tokio::io::AsyncWriteExt::write_all(&mut to, &vec![1; bytes]).await.is_err() {
                    return;
                }
            }
        });
        Body::from_stream(tokio_util::io::ReaderStream::with_capacity(from, bytes))
    }

    #[tokio::test]
    async fn long_bodies_share_their_room() {
        let room = Room::new(1 << 20);
        let read = async |pieces| {
            Reader::new(stream(pieces, 10_000), 1 << 30, Duration::from_secs(60)).unwrap().all(&room).await
        };
        let first = read(60).await.unwrap();
        assert_eq!(first.bytes.len(), 600_000);
        assert_eq!(read(60).await.unwrap_err().http_status(), 503);
        assert_eq!(read(6).await.unwrap().bytes.len(), 60_000);
        drop(first);
        assert_eq!(read(100).await.unwrap().bytes.len(), 1_000_000);
        assert_eq!(room.free_bytes(), 1 << 20);
    }

    #[tokio::test]
    async fn answers_hold_their_room_until_they_are_fetched() {
        let room = Room::new(2 << 20);
        let bytes: Vec<u8> = (0..900_000u32).map(|at| (at % 251) as u8).collect();
        let first = answer(bytes.clone(), &room, Held::default()).unwrap();
        assert_eq!(first.size_hint().exact(), Some(900_000));
        let second = answer(bytes.clone(), &room, Held::default()).unwrap();
        assert_eq!(answer(bytes.clone(), &room, Held::default()).unwrap_err().http_status(), 503);
        assert_eq!(
            answer(vec![1; SMALL], &room, Held::default()).unwrap().collect().await.unwrap().to_bytes().len(),
            SMALL
        );
        assert_eq!(first.collect().await.unwrap().to_bytes(), bytes);
        drop(answer(bytes, &room, Held::default()).unwrap());
        drop(second);
        assert_eq!(room.free_bytes(), 2 << 20);
    }

    #[tokio::test]
    async fn one_slow_reader_leaves_room_to_others() {
        let room = Room::new(2 << 20);
        let long = answer((0..5 << 20).map(|at| (at % 251) as u8).collect(), &room, Held::default()).unwrap();
        assert_eq!(room.free_bytes(), 1 << 20);
        assert_eq!(
            answer(vec![7; 1 << 20], &room, Held::default()).unwrap().collect().await.unwrap().to_bytes().len(),
            1 << 20
        );
        drop(long);
        // What was sent is given back while the rest is not.
        let mut half = answer(vec![7; 1 << 20], &room, Held::default()).unwrap();
        for sent in 0..4 {
            assert_eq!(half.frame().await.unwrap().unwrap().into_data().unwrap().len(), ANSWER_PIECE);
            assert_eq!(room.free_bytes(), (1 << 20) + sent * ANSWER_PIECE);
        }
        assert!(half.frame().await.is_none());
        assert_eq!(room.free_bytes(), 2 << 20);
    }

    #[tokio::test]
    async fn silence_and_trickles_end() {
        let read = async |gap: Duration| {
            let (to, from) = tokio::io::duplex(64);
            let writer = tokio::spawn(async move {
                let mut to = to;
                while tokio::io::AsyncWriteExt::write_all(&mut to, b"x").await.is_ok() {
                    tokio::time::sleep(gap).await;
                }
            });
            let body = Body::from_stream(tokio_util::io::ReaderStream::new(from));
            let result = Reader::new(body, 1 << 20, Duration::from_millis(100)).unwrap().all(&Room::new(0)).await;
            writer.abort();
            result.unwrap_err().http_status()
        };
        assert_eq!(read(Duration::from_secs(60)).await, 408);
        assert_eq!(read(Duration::from_millis(10)).await, 408);
    }
}
