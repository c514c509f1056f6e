//! The Cluster Autoscaler: which pods find a place, which nodes are added, which are removed.
//!
//! A [`Cluster`] is a value: workloads (pod templates), pods, nodes, pools, budgets. [`scan`] is one
//! turn of the autoscaler's loop (every ten seconds): pending pods are placed first-fit-decreasing
//! on what exists; for the rest each pool is tried with new nodes, and the pool that wastes least is
//! expanded; if none is, nodes under half of their requests for ten minutes are emptied and removed.
//! [`settle`] repeats the upper half until nothing moves. What stays pending says why, pool by pool;
//! what stays up says why, node by node.
//!
//! Promised: requests alone count, never usage; affinity, anti-affinity (also of pods that already
//! run), taints, topology spread and disruption budgets are kept; the outcome depends on the
//! arguments alone, ties go to the first pool; 10,000 pods on 1,000 nodes are placed in well under a
//! second.
//!
//! It knows no clock, no prices and no cloud.
//!
//! Upstream: `cluster-autoscaler` of kubernetes/autoscaler (`estimator`, `expander/waste`,
//! `simulator`) and the scheduler's filters.

mod board;
mod budget;
mod fit;
mod model;
mod scale_down;
mod scale_up;
mod scan;
mod selector;

pub use budget::{Amount, Bound, Budget, allowed_disruptions};
pub use fit::NoFit;
pub use model::{
    Cluster, Effect, Eviction, Node, NodeTerm, Pod, PodTerm, Pool, Requests, Spread, Taint, Toleration,
    TolerationOperator, Workload,
};
pub use scale_down::{Kept, KeptBecause, Removal};
pub use scale_up::{Expansion, NotExpanded, Pending};
pub use scan::{Memory, Options, Outcome, scan, settle};
pub use selector::{Expression, LabelSelector, Operator};
