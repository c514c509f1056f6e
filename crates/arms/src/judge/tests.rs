//! What the judge says of results, good and bad, and of criteria that mean harm.

use super::Judge;
use crate::{
    Arm, Link, Undone, Work,
    worker::unreliable::{UnreliableLeases, grant},
};
use octollm_client::{Decision, Leases, VerdictReport};
use octollm_contract::{
    ArmName, ContentHash, Timestamp,
    api::{ArtefactView, StructuredCriterion},
};
use octollm_plan::{Body, InputValue, Instruction, StepOutput};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn work(criteria: Vec<StructuredCriterion>, outputs: Vec<StepOutput>, leases: Arc<UnreliableLeases>) -> Work {
    let criteria = criteria.into_iter().map(Into::into).collect();
    let mut grant = grant(0, ArmName::Judge, Instruction::Judge { criteria });
    for (at, output) in outputs.into_iter().enumerate() {
        grant.inputs.insert(format!("result-{at:02}").parse().unwrap(), InputValue::Whole(Box::new(output)));
    }
    Work {
        cancel: CancellationToken::new(),
        link: Link::new(leases, grant.token.clone()),
        worker: "w1".parse().unwrap(),
        started: Timestamp::from_millis(0),
        refused: Vec::new(),
        grant: Arc::new(grant),
    }
}

async fn judge(criterion: StructuredCriterion, outputs: Vec<StepOutput>) -> Result<String, String> {
    let work = work(vec![criterion], outputs, UnreliableLeases::new());
    let done = Judge.perform(work).await.expect("a verdict");
    match done.decision.expect("a judge decides") {
        Decision::Verdict(VerdictReport::Accepted) => Ok(done.output.text),
        Decision::Verdict(VerdictReport::Refused(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> StepOutput {
    StepOutput { text: text.into(), ..StepOutput::default() }
}

#[tokio::test]
async fn each_criterion_is_decided_with_evidence() {
    use StructuredCriterion::{ArtefactExists, Contains, ExitCode, JsonSchema, Regex};
    let yes = async |criterion, output: StepOutput, evidence: &str| {
        let said = judge(criterion, vec![output]).await.unwrap();
        assert!(said.contains(evidence), "{said}");
    };
    let no = async |criterion, output: StepOutput, evidence: &str| {
        let said = judge(criterion, vec![output]).await.unwrap_err();
        assert!(said.contains(evidence), "{said}");
    };
    yes(Contains { text: "b".into() }, text("a\nxbc\n"), r#"line 2: "xbc""#).await;
    no(Contains { text: "z".into() }, text("abc"), "not in the result's text").await;
    yes(Regex { pattern: "^b+$".into() }, text("bbb"), r#""bbb" matches in line 1"#).await;
    no(Regex { pattern: "^c".into() }, text("bbb"), "not in").await;
    no(Regex { pattern: "(".into() }, text("bbb"), "cannot be used").await;
    let ended = |code| StepOutput { exit_code: Some(code), ..text("x") };
    yes(ExitCode { equals: 3 }, ended(3), "the exit code is 3").await;
    no(ExitCode { equals: 0 }, ended(1), "the exit code is 1").await;
    no(ExitCode { equals: 0 }, text("x"), "no program was run").await;
    let file = ArtefactView { path: "a/b.txt".into(), bytes: 3, sha256: ContentHash::of(b"abc") };
    let files = || StepOutput { artefacts: vec![file.clone()], ..text("x") };
    yes(ArtefactExists { path: "./a/b.txt".into() }, files(), "3 bytes").await;
    no(ArtefactExists { path: "a".into() }, files(), "none of this path").await;
    let number =
        || JsonSchema { schema: json!({"properties": {"n": {"type": "integer"}}, "required": ["n"]}) };
    yes(number(), text(r#"{"n": 1}"#), "valid").await;
    yes(number(), StepOutput { data: json!({"n": 2}), ..text("two") }, "valid").await;
    no(number(), text(r#"{"n": "x"}"#), r#"at "/n""#).await;
    no(number(), text("hello"), "not JSON").await;
}

#[tokio::test]
async fn one_refused_criterion_refuses_and_all_are_told() {
    let contains = |text: &str| StructuredCriterion::Contains { text: text.into() };
    let work = work(vec![contains("a"), contains("z")], vec![text("a"), text("b")], UnreliableLeases::new());
    let done = Judge.perform(work).await.unwrap();
    let Some(Decision::Verdict(VerdictReport::Refused(why))) = done.decision else {
        panic!("{:?}", done.decision)
    };
    assert!(why.starts_with("contains \"z\" does not hold") && !why.contains("\"a\" holds"), "{why}");
    assert_eq!(done.output.data["criteria"][0]["holds"], json!(true));
    assert!(done.output.provenance.is_some());
}

/// P10: a text that was cut is judged whole.
#[tokio::test]
async fn a_cut_text_is_judged_whole() {
    let leases = UnreliableLeases::new();
    let mut work =
        work(vec![StructuredCriterion::Contains { text: "the end".into() }], vec![], Arc::clone(&leases));
    let token = work.grant.token.clone();
    let whole = bytes::Bytes::from_static(b"the beginning ... the end");
    let sha256 = leases.put_artefact(&token, whole.clone()).await.unwrap();
    let kept = ArtefactView { path: "octollm-output/s.txt".into(), bytes: whole.len() as u64, sha256 };
    let output = StepOutput { whole_text: Some(sha256), artefacts: vec![kept], ..text("the beginning") };
    Arc::get_mut(&mut work.grant)
        .unwrap()
        .inputs
        .insert("r".parse().unwrap(), InputValue::Whole(Box::new(output)));
    assert_eq!(Judge.perform(work).await.unwrap().decision, Some(Decision::Verdict(VerdictReport::Accepted)));
}

/// P10: what is remarked for people, and what a program says of itself, is not the result.
#[tokio::test]
async fn what_a_step_made_is_judged_and_not_what_is_said_beside_it() {
    let contains = |text: &str| StructuredCriterion::Contains { text: text.into() };
    let said = || StepOutput { body: Some(Body::Text("made".into())), ..text("made\n(errors:)\nlost") };
    assert!(judge(contains("made"), vec![said()]).await.is_ok());
    assert!(judge(contains("lost"), vec![said()]).await.is_err());
    let json = StepOutput { body: Some(Body::Text("[1]".into())), ..text("[1]\n(exit code 1)") };
    let list = StructuredCriterion::JsonSchema { schema: json!({ "type": "array" }) };
    assert!(judge(list, vec![json]).await.is_ok());
}

/// P10: of a text that was not kept whole nothing is said; what needs no text is judged.
#[tokio::test]
async fn what_needs_no_text_is_judged_of_a_partial_result() {
    use StructuredCriterion::{ArtefactExists, Contains, ExitCode, Regex};
    let file = ArtefactView { path: "a.txt".into(), bytes: 3, sha256: ContentHash::of(b"abc") };
    let partial = || StepOutput {
        body: Some(Body::Partial),
        exit_code: Some(0),
        artefacts: vec![file.clone()],
        ..text("a")
    };
    assert!(judge(ExitCode { equals: 0 }, vec![partial()]).await.is_ok());
    assert!(judge(ArtefactExists { path: "a.txt".into() }, vec![partial()]).await.is_ok());
    for needs_text in [Contains { text: "a".into() }, Regex { pattern: "a".into() }] {
        let why = judge(needs_text, vec![partial()]).await.unwrap_err();
        assert!(why.contains("cannot be told"), "{why}");
    }
}

/// A schema of the greatest height on data of the greatest depth has room on the stack.
#[tokio::test]
async fn a_high_schema_on_deep_data_is_checked() {
    let mut schema = json!({ "additionalProperties": { "$ref": "#" } });
    for _ in 0..29 {
        schema = json!({ "allOf": [schema] });
    }
    let deep = (0..120).fold("{}".to_owned(), |inner, _| format!(r#"{{"a":{inner}}}"#));
    assert!(judge(StructuredCriterion::JsonSchema { schema }, vec![text(&deep)]).await.is_ok());
}

/// Criteria that mean harm end in a refusal that says why, soon.
#[tokio::test]
async fn hostile_criteria_are_refused_with_the_reason() {
    let no = async |criterion, output: StepOutput, evidence: &str| {
        let said = judge(criterion, vec![output]).await.unwrap_err();
        assert!(said.contains(evidence), "{evidence}: {said}");
    };
    let schema = |schema: Value| StructuredCriterion::JsonSchema { schema };
    let data = || text(r#"{"a": {"a": {}}}"#);
    no(StructuredCriterion::Regex { pattern: "(a{1000}){1000}".into() }, text("a"), "cannot be used").await;
    let long = text(&format!("{}!", "a".repeat(100_000)));
    no(StructuredCriterion::Regex { pattern: "^(a+)+$".into() }, long, "not in").await;
    for elsewhere in ["http://127.0.0.1:1/x.json", "file:///etc/passwd", "other.json"] {
        no(schema(json!({ "$ref": elsewhere })), data(), "cannot be used").await;
    }
    no(schema(json!({ "$ref": "#" })), data(), "refers to itself").await;
    no(schema(json!({ "pattern": "(?=a)" })), data(), "cannot be used").await;
    let tree = json!({ "additionalProperties": { "$ref": "#" }, "type": "object" });
    assert!(
        judge(schema(tree), vec![data()]).await.is_ok(),
        "a schema may refer to itself for what lies deeper"
    );
}

#[tokio::test]
async fn a_step_that_is_no_judgement_fails_for_good() {
    let work = work(vec![], vec![], UnreliableLeases::new());
    assert!(matches!(Judge.perform(work).await, Err(Undone::Failed { retryable: false, .. })));
}
