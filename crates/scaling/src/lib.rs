//! The scaling engine: a cluster's scaling manifests, read with the place of every value, and its
//! controllers as pure functions.
//!
//! It decides what the HorizontalPodAutoscaler, the VerticalPodAutoscaler, KEDA and the Cluster
//! Autoscaler would decide, exactly where exactness is possible (the recorded cases of [`conformance`]
//! are the proof), and says why. The simulator, the local scaling loop and the `scale` verbs are
//! shells around it.
//!
//! It promises that a decision depends on its arguments alone, that no input makes it panic, and
//! that arithmetic saturates where the controllers' would.
//!
//! It must not know files, clocks, randomness, a runtime or a cluster.

pub mod cluster;
pub mod conformance;
pub mod duration;
pub mod explain;
pub mod hpa;
pub mod keda;
pub mod kustomize;
pub mod lint;
pub mod manifest;
pub mod moment;
pub mod quantity;
pub mod read;
pub mod recommend;
mod slip;
pub mod vpa;
