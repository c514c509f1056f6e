//! Dependencies against `deny.toml`: licences, duplicate versions, sources.
//!
//! The file is cargo-deny's, and whoever has that program gets the same answers from it. It is not
//! asked for here, because building it takes longer than everything else that must pass before a
//! change lands. Of the file's form only what it uses is read: one entry a line.
//!
//! Promises: an exception that nothing needs any longer is a fault, so the list shrinks by itself.
//! Advisories are not checked: their database is fetched, and what passes must not change overnight.

use crate::cargo_path;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// What `deny.toml` says.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    targets: Vec<String>,
    /// Licences that may be used.
    allow: BTreeSet<String>,
    /// Versions that may stand beside another of their crate.
    skip: BTreeSet<String>,
}

/// One package of the tree.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// Where it comes from when that is not crates.io.
    elsewhere: Option<String>,
    licence: String,
}

pub(crate) fn check() -> Result<(), String> {
    let text = fs::read_to_string("deny.toml")
        .map_err(|error| format!("deny.toml cannot be read: {error}; run this from the project's root"))?;
    let rules = read(&text)?;
    let mut packages = BTreeSet::new();
    for target in &rules.targets {
        packages.extend(packages_for(target)?);
    }
    let faults = faults(&rules, &packages);
    if faults.is_empty() {
        crate::say(&format!(
            "deny: {} packages, their licences allowed, from crates.io or of our own; {} in two versions, each with a reason",
            packages.len(),
            rules.skip.len()
        ));
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

fn packages_for(target: &str) -> Result<Vec<Package>, String> {
    let output = Command::new(cargo_path())
        .args(["tree", "--locked", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"])
        .args(["--no-dedupe", "--format", "{p}|{l}", "--target", target])
        .output()
        .map_err(|error| format!("cargo tree cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(package).collect()
}

/// Reads `name v1.2.3 (remark)…|licence`.
fn package(line: &str) -> Result<Package, String> {
    let unread = || format!("cargo tree printed {line:?}, which is not `name version|licence`");
    let (what, licence) = line.split_once('|').ok_or_else(unread)?;
    let mut words = what.splitn(3, ' ');
    let (Some(name), Some(version)) = (words.next(), words.next()) else { return Err(unread()) };
    let remark = words.next().map(|rest| rest.replace("(proc-macro)", "").trim().to_owned());
    Ok(Package {
        name: name.to_owned(),
        version: version.trim_start_matches('v').to_owned(),
        // Packages of our own show their folder.
        elsewhere: remark.filter(|remark| !remark.is_empty() && !remark.starts_with("(/")),
        licence: licence.to_owned(),
    })
}

fn faults(rules: &Rules, packages: &BTreeSet<Package>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, elsewhere, licence } = package;
        versions.entry(name).or_default().insert(format!("{name}@{version}"));
        if let Some(elsewhere) = elsewhere {
            faults.push(format!("{name}@{version} comes from {elsewhere}, not from crates.io"));
        }
        if !permits(licence, &rules.allow) {
            faults.push(format!(
                "{name}@{version} has the licence {licence:?}, which deny.toml does not allow"
            ));
        }
    }
    let mut needless = rules.skip.clone();
    for several in versions.values().filter(|several| several.len() > 1) {
        let unexcused: Vec<_> = several.difference(&rules.skip).cloned().collect();
        if unexcused.len() > 1 {
            faults.push(format!(
                "{} are all in the tree; bring them together, or skip all but one in deny.toml with a reason",
                unexcused.join(" and ")
            ));
        }
        needless.retain(|version| !several.contains(version));
    }
    faults.extend(needless.into_iter().map(|skip| format!("deny.toml skips {skip}, which nothing needs")));
    faults
}

/// Whether an SPDX expression is fulfilled by the allowed licences. `/` is an old `OR`.
fn permits(licence: &str, allow: &BTreeSet<String>) -> bool {
    let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let fulfilled = any(&words, &mut at, allow);
    fulfilled && at == words.len() && !words.is_empty()
}

fn any(words: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let mut fulfilled = all(words, at, allow);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        fulfilled |= all(words, at, allow);
    }
    fulfilled
}

fn all(words: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let mut fulfilled = one(words, at, allow);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        fulfilled &= one(words, at, allow);
    }
    fulfilled
}

fn one(words: &[&str], at: &mut usize, allow: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let fulfilled = any(words, at, allow);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return fulfilled && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let with = words.get(*at + 1).map(|exception| format!("{word} WITH {exception}"));
        *at += 2;
        return with.is_some_and(|with| allow.contains(&with));
    }
    allow.contains(*word)
}

/// Reads the lists of `deny.toml`, one entry a line, and sees that each exception has a date and a reason.
fn read(text: &str) -> Result<Rules, String> {
    let mut rules = Rules::default();
    let mut list = "";
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some((name, begun)) = line.split_once(" = [") {
            list = name;
            if begun.ends_with(']') {
                rules.targets.extend(quoted(begun).filter(|_| list == "targets"));
            }
        } else if line.starts_with('"') {
            match list {
                "targets" => rules.targets.extend(quoted(line)),
                "allow" => rules.allow.extend(quoted(line)),
                _ => return Err(format!("deny.toml:{number}: the list {list:?} is not known here")),
            }
        } else if line.starts_with("{ crate") {
            let mut words = quoted(line);
            let (named, reason) = (words.next(), words.next().unwrap_or_default());
            let dated = reason.get(..4).is_some_and(|year| year.bytes().all(|digit| digit.is_ascii_digit()));
            match named.filter(|_| list == "skip" && dated && reason.len() > "2026-01-01: ".len()) {
                Some(named) => rules.skip.extend([named]),
                None => {
                    return Err(format!(
                        "deny.toml:{number}: an exception is {{ crate = \"name@version\", reason = \"date: why\" }} in the list skip"
                    ));
                }
            }
        }
    }
    if rules.targets.is_empty() || rules.allow.is_empty() {
        return Err("deny.toml names no targets or allows no licence".into());
    }
    Ok(rules)
}

/// The texts in quotes of a line.
fn quoted(line: &str) -> impl Iterator<Item = String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[graph]
targets = ["x86_64-unknown-linux-gnu"]
[licenses]
allow = [
  "MIT",
  "Apache-2.0 WITH LLVM-exception",
]
[bans]
multiple-versions = "deny"
skip = [
  { crate = "syn@2.0.1", reason = "2026-11-25: a derive wants it" },
]
"#;

    fn found(lines: &[&str]) -> Vec<String> {
        let packages = lines.iter().map(|line| package(line).unwrap()).collect();
        faults(&read(FILE).unwrap(), &packages)
    }

    #[test]
    fn what_the_file_allows_passes() {
        let ours = "octollm v0.1.0 (/home/me/octollm)|MIT";
        let derive = "syn v2.0.1 (proc-macro)|MIT OR Apache-2.0";
        assert_eq!(found(&[ours, derive, "syn v3.0.0|Apache-2.0/MIT"]), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        let both = ["syn v2.0.1|MIT", "syn v3.0.0|MIT"];
        for (line, fault) in [
            ("a v1.0.0|GPL-3.0", "a@1.0.0 has the licence \"GPL-3.0\", which deny.toml does not allow"),
            ("a v1.0.0|", "a@1.0.0 has the licence \"\", which deny.toml does not allow"),
            ("a v1.0.0|MIT AND (Zlib OR MIT) AND GPL-3.0", "has the licence"),
            ("a v1.0.0 (https://example.org/a#1234)|MIT", "comes from (https://example.org/a#1234)"),
            ("a v1.0.0 (registry `other`)|MIT", "comes from (registry `other`)"),
            ("syn v4.0.0|MIT", "syn@3.0.0 and syn@4.0.0 are all in the tree"),
        ] {
            let found = found(&[both[0], both[1], line]);
            assert!(found.len() == 1 && found[0].contains(fault), "{line}: {found:?}");
        }
        assert_eq!(found(&["syn v3.0.0|MIT"]), ["deny.toml skips syn@2.0.1, which nothing needs"]);
    }

    #[test]
    fn an_expression_is_fulfilled_as_a_whole() {
        let allow = read(FILE).unwrap().allow;
        for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND MIT", "MIT OR A AND B"] {
            assert!(permits(good, &allow), "{good}");
        }
        assert!(permits("Apache-2.0 WITH LLVM-exception OR A", &allow));
        for bad in ["", "A", "MIT AND A", "(MIT", "MIT MIT", "MIT WITH LLVM-exception", "Apache-2.0", "A OR"]
        {
            assert!(!permits(bad, &allow), "{bad}");
        }
    }

    #[test]
    fn an_exception_without_a_reason_is_none() {
        let without = FILE.replace(", reason = \"2026-11-25: a derive wants it\"", "");
        assert!(read(&without).is_err());
        assert!(read(&FILE.replace("2026-11-25: a derive", "a derive")).is_err());
    }
}
