//! P1–P4, P7: the store on PostgreSQL does what the model does.

use super::Database;
use crate::suite::{Hands, Pips, compare, length, seed};
use std::sync::Arc;

#[tokio::test]
async fn postgresql_does_what_the_model_does() {
    for seed in seed()..seed() + 3 {
        let hands = Arc::new(Hands::default());
        let store = Database::new().store_by(hands.clone(), Arc::new(Pips::default())).await;
        let compared = compare(&store, &hands, seed, length()).await;
        compared.unwrap_or_else(|divergence| panic!("{divergence}"));
    }
}
