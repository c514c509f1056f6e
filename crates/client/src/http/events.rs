//! A task's events as they happen (server-sent events, WHATWG HTML §9.2).

use super::{
    tasks::Client,
    transport::{ClientError, SEEN, SeenWord, unreadable},
};
use octollm_contract::{TaskId, api::EventView};
use reqwest::{Method, Response, header};
use std::time::Duration;

/// An event has at most so many bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// The server sends a comment every fifteen seconds; silence means that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// No stream lasts longer than a task may.
const STREAM_MAX: Duration = Duration::from_secs(31 * 86_400);

/// The events of one task. The stream may end before the task does, such as when the server
/// goes away: ask for events after the last number then.
pub struct Events {
    response: Response,
    unread: Vec<u8>,
    seen: SeenWord,
}

impl Events {
    pub(super) async fn begin(client: &Client, task: TaskId, after: u64) -> Result<Self, ClientError> {
        let request = client
            .request(Method::GET, &["tasks", &task.to_string(), "events"])
            .header(header::ACCEPT, "text/event-stream")
            .header("Last-Event-ID", after.to_string())
            .timeout(STREAM_MAX);
        Ok(Events { response: client.answered(request).await?, unread: Vec::new(), seen: client.seen() })
    }

    /// The next event; `None` when the stream is over.
    pub async fn next(&mut self) -> Result<Option<EventView>, ClientError> {
        loop {
            if let Some(event) = self.take()? {
                return Ok(Some(event));
            }
            if self.unread.len() > EVENT_BYTES_MAX {
                return Err(unreadable(self.response.status(), &self.unread));
            }
            match tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.unread.extend_from_slice(&chunk),
                Ok(Err(error)) => return Err(ClientError::Unreachable(error)),
                Ok(Ok(None)) | Err(_) => return Ok(None),
            }
        }
    }

    /// The first whole event that was received, if there is one. Of the comments, what was seen is kept.
    fn take(&mut self) -> Result<Option<EventView>, ClientError> {
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.unread.drain(..end + 2).collect();
            let comments = block.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b":"));
            comments.filter_map(seen_in).for_each(|word| self.seen.learn(word));
            let data: Vec<&[u8]> =
                block.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:")).collect();
            if data.is_empty() {
                continue;
            }
            let data = data.join(&b'\n');
            let event = serde_json::from_slice(&data);
            return event.map(Some).map_err(|_| unreadable(self.response.status(), &data));
        }
        Ok(None)
    }
}

/// What a comment says that was seen.
fn seen_in(comment: &[u8]) -> Option<&str> {
    let (name, word) = std::str::from_utf8(comment).ok()?.split_once(':')?;
    Some(word.trim()).filter(|_| name.trim().eq_ignore_ascii_case(SEEN))
}
