//! KEDA: a ScaledObject's own loop between 0 and 1, and the HPA that it makes for the rest.
//!
//! [`Spec::hpa`] is the HPA; [`Spec::readings`] turns trigger values into what its external metrics
//! report; [`poll`] is one turn of KEDA's loop (activation, cooldown, 0↔1, idle, paused, fallback);
//! [`settle`] runs both until nothing moves and says where the replicas really land. A cron trigger
//! asks for its replicas through an average of 1, so the HPA's tolerance can make it miss: 45 asked
//! of 50 stay 50.
//!
//! Promised: values are truncated to thousandths as KEDA does; cron follows KEDA's own library
//! across daylight saving ([`Cron`]); no input panics; [`settle`] ends after a bounded number of
//! steps.
//!
//! It knows no manifests, no metrics source and no clock; time zone rules are bundled.
//!
//! Upstream: `pkg/scaling` and `pkg/scalers` of kedacore/keda 2.17 and `robfig/cron` v3.

mod cron;
mod cron_field;
mod poll;
mod settle;
mod spec;
mod trigger;
mod zone;

pub use cron::{Cron, CronError, CronField};
pub use poll::{Act, Because, Poll, State, poll};
pub use settle::{Landing, settle};
pub use spec::{Fallback, Spec, SpecFault};
pub use trigger::{CronTrigger, Measured, MetricType, Target, Trigger, TriggerKind, milli_of};
pub use zone::{Zone, ZoneError};
