//! What the reader promises, each as a test.

use super::*;

fn read(text: &str) -> Result<(Sources, Vec<Document>), Unreadable> {
    let mut sources = Sources::default();
    let (_, documents) = sources.read("a.yaml", text.as_bytes().to_vec());
    documents.map(|documents| (sources, documents))
}

fn place_of(sources: &Sources, node: &Node) -> (usize, usize) {
    let place = sources.place(node.span);
    (place.line, place.column)
}

#[test]
fn every_value_keeps_its_line_and_column() {
    let (sources, documents) =
        read("# comment\nspec:\n  replicas: 3  # three\n  names: [ä, \"b\"]\n---\nother: x\n").unwrap();
    assert_eq!(documents.len(), 2);
    let root = &documents[0].root;
    assert_eq!(place_of(&sources, root.at(&["spec", "replicas"]).unwrap()), (3, 13));
    let names = root.at(&["spec", "names"]).unwrap();
    assert_eq!(place_of(&sources, &names.items()[1]), (4, 14));
    assert_eq!(&sources.text(names.span.file)[names.span.range()], "[ä, \"b\"]");
    let spec = root.get("spec").unwrap();
    assert!(sources.text(spec.span.file)[spec.span.range()].ends_with("\"b\"]"));
    assert_eq!(place_of(&sources, documents[1].root.get("other").unwrap()), (6, 8));
}

#[test]
fn a_key_that_stands_twice_is_kept_with_both_places_and_the_last_wins() {
    let (sources, documents) = read("a: 1\nb: 2\na: 3\n").unwrap();
    let duplicate = &documents[0].duplicates[0];
    assert_eq!(duplicate.key, "a");
    assert_eq!(sources.line(duplicate.first), 1);
    assert_eq!(sources.line(duplicate.again), 3);
    assert_eq!(documents[0].root.text_at(&["a"]), Some("3"));
}

#[test]
fn a_literal_block_maps_to_the_lines_of_its_file() {
    let (sources, documents) = read("data:\n  c.yaml: |\n    rules:\n\n      - a: x\n    end: y\n").unwrap();
    let block = documents[0].root.at(&["data", "c.yaml"]).unwrap();
    let inner = sources.read_embedded(block, Embedded::Yaml).unwrap();
    let end = inner[0].root.get("end").unwrap();
    assert_eq!(place_of(&sources, end), (6, 10));
    let a = inner[0].root.get("rules").unwrap().items()[0].get("a").unwrap();
    assert_eq!(place_of(&sources, a), (5, 12));
}

#[test]
fn off_is_a_boolean_unless_quoted() {
    let (_, documents) =
        read("a: Off\nb: \"Off\"\nc: 010\nd: 1e3\ne: 0x1F\nf: 1.5\ng: 1_000\nh: 500m\n").unwrap();
    let kind = |key: &str| documents[0].root.get(key).unwrap().scalar().unwrap().plain_kind();
    assert_eq!(kind("a"), PlainKind::Boolean(false));
    assert_eq!(kind("b"), PlainKind::Text);
    assert_eq!(documents[0].root.get("c").unwrap().scalar().unwrap().integer(), Some(8));
    assert_eq!(kind("d"), PlainKind::Float);
    assert_eq!(documents[0].root.get("e").unwrap().scalar().unwrap().integer(), Some(31));
    assert_eq!(kind("f"), PlainKind::Float);
    assert_eq!(documents[0].root.get("g").unwrap().scalar().unwrap().integer(), Some(1000));
    assert_eq!(kind("h"), PlainKind::Text);
}

#[test]
fn merge_keys_fill_in_and_own_keys_win() {
    let (_, documents) = read("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\n").unwrap();
    let own = documents[0].root.get("own").unwrap();
    assert_eq!((own.text_at(&["x"]), own.text_at(&["y"])), (Some("1"), Some("3")));
    assert!(documents[0].duplicates.is_empty());
}

#[test]
fn a_yaml_bomb_is_refused_where_it_goes_off() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(matches!(read(&bomb), Err(Unreadable::AliasBomb { .. })));
}

#[test]
fn deep_nesting_is_refused_in_yaml_and_json() {
    assert!(matches!(read(&"[".repeat(5000)), Err(Unreadable::TooDeep { .. })));
    let mut sources = Sources::default();
    let (_, documents) = sources.read("a.json", "[".repeat(100_000).into_bytes());
    assert!(matches!(documents, Err(Unreadable::TooDeep { .. })));
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_place() {
    let mut sources = Sources::default();
    let (_, documents) = sources.read("a.yaml", b"a: b\nc: \xff\n".to_vec());
    assert_eq!(documents.unwrap_err().to_string(), "a.yaml:2:4: not UTF-8; save the file as UTF-8");
}

#[test]
fn a_helm_template_is_refused_with_what_to_do() {
    let error = read("a: {{ .Values.x }}\nb: [\n").unwrap_err();
    assert!(error.to_string().contains("helm template"), "{error}");
}

#[test]
fn json_reads_to_the_same_tree() {
    let mut sources = Sources::default();
    let text = "{\"a\": [1, true, null,\t\"x\\u00e9\\n\\ud83d\\ude00\"], \"a\": {\"b\": -1.5e3}}";
    let (_, documents) = sources.read("d.json", text.as_bytes().to_vec());
    let documents = documents.unwrap();
    assert_eq!(documents[0].duplicates.len(), 1);
    assert_eq!(documents[0].root.text_at(&["a", "b"]), Some("-1.5e3"));
    let (_, bad) = sources.read("e.json", b"{\"a\" 1}".to_vec());
    assert_eq!(bad.unwrap_err().to_string(), "e.json:1:6: not JSON: no `:` after a key");
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    let error = read("a: &a\n  b: *a\n").unwrap_err();
    assert_eq!(error.to_string(), "a.yaml:2:6: not YAML: this alias stands inside its own anchor");
}

#[test]
fn only_tabs_are_answered_with_spaces() {
    assert!(read("a:\n\tb: 1\n").unwrap_err().to_string().ends_with("; indent with spaces"));
    assert!(!read("a: \0b\n").unwrap_err().to_string().contains("spaces"));
}

#[test]
fn a_column_far_along_a_line_is_counted_in_characters() {
    let far = "ä".repeat(3000);
    let (sources, documents) = read(&format!("a: [\"{far}\", b]\n")).unwrap();
    assert_eq!(place_of(&sources, &documents[0].root.get("a").unwrap().items()[1]), (1, 3009));
    assert_eq!(sources.line_count(documents[0].root.span.file), 1);
}
