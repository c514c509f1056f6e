//! Grafana dashboards.

use crate::lint::finding::Severity;
use crate::lint::fix::Edit;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&OLD_PANEL, &PANEL_ALERT];

/// Panel types that Grafana 11 removed with AngularJS, and their successors.
const OLD: [(&str, &str); 4] = [
    ("graph", "timeseries"),
    ("singlestat", "stat"),
    ("table-old", "table"),
    ("grafana-piechart-panel", "piechart"),
];

static OLD_PANEL: Rule = Rule {
    id: "grafana-legacy-panel",
    severity: Severity::Warning,
    title: "a panel type that Grafana no longer has",
    explain: "`graph` and `singlestat` were AngularJS panels; Grafana 11 migrates some of them on load and shows the rest \
              empty. Save the dashboard with `timeseries` and `stat`.",
    check: |context, sink| {
        for (id, _, dashboard) in context.dashboards() {
            for panel in &dashboard.panels {
                let Some(kind) = &panel.kind else { continue };
                if let Some((_, instead)) = OLD.iter().find(|(old, _)| *old == kind.value) {
                    let message = format!(
                        "panel \"{}\": type {} is gone since Grafana 11; use {instead}",
                        panel.title, kind.value
                    );
                    sink.at(id, kind.span, message)
                        .fix(vec![Edit::replace(kind.span, format!("\"{instead}\""))]);
                }
            }
        }
    },
    fixture: Fixture {
        fires: "panels:\n  - title: Replicas\n    type: graph\n    targets: [{expr: up}]\n",
        silent: "panels:\n  - title: Replicas\n    type: timeseries\n    targets: [{expr: up}]\n",
    },
};

static PANEL_ALERT: Rule = Rule {
    id: "grafana-panel-alert",
    severity: Severity::Warning,
    title: "an alert inside a panel is legacy alerting and never fires",
    explain: "Grafana 9 turned legacy alerting off and 11 removed it: an `alert` inside a panel is ignored on import. Write \
              a PrometheusRule or a Grafana alert rule.",
    check: |context, sink| {
        for (id, _, dashboard) in context.dashboards() {
            for panel in &dashboard.panels {
                if let Some(span) = panel.alert {
                    sink.at(
                        id,
                        span,
                        format!("panel \"{}\": this alert is ignored since Grafana 11 and never fires; write a PrometheusRule", panel.title),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: "panels:\n  - title: Waiting\n    type: stat\n    targets: [{expr: up}]\n    alert: {conditions: []}\n",
        silent: "panels:\n  - title: Waiting\n    type: stat\n    targets: [{expr: up}]\n",
    },
};
