//! Acceptance criteria are checked before anything is stored: a judge that could not read its
//! criterion would fail a task that was accepted. Fit is what the judge itself can measure
//! with: [`octollm_yardstick::Allowance`] says it for both.

use super::submit::SubmitError;
use octollm_contract::Criterion;
use octollm_yardstick::{Allowance, MAX_CRITERIA};

/// A sentence for a model to judge by has at most so many characters.
const SENTENCE_CHARACTERS_MAX: usize = 2_000;

/// The criteria, each one fit to be judged by: sentences only where a model can judge them. What
/// clients send to be compiled is compiled off the threads that serve others.
pub(super) async fn checked(criteria: &[Criterion], by_model: bool) -> Result<Vec<Criterion>, SubmitError> {
    if criteria.is_empty() {
        return Ok(Vec::new());
    }
    if criteria.len() > MAX_CRITERIA {
        return Err(invalid("acceptance_criteria".into(), format!("at most {MAX_CRITERIA} are taken")));
    }
    criteria.iter().enumerate().try_for_each(|(at, criterion)| sentence(at, criterion, by_model))?;
    let criteria = criteria.to_vec();
    let checking = tokio::task::spawn_blocking(move || fit(&criteria).map(|()| criteria));
    match checking.await {
        Ok(outcome) => outcome,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime goes away, and with it the server.
            Err(_) => Err(SubmitError::Draining),
        },
    }
}

/// A sentence is taken where a model can judge it, within bounds.
fn sentence(at: usize, criterion: &Criterion, by_model: bool) -> Result<(), SubmitError> {
    let Criterion::FreeText(text) = criterion else { return Ok(()) };
    let field = format!("acceptance_criteria[{at}]");
    if !by_model {
        let detail = "a sentence needs a model to judge it; use a structured criterion, such as \
                      {\"type\": \"contains\", \"text\": \"…\"}";
        return Err(SubmitError::NotHonoured { field, detail: detail.into() });
    }
    if text.trim().is_empty() || text.chars().count() > SENTENCE_CHARACTERS_MAX {
        return Err(invalid(field, format!("a sentence has 1 to {SENTENCE_CHARACTERS_MAX} characters")));
    }
    Ok(())
}

fn fit(criteria: &[Criterion]) -> Result<(), SubmitError> {
    let mut allowance = Allowance::default();
    criteria.iter().enumerate().try_for_each(|(at, criterion)| {
        let Criterion::Structured(criterion) = criterion else { return Ok(()) };
        let made = allowance.yardstick(criterion).map(drop);
        made.map_err(|unfit| invalid(format!("acceptance_criteria[{at}].{}", unfit.member), unfit.why))
    })
}

fn invalid(field: String, detail: String) -> SubmitError {
    SubmitError::Invalid { field, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn field_of(criteria: &[Value]) -> Option<String> {
        let criteria: Vec<Criterion> =
            criteria.iter().map(|c| serde_json::from_value(c.clone()).unwrap()).collect();
        match checked(&criteria, false).await {
            Ok(_) => None,
            Err(SubmitError::Invalid { field, .. } | SubmitError::NotHonoured { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
        }
    }

    /// P8: what the judge would refuse after the work is refused before it, and named.
    #[tokio::test]
    async fn what_the_judge_could_not_use_is_named_at_the_accept() {
        let fine = json!({ "type": "contains", "text": "a" });
        assert_eq!(field_of(std::slice::from_ref(&fine)).await, None);
        for (schema, why) in [
            (json!({ "$ref": "#" }), "for ever"),
            (json!({ "pattern": "(?=a)" }), "look-around"),
            (json!({ "pattern": "(a{1000}){1000}" }), "huge"),
            (json!({ "description": "x".repeat(300_000) }), "long"),
            (json!({ "$ref": "http://127.0.0.1:1/x" }), "elsewhere"),
        ] {
            let criterion = json!({ "type": "json_schema", "schema": schema });
            let field = field_of(&[fine.clone(), criterion]).await;
            assert_eq!(field.as_deref(), Some("acceptance_criteria[1].schema"), "{why}");
        }
        let looks = json!({ "type": "regex", "pattern": "(?=a)" });
        assert_eq!(field_of(&[looks]).await.as_deref(), Some("acceptance_criteria[0].pattern"));
        assert_eq!(field_of(&vec![fine; 65]).await.as_deref(), Some("acceptance_criteria"));
        assert_eq!(field_of(&[json!("be nice")]).await.as_deref(), Some("acceptance_criteria[0]"));
    }
}
