//! What a goal that a model will plan may touch: what it names, and nothing else.
//!
//! For `octollm run`, where the user's own words are the permission. Whether a name stands for
//! something is asked of the caller, so that "and/or" is no path.

use crate::rules::Place;
use octollm_access::{HostPort, NetworkGrant, Policy};

/// The policy for `goal`: the existing paths and the public hosts of the addresses that it names,
/// the current folder where it speaks of "this repo", the hosts of `allowed`, and any program in a
/// locked room. `exists` says whether there is something at an absolute path. The root of the file
/// system is not granted by its name.
#[must_use]
pub fn named(goal: &str, place: &Place, allowed: &[HostPort], exists: impl Fn(&str) -> bool) -> Policy {
    let mut policy = Policy { any_command: true, shell: true, ..Policy::default() };
    policy.hosts.extend(allowed.iter().map(|host| NetworkGrant { host: host.clone(), private: true }));
    for word in words(goal) {
        if let Some(host) = host(word) {
            policy.hosts.insert(NetworkGrant { host, private: false });
        } else if let Some(path) = absolute(word, place).filter(|path| path != "/" && exists(path)) {
            policy.read_roots.insert(path);
        }
    }
    if let Some(cwd) = place.cwd.as_ref().filter(|cwd| *cwd != "/" && speaks_of_here(goal) && exists(cwd)) {
        policy.read_roots.insert(cwd.clone());
    }
    policy
}

/// Whether a goal names the current folder without its path: "this repo", "the current directory".
fn speaks_of_here(goal: &str) -> bool {
    const HERE: &[&str] = &["this", "current"];
    const FOLDER: &[&str] =
        &["repo", "repository", "project", "codebase", "folder", "directory", "package", "crate", "tree"];
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let spoken: Vec<String> = goal.split_whitespace().map(bare).collect();
    spoken.windows(2).any(|pair| HERE.contains(&pair[0].as_str()) && FOLDER.contains(&pair[1].as_str()))
}

/// The words of a goal without the punctuation around them; what stands in quotes is one.
fn words(goal: &str) -> impl Iterator<Item = &str> {
    let plain = goal.split(|c: char| c.is_whitespace() || is_quote(c));
    let bare = plain.map(|word| {
        let word = word.trim_start_matches(['(', '[', '<', ',', ';']);
        word.trim_end_matches([')', ']', '>', ',', ';', ':', '!', '?', '.'])
    });
    quoted(goal).into_iter().chain(bare).filter(|word| !word.is_empty())
}

/// What stands in quotes. They open before a word and close behind one, with the same character, so that
/// an apostrophe is none.
fn quoted(goal: &str) -> Vec<&str> {
    let behind_a_word = |at: usize| goal[..at].chars().next_back().is_some_and(char::is_alphanumeric);
    let before_a_word = |at: usize| goal[at + 1..].chars().next().is_some_and(char::is_alphanumeric);
    let mut found = Vec::new();
    let mut open: Option<(usize, char)> = None;
    for (at, c) in goal.char_indices().filter(|(_, c)| is_quote(*c)) {
        match open {
            None if !behind_a_word(at) => open = Some((at + 1, c)),
            Some((from, quote)) if quote == c && !before_a_word(at) => {
                found.push(&goal[from..at]);
                open = None;
            }
            None | Some(_) => {}
        }
    }
    found
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '`' | '\'')
}

fn host(word: &str) -> Option<HostPort> {
    let rest = word.strip_prefix("http://").or_else(|| word.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // A user and a password before the host are no part of it.
    authority.rsplit('@').next()?.parse().ok()
}

/// The absolute path that a word means, if it looks like one: without `.` and `..`.
fn absolute(word: &str, place: &Place) -> Option<String> {
    let joined = |base: &Option<String>, rest: &str| Some(format!("{}/{rest}", base.as_ref()?));
    let path = if word.starts_with('/') {
        word.to_owned()
    } else if word == "~" {
        place.home.clone()?
    } else if let Some(rest) = word.strip_prefix("~/") {
        joined(&place.home, rest)?
    } else if word.contains('/') || word.contains('.') {
        joined(&place.cwd, word)?
    } else {
        return None;
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(goal: &str) -> Vec<String> {
        let place =
            Place { home: Some("/home/me".into()), cwd: Some("/home/me/work".into()), ..Place::default() };
        let there = [
            "/etc/hosts",
            "/home/me",
            "/home/me/a b.txt",
            "/home/me/work",
            "/home/me/work/src",
            "/home/me/work/x.py",
            "/",
        ];
        let policy = named(goal, &place, &[], |path| there.contains(&path));
        policy.read_roots.into_iter().collect()
    }

    /// P6: words are no permission, names of what is there are.
    #[test]
    fn a_goal_grants_the_paths_that_it_names_and_that_exist() {
        assert_eq!(roots("Explain /etc/hosts, please."), ["/etc/hosts"]);
        assert_eq!(
            roots("Refactor x.py and ./src and/or nothing"),
            ["/home/me/work/src", "/home/me/work/x.py"]
        );
        for quoted in [
            "Summarise '~/a b.txt'",
            "Don't change anything; summarise '~/a b.txt'.",
            "Summarise the users' notes in \"~/a b.txt\"",
            "Don't; it's in `~/a b.txt`",
        ] {
            assert_eq!(roots(quoted), ["/home/me/a b.txt"], "{quoted}");
        }
        assert_eq!(roots("What is in ../?"), ["/home/me"]);
        for here in [
            "Explain what this repo does",
            "Are there tests in the current directory?",
            "Tidy 'this Project'!",
        ] {
            assert_eq!(roots(here), ["/home/me/work"], "{here}");
        }
        for none in [
            "Write a sort",
            "This is a folder",
            "Explain this",
            "Explain /",
            "Read /etc/shadow",
            "Compare src with it",
            "..",
            "../../..",
        ] {
            assert_eq!(roots(none), Vec::<String>::new(), "{none}");
        }
    }

    /// P6: a goal alone opens no host of the own network.
    #[test]
    fn hosts_of_addresses_are_public_and_allowed_ones_may_be_private() {
        let own: HostPort = "localhost:1".parse().unwrap();
        let goal = "Compare https://example.org:8443/a?b and <http://me:pw@10.0.0.1/x>";
        let policy = named(goal, &Place::default(), &[own], |_| true);
        let hosts: Vec<_> =
            policy.hosts.iter().map(|grant| (grant.host.to_string(), grant.private)).collect();
        let wanted = [("10.0.0.1", false), ("example.org:8443", false), ("localhost:1", true)];
        assert_eq!(hosts, wanted.map(|(host, private)| (host.to_owned(), private)));
        assert!(!policy.any_public_host);
    }
}
