//! The statements of the store on PostgreSQL, run by a loop that decides nothing. It shows what any store costs that keeps
//! these rows, is handed their values, and reads a task before it decides about it: between the bare loop and the
//! store, it says how much of a life cycle is the database's and how much the store's own.

use crate::{
    figures::rate,
    postgres::{CYCLES, OUTPUT, PLAN, REQUEST, SPEC, connect, next_id},
};
use anyhow::Context;
use futures_util::future::try_join_all;
use std::{collections::HashMap, time::Instant};
use tokio_postgres::{Client, Row, Statement, types::ToSql};
use uuid::Uuid;

/// Life cycles a second, one batch after the other.
pub(crate) async fn cycles(url: &str, batch: u32) -> anyhow::Result<f64> {
    let own = OwnSql::new(url).await?;
    let began = Instant::now();
    for _ in 0..CYCLES / batch {
        own.accept(&(0..batch).map(|_| next_id()).collect::<Vec<_>>()).await?;
        let claimed = own.claim(batch).await?;
        anyhow::ensure!(claimed.len() == batch as usize, "{} of {batch} are claimed", claimed.len());
        own.complete(&claimed).await?;
    }
    Ok(rate(CYCLES as usize, began.elapsed()))
}

struct OwnSql {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// One value for each row of a batch, as the store sends them: what is the same in all of them, too.
struct Rows(usize);

impl Rows {
    fn all<T: Clone>(&self, value: T) -> Vec<T> {
        vec![value; self.0]
    }

    fn text(&self) -> Vec<Option<&'static str>> {
        self.all(None)
    }

    fn long(&self) -> Vec<Option<i64>> {
        self.all(None)
    }

    fn int(&self) -> Vec<Option<i32>> {
        self.all(None)
    }
}

type Values = Vec<Box<dyn ToSql + Sync + Send>>;

macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as Box<dyn ToSql + Sync + Send>),*] };
}

impl OwnSql {
    async fn new(url: &str) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        let mut statements = HashMap::new();
        for (name, sql) in octollm_store::postgres::statements() {
            statements.insert(*name, client.prepare(sql).await.with_context(|| (*name).to_owned())?);
        }
        Ok(OwnSql { client, statements })
    }

    /// Sends these statements in their order, in one round trip; what each of them gives.
    async fn run(&self, statements: Vec<(&str, Values)>) -> anyhow::Result<Vec<Vec<Row>>> {
        let sent = statements.into_iter().map(|(name, values)| async move {
            match name {
                "BEGIN" | "COMMIT" => self.client.batch_execute(name).await.map(|()| Vec::new()),
                _ => {
                    let values: Vec<&(dyn ToSql + Sync)> =
                        values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
                    self.client.query(&self.statements[name], &values).await
                }
            }
        });
        Ok(try_join_all(sent).await?)
    }

    async fn accept(&self, ids: &[Uuid]) -> anyhow::Result<()> {
        let (rows, ids) = (Rows(ids.len()), ids.to_vec());
        let keys: Vec<String> = ids.iter().map(|id| format!("client-{id}")).collect();
        self.run(vec![
            ("BEGIN", values![]),
            (
                "insert_idempotency",
                values![rows.all("default"), keys.clone(), rows.all(vec![0xab_u8; 32]), ids.clone()],
            ),
            (
                "insert_task",
                values![
                    ids.clone(),
                    rows.all("default"),
                    rows.all("queued"),
                    rows.long(),
                    rows.int(),
                    rows.text(),
                    rows.text(),
                    rows.all(1),
                    rows.all(1_i64),
                    rows.long(),
                    rows.long(),
                    rows.all(2_i64),
                    rows.long(),
                    rows.all(1_i64),
                    rows.all(1_i64),
                    rows.long(),
                    rows.long(),
                    rows.all(false),
                ],
            ),
            (
                "insert_paper",
                values![
                    ids.clone(),
                    keys,
                    rows.text(),
                    rows.all("List the files in /tmp/folder"),
                    rows.all(REQUEST),
                    rows.all(PLAN),
                ],
            ),
            (
                "insert_step",
                values![
                    ids.clone(),
                    rows.all(0),
                    rows.all("executor"),
                    rows.all(1_i64),
                    rows.all(""),
                    rows.all(0),
                    rows.all(300_000_i64),
                    rows.all("ready"),
                    rows.all(1_i64),
                    rows.text(),
                    rows.text(),
                    rows.int(),
                    rows.all(0_i64),
                    rows.all(0_i64),
                    rows.all(0_i64),
                    rows.all(0_i64),
                    rows.all(SPEC),
                ],
            ),
            (
                "insert_ready",
                values![
                    rows.all("executor"),
                    rows.all("default"),
                    rows.all(1),
                    rows.all(1_i64),
                    ids.clone(),
                    rows.all(0),
                ],
            ),
            (
                "insert_event",
                values![
                    ids,
                    rows.all(1_i64),
                    rows.all(1_i64),
                    rows.all("task.accepted"),
                    rows.int(),
                    rows.long(),
                    rows.long(),
                    rows.text(),
                    rows.text(),
                ],
            ),
            ("COMMIT", values![]),
            ("place", values![]),
        ])
        .await?;
        Ok(())
    }

    async fn claim(&self, most: u32) -> anyhow::Result<Vec<Uuid>> {
        let heads = vec![
            ("BEGIN", values![]),
            ("moment", values![]),
            ("heads", values!["executor", "", 65, i64::from(most)]),
        ];
        let found = self.run(heads).await?;
        let ids: Vec<Uuid> = found[2].iter().map(|row| row.try_get(3)).collect::<Result<_, _>>()?;
        self.run(vec![
            ("lock_free", values![ids.clone()]),
            ("moment", values![]),
            ("steps", values![ids.clone()]),
        ])
        .await?;
        let rows = Rows(ids.len());
        self.run(vec![
            ("specs", values![ids.clone(), rows.all(0)]),
            ("update_task", task(&ids, "running", 2, None)),
            ("update_step", step(&ids, "leased", 1, None)),
            (
                "delete_ready",
                values![
                    rows.all("executor"),
                    rows.all("default"),
                    rows.all(1),
                    rows.all(1_i64),
                    ids.clone(),
                    rows.all(0),
                ],
            ),
            (
                "insert_lease",
                values![
                    ids.clone(),
                    rows.all(0),
                    rows.all("default"),
                    rows.all("executor"),
                    rows.all(vec![0xab_u8; 16]),
                    rows.all("worker-1"),
                    rows.all(1_i64),
                    rows.all(30_001_i64),
                ],
            ),
            (
                "insert_event",
                values![
                    ids.clone(),
                    rows.all(2_i64),
                    rows.all(1_i64),
                    rows.all("step.started"),
                    rows.all(Some(0)),
                    rows.all(Some(1_i64)),
                    rows.long(),
                    rows.text(),
                    rows.all(Some("worker-1")),
                ],
            ),
            ("COMMIT", values![]),
            ("place", values![]),
        ])
        .await?;
        Ok(ids)
    }

    async fn complete(&self, ids: &[Uuid]) -> anyhow::Result<()> {
        let ids = ids.to_vec();
        self.run(vec![
            ("BEGIN", values![]),
            ("lock", values![ids.clone()]),
            ("moment", values![]),
            ("steps", values![ids.clone()]),
            ("leases", values![ids.clone()]),
        ])
        .await?;
        let (rows, both) = (Rows(ids.len()), Rows(2 * ids.len()));
        let in_turn = |first, second| ids.iter().flat_map(|_| [first, second]).collect::<Vec<_>>();
        self.run(vec![
            ("update_task", task(&ids, "completed", 4, Some(1))),
            ("update_step", step(&ids, "done", 1, Some(OUTPUT))),
            ("delete_lease", values![ids.clone(), rows.all(0)]),
            (
                "insert_event",
                values![
                    ids.iter().flat_map(|id| [*id, *id]).collect::<Vec<_>>(),
                    in_turn(3_i64, 4),
                    both.all(1_i64),
                    ids.iter().flat_map(|_| ["step.completed", "task.completed"]).collect::<Vec<_>>(),
                    ids.iter().flat_map(|_| [Some(0), None]).collect::<Vec<_>>(),
                    both.long(),
                    both.long(),
                    both.text(),
                    both.text(),
                ],
            ),
            (
                "add_notes",
                values![
                    vec!["default"; 2],
                    vec![1; 2],
                    vec!["task", "executor"],
                    vec![1_i64; 2],
                    vec![0_i64; 2],
                    vec![0_i64; 2],
                    vec![0_i64; 2],
                    vec![1_i64; 2],
                    vec![1_i64; 2],
                    vec![0_i64; 2],
                    vec![0_i64; 2],
                    vec![0_i64; 2],
                    vec![0_i64; 2],
                ],
            ),
            ("add_finished", values![vec!["executor"], vec![1_i64], vec![1_i64], Uuid::from_bytes([9; 16])]),
            ("COMMIT", values![]),
            ("place", values![]),
        ])
        .await?;
        Ok(())
    }
}

/// The columns of `update_task`.
fn task(ids: &[Uuid], state: &'static str, events: i64, ended: Option<i64>) -> Values {
    let rows = Rows(ids.len());
    values![
        ids.to_vec(),
        rows.all(state),
        rows.all(ended),
        rows.int(),
        rows.text(),
        rows.text(),
        rows.all(Some(1_i64)),
        rows.all(1_i64),
        rows.all(0_i64),
        rows.all(0_i64),
        rows.all(events),
        rows.all(ended),
        rows.long(),
        rows.all(false),
        rows.all(false),
    ]
}

/// The columns of `update_step`.
fn step(ids: &[Uuid], state: &'static str, attempts: i64, output: Option<&'static str>) -> Values {
    let rows = Rows(ids.len());
    values![
        ids.to_vec(),
        rows.all(0),
        rows.all(0),
        rows.all(state),
        rows.long(),
        rows.text(),
        rows.text(),
        rows.int(),
        rows.all(attempts),
        rows.all(0_i64),
        rows.all(0_i64),
        rows.all(0_i64),
        rows.all(output),
    ]
}
