//! Requests that only the tests of this folder make.

use crate::{
    StoreError,
    sqlite::{
        SqliteStore,
        fault::Fault,
        writer::{Request, Writer},
    },
};

struct LimitPages(u32);
struct Panic;
struct Runs;

impl Request for LimitPages {
    type Answer = ();

    fn run(&self, writer: &mut Writer<'_>) -> Result<(), Fault> {
        Ok(writer.limit_pages(self.0)?)
    }

    fn failed(&self, _why: &mut dyn FnMut() -> StoreError) {}
}

impl Request for Panic {
    type Answer = ();

    fn run(&self, _writer: &mut Writer<'_>) -> Result<(), Fault> {
        panic!("asked for by a test");
    }

    fn failed(&self, _why: &mut dyn FnMut() -> StoreError) {}
}

impl Request for Runs {
    type Answer = Vec<(&'static str, i32)>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        Ok(writer.sql.runs())
    }

    fn failed(&self, _why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Vec::new()
    }
}

impl SqliteStore {
    /// How often the writer has run each of its statements.
    pub(crate) async fn runs(&self) -> Vec<(&'static str, i32)> {
        self.ask(Runs).await.unwrap()
    }

    /// Makes the disk as small as so many pages.
    pub(crate) async fn limit_pages(&self, most: u32) {
        self.ask(LimitPages(most)).await.unwrap();
    }

    /// Panics on the writer's thread.
    pub(crate) async fn panic_inside(&self) -> Result<(), StoreError> {
        self.ask(Panic).await
    }
}
