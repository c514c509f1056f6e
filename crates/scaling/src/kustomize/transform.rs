//! The transformers: generated names, namespace, name prefix and suffix, labels, annotations, images, replicas.

use crate::read::{Entry, Node, Scalar, Span, Style, Value};

use super::{at_mut, set, written};

/// Kinds that live outside namespaces.
const CLUSTER_SCOPED: [&str; 16] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterScaledObject",
    "ClusterTriggerAuthentication",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "NodePool",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// Adds the ConfigMaps and Secrets that are generated: their names and literals, so that references resolve.
pub(super) fn generate(root: &Node, nodes: &mut Vec<Node>) {
    for (key, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
        for item in root.get(key).map_or(&[][..], Node::items) {
            let Some(name) = item.get("name") else { continue };
            let span = item.span;
            let mut node = Node { span, value: Value::Map(Vec::new()) };
            set(&mut node, &["apiVersion"], written("v1", span));
            set(&mut node, &["kind"], written(kind, span));
            set(&mut node, &["metadata", "name"], name.clone());
            if let Some(namespace) = item.get("namespace") {
                set(&mut node, &["metadata", "namespace"], namespace.clone());
            }
            if let Some(labels) = item.at(&["options", "labels"]) {
                set(&mut node, &["metadata", "labels"], labels.clone());
            }
            let field = if kind == "Secret" { "stringData" } else { "data" };
            for literal in item.get("literals").map_or(&[][..], Node::items) {
                if let Some((name, value)) = literal.text().and_then(|text| text.split_once('=')) {
                    set(&mut node, &[field, name], written(value, literal.span));
                }
            }
            nodes.push(node);
        }
    }
}

/// Applies what `root` asks for to all nodes, with kustomize's result.
pub(super) fn all(root: &Node, nodes: &mut [Node]) {
    if let Some(namespace) = root.get("namespace") {
        for node in nodes.iter_mut().filter(|node| is_namespaced(node)) {
            set(node, &["metadata", "namespace"], namespace.clone());
        }
    }
    // Kustomize finds these by the names from before a prefix or suffix.
    for item in root.get("replicas").map_or(&[][..], Node::items) {
        let (Some(name), Some(count)) = (item.text_at(&["name"]), item.get("count")) else { continue };
        for node in nodes.iter_mut() {
            let scales = matches!(node.text_at(&["kind"]), Some("Deployment" | "StatefulSet" | "ReplicaSet"));
            if scales && node.text_at(&["metadata", "name"]) == Some(name) {
                set(node, &["spec", "replicas"], count.clone());
            }
        }
    }
    let prefix = root.text_at(&["namePrefix"]).unwrap_or("");
    let suffix = root.text_at(&["nameSuffix"]).unwrap_or("");
    if !prefix.is_empty() || !suffix.is_empty() {
        rename(nodes, prefix, suffix);
    }
    for item in root.get("labels").map_or(&[][..], Node::items) {
        let selectors = item.text_at(&["includeSelectors"]) == Some("true");
        let templates = selectors || item.text_at(&["includeTemplates"]) == Some("true");
        for pair in item.get("pairs").map_or(&[][..], Node::entries) {
            nodes.iter_mut().for_each(|node| label(node, pair, selectors, templates));
        }
    }
    for pair in root.get("commonLabels").map_or(&[][..], Node::entries) {
        nodes.iter_mut().for_each(|node| label(node, pair, true, true));
    }
    for pair in root.get("commonAnnotations").map_or(&[][..], Node::entries) {
        for node in nodes.iter_mut() {
            set(node, &["metadata", "annotations", &pair.key], pair.value.clone());
            if at_mut(node, &["spec", "template"]).is_some() {
                let keys = ["spec", "template", "metadata", "annotations", &pair.key];
                set(node, &keys, pair.value.clone());
            }
        }
    }
    for item in root.get("images").map_or(&[][..], Node::items) {
        nodes.iter_mut().for_each(|node| image(node, item));
    }
}

fn is_namespaced(node: &Node) -> bool {
    node.text_at(&["kind"]).is_some_and(|kind| !CLUSTER_SCOPED.contains(&kind))
}

/// Renames the objects and the references among them that kustomize follows.
fn rename(nodes: &mut [Node], prefix: &str, suffix: &str) {
    let mut renamed: Vec<(String, String)> = Vec::new();
    for node in nodes.iter_mut() {
        let kind = node.text_at(&["kind"]).unwrap_or("").to_owned();
        if matches!(kind.as_str(), "Namespace" | "CustomResourceDefinition" | "APIService") {
            continue;
        }
        if let Some(Node { value: Value::Scalar(scalar), .. }) = at_mut(node, &["metadata", "name"]) {
            renamed.push((kind, scalar.text.clone()));
            scalar.text = format!("{prefix}{}{suffix}", scalar.text);
        }
    }
    let follow = |node: Option<&mut Node>, kind: &str| {
        if let Some(Node { value: Value::Scalar(scalar), .. }) = node
            && renamed.iter().any(|(k, name)| k == kind && *name == scalar.text)
        {
            scalar.text = format!("{prefix}{}{suffix}", scalar.text);
        }
    };
    for node in nodes.iter_mut() {
        let kind = node.text_at(&["spec", "scaleTargetRef", "kind"]).unwrap_or("").to_owned();
        if node.text_at(&["kind"]) == Some("HorizontalPodAutoscaler") {
            follow(at_mut(node, &["spec", "scaleTargetRef", "name"]), &kind);
        }
        follow(at_mut(node, &["spec", "serviceName"]), "Service");
        follow(at_mut(node, &["spec", "template", "spec", "serviceAccountName"]), "ServiceAccount");
        let Some(volumes) = at_mut(node, &["spec", "template", "spec", "volumes"]) else { continue };
        let Value::List(volumes) = &mut volumes.value else { continue };
        for volume in volumes {
            follow(at_mut(volume, &["configMap", "name"]), "ConfigMap");
            follow(at_mut(volume, &["secret", "secretName"]), "Secret");
        }
    }
}

fn label(node: &mut Node, pair: &Entry, selectors: bool, templates: bool) {
    let value = || pair.value.clone();
    set(node, &["metadata", "labels", &pair.key], value());
    let kind = node.text_at(&["kind"]).unwrap_or("").to_owned();
    if templates && node.at(&["spec", "template"]).is_some() {
        set(node, &["spec", "template", "metadata", "labels", &pair.key], value());
    }
    if selectors {
        match kind.as_str() {
            "Service" if node.at(&["spec", "selector"]).is_some() => {
                set(node, &["spec", "selector", &pair.key], value());
            }
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "PodDisruptionBudget" => {
                set(node, &["spec", "selector", "matchLabels", &pair.key], value());
            }
            _ => {}
        }
    }
}

fn image(node: &mut Node, item: &Node) {
    let Some(name) = item.text_at(&["name"]) else { return };
    for list in ["containers", "initContainers"] {
        let Some(containers) = at_mut(node, &["spec", "template", "spec", list]) else { continue };
        let Value::List(containers) = &mut containers.value else { continue };
        for container in containers {
            let Some(image) = at_mut(container, &["image"]) else { continue };
            let Some(old) = image.text().map(str::to_owned) else { continue };
            let (repository, version) = split_image(&old);
            if repository != name {
                continue;
            }
            let repository = item.text_at(&["newName"]).unwrap_or(repository);
            let version = match (item.text_at(&["digest"]), item.text_at(&["newTag"])) {
                (Some(digest), _) => format!("@{digest}"),
                (None, Some(tag)) => format!(":{tag}"),
                (None, None) => version.to_owned(),
            };
            *image = scalar(format!("{repository}{version}"), item.span);
        }
    }
}

/// `registry:5000/a/b:1@sha256:…` as repository and the rest.
fn split_image(image: &str) -> (&str, &str) {
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let cut = image[slash..].find([':', '@']).map_or(image.len(), |at| slash + at);
    image.split_at(cut)
}

fn scalar(text: String, span: Span) -> Node {
    Node { span, value: Value::Scalar(Scalar { text, style: Style::Plain }) }
}
