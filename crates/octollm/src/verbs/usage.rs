//! `octollm usage`: what the tasks of a server came to and cost.

use super::{runtime, task::client};
use crate::{cli::UsageOf, show};
use octollm_client::http::ClientError;
use octollm_contract::{Day, api::UsagePage};
use std::process::ExitCode;

/// The first and the last day that are asked for.
type Days = (Option<Day>, Option<Day>);

pub(super) fn usage(of: &UsageOf) -> anyhow::Result<ExitCode> {
    let (client, days) = (client(&of.server)?, (of.from, of.to));
    runtime(1)?.block_on(async {
        let (json, text) = if of.by_arm {
            let arms = client.arms_usage(days).await?;
            (serde_json::to_string(&arms)?, show::usage_by_arm(&arms))
        } else {
            let page = async |days, cursor: Option<String>| client.usage(days, cursor.as_deref()).await;
            let all = gathered(days, page).await?;
            (serde_json::to_string(&all)?, show::usage_by_day(&all))
        };
        if of.server.json {
            show::line(&json);
        } else {
            show::text(&text);
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// All pages as one. Those after the first are asked for by its days: midnight moves no page.
async fn gathered(
    days: Days,
    page: impl AsyncFn(Days, Option<String>) -> Result<UsagePage, ClientError>,
) -> anyhow::Result<UsagePage> {
    let mut all = page(days, None).await?;
    while let Some(cursor) = all.next_cursor.take() {
        let more = page((Some(all.from), Some(all.to)), Some(cursor.clone())).await?;
        anyhow::ensure!(
            more.next_cursor.as_ref() != Some(&cursor),
            "the server's answer leads from a page to itself"
        );
        // What is on any of them is counted up to then.
        all.as_of = all.as_of.min(more.as_of);
        all.days.extend(more.days);
        all.next_cursor = more.next_cursor;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::RefCell;

    fn page(day: &str, at: &str, next: Option<&str>) -> UsagePage {
        let calls = json!({
            "settled": 0, "unpriced": 0, "cost_usd": "0.00", "known_cost_usd": "0.00", "tokens": 0,
        });
        let page = json!({
            "from": "2026-11-01", "to": "2026-11-30", "as_of": format!("2026-12-01T00:00:{at}Z"),
            "days": [{
                "day": day, "tenant": "ant", "calls": calls,
                "tasks": { "completed": 1, "failed": 0, "cancelled": 0 },
            }],
            "next_cursor": next,
        });
        serde_json::from_value(page).unwrap()
    }

    #[tokio::test]
    async fn pages_are_followed_to_the_last_one() {
        let pages = RefCell::new(vec![
            page("2026-11-03", "30", None),
            page("2026-11-02", "10", Some("c2")),
            page("2026-11-01", "20", Some("c1")),
        ]);
        let asked = RefCell::new(Vec::new());
        let next = async |days: Days, cursor| {
            asked.borrow_mut().push((days.0.map(|day| day.to_string()), cursor));
            Ok(pages.borrow_mut().pop().unwrap())
        };
        let all = gathered((None, None), next).await.unwrap();
        let days: Vec<String> = all.days.iter().map(|day| day.day.to_string()).collect();
        assert_eq!(days, ["2026-11-01", "2026-11-02", "2026-11-03"]);
        assert_eq!((all.as_of.to_string().as_str(), all.next_cursor), ("2026-12-01T00:00:10.000Z", None));
        let from = |cursor: &str| (Some("2026-11-01".to_owned()), Some(cursor.to_owned()));
        assert_eq!(asked.into_inner(), [(None, None), from("c1"), from("c2")]);
    }

    #[tokio::test]
    async fn a_page_that_leads_to_itself_ends_the_call() {
        let next = async |_, _| Ok(page("2026-11-01", "00", Some("c1")));
        gathered((None, None), next).await.unwrap_err();
    }
}
