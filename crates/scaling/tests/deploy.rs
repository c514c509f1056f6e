//! The scaling set that ships in `deploy/`: the linter has nothing unsilenced to say about any overlay.

#![expect(clippy::unwrap_used, reason = "a test helper that cannot go on has nothing to return")]

mod deployed;

use deployed::load_deploy as deploy;
use octollm_scaling::lint::{lint, render};
use octollm_scaling::manifest::{Detail, Loaded, Set};

fn set<'a>(loaded: &'a Loaded, name: &str) -> &'a Set {
    loaded.sets.iter().find(|set| set.name == format!("deploy/overlays/{name}")).unwrap()
}

const COMPONENTS: [(&str, i64, i64); 8] = [
    ("reflex", 3, 20),
    ("orchestrator", 2, 10),
    ("planner", 1, 5),
    ("executor", 1, 10),
    ("coder", 1, 8),
    ("judge", 1, 5),
    ("guardian", 2, 10),
    ("retriever", 1, 8),
];

#[test]
fn no_overlay_has_an_unsilenced_finding_and_each_silence_has_a_reason() {
    let loaded = deploy();
    let report = lint(&loaded);
    assert!(
        report.unreadable.is_empty() && report.findings.is_empty(),
        "{}",
        render::text(&loaded.sources, &report)
    );
    assert!(report.unknown.is_empty(), "{:?}", report.unknown);
    assert!(!report.silenced.is_empty());
    assert!(report.silenced.iter().all(|silenced| silenced.reason.len() > 20));
}

#[test]
fn each_overlay_holds_every_component_with_its_range() {
    let loaded = deploy();
    for overlay in ["production", "dev", "vpa"] {
        for (name, min, max) in COMPONENTS {
            let objects = &set(&loaded, overlay).objects;
            let scaled = objects
                .iter()
                .find_map(|object| match &object.detail {
                    Detail::ScaledObject(scaled) if object.name() == name => Some(scaled),
                    _ => None,
                })
                .unwrap();
            let range = (scaled.min_replicas(), scaled.max_replicas());
            let expected = match (overlay, name) {
                ("production", _) => (min.max(2), max),
                ("dev", "reflex" | "orchestrator") => (1, 2),
                ("dev", _) => (0, 2),
                _ => (min, max),
            };
            assert_eq!(range, expected, "{overlay} {name}");
            assert!(scaled.behavior.is_some(), "{overlay} {name}");
            assert!(scaled.spec().faults().is_empty(), "{overlay} {name}: {:?}", scaled.spec().faults());
            assert_eq!(scaled.spec().triggers.len(), scaled.triggers.len(), "{overlay} {name}");
            for kind in ["Deployment", "PodDisruptionBudget", "VerticalPodAutoscaler"] {
                assert!(
                    objects.iter().any(|o| o.kind == kind && o.name() == name),
                    "{overlay} {name} {kind}"
                );
            }
        }
    }
}

#[test]
fn the_adapter_overlay_scales_by_hpa_alone() {
    let loaded = deploy();
    let objects = &set(&loaded, "adapter").objects;
    assert!(!objects.iter().any(|object| object.kind == "ScaledObject"));
    for (name, min, max) in COMPONENTS {
        let hpa = objects
            .iter()
            .find_map(|object| match &object.detail {
                Detail::Hpa(hpa) if object.name() == name => Some(hpa),
                _ => None,
            })
            .unwrap();
        assert_eq!((hpa.min_replicas(), hpa.max.as_ref().unwrap().value), (min, max), "{name}");
        assert!(hpa.behavior.is_some() && hpa.spec().unwrap().faults().is_empty(), "{name}");
    }
    assert!(objects.iter().any(|object| matches!(object.detail, Detail::Adapter(_))));
}

#[test]
fn the_vpa_overlay_leaves_cpu_and_memory_to_the_vpa() {
    let loaded = deploy();
    for object in &set(&loaded, "vpa").objects {
        match &object.detail {
            Detail::ScaledObject(scaled) => {
                assert!(!scaled.triggers.iter().any(|t| matches!(t.kind.value.as_str(), "cpu" | "memory")));
            }
            Detail::Vpa(vpa) => {
                assert!(vpa.acts_on_running_pods() && vpa.controls("cpu"), "{}", object.name())
            }
            _ => {}
        }
    }
}
