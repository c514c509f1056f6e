//! A conversation cut to what a model's context takes: old results of tools go first.

use octollm_contract::model::{Message, ToolCall};

/// The conversation is too long even without what can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom {
    pub(super) bytes: usize,
}

const LEFT_OUT: &str = "(An earlier result, left out here for want of space.)";
/// Arguments and words of the model over this many bytes are left out, too: files that were written.
const KEPT: usize = 400;

/// The messages, in at most `room` bytes. The beginning and the last message stay as they are. It
/// depends on nothing but its arguments, so that a question asked again is the same question.
pub(super) fn fitted(messages: &[Message], room: usize) -> Result<Vec<Message>, NoRoom> {
    let mut fitted = messages.to_vec();
    let mut bytes: usize = fitted.iter().map(size).sum();
    let last = fitted.len().saturating_sub(1);
    for message in &mut fitted[..last] {
        if bytes <= room {
            break;
        }
        let before = size(message);
        leave_out(message);
        bytes -= before - size(message);
    }
    if bytes > room { Err(NoRoom { bytes }) } else { Ok(fitted) }
}

fn leave_out(message: &mut Message) {
    match message {
        Message::Tool { text, .. } if text.len() > LEFT_OUT.len() => *text = LEFT_OUT.to_owned(),
        Message::Assistant { text, tool_calls } => {
            if text.len() > KEPT {
                text.truncate(text.floor_char_boundary(KEPT / 2));
                text.push_str(" (cut here for want of space)");
            }
            tool_calls.iter_mut().for_each(shorten);
        }
        Message::Tool { .. } | Message::System { .. } | Message::User { .. } => {}
    }
}

fn shorten(call: &mut ToolCall) {
    if call.arguments.len() > KEPT {
        call.arguments = r#"{"left_out":"for want of space"}"#.to_owned();
    }
}

fn size(message: &Message) -> usize {
    // What a provider's form of a message adds is about this much.
    const AROUND: usize = 40;
    let calls = match message {
        Message::Assistant { tool_calls, .. } => {
            tool_calls.iter().map(|call| call.name.len() + call.arguments.len() + AROUND).sum()
        }
        Message::System { .. } | Message::User { .. } | Message::Tool { .. } => 0,
    };
    message.text().len() + calls + AROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_results_go_first_and_what_must_stay_stays() {
        let long = |n: usize| Message::tool(format!("call-{n}"), "x".repeat(1000));
        let mut messages = vec![Message::system("s"), Message::user("u")];
        messages.extend((0..10).map(long));
        let all = fitted(&messages, usize::MAX).unwrap();
        assert_eq!(all, messages);
        let cut = fitted(&messages, 9_000).unwrap();
        assert!(cut.iter().map(size).sum::<usize>() <= 9_000);
        assert_eq!((cut[2].text(), &cut[11]), (LEFT_OUT, &messages[11]));
        assert_eq!(cut[..2], messages[..2]);
        // In a small window all results but the last go.
        let small = fitted(&messages, 2_000).unwrap();
        assert_eq!((small[10].text(), &small[11]), (LEFT_OUT, &messages[11]));
        assert!(matches!(fitted(&messages, 1_000), Err(NoRoom { .. })));
    }

    #[test]
    fn what_a_model_wrote_itself_is_cut_in_a_small_window() {
        let call = ToolCall { id: "1".into(), name: "write".into(), arguments: "x".repeat(5000) };
        let said = Message::Assistant { text: "y".repeat(5000), tool_calls: vec![call] };
        let messages =
            [Message::system("s"), Message::user("u"), said, Message::tool("1", "wrote it".repeat(10))];
        let cut = fitted(&messages, 1_000).unwrap();
        let Message::Assistant { text, tool_calls } = &cut[2] else { panic!() };
        assert!(text.ends_with("(cut here for want of space)") && tool_calls[0].object().is_ok());
        assert_eq!(cut[3], messages[3]);
    }
}
