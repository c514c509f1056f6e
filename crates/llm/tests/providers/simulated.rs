//! The simulated server through the real clients.

use octollm_contract::model::{Answer, Ask, Counted, Finish, Message, Structured, Tool};
use octollm_llm::{
    CallError, Kind, Provider, ProviderSettings, count,
    sim::{Call, Outcome, Script, Sim},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

struct Running {
    sim: Arc<Sim>,
    url: String,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Running {
    async fn start(script: Script, seed: u64) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sim = Sim::new(script, seed, None);
        let serving = tokio::spawn(Arc::clone(&sim).serve(listener));
        Running { sim, url, serving }
    }

    fn provider(&self, kind: Kind) -> Provider {
        Provider::new(ProviderSettings::new(kind, format!("{}/v1", self.url), None)).unwrap()
    }

    /// The calls, once none is open.
    async fn ended(&self) -> Vec<Call> {
        let closed = async {
            loop {
                let calls = self.sim.calls();
                if calls.iter().all(|call| call.outcome != Outcome::Open) {
                    return calls;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closed).await.expect("a call stays open")
    }
}

fn asking(text: &str) -> Ask {
    Ask::new("octollm-sim", vec![Message::user(text)], 1000)
}

/// P10: the guide's three goals are known, and every answer says that it is simulated.
#[tokio::test]
async fn the_three_goals_are_answered_and_marked_by_both_apis() {
    let running = Running::start(Script::built_in(), 1).await;
    for (goal, has) in [
        ("List files in /tmp directory", "/tmp"),
        ("Write a Python function to sort a list", "def "),
        ("Analyze security of a web application", "1. "),
    ] {
        let mut texts = Vec::new();
        for kind in [Kind::OpenAi, Kind::Anthropic] {
            let ask = asking(goal);
            let answer = running.provider(kind).answer(&ask).await.unwrap();
            assert!(answer.simulated && answer.text.contains(has), "{answer:?}");
            assert_eq!((answer.finish, answer.usage.counted), (Finish::Stop, Counted::Exact));
            assert!(answer.usage.input <= count(&ask).tokens);
            texts.push(answer.text);
        }
        assert_eq!(texts[0], texts[1]);
    }
    let models = running.provider(Kind::OpenAi).models().await.unwrap();
    assert_eq!(models, ["octollm-sim"]);
    let calls = running.ended().await;
    assert_eq!(calls.len(), 6);
    assert!(calls.iter().all(|call| call.outcome == Outcome::Finished && call.output > 0), "{calls:?}");
}

#[tokio::test]
async fn what_no_rule_matches_is_refused() {
    let running = Running::start(Script::built_in(), 1).await;
    let error = running.provider(Kind::OpenAi).answer(&asking("Bake a cake")).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused { status: 400, said } if said.contains("Bake a cake")),
        "{error}"
    );
}

const SCRIPT: &str = r#"
[timing]
first_token_ms = { fixed = 0 }
tokens_per_second = { fixed = 1000000 }

[faults]
retry_after_seconds = 3

[[rule]]
name = "loop"
user = 'fix (?<file>\S+)'
tool = "read"
[[rule.answer]]
text = "First I look."
tool_calls = [{ name = "read", arguments = { path = "{{file}}" } }, { name = "read" }]
[[rule.answer]]
text = "Done with {{file}}."

[[rule]]
name = "verdict"
form = "verdict"
[[rule.answer]]
json = { passed = true, evidence = ["a", 1] }

[[rule]]
name = "twice"
user = "twice"
sequence = "request"
[[rule.answer]]
fault = "error"
[[rule.answer]]
fault = "rate_limit"
[[rule.answer]]
text = "third"

[[rule]]
name = "cut"
user = "cut"
[[rule.answer]]
text = "This is a long text that is never told to its end."
fault = "cut"

[[rule]]
name = "malformed"
user = "malformed"
[[rule.answer]]
text = "This is a long text that is never told to its end."
fault = "malformed"

[[rule]]
name = "long"
user = "long"
[[rule.answer]]
text = "This is a long text that does not fit into five tokens."
"#;

async fn scripted() -> Running {
    Running::start(Script::parse(SCRIPT, "test.toml").unwrap(), 7).await
}

#[tokio::test]
async fn a_tool_loop_goes_turn_by_turn() {
    let running = scripted().await;
    for kind in [Kind::OpenAi, Kind::Anthropic] {
        let provider = running.provider(kind);
        let mut ask = asking("fix a.py");
        ask.tools = vec![Tool {
            name: "read".into(),
            description: "d".into(),
            parameters: json!({"type": "object"}),
        }];
        let Answer { text, tool_calls, finish, .. } = provider.answer(&ask).await.unwrap();
        assert_eq!((text.as_str(), finish), ("First I look.", Finish::ToolCalls));
        assert_eq!(tool_calls[0].object().unwrap()["path"], "a.py");
        assert_eq!(tool_calls[1].object().unwrap().len(), 0);
        assert_ne!(tool_calls[0].id, tool_calls[1].id);
        let outputs = tool_calls.iter().map(|call| Message::tool(&call.id, "empty")).collect::<Vec<_>>();
        ask.messages.push(Message::Assistant { text, tool_calls });
        ask.messages.extend(outputs);
        assert_eq!(provider.answer(&ask).await.unwrap().text, "Done with a.py.");
    }
}

#[tokio::test]
async fn a_form_is_filled_however_it_is_asked_for() {
    let running = scripted().await;
    let mut ask = asking("judge");
    ask.output = Some(Structured { name: "verdict".into(), schema: json!({"type": "object"}) });
    let anthropic = running.provider(Kind::Anthropic).answer(&ask).await.unwrap();
    assert_eq!(anthropic.json(), Ok(json!({"passed": true, "evidence": ["a", 1]})));
    assert_eq!(anthropic.finish, Finish::Stop);
    let settings = ProviderSettings::new(Kind::OpenAi, format!("{}/v1", running.url), None);
    let vllm = ProviderSettings { server: Some(octollm_llm::Server::Vllm), ..settings };
    let openai = Provider::new(vllm).unwrap().answer(&ask).await.unwrap();
    assert_eq!(openai.json(), anthropic.json());
}

#[tokio::test]
async fn faults_are_what_the_script_says_and_the_log_tells_them_apart() {
    let running = scripted().await;
    let provider = running.provider(Kind::OpenAi);
    let twice = asking("twice");
    assert!(matches!(provider.answer(&twice).await, Err(CallError::Overloaded { status: 500, .. })));
    let limited = provider.answer(&twice).await.unwrap_err();
    assert!(matches!(limited, CallError::RateLimited { retry_after: Some(wait), .. } if wait.get() == 3000));
    assert_eq!(provider.answer(&twice).await.unwrap().text, "third");
    assert!(matches!(provider.answer(&asking("cut")).await, Err(CallError::Cut { .. })));
    assert!(matches!(provider.answer(&asking("malformed")).await, Err(CallError::Malformed { .. })));
    let mut long = asking("long");
    long.max_output_tokens = 5;
    let long = provider.answer(&long).await.unwrap();
    assert_eq!((long.finish, long.usage.output), (Finish::Length, 5));
    let outcomes: Vec<_> = running.ended().await.into_iter().map(|call| call.outcome).collect();
    use Outcome::{Broken, Failed, Finished};
    assert_eq!(outcomes, [Failed, Failed, Finished, Broken, Broken, Finished]);
}

#[tokio::test]
async fn a_client_that_goes_away_is_noted() {
    let script =
        "[timing]\nfirst_token_ms = { fixed = 3600000 }\n[[rule]]\nname = 'x'\n[[rule.answer]]\ntext = 'y'\n";
    let running = Running::start(Script::parse(script, "x").unwrap(), 0).await;
    drop(running.provider(Kind::OpenAi).call(&asking("x")).await.unwrap());
    assert_eq!(running.ended().await[0].outcome, Outcome::Abandoned);
}

/// The same seed and requests give the same answers and faults, in whatever order they come.
#[tokio::test]
async fn answers_depend_on_the_seed_and_not_on_the_order() {
    let script = "[timing]\nfirst_token_ms = { uniform = [0, 3] }\n[faults]\nerror = 0.3\ncut = 0.2\n[[rule]]\nname = 'x'\n[[rule.answer]]\ntext = 'This is a longer text.'\n";
    let mut runs = Vec::new();
    for (seed, backwards) in [(1, false), (1, true), (2, false)] {
        let running = Running::start(Script::parse(script, "x").unwrap(), seed).await;
        let provider = running.provider(Kind::OpenAi);
        let mut goals: Vec<String> = (0..24).map(|n| format!("goal {n}")).collect();
        if backwards {
            goals.reverse();
        }
        let mut ends = Vec::new();
        for goal in goals {
            let end = match provider.answer(&asking(&goal)).await {
                Ok(answer) => answer.text,
                Err(error) => error.to_string(),
            };
            ends.push((goal, end));
        }
        ends.sort();
        runs.push(ends);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn raw_answers_carry_the_mark_in_head_and_body() {
    let running = scripted().await;
    let tls = octollm_tls::http_client(&octollm_tls::Trust::Nobody, None).unwrap();
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    let messages = json!([{"role": "user", "content": "long"}]);
    for path in ["chat/completions", "messages"] {
        let body = json!({"model": "any", "max_tokens": 100, "messages": messages});
        let response = http.post(format!("{}/v1/{path}", running.url)).json(&body).send().await.unwrap();
        assert_eq!(response.headers()["x-octollm-simulated"], "true");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["simulated"], true, "{body}");
    }
    let nobody = json!({"model": "any", "max_tokens": 100, "messages": [{"role": "user", "content": "?"}]});
    let refused = http.post(format!("{}/v1/messages", running.url)).json(&nobody).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let log: serde_json::Value =
        http.get(format!("{}/log", running.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!((&log["calls"][1]["model"], &log["calls"][1]["outcome"]), (&json!("any"), &json!("finished")));
    let unmatched = (&log["calls"][2]["rule"], &log["calls"][2]["outcome"]);
    assert_eq!(unmatched, (&json!(null), &json!("unmatched")), "{log}");
    let bad = http.post(format!("{}/v1/messages", running.url)).body("{").send().await.unwrap();
    assert_eq!(bad.status(), 400);
}
