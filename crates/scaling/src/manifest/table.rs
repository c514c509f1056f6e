//! Which fields each kind has: the tables `fields.txt` and `crds.txt`, parsed once.
//!
//! The tables are part of the program; a malformed line is a programming error that the tests find.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What a field may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    String,
    Integer,
    Number,
    Boolean,
    Quantity,
    IntOrString,
    Any,
    OneOf(Vec<&'static str>),
    /// A list, and the key by which a strategic merge patch finds an item of it.
    List(Box<Shape>, Option<&'static str>),
    Map(Box<Shape>),
    Type(&'static str),
}

/// One field of a type.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

/// All types and the kinds that they describe.
#[derive(Debug, Default)]
pub(crate) struct Table {
    kinds: HashMap<(&'static str, &'static str), &'static str>,
    types: HashMap<&'static str, Vec<Field>>,
}

/// Fields of built-in kinds whose values are a closed set; the OpenAPI documents do not say so.
const CLOSED: [(&str, &str, &str); 21] = [
    ("MetricSpec", "type", "ContainerResource|External|Object|Pods|Resource"),
    ("MetricTarget", "type", "Utilization|Value|AverageValue"),
    ("HPAScalingPolicy", "type", "Pods|Percent"),
    ("HPAScalingRules", "selectPolicy", "Max|Min|Disabled"),
    ("TopologySpreadConstraint", "whenUnsatisfiable", "DoNotSchedule|ScheduleAnyway"),
    ("TopologySpreadConstraint", "nodeAffinityPolicy", "Honor|Ignore"),
    ("TopologySpreadConstraint", "nodeTaintsPolicy", "Honor|Ignore"),
    ("Container", "imagePullPolicy", "Always|Never|IfNotPresent"),
    ("PodSpec", "restartPolicy", "Always|OnFailure|Never"),
    ("PodSpec", "dnsPolicy", "ClusterFirst|ClusterFirstWithHostNet|Default|None"),
    ("PodSpec", "preemptionPolicy", "Never|PreemptLowerPriority"),
    ("Toleration", "operator", "Exists|Equal|Lt|Gt"),
    ("Toleration", "effect", "NoSchedule|PreferNoSchedule|NoExecute"),
    ("LabelSelectorRequirement", "operator", "In|NotIn|Exists|DoesNotExist"),
    ("NodeSelectorRequirement", "operator", "In|NotIn|Exists|DoesNotExist|Gt|Lt"),
    ("ServiceSpec", "type", "ClusterIP|NodePort|LoadBalancer|ExternalName"),
    ("ContainerPort", "protocol", "TCP|UDP|SCTP"),
    ("ServicePort", "protocol", "TCP|UDP|SCTP"),
    ("DeploymentStrategy", "type", "Recreate|RollingUpdate"),
    ("StatefulSetSpec", "podManagementPolicy", "OrderedReady|Parallel"),
    ("PodDisruptionBudgetSpec", "unhealthyPodEvictionPolicy", "IfHealthyBudget|AlwaysAllow"),
];

impl Table {
    /// The type that describes a kind, if the tables have it.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<&'static str> {
        self.kinds.iter().find(|((v, k), _)| *v == api_version && *k == kind).map(|(_, name)| *name)
    }

    /// Whether some version of this kind is in the tables, and which.
    pub(crate) fn versions(&self, kind: &str) -> Vec<&'static str> {
        let mut versions: Vec<_> =
            self.kinds.keys().filter(|(_, k)| *k == kind).map(|(version, _)| *version).collect();
        versions.sort_unstable();
        versions
    }

    /// The fields of a type.
    pub(crate) fn fields(&self, name: &str) -> &[Field] {
        self.types.get(name).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, text: &'static str) {
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("kind"), Some(version)) => {
                    if let (Some(kind), Some(name)) = (words.next(), words.next()) {
                        self.kinds.insert((version, kind), name);
                    }
                }
                (Some("type"), Some(name)) => {
                    self.types.insert(name, words.filter_map(|word| field(name, word)).collect());
                }
                _ => {}
            }
        }
    }
}

fn field(owner: &str, word: &'static str) -> Option<Field> {
    let (name, shape) = word.split_once(':')?;
    let (name, required) = match name.strip_suffix('!') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let closed = CLOSED.iter().find(|(t, f, _)| *t == owner && *f == name);
    let shape = match closed {
        Some((_, _, values)) => Shape::OneOf(values.split('|').collect()),
        None => shape_of(shape),
    };
    Some(Field { name, required, shape })
}

fn shape_of(text: &'static str) -> Shape {
    match text {
        "s" => Shape::String,
        "i" => Shape::Integer,
        "n" => Shape::Number,
        "b" => Shape::Boolean,
        "q" => Shape::Quantity,
        "x" => Shape::IntOrString,
        "*" => Shape::Any,
        _ => {
            if let Some(item) = text.strip_prefix('[') {
                let (item, key) = match item.split_once('^') {
                    Some((item, key)) => (item, Some(key)),
                    None => (item, None),
                };
                Shape::List(Box::new(shape_of(item)), key)
            } else if let Some(value) = text.strip_prefix('{') {
                Shape::Map(Box::new(shape_of(value)))
            } else if let Some(values) = text.strip_prefix('<') {
                Shape::OneOf(values.trim_end_matches('>').split('|').collect())
            } else {
                Shape::Type(text)
            }
        }
    }
}

/// The tables of all kinds that are checked.
pub(crate) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table::default();
        table.add(include_str!("fields.txt"));
        table.add(include_str!("crds.txt"));
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf_types<'a>(shape: &'a Shape, out: &mut Vec<&'a str>) {
        match shape {
            Shape::Type(name) => out.push(name),
            Shape::List(inner, _) | Shape::Map(inner) => leaf_types(inner, out),
            _ => {}
        }
    }

    #[test]
    fn every_type_that_a_field_names_is_in_the_tables() {
        let table = table();
        for (owner, fields) in &table.types {
            for field in fields {
                let mut names = Vec::new();
                leaf_types(&field.shape, &mut names);
                for name in names {
                    assert!(table.types.contains_key(name), "{owner}.{}: no type {name}", field.name);
                }
            }
        }
        assert!(table.kinds.values().all(|name| table.types.contains_key(name)));
    }

    #[test]
    fn every_closed_field_exists() {
        for (owner, name, _) in CLOSED {
            assert!(table().fields(owner).iter().any(|field| field.name == name), "{owner}.{name}");
        }
    }

    #[test]
    fn known_kinds_have_their_fields() {
        let name = table().kind("autoscaling/v2", "HorizontalPodAutoscaler").unwrap();
        let spec = table().fields(name).iter().find(|field| field.name == "spec").unwrap();
        assert_eq!(spec.shape, Shape::Type("HpaHorizontalPodAutoscalerSpec"));
        assert_eq!(table().versions("HorizontalPodAutoscaler"), ["autoscaling/v1", "autoscaling/v2"]);
        let containers = table().fields("PodSpec").iter().find(|field| field.name == "containers").unwrap();
        assert!(containers.required);
        assert!(matches!(&containers.shape, Shape::List(_, Some("name"))));
    }
}
