//! Arbitrary bytes through the reader and the linter: never a panic, never a hang, never more than linear memory.
//!
//! Seeded byte mutations of the rules' own fixtures. `OCTOLLM_FUZZ_SEED` repeats a run, `OCTOLLM_FUZZ_ROUNDS` makes
//! it longer; a failure prints the seed and the round.

use std::time::{Duration, Instant};

use octollm_scaling::lint::{apply_safe, lint, render, rules};
use octollm_scaling::manifest::{Input, Loaded, load};

/// SplitMix64: small, seeded, good enough to choose bytes.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

const PIECES: [&[u8]; 24] = [
    b"&a ",
    b"*a",
    b"<<: *a",
    b"- ",
    b": ",
    b"|",
    b"|2-\n",
    b">",
    b"\n",
    b"\t",
    b"---\n",
    b"...\n",
    b"{",
    b"[",
    b"\"",
    b"'",
    b"\xff",
    b"\xf0\x9f\x98\x80",
    b"%TAG ! x\n",
    b"!!str ",
    b"? ",
    b"99999999999999999999",
    b"-1",
    b"#=== kustomization.yaml\n",
];

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(5) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(dice.next() & 0xff).unwrap_or(0),
            1 if at < bytes.len() => {
                let end = (at + dice.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            2 => {
                let piece = PIECES[dice.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = (at + dice.below(60)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = dice.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            _ => {
                // Another number where one stands, so that bounds and arithmetic are met.
                if let Some(digit) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
                    let number: &[u8] =
                        [&b"0"[..], b"-1", b"2147483648", b"9223372036854775807", b"1e400", b"0x"]
                            [dice.below(6)];
                    bytes.splice(at + digit..=at + digit, number.iter().copied());
                }
            }
        }
    }
}

fn files(bytes: &[u8]) -> Vec<Input> {
    let mut parts = vec![("manifest.yaml".to_owned(), Vec::new())];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"#=== ") {
            Some(path) => parts.push((String::from_utf8_lossy(path).trim().to_owned(), Vec::new())),
            None => parts.last_mut().expect("begins with one part").1.extend_from_slice(line),
        }
    }
    parts.into_iter().map(|(path, bytes)| Input { path, bytes }).collect()
}

/// Writes safe fixes until none is left: a few rounds are enough, and no file becomes unreadable by it.
fn settle(mut inputs: Vec<Input>) {
    for _ in 0..8 {
        let loaded = load(inputs.clone());
        let texts = apply_safe(&loaded.sources, &lint(&loaded));
        if texts.is_empty() {
            return;
        }
        for (path, text) in texts {
            for input in inputs.iter_mut().filter(|input| input.path == path) {
                input.bytes = text.clone().into_bytes();
            }
        }
        let after = load(inputs.clone());
        let count = |loaded: &Loaded| loaded.sets.iter().map(|set| set.objects.len()).sum::<usize>();
        assert!(
            after.unreadable.len() <= loaded.unreadable.len(),
            "a fix broke the file: {:?}",
            after.unreadable
        );
        assert_eq!(count(&after), count(&loaded), "a fix lost an object");
    }
    panic!("after 8 rounds of fixes there is still one to write");
}

#[test]
fn the_fixes_of_every_rule_settle() {
    for rule in rules() {
        settle(files(rule.fixture.fires.as_bytes()));
    }
}

#[test]
fn mutated_manifests_never_panic_or_hang() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let seed = number("OCTOLLM_FUZZ_SEED", 6);
    let rounds = number("OCTOLLM_FUZZ_ROUNDS", 1500);
    let corpus: Vec<&str> =
        rules().iter().flat_map(|rule| [rule.fixture.fires, rule.fixture.silent]).collect();
    for round in 0..rounds {
        let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(round));
        let mut bytes = corpus[dice.below(corpus.len())].as_bytes().to_vec();
        if dice.below(4) == 0 {
            bytes.extend_from_slice(b"\n---\n");
            bytes.extend_from_slice(corpus[dice.below(corpus.len())].as_bytes());
        }
        mutate(&mut bytes, &mut dice);
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(|| {
            for path in ["manifest.yaml", "dashboard.json"] {
                let mut inputs = files(&bytes);
                inputs[0].path = path.to_owned();
                let loaded = load(inputs);
                let report = lint(&loaded);
                render::text(&loaded.sources, &report);
                render::json(&loaded.sources, &report);
                apply_safe(&loaded.sources, &report);
            }
            settle(files(&bytes));
        });
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert!(outcome.is_ok(), "OCTOLLM_FUZZ_SEED={seed} round {round} panics on:\n{shown}");
        assert!(began.elapsed() < Duration::from_secs(5), "seed {seed} round {round} hangs on:\n{shown}");
    }
}

/// A text many times over, with a name of its own for each `N`.
fn numbered(count: usize, text: &str) -> String {
    (0..count).map(|index| text.replace('N', &format!("n{index}"))).collect()
}

#[test]
fn hostile_shapes_end_quickly() {
    let shapes = [
        "[".repeat(200_000),
        "{".repeat(200_000),
        "- ".repeat(100_000),
        "a: &a [*a, *a]\n".repeat(10_000),
        format!("{}: x\n", "k".repeat(500_000)),
        "? ".repeat(50_000),
        "a: b\n".repeat(100_000),
        "&a ".repeat(50_000),
        format!("a: \"{}", "\\u".repeat(100_000)),
        format!("x: |\n{}", " \n".repeat(200_000)),
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, labels: {{{}}}}}\n",
            numbered(20_000, "äN: y, ")
        ),
        numbered(20_000, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: N}\n"),
        numbered(
            1500,
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: N}\nspec: {replicas: 2, selector: {matchLabels: {a: N}}, \
             template: {metadata: {labels: {a: N}}, spec: {containers: [{name: a, image: a}]}}}\n---\napiVersion: v1\nkind: \
             Service\nmetadata: {name: N}\nspec: {selector: {a: N}, ports: [{port: 80}]}\n---\napiVersion: policy/v1\nkind: \
             PodDisruptionBudget\nmetadata: {name: N}\nspec: {maxUnavailable: 1, selector: {matchLabels: {a: N}}}\n",
        ),
    ];
    for (index, shape) in shapes.into_iter().enumerate() {
        let began = Instant::now();
        let loaded = load(vec![Input { path: "a.yaml".to_owned(), bytes: shape.into_bytes() }]);
        let report = lint(&loaded);
        let shown = render::text(&loaded.sources, &report).len();
        apply_safe(&loaded.sources, &report);
        assert!(shown < 32 << 20, "shape {index} is answered with {shown} bytes");
        assert!(began.elapsed() < Duration::from_secs(20), "shape {index} took {:?}", began.elapsed());
    }
}
