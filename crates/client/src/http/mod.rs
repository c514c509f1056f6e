//! The HTTP side: [`Client`] for the public API, [`HttpLeases`] for the lease protocol.

mod events;
mod homes;
mod leases;
mod tasks;
mod think;
mod transport;

pub use events::Events;
pub use leases::HttpLeases;
pub use tasks::Client;
pub use transport::{BadBase, ClientError, Tls};
