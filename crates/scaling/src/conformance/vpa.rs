//! Recommendations at checkpoints of a synthetic usage.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::outcome::Differences;
use crate::moment::Moment;
use crate::vpa::{Bounds, Config, ContainerUsage, Percentiles, recommend};

/// Ten years of minutes: no case needs more, and a larger number is a mistake.
const MINUTES_MAX: i64 = 10 * 366 * 1440;

#[derive(Debug, Deserialize)]
pub(super) struct Case {
    start: String,
    sample_period_s: Option<i64>,
    config: Option<ConfigWritten>,
    samples: Samples,
    checkpoints: Vec<Checkpoint>,
}

#[derive(Debug, Deserialize)]
struct Checkpoint {
    after_sample_minute: i64,
    lower_cpu_m: i64,
    target_cpu_m: i64,
    upper_cpu_m: i64,
    lower_mem_b: i64,
    target_mem_b: i64,
    upper_mem_b: i64,
}

/// The recommender's flags; durations in nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigWritten {
    safety_margin_fraction: Option<f64>,
    #[serde(rename = "PodMinCPUMillicores")]
    pod_min_cpu_millicores: Option<f64>,
    pod_min_memory_mb: Option<f64>,
    #[serde(rename = "TargetCPUPercentile")]
    target_cpu_percentile: Option<f64>,
    #[serde(rename = "LowerBoundCPUPercentile")]
    lower_bound_cpu_percentile: Option<f64>,
    #[serde(rename = "UpperBoundCPUPercentile")]
    upper_bound_cpu_percentile: Option<f64>,
    #[serde(rename = "ConfidenceIntervalCPU")]
    confidence_interval_cpu: Option<i64>,
    target_memory_percentile: Option<f64>,
    lower_bound_memory_percentile: Option<f64>,
    upper_bound_memory_percentile: Option<f64>,
    confidence_interval_memory: Option<i64>,
}

impl ConfigWritten {
    fn config(&self) -> Config {
        let default = Config::default();
        Config {
            safety_margin: self.safety_margin_fraction.unwrap_or(default.safety_margin),
            pod_min_cpu_milli: self.pod_min_cpu_millicores.unwrap_or(default.pod_min_cpu_milli),
            pod_min_memory_mb: self.pod_min_memory_mb.unwrap_or(default.pod_min_memory_mb),
            cpu: Percentiles {
                target: self.target_cpu_percentile.unwrap_or(default.cpu.target),
                lower: self.lower_bound_cpu_percentile.unwrap_or(default.cpu.lower),
                upper: self.upper_bound_cpu_percentile.unwrap_or(default.cpu.upper),
            },
            memory: Percentiles {
                target: self.target_memory_percentile.unwrap_or(default.memory.target),
                lower: self.lower_bound_memory_percentile.unwrap_or(default.memory.lower),
                upper: self.upper_bound_memory_percentile.unwrap_or(default.memory.upper),
            },
            cpu_confidence_nanos: self.confidence_interval_cpu.unwrap_or(default.cpu_confidence_nanos),
            memory_confidence_nanos: self
                .confidence_interval_memory
                .unwrap_or(default.memory_confidence_nanos),
            ..default
        }
    }
}

/// Where the usage of each minute comes from.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Samples {
    Constant(Usage),
    Lcg {
        cpu: CpuDraw,
        mem: MemoryDraw,
    },
    Triangle {
        period_min: i64,
        cpu_base_m: i64,
        mem_base_mi: i64,
    },
    Every {
        n: i64,
        #[serde(default)]
        offset: i64,
        spike: Usage,
        r#else: Usage,
    },
    Step {
        at_minute: i64,
        #[serde(alias = "else", alias = "base", alias = "from")]
        before: Option<Usage>,
        /// The usage before, where it stands beside `after` as it does in a constant case.
        #[serde(flatten)]
        beside: Beside,
        after: Usage,
    },
    List {
        cpu_m: Vec<i64>,
        mem_b: Vec<i64>,
    },
}

/// Usage of one minute; memory in Mi or in bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Usage {
    cpu_m: i64,
    mem_mi: Option<i64>,
    mem_b: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Beside {
    cpu_m: i64,
    mem_mi: Option<i64>,
    mem_b: Option<i64>,
}

impl Beside {
    fn usage(self) -> Usage {
        Usage { cpu_m: self.cpu_m, mem_mi: self.mem_mi, mem_b: self.mem_b }
    }
}

impl Usage {
    fn amounts(self) -> (i64, i64) {
        (self.cpu_m, self.mem_b.or(self.mem_mi.map(mebibytes)).unwrap_or(0))
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct CpuDraw {
    base_m: i64,
    range: i64,
    seed: i64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct MemoryDraw {
    base_mi: i64,
    range: i64,
    seed: i64,
}

fn mebibytes(count: i64) -> i64 {
    count.saturating_mul(1024 * 1024)
}

/// The next draw of a linear congruential generator.
fn draw(state: &mut i64, base: i64, range: i64) -> i64 {
    *state = (state.wrapping_mul(1_103_515_245).wrapping_add(12_345)).rem_euclid(1 << 31);
    base.saturating_add((*state >> 8).checked_rem(range).unwrap_or(0))
}

impl Samples {
    /// Millicores and bytes of minute `minute`; called for each minute in turn.
    fn at(&self, minute: i64, generators: &mut (i64, i64)) -> (i64, i64) {
        match self {
            Samples::Constant(usage) => usage.amounts(),
            Samples::Lcg { cpu, mem } => (
                draw(&mut generators.0, cpu.base_m, cpu.range),
                mebibytes(draw(&mut generators.1, mem.base_mi, mem.range)),
            ),
            Samples::Triangle { period_min, cpu_base_m, mem_base_mi } => {
                let height = (period_min / 2 - minute.checked_rem(*period_min).unwrap_or(0)).abs();
                (cpu_base_m.saturating_add(height), mebibytes(mem_base_mi.saturating_add(height / 2)))
            }
            Samples::Every { n, offset, spike, r#else } => {
                let spikes = minute.checked_rem(*n) == Some(*offset);
                if spikes { spike.amounts() } else { r#else.amounts() }
            }
            Samples::Step { at_minute, before, beside, after } => {
                if minute >= *at_minute {
                    after.amounts()
                } else {
                    before.unwrap_or(beside.usage()).amounts()
                }
            }
            Samples::List { cpu_m, mem_b } => (nth_or_last(cpu_m, minute), nth_or_last(mem_b, minute)),
        }
    }

    fn seeds(&self) -> (i64, i64) {
        match self {
            Samples::Lcg { cpu, mem } => (cpu.seed, mem.seed),
            Samples::Constant(_)
            | Samples::Triangle { .. }
            | Samples::Every { .. }
            | Samples::Step { .. }
            | Samples::List { .. } => (0, 0),
        }
    }
}

fn nth_or_last(list: &[i64], index: i64) -> i64 {
    usize::try_from(index).ok().and_then(|index| list.get(index)).or(list.last()).copied().unwrap_or(0)
}

pub(super) fn check(case: &Case, differences: &mut Differences) {
    let start = match case.start.parse::<jiff::Timestamp>() {
        Ok(start) => Moment::from_millis(start.as_millisecond()),
        Err(error) => {
            differences.unreadable("start", "an RFC 3339 time", format!("{:?}: {error}", case.start));
            return;
        }
    };
    let last = case.checkpoints.iter().map(|c| c.after_sample_minute).max().unwrap_or(0);
    let first = case.checkpoints.iter().map(|c| c.after_sample_minute).min().unwrap_or(-1);
    if first < 0 || last > MINUTES_MAX {
        let got = format!("{} from {first} to {last}", case.checkpoints.len());
        differences.unreadable("checkpoints", "at least one, within ten years of minutes", got);
        return;
    }
    let config = case.config.as_ref().map_or_else(Config::default, ConfigWritten::config);
    let period_seconds = case.sample_period_s.unwrap_or(60);
    let mut usage = ContainerUsage::new(&config);
    let mut generators = case.samples.seeds();
    let mut checkpoints: BTreeMap<i64, Vec<&Checkpoint>> = BTreeMap::new();
    for checkpoint in &case.checkpoints {
        checkpoints.entry(checkpoint.after_sample_minute).or_default().push(checkpoint);
    }
    for minute in 0..=last {
        let at = start.plus_seconds(minute.saturating_mul(period_seconds));
        let (cpu_milli, memory_bytes) = case.samples.at(minute, &mut generators);
        usage.add_cpu(cpu_milli, at);
        usage.add_memory(memory_bytes, at);
        for checkpoint in checkpoints.get(&minute).into_iter().flatten() {
            compare(checkpoint, &config, &usage, differences);
        }
    }
}

fn compare(checkpoint: &Checkpoint, config: &Config, usage: &ContainerUsage, differences: &mut Differences) {
    let got = recommend(config, usage, 1);
    let mut each = |name: &str, expected: [i64; 3], got: Option<Bounds>| {
        let Some(got) = got else { return };
        for (bound, expected, got) in [
            ("lower", expected[0], got.lower),
            ("target", expected[1], got.target),
            ("upper", expected[2], got.upper),
        ] {
            let field = format!("after minute {}: {bound}_{name}", checkpoint.after_sample_minute);
            differences.compare(field, expected, got);
        }
    };
    let Checkpoint { lower_cpu_m, target_cpu_m, upper_cpu_m, .. } = *checkpoint;
    each("cpu_m", [lower_cpu_m, target_cpu_m, upper_cpu_m], got.cpu_milli);
    let Checkpoint { lower_mem_b, target_mem_b, upper_mem_b, .. } = *checkpoint;
    each("mem_b", [lower_mem_b, target_mem_b, upper_mem_b], got.memory_bytes);
}
