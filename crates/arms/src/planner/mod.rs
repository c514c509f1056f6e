//! The planner: has a model turn a goal into a plan, or revise one that failed.
//!
//! Promises: what it hands over was read strictly and passed the very check that the orchestrator
//! makes again ([`Terms`]). A plan that does not, or that the orchestrator refused all the same because
//! the task had changed, is shown to the model with everything that is wrong with it, twice at
//! most, and then the step fails with what the model wrote. A question is asked only while questions
//! are left. Nothing that the goal, a file or a failure says is an order.
//!
//! Must not know: how steps run, who stores a plan.

mod told;

use crate::{
    Arm, Undone, Work,
    think::{Form, Prompt, Talk},
};
use async_trait::async_trait;
use octollm_client::{Completion, Decision};
use octollm_contract::{
    ArmName,
    model::{Message, Structured},
};
use octollm_plan::{
    Instruction, Plan, Planning, StepOutput, Terms,
    draft::{self, Draft},
};

/// A plan that does not hold is repaired at most so often.
const REPAIRS_MAX: usize = 2;
/// What a model is told of the faults, in bytes.
const FAULTS_BYTES: usize = 6000;

/// The arm that plans.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planner;

#[async_trait]
impl Arm for Planner {
    fn name(&self) -> ArmName {
        ArmName::Planner
    }

    fn tools(&self) -> Vec<&'static str> {
        Vec::new()
    }

    async fn perform(&self, work: Work) -> Result<Completion, Undone> {
        let Instruction::Think(instruction) = &work.grant.spec.instruction else {
            return Err(Undone::for_good("the planner takes an instruction in words and nothing else"));
        };
        let brief =
            work.grant.brief.as_deref().ok_or_else(|| Undone::for_good("the planner was told no goal"))?;
        let planning = brief
            .planning
            .as_deref()
            .ok_or_else(|| Undone::for_good("the planner was not told what it may plan with"))?;
        let terms = planning.terms(&brief.criteria, octollm_yardstick::unusable);
        let user = told::briefing(brief, planning, instruction);
        let mut talk =
            Talk::begin(&work, Prompt::new(&work, include_str!("../think/prompts/planner.md"), user)).await?;
        let output = Some(Structured { name: "plan".into(), schema: draft::schema(&terms.arms) });
        let form = Form { tools: Vec::new(), output };
        loop {
            let said = talk.ask(&form).await?;
            let told = begins(talk.messages(), REFUSED);
            let (why, faults) = match read(&said.text, &terms, planning) {
                Ok(decided) => match work.refused.get(told).filter(|_| matches!(decided, Decided::Plan(_))) {
                    Some(why) => (REFUSED, format!("- {why}\n")),
                    None => return decided.completion(&talk),
                },
                Err(faults) => (REPAIR, faults),
            };
            let repairs = told + begins(talk.messages(), REPAIR);
            if repairs >= REPAIRS_MAX {
                return Err(Undone::for_good(format!(
                    "the model wrote no plan that holds, and repaired it {REPAIRS_MAX} times in vain: {} {}",
                    octollm_screen::data::beginning(&faults, 1500),
                    crate::think::quoted(&said.text)
                )));
            }
            let marked = crate::think::data(&work, "what is wrong", &faults, FAULTS_BYTES);
            talk.useful();
            talk.complain(format!("{why}\n{marked}"), &faults).await?;
        }
    }
}

const REPAIR: &str = "What you wrote cannot be used. Write the whole JSON object again, repaired.";

const REFUSED: &str = "The plan was not taken, because the task has changed meanwhile. Write the whole JSON object again, repaired.";

/// How often this conversation has told the model this.
fn begins(messages: &[Message], with: &str) -> usize {
    messages.iter().filter(|m| matches!(m, Message::User { text } if text.starts_with(with))).count()
}

/// What the model decided, checked.
enum Decided {
    Plan(Plan),
    Question(String),
    Refusal(String),
}

impl Decided {
    fn completion(self, talk: &Talk<'_>) -> Result<Completion, Undone> {
        let provenance = Some(talk.work.provenance(&talk.made_by("planner")));
        let (text, data, decision) = match self {
            Decided::Refusal(reason) => {
                return Err(Undone::for_good(format!(
                    "the planner says that this cannot be planned: {}",
                    octollm_screen::text::neutralise(&reason)
                )));
            }
            Decided::Question(question) => {
                let question = octollm_screen::text::neutralise(&question).into_owned();
                (question.clone(), serde_json::json!({ "question": question }), Decision::Question)
            }
            Decided::Plan(plan) => {
                let data = serde_json::to_value(&plan).map_err(|e| Undone::for_good(e.to_string()))?;
                (told::in_words(&plan), data, Decision::Plan(plan))
            }
        };
        let output = StepOutput { text, data, provenance, ..StepOutput::default() };
        Ok(Completion { output, decision: Some(decision) })
    }
}

/// Reads and checks what the model wrote. The error is for the model.
fn read(text: &str, terms: &Terms<'_>, planning: &Planning) -> Result<Decided, String> {
    let lines = |faults: Vec<String>| faults.iter().map(|fault| format!("- {fault}\n")).collect::<String>();
    // Models like to say a word before and after.
    let object = text.find('{').zip(text.rfind('}')).filter(|(from, to)| from < to);
    let object = object.map_or(text, |(from, to)| &text[from..=to]);
    match Draft::read(object, &terms.arms)
        .map_err(|faults| lines(faults.iter().map(ToString::to_string).collect()))?
    {
        Draft::Refusal(reason) => Ok(Decided::Refusal(reason)),
        Draft::Question(_) if planning.questions_left == 0 => {
            Err("- No more questions can be put to the client. Plan with what is known, or refuse.\n"
                .to_owned())
        }
        Draft::Question(question) => Ok(Decided::Question(question)),
        Draft::Plan(plan) => match plan.clone().settled(terms) {
            Ok(_) => Ok(Decided::Plan(plan)),
            Err(faults) => Err(lines(faults.iter().take(20).map(ToString::to_string).collect())),
        },
    }
}
