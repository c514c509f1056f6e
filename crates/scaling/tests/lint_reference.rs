//! `docs/lint-rules.md` is what the rules print. `OCTOLLM_UPDATE_DOCS=1` writes it anew.

use octollm_scaling::lint::render;

#[test]
fn the_reference_of_the_rules_is_printed_from_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lint-rules.md");
    let printed = render::reference();
    if std::env::var_os("OCTOLLM_UPDATE_DOCS").is_some() {
        std::fs::write(path, &printed).expect("docs can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == printed,
        "docs/lint-rules.md is not what the rules print; run this test with OCTOLLM_UPDATE_DOCS=1"
    );
}
