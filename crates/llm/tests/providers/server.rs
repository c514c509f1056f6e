//! A server that answers with given bytes and keeps what it was sent.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a connection does after the request came.
#[derive(Clone)]
pub(crate) enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes these bytes again and again until the client goes away.
    Endless(Vec<u8>),
    /// Waits until the client goes away.
    Stall,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// How many clients went away before their answer's end.
    gone: watch::Receiver<usize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Each request gets the next of `answers`, the last one for ever.
    pub(crate) async fn start(answers: Vec<Vec<Step>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (told, gone) = watch::channel(0);
        let kept = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, told, answers) = (Arc::clone(&kept), told.clone(), answers.clone());
                tokio::spawn(async move {
                    let Some(request) = read(&mut stream).await else { return };
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(request);
                        kept.len() - 1
                    };
                    let steps = answers.get(number).or(answers.last()).unwrap();
                    if !play(&mut stream, steps).await {
                        told.send_modify(|gone| *gone += 1);
                    }
                });
            }
        });
        Server { url, requests, gone, accepting }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until a client has gone away before its answer's end.
    pub(crate) async fn client_gone(&mut self) {
        let seen = self.gone.wait_for(|gone| *gone > 0);
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the client stays").unwrap();
    }
}

/// Whether all was sent before the client went away.
async fn play(stream: &mut TcpStream, steps: &[Step]) -> bool {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return false;
                }
            }
            Step::Endless(bytes) => {
                while stream.write_all(bytes).await.is_ok() {}
                return false;
            }
            Step::Stall => {
                let mut rest = [0; 64];
                while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
                return false;
            }
        }
    }
    true
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&more[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        if body.len() >= length {
            return Some(Request { head: head.to_owned(), body: body.to_owned() });
        }
    }
}

/// A head for a body that ends with the connection.
pub(crate) fn head(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

/// A stream of events with these bytes, then the connection's end.
pub(crate) fn events(body: &str) -> Vec<Step> {
    vec![Step::Send(head("200 OK", "content-type: text/event-stream\r\n")), Step::Send(body.into())]
}

/// An answer with a status and a body.
pub(crate) fn status(status: &str, headers: &str, body: &str) -> Vec<Step> {
    vec![Step::Send(head(status, headers)), Step::Send(body.into())]
}
