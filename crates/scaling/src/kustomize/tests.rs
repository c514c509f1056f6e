//! What building promises.

use crate::manifest::{Detail, Input, Loaded, load};

fn build(files: &[(&str, &str)]) -> Loaded {
    let input =
        |(path, text): &(&str, &str)| Input { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() };
    load(files.iter().map(input).collect())
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: \"web:1\", args: [a]}
        - {name: side, image: side}
";

#[test]
fn an_overlay_is_one_set_and_its_patches_keep_their_place() {
    let loaded = build(&[
        (
            "d/base/kustomization.yaml",
            "resources: [web.yaml]\nlabels:\n- pairs: {team: a}\n  includeSelectors: true\n",
        ),
        ("d/base/web.yaml", WEB),
        (
            "d/over/kustomization.yaml",
            "namespace: prod\nresources:\n- ../base\npatches:\n- path: patch.yaml\nimages:\n- {name: web, newTag: \"2\"}\n\
             replicas:\n- {name: web, count: 4}\n",
        ),
        (
            "d/over/patch.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      \
             containers:\n      - name: web\n        resources:\n          requests: {cpu: 2}\n",
        ),
        ("d/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"),
    ]);
    assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
    let names: Vec<_> = loaded.sets.iter().map(|set| (set.name.as_str(), set.objects.len())).collect();
    assert_eq!(names, [("", 1), ("d/over", 1)]);
    let object = &loaded.sets[1].objects[0];
    assert_eq!(object.namespace, "prod");
    let workload = object.workload().unwrap();
    assert_eq!(workload.replicas.as_ref().unwrap().value, 4);
    assert_eq!(workload.template.containers.len(), 2);
    let web = &workload.template.containers[0];
    assert_eq!(web.image.as_ref().unwrap().value, "web:2");
    assert_eq!(web.words[0].value, "a");
    let cpu = web.requests.cpu.as_ref().unwrap();
    assert_eq!(loaded.sources.place(cpu.span).to_string(), "d/over/patch.yaml:10:27");
    assert!(workload.template.labels.contains(&("team".to_owned(), "a".to_owned())));
    assert!(workload.selector.as_ref().unwrap().value.matches(&workload.template.labels));
}

#[test]
fn json_patches_add_replace_and_remove() {
    let loaded = build(&[
        (
            "kustomization.yaml",
            "resources: [web.yaml]\nnamePrefix: a-\npatches:\n- target: {kind: Deployment}\n  patch: |\n    \
             - {op: add, path: /spec/replicas, value: 3}\n    \
             - {op: replace, path: /spec/template/spec/containers/0/image, value: x}\n    \
             - {op: remove, path: /spec/template/spec/containers/1}\n    \
             - {op: remove, path: /spec/nothing}\n",
        ),
        ("web.yaml", WEB),
    ]);
    let object = &loaded.sets[0].objects[0];
    assert_eq!(object.name(), "a-web");
    let workload = object.workload().unwrap();
    assert_eq!(workload.replicas.as_ref().unwrap().value, 3);
    assert_eq!(workload.template.containers.len(), 1);
    assert_eq!(workload.template.containers[0].image.as_ref().unwrap().value, "x");
    assert_eq!(loaded.refused.len(), 1);
    assert!(loaded.refused[0].message.contains("/spec/nothing"));
}

#[test]
fn what_is_not_carried_out_is_named() {
    let loaded = build(&[(
        "kustomization.yaml",
        "resources:\n- missing.yaml\n- https://example.org/x\nhelmCharts: []\npatches:\n- patch: |\n    kind: X\n    metadata: {name: y}\n",
    )]);
    let messages = |list: &[crate::manifest::Refusal]| -> Vec<String> {
        list.iter().map(|refusal| refusal.message.clone()).collect()
    };
    let left_out = messages(&loaded.left_out);
    assert!(left_out[0].contains("helmCharts") && left_out[1].contains("is remote"), "{left_out:?}");
    // The patch's object may be in what was left out, so only the missing file is a fault.
    let refused = messages(&loaded.refused);
    assert_eq!(refused, ["`missing.yaml` is not among the files read; add it or correct the path"]);
}

#[test]
fn a_component_by_itself_is_no_fault() {
    let loaded = build(&[
        (
            "c/kustomization.yaml",
            "kind: Component\npatches:\n- patch: |\n    kind: Deployment\n    metadata: {name: web}\n    spec: {replicas: 5}\n",
        ),
        ("o/kustomization.yaml", "resources: [web.yaml]\ncomponents: [../c]\n"),
        ("o/web.yaml", WEB),
        (
            "d/kustomization.yaml",
            "kind: Component\npatches:\n- patch: |\n    kind: Deployment\n    metadata: {name: x}\n",
        ),
    ]);
    assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
    let over = loaded.sets.iter().find(|set| set.name == "o").unwrap();
    assert_eq!(over.objects[0].workload().unwrap().replicas.as_ref().unwrap().value, 5);
}

#[test]
fn the_files_still_to_be_read_are_named() {
    let inputs = vec![Input {
        path: "./d/over/kustomization.yaml".to_owned(),
        bytes: b"resources: [../base, x.yaml, https://a.b/c]\npatches: [{path: p.yaml}]\n".to_vec(),
    }];
    assert_eq!(super::wanted(&inputs), ["d/base", "d/over/p.yaml", "d/over/x.yaml"]);
}

#[test]
fn generated_config_maps_exist_and_circles_end() {
    let loaded = build(&[
        ("a/kustomization.yaml", "resources: [../b]\nconfigMapGenerator:\n- name: c\n  literals: [k=v]\n"),
        ("b/kustomization.yaml", "resources: [../a]\n"),
        ("c/kustomization.yaml", "configMapGenerator:\n- name: c\n  literals: [k=v]\n"),
    ]);
    assert!(loaded.refused.iter().any(|refusal| refusal.message.contains("builds on itself")));
    let objects = &loaded.sets.last().unwrap().objects;
    assert!(matches!(objects[0].detail, Detail::ConfigMap(_)));
}

#[test]
fn layers_that_double_at_each_level_end() {
    let mut files = vec![("k0/kustomization.yaml".to_owned(), "resources: [web.yaml]\n".to_owned())];
    for level in 1..30 {
        let below = level - 1;
        let text = format!("resources: [../k{below}, ../k{below}]\n");
        files.push((format!("k{level}/kustomization.yaml"), text));
    }
    files.push(("k0/web.yaml".to_owned(), WEB.to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let loaded = build(&files);
    assert!(loaded.refused.iter().any(|refusal| refusal.message.contains("without end")));
}

#[test]
fn a_field_that_kustomize_lacks_is_refused() {
    let loaded = build(&[("kustomization.yaml", "resources: []\nnameprefix: x-\n")]);
    let refused = &loaded.refused[0].message;
    assert!(refused.contains("`nameprefix` is no field") && refused.contains("`namePrefix`"), "{refused}");
}
