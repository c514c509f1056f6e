//! What runs pods: Deployment, StatefulSet, DaemonSet, ReplicaSet.

use crate::quantity::Quantity;
use crate::read::{Node, Span, Value};

use super::selector::Selector;
use super::value::{At, integer, pairs, quantity, text, texts};

/// Which controller runs the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Interchangeable pods.
    Deployment,
    /// Pods with names, volumes and an order.
    StatefulSet,
    /// One pod a node.
    DaemonSet,
    /// What a Deployment makes.
    ReplicaSet,
}

/// A workload as written.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Which controller.
    pub kind: WorkloadKind,
    /// `spec.replicas`; absent means 1.
    pub replicas: Option<At<i64>>,
    /// `spec.selector`.
    pub selector: Option<At<Selector>>,
    /// `spec.serviceName` of a StatefulSet.
    pub service_name: Option<At<String>>,
    /// `spec.strategy.rollingUpdate.maxSurge` as written; a Deployment's default is 25 %.
    pub max_surge: Option<At<String>>,
    /// Whether `spec.strategy.type` is Recreate.
    pub recreate: bool,
    /// `spec.template`.
    pub template: PodTemplate,
}

/// A pod template.
#[derive(Debug, Clone)]
pub struct PodTemplate {
    /// The whole template.
    pub span: Span,
    /// `spec` of the template, where it stands.
    pub spec_span: Option<Span>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// `containers`.
    pub containers: Vec<Container>,
    /// `initContainers` that stay (`restartPolicy: Always`), which count like containers.
    pub sidecars: Vec<Container>,
    /// Required pod anti-affinity.
    pub anti_affinity: Vec<Term>,
    /// Whether there is preferred pod anti-affinity.
    pub prefers_spread: bool,
    /// The topology keys of `topologySpreadConstraints`.
    pub spread: Vec<At<String>>,
    /// `nodeSelector`, and required node affinity of the operator `In` with one value.
    pub node_labels: Vec<(String, At<String>)>,
    /// `tolerations`.
    pub tolerations: Vec<Toleration>,
    /// `priorityClassName`.
    pub priority_class: Option<At<String>>,
    /// `serviceAccountName`.
    pub service_account: Option<At<String>>,
    /// Names of ConfigMaps that volumes or `envFrom` read.
    pub config_maps: Vec<String>,
    /// Pod-level `resources.requests`.
    pub requests: Resources,
    /// `terminationGracePeriodSeconds`.
    pub grace: Option<At<i64>>,
}

/// One term of required pod anti-affinity.
#[derive(Debug, Clone)]
pub struct Term {
    /// The whole term.
    pub span: Span,
    /// The pods kept away.
    pub selector: Selector,
    /// `topologyKey`.
    pub topology: Option<At<String>>,
}

/// A toleration.
#[derive(Debug, Clone)]
pub struct Toleration {
    /// The whole entry.
    pub span: Span,
    /// `key`; empty with `Exists` means all taints.
    pub key: String,
    /// Whether the operator is `Exists`.
    pub exists: bool,
    /// `value`.
    pub value: String,
    /// `effect`; empty means all.
    pub effect: String,
}

/// CPU and memory amounts.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// `cpu`.
    pub cpu: Option<At<Quantity>>,
    /// `memory`.
    pub memory: Option<At<Quantity>>,
}

impl Resources {
    fn of(node: &Node, keys: &[&str]) -> Self {
        let under = |name: &'static str| quantity(node.at(keys)?, &[name]);
        Self { cpu: under("cpu"), memory: under("memory") }
    }

    /// The amount of `cpu` or `memory`.
    pub fn get(&self, resource: &str) -> Option<&At<Quantity>> {
        match resource {
            "cpu" => self.cpu.as_ref(),
            "memory" => self.memory.as_ref(),
            _ => None,
        }
    }
}

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// The whole container.
    pub span: Span,
    /// `name`.
    pub name: Option<At<String>>,
    /// `image`.
    pub image: Option<At<String>>,
    /// `resources.requests`; what is only in `limits` counts, as it does in the API server.
    pub requests: Resources,
    /// `resources.limits`.
    pub limits: Resources,
    /// Where `resources` stands.
    pub resources_span: Option<Span>,
    /// `env` entries with a plain value.
    pub env: Vec<Env>,
    /// `command` and `args` together.
    pub words: Vec<At<String>>,
    /// Names and numbers of `ports`.
    pub ports: Vec<(Option<String>, i64)>,
    /// Whether there is a readiness probe.
    pub readiness: bool,
    /// Whether there is a liveness probe.
    pub liveness: bool,
    /// Whether there is a startup probe.
    pub startup: bool,
}

/// One environment variable.
#[derive(Debug, Clone)]
pub struct Env {
    /// Its name.
    pub name: At<String>,
    /// Its value; `None` when it comes from elsewhere.
    pub value: Option<At<String>>,
}

impl Workload {
    pub(crate) fn of(root: &Node, kind: WorkloadKind) -> Self {
        let empty = Node { span: root.span, value: Value::Null };
        let spec = root.get("spec").unwrap_or(&empty);
        Self {
            kind,
            replicas: integer(spec, &["replicas"]),
            selector: spec.get("selector").map(|node| At::new(Selector::of(node), node.span)),
            service_name: text(spec, &["serviceName"]),
            max_surge: text(spec, &["strategy", "rollingUpdate", "maxSurge"]),
            recreate: spec.text_at(&["strategy", "type"]) == Some("Recreate"),
            template: PodTemplate::of(spec.get("template").unwrap_or(&empty)),
        }
    }
}

impl PodTemplate {
    fn of(node: &Node) -> Self {
        let empty = Node { span: node.span, value: Value::Null };
        let spec = node.get("spec").unwrap_or(&empty);
        let list = |keys: &[&str]| spec.at(keys).map_or(&[][..], Node::items);
        let sidecars = list(&["initContainers"])
            .iter()
            .filter(|container| container.text_at(&["restartPolicy"]) == Some("Always"))
            .map(Container::of)
            .collect();
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let anti_affinity = list(&["affinity", "podAntiAffinity", required])
            .iter()
            .map(|term| Term {
                span: term.span,
                selector: term.get("labelSelector").map(Selector::of).unwrap_or_default(),
                topology: text(term, &["topologyKey"]),
            })
            .collect();
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        Self {
            span: node.span,
            spec_span: node.get("spec").map(|spec| spec.span),
            labels: labels(node),
            containers: list(&["containers"]).iter().map(Container::of).collect(),
            sidecars,
            anti_affinity,
            prefers_spread: !list(&["affinity", "podAntiAffinity", preferred]).is_empty(),
            spread: list(&["topologySpreadConstraints"])
                .iter()
                .filter_map(|item| text(item, &["topologyKey"]))
                .collect(),
            node_labels: node_labels(spec),
            tolerations: list(&["tolerations"]).iter().map(Toleration::of).collect(),
            priority_class: text(spec, &["priorityClassName"]),
            service_account: text(spec, &["serviceAccountName"]),
            config_maps: config_maps(spec),
            requests: Resources::of(spec, &["resources", "requests"]),
            grace: integer(spec, &["terminationGracePeriodSeconds"]),
        }
    }

    /// The containers that run for the pod's whole life.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.sidecars)
    }

    /// What the pod requests of `cpu` or `memory`, in thousandths: pod-level requests, else the sum over
    /// containers; `None` when a container says nothing.
    pub fn request_milli(&self, resource: &str) -> Option<i64> {
        if let Some(pod) = self.requests.get(resource) {
            return Some(pod.value.milli());
        }
        let mut sum = 0_i64;
        for container in self.running() {
            sum = sum.saturating_add(container.requests.get(resource)?.value.milli());
        }
        (!self.containers.is_empty()).then_some(sum)
    }

    /// Whether the pod may run on a node with this taint.
    pub fn tolerates(&self, taint: &super::Taint) -> bool {
        self.tolerations.iter().any(|toleration| {
            let key = toleration.key == taint.key || (toleration.key.is_empty() && toleration.exists);
            let value = toleration.exists || toleration.value == taint.value;
            let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
            key && value && effect
        })
    }
}

impl Toleration {
    fn of(node: &Node) -> Self {
        let word = |key: &str| node.text_at(&[key]).unwrap_or("").to_owned();
        Self {
            span: node.span,
            key: word("key"),
            exists: node.text_at(&["operator"]) == Some("Exists"),
            value: word("value"),
            effect: word("effect"),
        }
    }
}

impl Container {
    fn of(node: &Node) -> Self {
        let limits = Resources::of(node, &["resources", "limits"]);
        let asked = Resources::of(node, &["resources", "requests"]);
        let requests = Resources {
            cpu: asked.cpu.or_else(|| limits.cpu.clone()),
            memory: asked.memory.or_else(|| limits.memory.clone()),
        };
        let env = node.get("env").map_or(&[][..], Node::items);
        let ports = node.get("ports").map_or(&[][..], Node::items);
        let mut words = texts(node, &["command"]);
        words.extend(texts(node, &["args"]));
        Self {
            span: node.span,
            name: text(node, &["name"]),
            image: text(node, &["image"]),
            requests,
            limits,
            resources_span: node.get("resources").map(|resources| resources.span),
            env: env
                .iter()
                .filter_map(|item| Some(Env { name: text(item, &["name"])?, value: text(item, &["value"]) }))
                .collect(),
            words,
            ports: ports
                .iter()
                .filter_map(|port| {
                    let name = port.text_at(&["name"]).map(str::to_owned);
                    integer(port, &["containerPort"]).map(|number| (name, number.value))
                })
                .collect(),
            readiness: node.get("readinessProbe").is_some(),
            liveness: node.get("livenessProbe").is_some(),
            startup: node.get("startupProbe").is_some(),
        }
    }

    /// The name, or a word for its absence.
    pub fn label(&self) -> &str {
        self.name.as_ref().map_or("(unnamed)", |name| name.value.as_str())
    }

    /// The value of an environment variable.
    pub fn env(&self, name: &str) -> Option<&Env> {
        self.env.iter().find(|env| env.name.value == name)
    }

    /// The value of an option of the command line: `--name=value`, `--name value`, `name=value`.
    pub fn option(&self, name: &str) -> Option<At<String>> {
        for (index, word) in self.words.iter().enumerate() {
            if word.value == name {
                return self.words.get(index + 1).cloned();
            }
            if let Some(value) = word.value.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                return Some(At::new(value.to_owned(), word.span));
            }
        }
        None
    }
}

fn labels(node: &Node) -> Vec<(String, String)> {
    pairs(node, &["metadata", "labels"]).into_iter().map(|(key, at)| (key, at.value)).collect()
}

fn node_labels(spec: &Node) -> Vec<(String, At<String>)> {
    let mut wanted = pairs(spec, &["nodeSelector"]);
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = spec.at(&["affinity", "nodeAffinity", required, "nodeSelectorTerms"]);
    // Several terms are alternatives: only a single one is a demand.
    if let Some([term]) = terms.map(Node::items) {
        for item in term.get("matchExpressions").map_or(&[][..], Node::items) {
            let values = texts(item, &["values"]);
            if let (Some("In"), Some(key), [value]) =
                (item.text_at(&["operator"]), item.text_at(&["key"]), values.as_slice())
            {
                wanted.push((key.to_owned(), value.clone()));
            }
        }
    }
    wanted
}

fn config_maps(spec: &Node) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: Option<&str>| names.extend(name.map(str::to_owned));
    for volume in spec.get("volumes").map_or(&[][..], Node::items) {
        add(volume.text_at(&["configMap", "name"]));
        for source in volume.at(&["projected", "sources"]).map_or(&[][..], Node::items) {
            add(source.text_at(&["configMap", "name"]));
        }
    }
    for key in ["containers", "initContainers"] {
        for container in spec.get(key).map_or(&[][..], Node::items) {
            for from in container.get("envFrom").map_or(&[][..], Node::items) {
                add(from.text_at(&["configMapRef", "name"]));
            }
            for env in container.get("env").map_or(&[][..], Node::items) {
                add(env.text_at(&["valueFrom", "configMapKeyRef", "name"]));
            }
        }
    }
    names
}
