//! An answer of a model as it comes over HTTP: one JSON value a line.

use crate::{
    ThinkError, Thinking,
    think::{BrokeOff, ThinkLine},
};
use futures_util::stream;
use octollm_contract::model::Chunk;
use reqwest::Response;
use std::time::Duration;

/// A line has at most so many bytes: a whole tool call, and then some.
const LINE_BYTES_MAX: usize = 16 << 20;
/// The gateway sends an empty line every five seconds, one of the version before every fifteen; silence means
/// that it is gone, or stands still.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The pieces that `response` brings.
pub(super) fn thinking(response: Response) -> Thinking {
    let reading = Reading { response, unread: Vec::new(), ended: false };
    Box::pin(stream::unfold(reading, |mut reading| async move {
        if reading.ended {
            return None;
        }
        let said = reading.next().await.unwrap_or_else(|error| Some(Err(error)));
        // The end of the answer is told by its last piece, not by the connection.
        reading.ended = !matches!(&said, Some(Ok(chunk)) if !matches!(chunk, Chunk::End { .. }));
        said.map(|said| (said, reading))
    }))
}

struct Reading {
    response: Response,
    unread: Vec<u8>,
    ended: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Result<Chunk, ThinkError>>, ThinkError> {
        let mut searched = 0;
        loop {
            while let Some(end) = self.unread[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=searched + end).collect();
                searched = 0;
                if line.len() > 1 {
                    let line: ThinkLine = serde_json::from_slice(&line).map_err(unreadable)?;
                    return Ok(Some(line.into()));
                }
            }
            searched = self.unread.len();
            if searched > LINE_BYTES_MAX {
                return Err(unreadable(BrokeOff));
            }
            match tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.unread.extend_from_slice(&bytes),
                Ok(Ok(None)) => return Err(unreadable(BrokeOff)),
                Ok(Err(error)) => return Err(unreadable(error)),
                Err(silence) => return Err(unreadable(silence)),
            }
        }
    }
}

fn unreadable(why: impl std::error::Error + Send + Sync + 'static) -> ThinkError {
    ThinkError::Unreachable(Box::new(why))
}
