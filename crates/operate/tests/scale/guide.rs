//! The examples of `docs/scale.md`: each command, run, prints what the page shows.

use std::path::Path;

use crate::transcript::Transcript;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

/// The commands of the page with the output shown below each.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut blocks = page.split("```");
    while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
        if let Some(console) = block.strip_prefix("console\n$ octollm scale ") {
            let (command, output) = console.split_once('\n').expect("a command is a line");
            found.push((command.to_owned(), output.to_owned()));
        }
    }
    found
}

/// What a command prints in the folder of the examples.
fn run(command: &str) -> String {
    let folder = format!("{DOCS}/examples/scale/");
    let place = |word: &str| {
        let is_file = Path::new(&format!("{folder}{word}")).exists();
        if is_file { format!("{folder}{word}") } else { word.to_owned() }
    };
    let words: Vec<String> = command.split(' ').map(place).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let shown = Transcript::of(&words).show().replace(&folder, "");
    shown.rsplit_once("exit ").expect("every transcript ends with the exit code").0.to_owned()
}

#[test]
fn every_example_of_the_guide_prints_what_the_page_shows() {
    let page = std::fs::read_to_string(format!("{DOCS}/scale.md")).expect("docs/scale.md");
    let examples = examples(&page);
    assert_eq!(examples.len(), page.matches("```console").count());
    assert!(examples.len() >= 5);
    for (command, shown) in examples {
        let printed = run(&command);
        assert!(shown == printed, "{command}\nthe page shows:\n{shown}\nit prints:\n{printed}");
    }
}
