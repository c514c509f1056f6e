//! Laws of the VPA recommender that hold for any usage.

use octollm_scaling::moment::Moment;
use octollm_scaling::vpa::{
    Amounts, Config, ContainerPolicy, ContainerUsage, Histogram, Recommendation, Spec, recommend,
};
use proptest::collection::vec;
use proptest::prelude::*;

const START: Moment = Moment::from_millis(1_762_732_800_000);

/// One sample: minutes since the last, millicores, bytes, killed for want of memory.
type Step = (i64, i64, i64, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec((1..3_000_i64, 0..20_000_i64, 0..1_i64 << 36, proptest::bool::weighted(0.05)), 1..200)
}

fn usage(config: &Config, steps: &[Step]) -> ContainerUsage {
    let mut usage = ContainerUsage::new(config);
    let mut at = START;
    for (minutes, milli, bytes, oom) in steps {
        at = at.plus_seconds(minutes * 60);
        usage.add_cpu(*milli, at);
        usage.add_memory(*bytes, at);
        if *oom {
            usage.record_oom(*bytes, at).expect("the event is in the current window");
        }
    }
    usage
}

fn ordered(recommendation: &Recommendation) -> bool {
    [recommendation.cpu_milli, recommendation.memory_bytes]
        .iter()
        .flatten()
        .all(|bounds| bounds.lower <= bounds.target && bounds.target <= bounds.upper)
}

proptest! {
    #[test]
    fn the_target_lies_between_the_bounds(steps in steps()) {
        let config = Config::default();
        let recommendation = recommend(&config, &usage(&config, &steps), 1);
        prop_assert!(ordered(&recommendation), "{recommendation:?}");
    }

    #[test]
    fn capping_keeps_the_order_and_the_allowed_range(steps in steps(), least in 1..5_000_i64, more in 0..5_000_i64) {
        let config = Config::default();
        let most = least + more;
        let policy = ContainerPolicy {
            min_allowed: Amounts { cpu_milli: Some(least), memory_bytes: None },
            max_allowed: Amounts { cpu_milli: Some(most), memory_bytes: None },
            ..ContainerPolicy::default()
        };
        let spec = Spec { containers: vec![policy], ..Spec::default() };
        let capped = spec.cap("main", &recommend(&config, &usage(&config, &steps), 1)).expect("switched on");
        let cpu = capped.cpu_milli.expect("controlled");
        prop_assert!(ordered(&capped));
        prop_assert!(least <= cpu.lower && cpu.upper <= most);
    }

    #[test]
    fn more_usage_never_recommends_less(steps in steps(), factor in 2..5_i64) {
        let config = Config::default();
        let more: Vec<Step> = steps.iter().map(|(m, c, b, oom)| (*m, c * factor, b * factor, *oom)).collect();
        let (less, more) = (recommend(&config, &usage(&config, &steps), 1), recommend(&config, &usage(&config, &more), 1));
        let target = |r: &Recommendation| (r.targets().cpu_milli, r.targets().memory_bytes);
        prop_assert!(target(&less).0 <= target(&more).0);
        prop_assert!(target(&less).1 <= target(&more).1);
    }

    #[test]
    fn usage_of_two_pods_merges_in_any_order(one in steps(), other in steps()) {
        let config = Config::default();
        let (one, other) = (usage(&config, &one), usage(&config, &other));
        let (mut forward, mut backward) = (one.clone(), other.clone());
        forward.merge(&other);
        backward.merge(&one);
        prop_assert_eq!(forward.sample_count(), backward.sample_count());
        let (forward, backward) = (recommend(&config, &forward, 1), recommend(&config, &backward, 1));
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn percentiles_rise_with_the_share(values in vec((0.0..900.0, 0..500_i64), 1..100)) {
        let mut histogram = Histogram::for_cpu(86_400_000_000_000);
        for (value, hours) in values {
            histogram.add(value, 1.0, START.plus_seconds(hours * 3600));
        }
        let mut last = 0.0;
        for share in 0..=100 {
            let percentile = histogram.percentile(f64::from(share) / 100.0);
            prop_assert!(percentile >= last);
            last = percentile;
        }
    }

    #[test]
    fn numbers_at_the_edge_do_not_panic(
        cpu in vec(any::<i64>(), 1..20), bytes in vec(any::<i64>(), 1..20), times in vec(any::<i64>(), 1..20),
        containers in any::<u32>(), half_life in any::<i64>(),
    ) {
        let config = Config { cpu_half_life_nanos: half_life, memory_half_life_nanos: half_life,
            memory_window_nanos: half_life, oom_min_bump_bytes: half_life, ..Config::default() };
        let mut usage = ContainerUsage::new(&config);
        for ((milli, bytes), at) in cpu.iter().zip(&bytes).zip(&times) {
            let at = Moment::from_millis(*at);
            usage.add_cpu(*milli, at);
            usage.add_memory(*bytes, at);
            let _too_old = usage.record_oom(*bytes, at);
        }
        let _recommendation = recommend(&config, &usage, containers);
    }
}
