//! Servers that answer wrongly, on purpose or not: each gives an error that says what to do, in
//! bounded time and memory, and says whether it may have to be paid for.

use crate::server::{Server, Step, events, head, status};
use octollm_contract::{
    Millis,
    model::{Ask, Chunk, Counted, Finish, Message},
};
use octollm_llm::{
    BadProvider, Bounds, CallError, Charge, Kind, Phase, Provider, ProviderKey, ProviderSettings,
    Server as Known, Times,
};

fn ask() -> Ask {
    Ask::new("m", vec![Message::user("hello")], 100)
}

const BOUNDS: Bounds = Bounds { body_bytes_max: 64 * 1024, calls_max: 8, arguments_bytes_max: 1024 };

fn settings(server: &Server, kind: Kind) -> ProviderSettings {
    let key = ProviderKey::parse("sk-secret").unwrap();
    ProviderSettings {
        server: Some(if kind == Kind::OpenAi { Known::Vllm } else { Known::Anthropic }),
        bounds: BOUNDS,
        ..ProviderSettings::new(kind, &server.url, Some(key))
    }
}

async fn call(kind: Kind, steps: Vec<Step>) -> String {
    let server = Server::start(vec![steps]).await;
    let provider = Provider::new(settings(&server, kind)).unwrap();
    match provider.answer(&ask()).await {
        Ok(answer) => format!(
            "ok: {:?} {} calls, {:?}, {:?} in {} out {}",
            answer.text,
            answer.tool_calls.len(),
            answer.finish,
            answer.usage.counted,
            answer.usage.input,
            answer.usage.output
        ),
        Err(error) => {
            let charge = match error.charge() {
                Charge::Nothing => "costs nothing",
                Charge::Unknown => "may cost all",
                Charge::AtLeast(usage) if usage.counted == Counted::Exact => "costs at least the exact usage",
                Charge::AtLeast(_) => "costs at least the estimate",
            };
            assert!(!error.to_string().contains("sk-secret"), "{error}");
            let kind = format!("{error:?}");
            let kind = kind.split([' ', '(']).next().unwrap();
            format!("{kind}: {error}; {charge}")
        }
    }
}

fn piece(text: &str) -> String {
    format!(
        "data: {{\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    )
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn usage(text: &str) -> String {
    format!("data: {{\"choices\":[],\"usage\":{text}}}\n\n")
}

fn tool(arguments: &str) -> String {
    let call =
        format!("{{\"index\":0,\"id\":\"a\",\"function\":{{\"name\":\"f\",\"arguments\":{arguments}}}}}");
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n")
}

/// The same with a byte in its text that no UTF-8 has.
fn not_utf8(step: Step) -> Step {
    let Step::Send(bytes) = step else { return step };
    let at = bytes.windows(2).position(|two| two == b"Hi");
    Step::Send(at.map_or(bytes.clone(), |at| [&bytes[..=at], b"\xff", &bytes[at + 1..]].concat()))
}

/// Each case: what the server sends, and what comes of it.
#[tokio::test]
async fn every_hostile_answer_has_one_bounded_end() {
    let many_calls: String = (0..20)
        .map(|n| {
            let call = format!("{{\"index\":{n},\"id\":\"c{n}\",\"function\":{{\"name\":\"f\"}}}}");
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n")
        })
        .collect();
    let json = "content-type: application/json\r\n";
    let big = |body: String| vec![Step::Send(head("200 OK", "")), Step::Send(body.into_bytes())];
    let good =
        [piece("Hi").as_str(), STOP, &usage("{\"prompt_tokens\":2,\"completion_tokens\":1}"), DONE].concat();
    let cases: Vec<(&str, Vec<Step>)> = vec![
        ("broken JSON at first", events("data: {\"choices\": [\n\n")),
        ("broken JSON later", events(&[&piece("Hi"), "data: {\"choices\": [\n\n"].concat())),
        ("JSON that is no completion", events("data: [1, 2]\n\n")),
        ("an object without anything", events("data: {}\n\n")),
        ("choices of a wrong type", events("data: {\"choices\": 3}\n\n")),
        ("nothing at all", events("")),
        ("comments alone", events(": ping\n\n: ping\n\n")),
        ("an end without a beginning", events(DONE)),
        ("cut after text", events(&piece("Hi"))),
        ("cut inside an event", events(&[&piece("Hi"), "data: {\"choi"].concat())),
        ("cut inside a character", vec![
            Step::Send(head("200 OK", "")),
            Step::Send(piece("Hi").into_bytes()),
            Step::Send(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xc3".to_vec()),
        ]),
        ("not UTF-8", vec![Step::Send(head("200 OK", "")), Step::Send(b"data: \xff\xfe\n\n".to_vec())]),
        ("half a pair of escapes", events(&good.replace("Hi", "H\\ud800i"))),
        ("half a pair in a whole answer", status("200 OK", json, r#"{"choices":[{"message":{"content":"H\udc00i"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#)),
        ("a text with bytes that are none", big(good.clone()).into_iter().map(not_utf8).collect()),
        ("no [DONE]", events(&good.replace(DONE, ""))),
        ("[DONE] twice and more after it", events(&[&good, DONE, &piece("more")].concat())),
        ("[DONE] without its empty line", events(good.trim_end())),
        ("[DONE] without a finish_reason", events(&[&piece("Hi"), DONE].concat())),
        ("no usage", events(&[&piece("Hi"), STOP, DONE].concat())),
        ("negative usage", events(&[&piece("Hi"), STOP, &usage("{\"prompt_tokens\":-5,\"completion_tokens\":-1}"), DONE].concat())),
        ("usage that is no number", events(&[&piece("Hi"), STOP, &usage("{\"prompt_tokens\":\"2\",\"completion_tokens\":1.5}"), DONE].concat())),
        ("usage that is no object", events(&[&piece("Hi"), STOP, &usage("[]"), DONE].concat())),
        ("nothing written, though text came", events(&[&piece("Hi"), STOP, &usage("{\"prompt_tokens\":2,\"completion_tokens\":0}"), DONE].concat())),
        ("more cached than read", events(&[&piece("Hi"), STOP, &usage("{\"prompt_tokens\":2,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":9}}"), DONE].concat())),
        ("a second choice", events(&good.replace("\"index\":0", "\"index\":1"))),
        ("tool arguments that are no JSON", events(&[&tool("\"{oh\""), STOP, DONE].concat())),
        ("a tool call without a name", events(&[&tool("\"{}\"").replace("\"name\":\"f\",", ""), STOP, DONE].concat())),
        ("too many tool calls", events(&many_calls)),
        ("too large tool arguments", events(&tool(&format!("\"{}\"", "x".repeat(2000))))),
        ("a line without an end", big("data: ".to_owned() + &"x".repeat(100_000))),
        ("more text than tokens can be", events(&piece(&"x".repeat(20_000)))),
        ("an endless stream of text", vec![Step::Send(head("200 OK", "")), Step::Endless(piece("Hi").into_bytes())]),
        ("an endless stream of comments", vec![Step::Send(head("200 OK", "")), Step::Endless(b": ping\n\n".to_vec())]),
        ("an endless document", vec![Step::Send(head("200 OK", json)), Step::Send(b"{\"a\":\"".to_vec()), Step::Endless(vec![b'x'; 4096])]),
        ("50 MB", big(format!("{{\"a\":\"{}\"}}", "x".repeat(50_000_000)))),
        ("a page", status("200 OK", "content-type: text/html\r\n", "<html>Log in</html>")),
        ("an error with status 200", status("200 OK", json, r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#)),
        ("a rate limit with status 200", status("200 OK", json, r#"{"error":{"message":"slow","code":429}}"#)),
        ("an error that is text", status("200 OK", json, r#"{"error":"out of memory"}"#)),
        ("an error in the stream at first", events("data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}\n\n")),
        ("an error in the stream later", events(&[&piece("Hi"), "data: {\"error\":{\"message\":\"busy\"}}\n\n"].concat())),
        ("a whole answer without its end", status("200 OK", json, r#"{"choices":[{"message":{"content":"Hi"}}]}"#)),
        ("a body shorter than it says", status("200 OK", "content-length: 9999\r\n", &piece("Hi"))),
        ("400", status("400 Bad Request", "", r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#)),
        ("401 that echoes the key", status("401 Unauthorized", "", r#"{"error":{"message":"wrong key sk-secret"}}"#)),
        ("401 that echoes the key with something hidden in it", status("401 Unauthorized", "", "{\"error\":{\"message\":\"wrong key sk-\u{200b}sec\\u0000ret\"}}")),
        ("an error in the stream that echoes the key", events(&[&piece("Hi"), "data: {\"error\":{\"message\":\"not sk-\u{200b}secret\"}}\n\n"].concat())),
        ("a word that quotes the key", events("data: {\"choices\": \"sk-secret\"}\n\n")),
        ("an encoding that nobody asked for", status("200 OK", "content-encoding: gzip\r\n", "\u{1f}\u{8b}\u{8}")),
        ("an encoding that is none", status("200 OK", "content-encoding: identity\r\n", &good)),
        ("a refusal in an encoding", status("400 Bad Request", "content-encoding: br\r\n", "\u{1b}\u{3}")),
        ("402", status("402 Payment Required", "", "")),
        ("429 with a wait", status("429 Too Many Requests", "retry-after: 7\r\n", r#"{"error":{"message":"slow"}}"#)),
        ("429 without money", status("429 Too Many Requests", "", r#"{"error":{"message":"quota","code":"insufficient_quota"}}"#)),
        ("500", status("500 Internal Server Error", "", "oops")),
        ("502", status("502 Bad Gateway", "", "<html>bad gateway</html>")),
        ("503 with a date", status("503 Service Unavailable", "date: Wed, 25 Nov 2026 18:00:00 GMT\r\nretry-after: Wed, 25 Nov 2026 18:00:09 GMT\r\n", "")),
        ("no HTTP", vec![Step::Send(b"hello\r\n\r\n".to_vec())]),
        ("a connection that closes", vec![]),
    ];
    let mut ends = Vec::new();
    for (name, steps) in cases {
        ends.push(format!("{name} → {}", call(Kind::OpenAi, steps).await));
    }
    insta::assert_snapshot!(ends.join("\n"), @r#"
    broken JSON at first → Malformed: the model server's answer cannot be read: not a completion: EOF while parsing a list at line 1 column 13; may cost all
    broken JSON later → Malformed: the model server's answer cannot be read: not a completion: EOF while parsing a list at line 1 column 13; costs at least the estimate
    JSON that is no completion → Malformed: the model server's answer cannot be read: not a completion: invalid type: integer `1`, expected a string at line 1 column 2; may cost all
    an object without anything → Malformed: the model server's answer cannot be read: neither choices nor usage nor error; may cost all
    choices of a wrong type → Malformed: the model server's answer cannot be read: not a completion: invalid type: integer `3`, expected a sequence at line 1 column 13; may cost all
    nothing at all → Unknown: the model server gave no answer to a request that it may have done: it closed before its end; may cost all
    comments alone → Unknown: the model server gave no answer to a request that it may have done: it closed before its end; may cost all
    an end without a beginning → Malformed: the model server's answer cannot be read: the stream ended before it began; may cost all
    cut after text → Cut: the model server's answer broke off: it closed before its end; costs at least the estimate
    cut inside an event → Cut: the model server's answer broke off: it closed before its end; costs at least the estimate
    cut inside a character → Cut: the model server's answer broke off: it closed before its end; costs at least the estimate
    not UTF-8 → Malformed: the model server's answer cannot be read: not a completion: expected value at line 1 column 1; may cost all
    half a pair of escapes → ok: "H�i" 0 calls, Stop, Exact in 2 out 1
    half a pair in a whole answer → ok: "H�i" 0 calls, Stop, Exact in 2 out 1
    a text with bytes that are none → ok: "H�i" 0 calls, Stop, Exact in 2 out 1
    no [DONE] → ok: "Hi" 0 calls, Stop, Exact in 2 out 1
    [DONE] twice and more after it → ok: "Hi" 0 calls, Stop, Exact in 2 out 1
    [DONE] without its empty line → ok: "Hi" 0 calls, Stop, Exact in 2 out 1
    [DONE] without a finish_reason → ok: "Hi" 0 calls, Stop, Estimated in 37 out 2
    no usage → ok: "Hi" 0 calls, Stop, Estimated in 37 out 2
    negative usage → ok: "Hi" 0 calls, Stop, Estimated in 37 out 2
    usage that is no number → ok: "Hi" 0 calls, Stop, Estimated in 37 out 2
    usage that is no object → ok: "Hi" 0 calls, Stop, Estimated in 37 out 2
    nothing written, though text came → ok: "Hi" 0 calls, Stop, Estimated in 2 out 2
    more cached than read → ok: "Hi" 0 calls, Stop, Estimated in 37 out 1
    a second choice → ok: "" 0 calls, Stop, Exact in 2 out 1
    tool arguments that are no JSON → ok: "" 1 calls, ToolCalls, Estimated in 37 out 12
    a tool call without a name → Malformed: the model server's answer cannot be read: a tool call has no name; costs at least the estimate
    too many tool calls → TooLarge: the model server's answer has more than 8 tool calls; costs at least the estimate
    too large tool arguments → TooLarge: the model server's answer has more than 1024 bytes of tool arguments; costs at least the estimate
    a line without an end → TooLarge: the model server's answer has more than 65536 bytes; may cost all
    more text than tokens can be → TooLarge: the model server's answer has more than 12800 bytes of text; costs at least the estimate
    an endless stream of text → TooLarge: the model server's answer has more than 65536 bytes; costs at least the estimate
    an endless stream of comments → TooLarge: the model server's answer has more than 65536 bytes; may cost all
    an endless document → TooLarge: the model server's answer has more than 65536 bytes; may cost all
    50 MB → TooLarge: the model server's answer has more than 65536 bytes; may cost all
    a page → Malformed: the model server's answer cannot be read: it is a page, not an answer of a model; may cost all
    an error with status 200 → Refused: the model server refused the request (400): no such model; costs nothing
    a rate limit with status 200 → RateLimited: the model server limits the rate: slow; costs nothing
    an error that is text → Malformed: the model server's answer cannot be read: out of memory; may cost all
    an error in the stream at first → Overloaded: the model server is overloaded or failed (503): busy; costs nothing
    an error in the stream later → Cut: the model server's answer broke off: busy; costs at least the estimate
    a whole answer without its end → Malformed: the model server's answer cannot be read: the answer has no finish_reason; costs at least the estimate
    a body shorter than it says → Cut: the model server's answer broke off: error decoding response body: error reading a body from connection: end of file before message length reached; costs at least the estimate
    400 → Refused: the model server refused the request (400): too long (context_length_exceeded); costs nothing
    401 that echoes the key → BadKey: the model server did not accept the key (401): wrong key …; costs nothing
    401 that echoes the key with something hidden in it → BadKey: the model server did not accept the key (401): wrong key …; costs nothing
    an error in the stream that echoes the key → Cut: the model server's answer broke off: not …; costs at least the estimate
    a word that quotes the key → Malformed: the model server's answer cannot be read: not a completion: invalid type: string "…", expected a sequence at line 1 column 23; may cost all
    an encoding that nobody asked for → Malformed: the model server's answer cannot be read: it came in the encoding gzip, which was not asked for; may cost all
    an encoding that is none → ok: "Hi" 0 calls, Stop, Exact in 2 out 1
    a refusal in an encoding → Refused: the model server refused the request (400): it came in the encoding br, which was not asked for; costs nothing
    402 → OutOfCredit: the account at the model server is used up: ; costs nothing
    429 with a wait → RateLimited: the model server limits the rate: slow; costs nothing
    429 without money → OutOfCredit: the account at the model server is used up: quota (insufficient_quota); costs nothing
    500 → Overloaded: the model server is overloaded or failed (500): oops; costs nothing
    502 → Unknown: the model server gave no answer to a request that it may have done: status 502: <html>bad gateway</html>; may cost all
    503 with a date → Overloaded: the model server is overloaded or failed (503): ; costs nothing
    no HTTP → Unknown: the model server gave no answer to a request that it may have done: error sending request: client error (SendRequest): invalid HTTP version parsed; may cost all
    a connection that closes → Unknown: the model server gave no answer to a request that it may have done: error sending request: client error (SendRequest): connection closed before message completed; may cost all
    "#);
}

#[tokio::test]
async fn anthropics_wrong_streams_have_an_end_too() {
    let start = "data: {\"type\":\"message_start\",\"message\":{\"model\":\"c\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
    let text = "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
    let stopped = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n";
    let stop = "data: {\"type\":\"message_stop\"}\n\n";
    let cases = [
        ("cut after text", [start, text].concat()),
        ("overloaded at first", "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n".to_owned()),
        ("overloaded later", [start, text, "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"].concat()),
        ("no message_stop", [start, text, stopped].concat()),
        ("no message_delta", [start, text, stop].concat()),
        ("a stop without a start", stop.to_owned()),
        ("an event that is not known", [start, "data: {\"type\":\"new\"}\n\n", text, stopped, stop].concat()),
        ("an event without a type", [start, "data: {}\n\n"].concat()),
        ("negative usage", [start, text, &stopped.replace("2", "-2"), stop].concat()),
        ("OpenAI's answer", piece("Hi")),
    ];
    let mut ends = Vec::new();
    for (name, body) in cases {
        ends.push(format!("{name} → {}", call(Kind::Anthropic, events(&body)).await));
    }
    insta::assert_snapshot!(ends.join("\n"), @r#"
    cut after text → Cut: the model server's answer broke off: it closed before its end; costs at least the estimate
    overloaded at first → Overloaded: the model server is overloaded or failed (529): busy; costs nothing
    overloaded later → Cut: the model server's answer broke off: busy; costs at least the estimate
    no message_stop → ok: "Hello" 0 calls, Stop, Exact in 9 out 2
    no message_delta → ok: "Hello" 0 calls, Stop, Estimated in 9 out 5
    a stop without a start → Malformed: the model server's answer cannot be read: the stream ended before it began; may cost all
    an event that is not known → ok: "Hello" 0 calls, Stop, Exact in 9 out 2
    an event without a type → Malformed: the model server's answer cannot be read: not an event: missing field `type` at line 1 column 2; costs at least the estimate
    negative usage → ok: "Hello" 0 calls, Stop, Estimated in 9 out 5
    OpenAI's answer → Malformed: the model server's answer cannot be read: not an event: missing field `type` at line 1 column 62; may cost all
    "#);
}

/// What is awaited runs out, whether nothing comes or only signs of life.
#[tokio::test]
async fn a_stall_ends_in_its_own_time() {
    let long = Millis::from_secs(60);
    let short = Millis::new(100);
    let all = Times { connect: long, first_token: long, between_tokens: long, end: long, total: long };
    let begun = [Step::Send(head("200 OK", "")), Step::Send(piece("Hi").into_bytes()), Step::Stall];
    let pinging = [Step::Send(head("200 OK", "")), Step::Send(b": ping\n\n".to_vec()), Step::Stall];
    for (times, steps, phase, charge) in [
        (Times { first_token: short, ..all }, vec![Step::Stall], Phase::FirstToken, false),
        (Times { first_token: short, ..all }, pinging.to_vec(), Phase::FirstToken, false),
        (Times { between_tokens: short, ..all }, begun.to_vec(), Phase::BetweenTokens, true),
        (Times { total: short, ..all }, begun.to_vec(), Phase::Total, true),
    ] {
        let mut server = Server::start(vec![steps]).await;
        let provider = Provider::new(ProviderSettings { times, ..settings(&server, Kind::OpenAi) }).unwrap();
        let error = provider.answer(&ask()).await.unwrap_err();
        assert!(
            matches!(&error, CallError::TimedOut { phase: ran_out, usage, .. } if *ran_out == phase && usage.is_some() == charge),
            "{error:?}"
        );
        server.client_gone().await;
    }
}

/// P5: what was paid for and has come is not thrown away because its server does not let go of the connection.
#[tokio::test]
async fn an_answer_that_is_over_is_whole_though_its_stream_stays_open() {
    let end = Millis::new(100);
    let reported = usage("{\"prompt_tokens\":2,\"completion_tokens\":1}");
    for (last, counted) in [(reported.as_str(), Counted::Exact), ("", Counted::Estimated)] {
        let body = [piece("Hi").as_str(), STOP, last].concat();
        let steps = vec![Step::Send(head("200 OK", "")), Step::Send(body.into_bytes()), Step::Stall];
        let mut server = Server::start(vec![steps]).await;
        let times = Times { end, ..Times::default() };
        let provider = Provider::new(ProviderSettings { times, ..settings(&server, Kind::OpenAi) }).unwrap();
        let answer = provider.answer(&ask()).await.unwrap();
        assert_eq!((answer.text.as_str(), answer.usage.counted), ("Hi", counted));
        server.client_gone().await;
    }
}

#[tokio::test]
async fn dropping_a_call_closes_it_at_the_server() {
    let waiting = vec![Step::Stall];
    let begun = vec![Step::Send(head("200 OK", "")), Step::Send(piece("Hi").into_bytes()), Step::Stall];
    let mut server = Server::start(vec![begun]).await;
    let provider = Provider::new(settings(&server, Kind::OpenAi)).unwrap();
    let mut answering = provider.call(&ask()).await.unwrap();
    assert!(matches!(answering.next().await, Some(Ok(Chunk::Begun { .. }))));
    assert!(matches!(answering.next().await, Some(Ok(Chunk::Text { .. }))));
    assert_eq!(answering.usage().counted, Counted::Estimated);
    drop(answering);
    server.client_gone().await;

    let mut server = Server::start(vec![waiting]).await;
    let provider = Provider::new(settings(&server, Kind::OpenAi)).unwrap();
    let question = ask();
    tokio::select! {
        biased;
        answered = provider.call(&question) => panic!("{answered:?}"),
        () = async { while server.requests().is_empty() { tokio::task::yield_now().await } } => {}
    }
    server.client_gone().await;
}

/// The key goes where it was sent and nowhere else.
#[tokio::test]
async fn a_redirect_is_refused_and_the_key_does_not_follow_it() {
    let thief = Server::start(vec![events("")]).await;
    for code in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: {}/chat/completions\r\n", thief.url);
        let server = Server::start(vec![status(code, &location, "")]).await;
        let provider = Provider::new(settings(&server, Kind::OpenAi)).unwrap();
        let error = provider.answer(&ask()).await.unwrap_err();
        assert!(matches!(error, CallError::Refused { status: 300..=399, .. }), "{error:?}");
        assert!(matches!(provider.models().await, Err(CallError::Refused { .. })));
    }
    assert!(thief.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let provider = Provider::new(ProviderSettings::new(Kind::OpenAi, url, None)).unwrap();
    let error = provider.answer(&ask()).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.charge(), Charge::Nothing);
}

#[test]
fn an_address_that_cannot_be_meant_is_refused() {
    let new = |url: &str| Provider::new(ProviderSettings::new(Kind::OpenAi, url, None));
    for bad in ["", "localhost:11434", "ftp://x/v1", "/v1", "http://"] {
        assert!(matches!(new(bad), Err(BadProvider::Address(_))), "{bad}");
    }
    assert!(matches!(new("https://user:pass@x/v1"), Err(BadProvider::Credentials)));
    assert_eq!(new(" http://x:1/v1/ ").unwrap().address(), "http://x:1/v1/");
}

#[tokio::test]
async fn a_stream_is_the_chunks_of_the_answer_in_their_order() {
    use futures_util::StreamExt;
    let body = [piece("Hi").as_str(), STOP, DONE].concat();
    let server = Server::start(vec![events(&body)]).await;
    let provider = Provider::new(settings(&server, Kind::OpenAi)).unwrap();
    let chunks: Vec<_> =
        provider.call(&ask()).await.unwrap().into_stream().map(Result::unwrap).collect().await;
    assert!(
        matches!(
            chunks.as_slice(),
            [
                Chunk::Begun { simulated: false, .. },
                Chunk::Text { .. },
                Chunk::Usage(_),
                Chunk::End { finish: Finish::Stop }
            ]
        ),
        "{chunks:?}"
    );
}
