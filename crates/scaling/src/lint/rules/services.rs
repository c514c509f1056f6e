//! Services, StatefulSets' names, and monitors.

use crate::duration::Duration;
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::{MonitorKind, WorkloadKind};
use crate::read::Node;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&HEADLESS, &SERVICE_PORT, &PROBE_PORT, &MONITOR_PORT, &MONITOR_INTERVAL];

macro_rules! stateful {
    () => {
        concat!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 2\n  serviceName: db\n",
            "  selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n",
            "    spec: {containers: [{name: db, image: db, ports: [{name: sql, containerPort: 5432}]}]}\n"
        )
    };
}

macro_rules! service {
    ($spec:expr) => {
        concat!("---\napiVersion: v1\nkind: Service\nmetadata: {name: db, labels: {app: db}}\nspec: {selector: {app: db}, ", $spec, "}\n")
    };
}

static HEADLESS: Rule = Rule {
    id: "statefulset-headless-service",
    severity: Severity::Warning,
    title: "a StatefulSet's Service is missing or is not headless",
    explain: "The names of a StatefulSet's pods (`db-0.db`) exist only through a headless Service (`clusterIP: None`) of \
              the name in `serviceName`. Without it peers cannot find each other and every replica-to-replica address \
              fails to resolve; through a normal Service each name answers with one address of any pod. The rule speaks of \
              StatefulSets with two replicas or more.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            let Some(name) =
                workload.service_name.as_ref().filter(|_| workload.kind == WorkloadKind::StatefulSet)
            else {
                continue;
            };
            // A single pod behind a plain Service is found under the Service's name.
            let (_, most) = context.replicas_of(object, workload);
            if most < 2 {
                continue;
            }
            let pod = format!("{}-0.{}", object.name(), name.value);
            let services: Vec<_> = context
                .services()
                .filter(|(_, other, _)| other.name() == name.value && other.shares_namespace(object))
                .collect();
            if services.iter().any(|(_, _, service)| service.headless) {
                continue;
            }
            match services.first() {
                Some((_, service_object, service)) => {
                    let message = format!(
                        "{}: Service {} ({}) is not headless, so {pod} does not resolve to that pod; write clusterIP: None",
                        object.label(),
                        name.value,
                        context.place(service_object.span())
                    );
                    let reported = sink.at(id, name.span, message);
                    if let (None, Some(spec)) = (&service.cluster_ip, service_object.root.get("spec"))
                        && let Some(first) = spec.entries().first()
                        && context.line(spec.span) > context.line(service_object.span())
                        && context.sources().text(spec.span.file).as_bytes().get(spec.span.start as usize)
                            != Some(&b'{')
                    {
                        let indent = crate::lint::fix::indent_of(context.sources(), first.key_span);
                        let at = crate::read::Span { end: first.key_span.start, ..first.key_span };
                        reported.fix(vec![Edit::replace(at, format!("clusterIP: None\n{indent}"))]);
                    }
                }
                None => {
                    sink.at(
                        id,
                        name.span,
                        format!(
                            "{}: no Service {} is in the set: {pod} does not resolve and peers cannot find each other; add \
                             one with clusterIP: None",
                            object.label(),
                            name.value
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(stateful!(), service!("ports: [{port: 5432}]")),
        silent: concat!(stateful!(), service!("clusterIP: None, ports: [{port: 5432}]")),
    },
};

static SERVICE_PORT: Rule = Rule {
    id: "service-target-port",
    severity: Severity::Error,
    title: "a Service's targetPort names a port that its pods do not have",
    explain: "A named targetPort that no container declares gives no endpoint: requests are refused. Numbers are not \
              checked, since a container may listen on a port it does not declare.",
    check: |context, sink| {
        for (id, object, service) in context.services() {
            for port in &service.ports {
                let Some(target) = port.target.as_ref().filter(|target| target.value.parse::<u32>().is_err())
                else {
                    continue;
                };
                let behind: Vec<_> = context
                    .workloads()
                    .filter(|(_, other, workload)| {
                        other.shares_namespace(object)
                            && !service.selector.is_empty()
                            && service.selector.matches(&workload.template.labels)
                    })
                    .collect();
                let has = behind.iter().any(|(_, _, workload)| {
                    workload.template.running().any(|container| {
                        container.ports.iter().any(|(name, _)| name.as_deref() == Some(target.value.as_str()))
                    })
                });
                if let Some((_, workload_object, workload)) = behind.first().filter(|_| !has) {
                    let names: Vec<&str> = workload
                        .template
                        .running()
                        .flat_map(|container| container.ports.iter().filter_map(|(name, _)| name.as_deref()))
                        .collect();
                    let known =
                        if names.is_empty() { "none with a name".to_owned() } else { names.join(", ") };
                    sink.at(
                        id,
                        target.span,
                        format!(
                            "{}: targetPort `{}` is no port of {} (it has {known}): the Service has no endpoints",
                            object.label(),
                            target.value,
                            workload_object.label()
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(stateful!(), service!("clusterIP: None, ports: [{port: 5432, targetPort: postgres}]")),
        silent: concat!(stateful!(), service!("clusterIP: None, ports: [{port: 5432, targetPort: sql}]")),
    },
};

static PROBE_PORT: Rule = Rule {
    id: "probe-port",
    severity: Severity::Error,
    title: "a probe names a port that its container does not have",
    explain: "The kubelet finds no number for the name and the probe fails each time: without readiness the pod gets no \
              requests and a rollout waits for ever, and liveness or startup restart it again and again. An HPA counts \
              pods that were never ready as idle and does not scale up for them.",
    check: |context, sink| {
        for (id, object, _) in context.workloads() {
            let Some(pod) = object.root.at(&["spec", "template", "spec"]) else { continue };
            let lists = ["containers", "initContainers"].into_iter().filter_map(|key| pod.get(key));
            for container in lists.flat_map(Node::items) {
                let ports = container.get("ports").map_or(&[][..], Node::items);
                let named: Vec<&str> = ports.iter().filter_map(|port| port.text_at(&["name"])).collect();
                for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
                    let handlers = ["httpGet", "tcpSocket"].into_iter();
                    for port in handlers.filter_map(|handler| container.at(&[probe, handler, "port"])) {
                        let Some(name) = port.text().filter(|name| name.parse::<u16>().is_err()) else {
                            continue;
                        };
                        if !named.contains(&name) {
                            let has = if named.is_empty() {
                                "none with a name".to_owned()
                            } else {
                                named.join(", ")
                            };
                            let message = format!(
                                "{}: {probe} asks at port `{name}`, which container {} does not have (it has {has}): it \
                                 fails each time",
                                object.label(),
                                container.text_at(&["name"]).unwrap_or("without a name")
                            );
                            sink.at(id, port.span, message);
                        }
                    }
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a, ports: [{name: web, containerPort: 80}], readinessProbe: {httpGet: {path: /, port: http}}}]}\n"
        ),
        silent: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n",
            "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a, ports: [{name: http, containerPort: 80}], readinessProbe: {httpGet: {path: /, port: http}}}]}\n"
        ),
    },
};

static MONITOR_PORT: Rule = Rule {
    id: "monitor-port",
    severity: Severity::Error,
    title: "a ServiceMonitor or PodMonitor names a port that what it selects does not have",
    explain: "The Prometheus Operator drops the endpoint without an error: the metrics never exist, and an HPA or KEDA \
              trigger on them fails.",
    check: |context, sink| {
        for (id, object, monitor) in context.monitors() {
            let in_reach = |namespace: &str| match &monitor.namespaces {
                Some(names) => namespace.is_empty() || names.iter().any(|name| name == namespace),
                None => {
                    monitor.any_namespace
                        || namespace.is_empty()
                        || object.namespace.is_empty()
                        || namespace == object.namespace
                }
            };
            let mut names: Vec<String> = Vec::new();
            let mut selected = 0;
            match monitor.kind {
                MonitorKind::Service => {
                    for (_, other, service) in context.services() {
                        if in_reach(&other.namespace) && monitor.selector.matches(&other.labels) {
                            selected += 1;
                            names.extend(
                                service
                                    .ports
                                    .iter()
                                    .filter_map(|port| port.name.as_ref().map(|name| name.value.clone())),
                            );
                        }
                    }
                }
                MonitorKind::Pod => {
                    for (_, other, workload) in context.workloads() {
                        if in_reach(&other.namespace) && monitor.selector.matches(&workload.template.labels) {
                            selected += 1;
                            let ports = workload.template.running().flat_map(|container| &container.ports);
                            names.extend(ports.filter_map(|(name, _)| name.clone()));
                        }
                    }
                }
            }
            for port in monitor.ports.iter().filter(|port| selected > 0 && !names.contains(&port.value)) {
                let known = if names.is_empty() { "none with a name".to_owned() } else { names.join(", ") };
                sink.at(
                    id,
                    port.span,
                    format!(
                        "{}: no port `{}` on what it selects (there are {known}): nothing is scraped",
                        object.label(),
                        port.value
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            service!("clusterIP: None, ports: [{name: sql, port: 5432}]"),
            "---\napiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: db}\nspec: {selector: {matchLabels: {app: db}}, endpoints: [{port: metrics}]}\n"
        ),
        silent: concat!(
            service!("clusterIP: None, ports: [{name: metrics, port: 5432}]"),
            "---\napiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: db}\nspec: {selector: {matchLabels: {app: db}}, endpoints: [{port: metrics}]}\n"
        ),
    },
};

static MONITOR_INTERVAL: Rule = Rule {
    id: "monitor-duration",
    severity: Severity::Error,
    title: "a scrape interval or timeout that Prometheus cannot read",
    explain: "Prometheus wants numbers with units from large to small (`30s`, `1m30s`, `1d`), no fractions. The operator \
              rejects the monitor.",
    check: |context, sink| {
        for (id, object, monitor) in context.monitors() {
            for duration in &monitor.durations {
                if let Err(error) = Duration::parse_prometheus(&duration.value) {
                    sink.at(
                        id,
                        duration.span,
                        format!("{}: `{}` is no duration: {error}", object.label(), duration.value),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: db}\nspec: {selector: {}, podMetricsEndpoints: [{port: m, interval: 0.5m}]}\n",
        silent: "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: db}\nspec: {selector: {}, podMetricsEndpoints: [{port: m, interval: 30s}]}\n",
    },
};
