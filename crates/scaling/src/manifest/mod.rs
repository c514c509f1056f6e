//! Manifests: the objects of a set of files, typed as far as scaling needs them.
//!
//! Each object keeps its tree, so that every value has its place, and is checked against the field tables
//! of its kind (`check`). What the tables refuse is a [`Fault`]; reading goes on with what is there, so
//! every typed field that may be missing is an `Option`. Kinds without a table are kept and listed.
//! Knows no rules about what is wise: that is `lint`.

mod adapter;
mod check;
mod convert;
mod dashboard;
mod hpa;
mod load;
mod monitor;
mod node_pool;
mod object;
mod pdb;
mod promql;
mod scaled_object;
mod selector;
mod service;
pub(crate) mod table;
mod value;
mod vpa;
mod workload;

pub use adapter::{AdapterForm, AdapterRule, AdapterRules, Section};
pub(crate) use check::nearest_quantity;
pub use check::{Fault, FaultKind};
pub use dashboard::{Dashboard, Panel};
pub use hpa::{Behavior, Hpa, Metric, MetricSource, MetricTarget, Policy, Rules, TargetRef};
pub use load::{Input, Loaded, Refusal, Set, load};
pub use monitor::{Monitor, MonitorKind};
pub use node_pool::{NodePool, Taint};
pub use object::{Detail, Object, ObjectId};
pub use pdb::{Budget, Pdb};
pub use promql::{Call, Expression, PromRule, PromRules, Series};
pub use scaled_object::{ScaledObject, Trigger};
pub use selector::Selector;
pub use service::{Service, ServicePort};
pub use value::At;
pub use vpa::{ContainerPolicy, Vpa};
pub use workload::{Container, Env, PodTemplate, Resources, Term, Toleration, Workload, WorkloadKind};

#[cfg(test)]
mod tests;
