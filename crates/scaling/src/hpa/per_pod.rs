//! Replicas from a value of each pod: Resource, ContainerResource and Pods metrics.
//!
//! Two passes. The first takes the pods that count; if nothing is unready or missing (in the
//! direction that matters), it decides. The second fills in conservative values and decides again,
//! unless that turns the direction around. All means are integers first: truncation decides near
//! the tolerance.
//!
//! Upstream quirks kept: samples of pods that the selector did not find enter the mean of plain
//! metrics and the count of every second pass; a pod without a request fails a Utilization metric
//! whatever its class.

use super::arithmetic::{ceil_to_i32, clamp_to_i32, clamp_to_i64, float, len_i64, scale_i64};
use super::classify::{PodClass, PodCounts, classify};
use super::metric::{Calculation, Filled, MetricError, MetricOutcome, MissingAs, Proposal, Usage, Verdict};
use super::observe::{Reading, ReadingError, Request, Sample};

/// Percent of the request, truncated, against `target` percent.
pub(super) fn utilization(
    calculation: &Calculation<'_>,
    reading: Option<&Reading>,
    cpu: bool,
    target: i32,
) -> MetricOutcome {
    let samples = Samples::of(reading)?;
    let sorted = Sorted::of(calculation, &samples, cpu)?;
    let requests = Requests::of(calculation, samples.requests)?;
    if target <= 0 {
        return Err(MetricError::TargetNotPositive);
    }

    let mut first = Totals::default();
    sorted.each(PodClass::Ready, |pod| first.add(samples.milli(pod), requests.milli(pod)));
    let (ratio, usage) = first.utilization(target)?;
    let usage = Usage::Utilization { percent: usage, average_milli: first.mean() };
    if let Some(proposal) = sorted.decide_at_once(calculation, ratio, usage) {
        return Ok(proposal);
    }

    let missing_as = sorted.missing_as(ratio, MissingAs::PercentOfRequest(target.max(100)));
    let mut second = first;
    if let Some(stand_in) = missing_as {
        sorted.each(PodClass::Missing, |pod| {
            let request = requests.milli(pod);
            let milli = match stand_in {
                MissingAs::PercentOfRequest(percent) => scale_i64(request, i64::from(percent), 100),
                MissingAs::TargetMilli(milli) => milli,
                MissingAs::Zero => 0,
            };
            second.add(milli, request);
        });
    }
    let unready_as_zero = sorted.scales_up_with_unready(ratio);
    if unready_as_zero {
        sorted.each(PodClass::Unready, |pod| second.add(0, requests.milli(pod)));
    }
    let (filled_ratio, _) = second.utilization(target)?;
    let filled = Filled {
        ratio: filled_ratio,
        counted: second.count + samples.strays.len(),
        missing_as,
        unready_as_zero,
    };
    Ok(sorted.decide_filled(calculation, ratio, usage, filled))
}

/// The integer mean of thousandths against `target` thousandths.
pub(super) fn average(
    calculation: &Calculation<'_>,
    reading: Option<&Reading>,
    cpu: bool,
    target: i64,
) -> MetricOutcome {
    let samples = Samples::of(reading)?;
    let sorted = Sorted::of(calculation, &samples, cpu)?;
    if target <= 0 {
        return Err(MetricError::TargetNotPositive);
    }

    let mut first = Totals::default();
    for stray in samples.strays {
        first.add(*stray, 0);
    }
    sorted.each(PodClass::Ready, |pod| first.add(samples.milli(pod), 0));
    let ratio = float(first.mean()) / float(target);
    let usage = Usage::AverageMilli(first.mean());
    if let Some(proposal) = sorted.decide_at_once(calculation, ratio, usage) {
        return Ok(proposal);
    }

    let missing_as = sorted.missing_as(ratio, MissingAs::TargetMilli(target));
    let mut second = first;
    if let Some(stand_in) = missing_as {
        let milli = if stand_in == MissingAs::Zero { 0 } else { target };
        sorted.each(PodClass::Missing, |_| second.add(milli, 0));
    }
    let unready_as_zero = sorted.scales_up_with_unready(ratio);
    if unready_as_zero {
        sorted.each(PodClass::Unready, |_| second.add(0, 0));
    }
    let filled_ratio = float(second.mean()) / float(target);
    let filled = Filled { ratio: filled_ratio, counted: second.count, missing_as, unready_as_zero };
    Ok(sorted.decide_filled(calculation, ratio, usage, filled))
}

struct Samples<'a> {
    samples: &'a [Option<Sample>],
    requests: &'a [Request],
    strays: &'a [i64],
}

impl<'a> Samples<'a> {
    fn of(reading: Option<&'a Reading>) -> Result<Self, MetricError> {
        match reading {
            Some(Reading::PerPod { samples, requests, strays }) => Ok(Samples { samples, requests, strays }),
            Some(Reading::Failed(why)) => Err(MetricError::NoReading(why.clone())),
            Some(Reading::Series(_)) | None => Err(MetricError::NoReading(ReadingError::NoMetrics)),
        }
    }

    fn get(&self, pod: usize) -> Option<&Sample> {
        self.samples.get(pod).and_then(Option::as_ref)
    }

    fn milli(&self, pod: usize) -> i64 {
        self.get(pod).map_or(0, |sample| sample.milli)
    }
}

struct Requests<'a>(&'a [Request]);

impl<'a> Requests<'a> {
    /// Every selected pod has to have a request, also those that do not count.
    fn of(calculation: &Calculation<'_>, requests: &'a [Request]) -> Result<Self, MetricError> {
        for (index, pod) in calculation.observed.pods.iter().enumerate() {
            match requests.get(index) {
                Some(Request::Milli(_)) => {}
                Some(Request::MissingIn(container)) => {
                    let (container, pod) = (container.to_string(), pod.name.clone());
                    return Err(MetricError::MissingRequest { container, pod });
                }
                Some(Request::NoSuchContainer) => {
                    return Err(MetricError::NoSuchContainer { pod: pod.name.clone() });
                }
                None => {
                    let (container, pod) = ("?".to_owned(), pod.name.clone());
                    return Err(MetricError::MissingRequest { container, pod });
                }
            }
        }
        Ok(Requests(requests))
    }

    fn milli(&self, pod: usize) -> i64 {
        match self.0.get(pod) {
            Some(Request::Milli(milli)) => *milli,
            Some(Request::MissingIn(_) | Request::NoSuchContainer) | None => 0,
        }
    }
}

/// Sums, and how many samples they hold. They saturate where they are read, so that the order of the
/// pods cannot matter.
#[derive(Clone, Copy, Default)]
struct Totals {
    usage: i128,
    requests: i128,
    count: usize,
}

impl Totals {
    fn add(&mut self, usage: i64, request: i64) {
        self.usage += i128::from(usage);
        self.requests += i128::from(request);
        self.count += 1;
    }

    fn mean(&self) -> i64 {
        clamp_to_i64(self.usage).checked_div(len_i64(self.count)).unwrap_or(0)
    }

    fn utilization(&self, target: i32) -> Result<(f64, i32), MetricError> {
        let requests = clamp_to_i64(self.requests);
        if requests == 0 {
            return Err(MetricError::NoRequests);
        }
        let percent = clamp_to_i32(scale_i64(clamp_to_i64(self.usage), 100, requests));
        Ok((f64::from(percent) / f64::from(target), percent))
    }
}

/// The pods by class.
struct Sorted {
    classes: Vec<PodClass>,
    counts: PodCounts,
}

impl Sorted {
    fn of(calculation: &Calculation<'_>, samples: &Samples<'_>, cpu: bool) -> Result<Self, MetricError> {
        let pods = &calculation.observed.pods;
        if pods.is_empty() {
            return Err(MetricError::NoPods);
        }
        let mut counts = PodCounts::default();
        let mut classes = Vec::with_capacity(pods.len());
        for (index, pod) in pods.iter().enumerate() {
            let class = classify(pod, samples.get(index), cpu, calculation.controller, calculation.now);
            counts.add(class);
            classes.push(class);
        }
        if counts.ready == 0 && samples.strays.is_empty() {
            return Err(MetricError::NoUsableSample);
        }
        Ok(Sorted { classes, counts })
    }

    fn each(&self, wanted: PodClass, mut visit: impl FnMut(usize)) {
        for (index, class) in self.classes.iter().enumerate() {
            if *class == wanted {
                visit(index);
            }
        }
    }

    fn scales_up_with_unready(&self, ratio: f64) -> bool {
        self.counts.unready > 0 && ratio > 1.0
    }

    fn missing_as(&self, ratio: f64, below: MissingAs) -> Option<MissingAs> {
        if self.counts.missing == 0 {
            None
        } else if ratio < 1.0 {
            Some(below)
        } else if ratio > 1.0 {
            Some(MissingAs::Zero)
        } else {
            None
        }
    }

    fn decide_at_once(&self, calculation: &Calculation<'_>, ratio: f64, usage: Usage) -> Option<Proposal> {
        if self.scales_up_with_unready(ratio) || self.counts.missing > 0 {
            return None;
        }
        let (replicas, verdict) = if calculation.tolerances.hold(ratio) {
            (calculation.observed.spec_replicas, Verdict::WithinTolerance)
        } else {
            (ceil_to_i32(ratio * float(len_i64(self.counts.ready))), Verdict::Scaled)
        };
        Some(self.proposal(replicas, usage, ratio, None, verdict))
    }

    fn decide_filled(
        &self,
        calculation: &Calculation<'_>,
        ratio: f64,
        usage: Usage,
        filled: Filled,
    ) -> Proposal {
        let current = calculation.observed.spec_replicas;
        let scaled = ceil_to_i32(filled.ratio * float(len_i64(filled.counted)));
        let verdict = if calculation.tolerances.hold(filled.ratio) {
            Verdict::WithinToleranceFilled
        } else if (ratio < 1.0 && filled.ratio > 1.0) || (ratio > 1.0 && filled.ratio < 1.0) {
            Verdict::RatioReversed
        } else if (filled.ratio < 1.0 && scaled > current) || (filled.ratio > 1.0 && scaled < current) {
            Verdict::CountReversed
        } else {
            Verdict::Scaled
        };
        let replicas = if verdict == Verdict::Scaled { scaled } else { current };
        self.proposal(replicas, usage, ratio, Some(filled), verdict)
    }

    fn proposal(
        &self,
        replicas: i32,
        usage: Usage,
        ratio: f64,
        filled: Option<Filled>,
        verdict: Verdict,
    ) -> Proposal {
        let (counts, classes) = (self.counts, self.classes.clone());
        Proposal { replicas, usage, ratio: Some(ratio), filled, verdict, counts, classes }
    }
}
