//! A conversation cut to what a model's context takes: old results of tools go first.

use octollm_contract::model::{Message, ToolCall};

/// The conversation is too long even without what can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom {
    pub(super) bytes: usize,
}

const LEFT_OUT: &str = "(An earlier result, left out here for want of space.)";
/// Arguments of old calls over this many bytes are left out, too: files that were written.
const ARGUMENTS: usize = 400;
/// The last so many messages stay whole.
const RECENT: usize = 6;

/// The messages, in at most `room` bytes. It depends on nothing but its arguments, so that a
/// question asked again is the same question.
pub(super) fn fitted(messages: &[Message], room: usize) -> Result<Vec<Message>, NoRoom> {
    let mut fitted = messages.to_vec();
    let mut bytes: usize = fitted.iter().map(size).sum();
    let old = fitted.len().saturating_sub(RECENT);
    for message in &mut fitted[..old] {
        if bytes <= room {
            break;
        }
        let before = size(message);
        match message {
            Message::Tool { text, .. } if text.len() > LEFT_OUT.len() => *text = LEFT_OUT.to_owned(),
            Message::Assistant { tool_calls, .. } => tool_calls.iter_mut().for_each(shorten),
            Message::Tool { .. } | Message::System { .. } | Message::User { .. } => {}
        }
        bytes -= before - size(message);
    }
    if bytes > room { Err(NoRoom { bytes }) } else { Ok(fitted) }
}

fn shorten(call: &mut ToolCall) {
    if call.arguments.len() > ARGUMENTS {
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
        assert!(matches!(fitted(&messages, 3_000), Err(NoRoom { .. })));
    }
}
