//! An answer as OpenAI's chat completions write it.

use super::{
    asked::Asked,
    play::{Content, End, Frame},
};
use crate::SIMULATED_BY;
use serde_json::{Value, json};

const fn finish(end: End) -> &'static str {
    match end {
        End::Stop => "stop",
        End::Calls => "tool_calls",
        End::Length => "length",
        End::Filtered => "content_filter",
    }
}

fn usage(content: &Content) -> Value {
    let Content { input, .. } = *content;
    let output = content.output();
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn object(kind: &str, asked: &Asked, content: &Content, choices: &Value) -> Value {
    json!({
        "id": format!("chatcmpl-sim-{}", content.id),
        "object": kind,
        "created": 0,
        "model": asked.model,
        "system_fingerprint": SIMULATED_BY,
        "simulated": true,
        "choices": choices,
    })
}

pub(super) fn whole(asked: &Asked, content: &Content) -> Vec<Frame> {
    let calls: Vec<Value> = content
        .calls
        .iter()
        .map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments.concat()});
            json!({"id": call.id, "type": "function", "function": function})
        })
        .collect();
    let text = content.text.concat();
    let mut message = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
        if text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    let choice = json!([{"index": 0, "message": message, "finish_reason": finish(content.end)}]);
    let mut body = object("chat.completion", asked, content, &choice);
    body["usage"] = usage(content);
    vec![Frame { tokens: content.output(), text: body.to_string() }]
}

pub(super) fn stream(asked: &Asked, content: &Content) -> Vec<Frame> {
    let piece = |delta: Value, reason: Option<&str>| {
        let choice = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        object("chat.completion.chunk", asked, content, &choice)
    };
    let frame = |tokens: u64, body: &Value| Frame { tokens, text: format!("data: {body}\n\n") };
    let mut frames = vec![frame(0, &piece(json!({"role": "assistant", "content": ""}), None))];
    frames.extend(content.text.iter().map(|text| frame(1, &piece(json!({"content": text}), None))));
    for (index, call) in content.calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let begin = json!([{"index": index, "id": call.id, "type": "function", "function": function}]);
        frames.push(frame(1, &piece(json!({"tool_calls": begin}), None)));
        frames.extend(call.arguments.iter().map(|text| {
            let more = json!([{"index": index, "function": {"arguments": text}}]);
            frame(1, &piece(json!({"tool_calls": more}), None))
        }));
    }
    frames.push(frame(0, &piece(json!({}), Some(finish(content.end)))));
    if asked.stream_usage {
        let mut last = object("chat.completion.chunk", asked, content, &json!([]));
        last["usage"] = usage(content);
        frames.push(frame(0, &last));
    }
    frames.push(Frame { tokens: 0, text: "data: [DONE]\n\n".to_owned() });
    frames
}
