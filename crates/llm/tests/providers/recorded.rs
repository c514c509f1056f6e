//! What the real servers send, by their documentation, and what it is read as; and what they are
//! sent.

use crate::server::{Server, Step, events, head, status};
use octollm_contract::model::{
    Answer, Ask, Counted, Finish, Message, Structured, Tool, ToolCall, ToolChoice, Usage,
};
use octollm_llm::{CallError, Kind, Provider, ProviderKey, ProviderSettings, Server as Known};
use serde_json::json;

fn ask() -> Ask {
    Ask::new("m", vec![Message::system("be brief"), Message::user("hello")], 50)
}

fn provider(server: &Server, kind: Kind, known: Known) -> Provider {
    let key = ProviderKey::parse("sk-test").unwrap();
    let settings = ProviderSettings::new(kind, &server.url, Some(key));
    Provider::new(ProviderSettings { server: Some(known), ..settings }).unwrap()
}

async fn answer(kind: Kind, known: Known, ask: &Ask, steps: Vec<Step>) -> Result<Answer, CallError> {
    let server = Server::start(vec![steps]).await;
    provider(&server, kind, known).answer(ask).await
}

const fn exact(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Usage {
    Usage { input, output, cache_read, cache_write, counted: Counted::Exact }
}

const OPENAI: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":2,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}

data: [DONE]

"#;

#[tokio::test]
async fn openai_streams_text_and_counts_cached_tokens_apart() {
    let answer = answer(Kind::OpenAi, Known::OpenAi, &ask(), events(OPENAI)).await.unwrap();
    assert_eq!(
        answer,
        Answer {
            model: "gpt-4o-mini-2024-07-18".into(),
            simulated: false,
            text: "Hello".into(),
            tool_calls: vec![],
            usage: exact(11, 2, 8, 0),
            finish: Finish::Stop,
        }
    );
}

const OPENAI_TOOLS: &str = r#"data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"read","arguments":""}}]},"finish_reason":null}]}

data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"pa"}}]},"finish_reason":null}]}

data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"th\":\"a\"}"}}]},"finish_reason":null}]}

data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"list","arguments":"{}"}}]},"finish_reason":null}]}

data: {"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14}}

data: [DONE]

"#;

fn calls(list: &[(&str, &str, &str)]) -> Vec<ToolCall> {
    let call = |(id, name, arguments): &(&str, &str, &str)| ToolCall {
        id: (*id).into(),
        name: (*name).into(),
        arguments: (*arguments).into(),
    };
    list.iter().map(call).collect()
}

#[tokio::test]
async fn openai_tool_calls_come_in_pieces_and_are_given_whole() {
    let answer = answer(Kind::OpenAi, Known::OpenAi, &ask(), events(OPENAI_TOOLS)).await.unwrap();
    assert_eq!(answer.tool_calls, calls(&[("call_a", "read", r#"{"path":"a"}"#), ("call_b", "list", "{}")]));
    assert_eq!((answer.finish, answer.usage), (Finish::ToolCalls, exact(5, 9, 0, 0)));
}

/// vLLM: usage stands in every piece (`continuous_usage_stats`) or in the last; reasoning apart.
const VLLM: &str = r#"data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"Qwen/Qwen3-8B","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":12,"total_tokens":12,"completion_tokens":0}}

data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"Qwen/Qwen3-8B","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":12,"total_tokens":13,"completion_tokens":1}}

data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"Qwen/Qwen3-8B","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":"length","stop_reason":null}],"usage":{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3}}

data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"Qwen/Qwen3-8B","choices":[],"usage":{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3}}

data: [DONE]

"#;

#[tokio::test]
async fn vllm_counts_reasoning_as_output_and_the_last_usage_holds() {
    let answer = answer(Kind::OpenAi, Known::Vllm, &ask(), events(VLLM)).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("Hi", Finish::Length));
    assert_eq!(answer.usage, exact(12, 3, 0, 0));
}

/// Ollama: whole tool calls, all numbered 0, finish_reason "stop".
const OLLAMA: &str = r#"data: {"id":"chatcmpl-5","object":"chat.completion.chunk","created":1,"model":"llama3.2","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_x","index":0,"type":"function","function":{"name":"read","arguments":"{\"path\":\"a\"}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-5","object":"chat.completion.chunk","created":1,"model":"llama3.2","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_y","index":0,"type":"function","function":{"name":"read","arguments":"{\"path\":\"b\"}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-5","object":"chat.completion.chunk","created":1,"model":"llama3.2","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-5","object":"chat.completion.chunk","created":1,"model":"llama3.2","system_fingerprint":"fp_ollama","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":40,"total_tokens":70}}

data: [DONE]

"#;

#[tokio::test]
async fn ollamas_tool_calls_are_told_apart_though_all_are_number_0() {
    let answer = answer(Kind::OpenAi, Known::Ollama, &ask(), events(OLLAMA)).await.unwrap();
    assert_eq!(
        answer.tool_calls,
        calls(&[("call_x", "read", r#"{"path":"a"}"#), ("call_y", "read", r#"{"path":"b"}"#)])
    );
    assert_eq!(answer.finish, Finish::ToolCalls);
}

/// llama.cpp: the role comes alone with null content; timings stand beside usage.
const LLAMA_CPP: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"chatcmpl-7","model":"gguf","system_fingerprint":"b5000-abc","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hé"}}],"created":1,"id":"chatcmpl-7","model":"gguf","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":1,"id":"chatcmpl-7","model":"gguf","object":"chat.completion.chunk","usage":{"completion_tokens":4,"prompt_tokens":6,"total_tokens":10},"timings":{"prompt_n":6}}

data: [DONE]

"#;

#[tokio::test]
async fn llama_cpps_stream_is_read_wherever_its_bytes_are_cut() {
    for size in [1, 2, 3, 7, 1000] {
        let head = Step::Send(head("200 OK", "content-type: text/event-stream\r\n"));
        let pieces = LLAMA_CPP.as_bytes().chunks(size).map(|piece| Step::Send(piece.to_vec()));
        let steps = std::iter::once(head).chain(pieces).collect();
        let answer = answer(Kind::OpenAi, Known::LlamaCpp, &ask(), steps).await.unwrap();
        assert_eq!((answer.text.as_str(), answer.usage), ("Hé", exact(6, 4, 0, 0)), "{size}");
    }
}

const ANTHROPIC: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-3-5-haiku-20241022","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Let me look."}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"read","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"path\": \"a"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"#;

#[tokio::test]
async fn anthropic_streams_blocks_and_counts_the_cache_in_both_ways() {
    let answer = answer(Kind::Anthropic, Known::Anthropic, &ask(), events(ANTHROPIC)).await.unwrap();
    assert_eq!(answer.model, "claude-3-5-haiku-20241022");
    assert_eq!(answer.text, "Let me look.");
    assert_eq!(answer.tool_calls, calls(&[("toolu_1", "read", r#"{"path": "a"}"#)]));
    assert_eq!((answer.finish, answer.usage), (Finish::ToolCalls, exact(25, 89, 3, 7)));
}

#[tokio::test]
async fn an_answer_that_comes_whole_is_read_though_a_stream_was_asked_for() {
    let json = "content-type: application/json\r\n";
    let whole = r#"{"id":"1","object":"chat.completion","model":"m1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let openai = answer(Kind::OpenAi, Known::Other, &ask(), status("200 OK", json, whole)).await.unwrap();
    assert_eq!((openai.text.as_str(), openai.usage), ("Hi", exact(1, 2, 0, 0)));
    assert_eq!(openai.tool_calls, calls(&[("c", "f", r#"{"a":1}"#)]));
    let whole = r#"{"id":"msg","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":4}}"#;
    let anthropic =
        answer(Kind::Anthropic, Known::Anthropic, &ask(), status("200 OK", json, whole)).await.unwrap();
    assert_eq!((anthropic.text.as_str(), anthropic.usage), ("Hi", exact(3, 4, 0, 0)));
    assert_eq!(anthropic.tool_calls, calls(&[("t", "f", r#"{"a":1}"#)]));
}

fn full() -> Ask {
    let call = ToolCall { id: "c1".into(), name: "read".into(), arguments: "{\"path\":".into() };
    Ask {
        tools: vec![Tool {
            name: "read".into(),
            description: "Reads.".into(),
            parameters: json!({"type": "object"}),
        }],
        tool_choice: ToolChoice::Only("read".into()),
        temperature_hundredths: Some(20),
        stop: vec!["END".into()],
        ..Ask::new(
            "m",
            vec![
                Message::system("be brief"),
                Message::user("hello"),
                Message::Assistant { text: String::new(), tool_calls: vec![call] },
                Message::tool("c1", "not JSON"),
            ],
            50,
        )
    }
}

async fn sent(kind: Kind, known: Known, ask: &Ask) -> crate::server::Request {
    let server = Server::start(vec![status("400 Bad Request", "", "no")]).await;
    let refused = provider(&server, kind, known).answer(ask).await;
    assert!(matches!(refused, Err(CallError::Refused { status: 400, .. })), "{refused:?}");
    server.requests().remove(0)
}

#[tokio::test]
async fn openai_is_asked_as_its_reference_says() {
    let request = sent(Kind::OpenAi, Known::OpenAi, &full()).await;
    assert!(request.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", request.head);
    assert!(request.head.contains("authorization: Bearer sk-test"), "{}", request.head);
    insta::assert_json_snapshot!(request.json(), @r#"
    {
      "max_completion_tokens": 50,
      "messages": [
        {
          "content": "be brief",
          "role": "system"
        },
        {
          "content": "hello",
          "role": "user"
        },
        {
          "content": null,
          "role": "assistant",
          "tool_calls": [
            {
              "function": {
                "arguments": "{\"unreadable\":\"{\\\"path\\\":\"}",
                "name": "read"
              },
              "id": "c1",
              "type": "function"
            }
          ]
        },
        {
          "content": "not JSON",
          "role": "tool",
          "tool_call_id": "c1"
        }
      ],
      "model": "m",
      "stop": [
        "END"
      ],
      "stream": true,
      "stream_options": {
        "include_usage": true
      },
      "temperature": 0.2,
      "tool_choice": {
        "function": {
          "name": "read"
        },
        "type": "function"
      },
      "tools": [
        {
          "function": {
            "description": "Reads.",
            "name": "read",
            "parameters": {
              "type": "object"
            }
          },
          "type": "function"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn anthropic_is_asked_as_its_reference_says() {
    let request = sent(Kind::Anthropic, Known::Anthropic, &full()).await;
    assert!(request.head.starts_with("POST /v1/messages HTTP/1.1"), "{}", request.head);
    assert!(request.head.contains("x-api-key: sk-test\r\n"), "{}", request.head);
    assert!(request.head.contains("anthropic-version: 2023-06-01"), "{}", request.head);
    insta::assert_json_snapshot!(request.json(), @r#"
    {
      "max_tokens": 50,
      "messages": [
        {
          "content": [
            {
              "text": "hello",
              "type": "text"
            }
          ],
          "role": "user"
        },
        {
          "content": [
            {
              "id": "c1",
              "input": {
                "unreadable": "{\"path\":"
              },
              "name": "read",
              "type": "tool_use"
            }
          ],
          "role": "assistant"
        },
        {
          "content": [
            {
              "content": "not JSON",
              "tool_use_id": "c1",
              "type": "tool_result"
            }
          ],
          "role": "user"
        }
      ],
      "model": "m",
      "stop_sequences": [
        "END"
      ],
      "stream": true,
      "system": "be brief",
      "temperature": 0.2,
      "tool_choice": {
        "name": "read",
        "type": "tool"
      },
      "tools": [
        {
          "description": "Reads.",
          "input_schema": {
            "type": "object"
          },
          "name": "read"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_form_is_asked_for_in_the_way_that_the_server_knows() {
    let mut ask = ask();
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    ask.output = Some(Structured { name: "verdict".into(), schema });
    let by_schema = sent(Kind::OpenAi, Known::Vllm, &ask).await.json();
    assert_eq!(by_schema["response_format"]["json_schema"]["name"], "verdict");
    assert_eq!(by_schema["response_format"]["json_schema"]["strict"], true);
    let by_object = sent(Kind::OpenAi, Known::Other, &ask).await.json();
    assert_eq!(by_object["response_format"], json!({"type": "json_object"}));
    assert!(by_object["messages"][1]["content"].as_str().unwrap().contains("JSON Schema:\n{"), "{by_object}");
    let by_tool = sent(Kind::Anthropic, Known::Anthropic, &ask).await.json();
    assert_eq!(by_tool["tool_choice"], json!({"type": "tool", "name": "verdict"}));
    ask.model = "gpt-4".into();
    let by_prompt = sent(Kind::OpenAi, Known::OpenAi, &ask).await.json();
    assert_eq!(by_prompt.get("response_format"), None);
}

#[tokio::test]
async fn what_a_server_refuses_by_name_is_left_out_and_remembered() {
    for code in ["400 Bad Request", "422 Unprocessable Content", "501 Not Implemented"] {
        leaves_out_what_is_refused_with(code).await;
    }
}

async fn leaves_out_what_is_refused_with(code: &str) {
    let no = |said: &str| status(code, "", &json!({"error": {"message": said}}).to_string());
    let answers = vec![
        no("Unrecognized request argument supplied: stream_options"),
        no("'response_format' is not supported with this model"),
        events(OPENAI),
    ];
    let server = Server::start(answers).await;
    let provider = provider(&server, Kind::OpenAi, Known::Vllm);
    let mut ask = ask();
    ask.output = Some(Structured { name: "x".into(), schema: json!({"type": "object"}) });
    assert!(provider.answer(&ask).await.is_ok());
    assert!(provider.answer(&ask).await.is_ok());
    let bodies: Vec<_> = server.requests().iter().map(crate::server::Request::json).collect();
    let told: Vec<_> = bodies
        .iter()
        .map(|body| (body.get("stream_options").is_some(), body["response_format"]["type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [(true, "json_schema"), (false, "json_schema"), (false, "json_object"), (false, "json_object")],
        "{code}"
    );
}

#[tokio::test]
async fn models_are_listed_in_the_servers_order() {
    let body = r#"{"object":"list","data":[{"id":"b","object":"model"},{"id":"a"}]}"#;
    for kind in [Kind::OpenAi, Kind::Anthropic] {
        let server = Server::start(vec![status("200 OK", "", body)]).await;
        assert_eq!(provider(&server, kind, Known::Other).models().await.unwrap(), ["b", "a"]);
        assert!(server.requests()[0].head.starts_with("GET /v1/models "));
    }
}
