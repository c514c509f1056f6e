//! The load generator: one thread, many connections, requests that are written beforehand but
//! for their key. It shares the machine with what it measures, so it costs as little as it can.

use crate::{figures::Sample, processes, server::KEY};
use anyhow::{Context, bail, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    fd::OwnedFd,
    thread::set_current_timer_slack,
};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// An answer that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// Digits of a key, and so many keys there are.
const DIGITS: usize = 10;
const KEYS: u64 = 10_000_000_000;

/// When requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection asks again as soon as it is answered.
    Saturating,
    /// One after each of these times, whatever becomes of those before: one that finds every
    /// connection busy waits, and its latency counts from the moment at which it was due, so
    /// that a generator that falls behind cannot hide it (coordinated omission, Tene).
    Every(Duration),
}

/// What was seen.
pub(crate) struct Seen {
    pub(crate) latencies: Sample,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Processor time of the generator.
    pub(crate) own_cpu: Duration,
}

/// Accepts over `connections` for `span`, each under a key of its own.
pub(crate) fn accepts(
    address: &str,
    body: &str,
    connections: usize,
    pace: Pace,
    span: Duration,
) -> anyhow::Result<Seen> {
    set_current_timer_slack(NonZeroU64::new(1))?;
    let cpu_before = processes::cpu_of_this_thread()?;
    let mut load = Load::open(address, body, connections)?;
    let (began, latencies) = load.run(pace, span)?;
    let took = began.elapsed();
    Ok(Seen {
        latencies: Sample::of(latencies),
        took,
        own_cpu: processes::cpu_of_this_thread()?.saturating_sub(cpu_before),
    })
}

struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    request: Request,
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    due: Instant,
}

impl Load {
    fn open(address: &str, body: &str, connections: usize) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut open = Vec::with_capacity(connections);
        for number in 0..connections {
            let stream =
                TcpStream::connect(address).with_context(|| format!("{address} cannot be reached"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
            open.push(Connection { stream, answer: Vec::with_capacity(4096), due: Instant::now() });
        }
        let idle = (0..connections).collect();
        Ok(Load { epoll, connections: open, idle, request: Request::new(body) })
    }

    fn run(&mut self, pace: Pace, span: Duration) -> anyhow::Result<(Instant, Vec<Duration>)> {
        let began = Instant::now();
        let until = began + span;
        let mut latencies = Vec::new();
        let mut due: VecDeque<Instant> = VecDeque::new();
        let mut next = began;
        let mut events = Vec::with_capacity(self.connections.len());
        loop {
            let now = Instant::now();
            match pace {
                Pace::Saturating if now < until => due.resize(self.idle.len(), now),
                Pace::Saturating => {}
                Pace::Every(gap) => {
                    while next <= now && next < until {
                        due.push_back(next);
                        next += gap;
                    }
                }
            }
            for _ in 0..due.len().min(self.idle.len()) {
                if let (Some(at), Some(number)) = (due.pop_front(), self.idle.pop()) {
                    self.send(number, at)?;
                }
            }
            let (all_sent, wait) = match pace {
                Pace::Saturating => (now >= until, PATIENCE),
                Pace::Every(_) if next < until => (false, next.saturating_duration_since(Instant::now())),
                Pace::Every(_) => (due.is_empty(), PATIENCE),
            };
            if all_sent && self.idle.len() == self.connections.len() {
                return Ok((began, latencies));
            }
            let ready = self.wait(wait)?;
            ensure!(ready || wait < PATIENCE, "no answer came within {PATIENCE:?}");
            if !ready {
                continue;
            }
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::default()))?;
            for event in events.drain(..) {
                let number = usize::try_from(event.data.u64())?;
                let connection = &mut self.connections[number];
                if connection.is_answered()? {
                    latencies.push(Instant::now().saturating_duration_since(connection.due));
                    self.idle.push(number);
                }
            }
        }
    }

    fn send(&mut self, number: usize, due: Instant) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        connection.due = due;
        let request = self.request.next();
        let sent = connection.stream.write(request)?;
        ensure!(sent == request.len(), "a request does not fit into a socket's buffer");
        Ok(())
    }

    /// Whether something can be read; `epoll_wait` itself counts in milliseconds.
    fn wait(&self, most: Duration) -> anyhow::Result<bool> {
        let timeout = Timespec::try_from(most)?;
        Ok(poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout))? > 0)
    }
}

impl Connection {
    /// Reads what is there; whether that makes a whole answer.
    fn is_answered(&mut self) -> anyhow::Result<bool> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => self.answer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Some(length) = length(&self.answer)? else { return Ok(false) };
        ensure!(self.answer.len() <= length, "more was answered than was asked");
        if self.answer.len() < length {
            return Ok(false);
        }
        ensure!(self.answer.starts_with(b"HTTP/1.1 202 "), "{}", String::from_utf8_lossy(&self.answer));
        self.answer.clear();
        Ok(true)
    }
}

/// How long the whole answer is, once its head is there.
fn length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    const NAME: &[u8] = b"content-length:";
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let named = |line: &&[u8]| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    let line = answer[..end].split(|byte| *byte == b'\n').find(named).context("an answer has a length")?;
    let body: usize = std::str::from_utf8(&line[NAME.len()..])?.trim().parse()?;
    Ok(Some(end + 4 + body))
}

/// The `number`-th key's number. Clients draw keys at random: one does not sort behind the one
/// before. The factor has no divisor in common with 10, so that no two keys are the same.
pub(crate) fn scattered(number: u64) -> u64 {
    let scattered = u128::from(number) * 7_368_787_171 % u128::from(KEYS);
    u64::try_from(scattered).expect("it is below the number of keys")
}

/// A request with the place of its key.
struct Request {
    bytes: Vec<u8>,
    digits: usize,
    number: u64,
}

impl Request {
    fn new(body: &str) -> Self {
        let before = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\nIdempotency-Key: bench-"
        );
        let after =
            format!("\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let digits = before.len();
        let bytes = format!("{before}{:0DIGITS$}{after}", 0).into_bytes();
        Request { bytes, digits, number: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.number += 1;
        let mut left = scattered(self.number);
        for digit in self.bytes[self.digits..self.digits + DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(left % 10).expect("a digit");
            left /= 10;
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<u64> = (0..10_000).map(scattered).collect();
        assert_eq!(keys.len(), 10_000);
        let mut request = Request::new("{}");
        request.next();
        let text = String::from_utf8(request.next().to_vec()).unwrap();
        let key = format!("\r\nIdempotency-Key: bench-{:010}\r\n", scattered(2));
        assert!(text.contains(&key), "{text}");
        assert!(text.ends_with("Content-Length: 2\r\n\r\n{}"), "{text}");
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        assert_eq!(length(b"HTTP/1.1 202 Accepted\r\nContent-Le").unwrap(), None);
        let head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(length(head).unwrap(), Some(head.len() + 3));
        assert!(length(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
    }
}
