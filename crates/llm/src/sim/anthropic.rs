//! An answer as Anthropic's messages write it.

use super::{
    asked::Asked,
    play::{Content, End, Frame},
};
use serde_json::{Value, json};

const fn stop_reason(end: End) -> &'static str {
    match end {
        End::Stop => "end_turn",
        End::Calls => "tool_use",
        End::Length => "max_tokens",
        End::Filtered => "refusal",
    }
}

fn message(asked: &Asked, content: &Content, blocks: &[Value], reason: Option<&str>, output: u64) -> Value {
    json!({
        "id": format!("msg_sim_{}", content.id),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "simulated": true,
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": null,
        "usage": {"input_tokens": content.input, "output_tokens": output},
    })
}

pub(super) fn whole(asked: &Asked, content: &Content) -> Vec<Frame> {
    let text = content.text.concat();
    let mut blocks = Vec::new();
    if !text.is_empty() {
        blocks.push(json!({"type": "text", "text": text}));
    }
    for call in &content.calls {
        let arguments = call.arguments.concat();
        // Arguments that were cut at the limit are no JSON; the API gives an object all the same.
        let input: Value = serde_json::from_str(&arguments).unwrap_or_else(|_| json!({"cut": arguments}));
        blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
    }
    let body = message(asked, content, &blocks, Some(stop_reason(content.end)), content.output());
    vec![Frame { tokens: content.output(), text: body.to_string() }]
}

pub(super) fn stream(asked: &Asked, content: &Content) -> Vec<Frame> {
    let frame = |tokens: u64, body: &Value| {
        let name = body["type"].as_str().unwrap_or_default();
        Frame { tokens, text: format!("event: {name}\ndata: {body}\n\n") }
    };
    let mut frames =
        vec![frame(0, &json!({"type": "message_start", "message": message(asked, content, &[], None, 1)}))];
    let mut block = |begin: Value, kind: &str, key: &str, pieces: &[String], index: usize| {
        frames
            .push(frame(0, &json!({"type": "content_block_start", "index": index, "content_block": begin})));
        frames.extend(pieces.iter().map(|piece| {
            let delta = json!({"type": kind, key: piece});
            frame(1, &json!({"type": "content_block_delta", "index": index, "delta": delta}))
        }));
        frames.push(frame(0, &json!({"type": "content_block_stop", "index": index})));
    };
    let mut index = 0;
    if !content.text.is_empty() {
        block(json!({"type": "text", "text": ""}), "text_delta", "text", &content.text, index);
        index += 1;
    }
    for call in &content.calls {
        let begin = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        block(begin, "input_json_delta", "partial_json", &call.arguments, index);
        index += 1;
    }
    let delta = json!({"stop_reason": stop_reason(content.end), "stop_sequence": null});
    let usage = json!({"output_tokens": content.output()});
    frames.push(frame(0, &json!({"type": "message_delta", "delta": delta, "usage": usage})));
    frames.push(frame(0, &json!({"type": "message_stop"})));
    frames
}
