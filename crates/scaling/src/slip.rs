//! Whether one name is another with a slip of the finger.

/// No name in Kubernetes is longer; what is longer was not mistyped, and comparing costs the product of the lengths.
const NAME_BYTES_MAX: usize = 253;

/// How many letters were mistyped, left out, doubled or swapped between two names, if at most `most` were.
pub(crate) fn slips(one: &str, other: &str, most: usize) -> Option<usize> {
    let is_near = one.len().max(other.len()) <= NAME_BYTES_MAX && one.len().abs_diff(other.len()) <= most;
    is_near.then(|| strsim::damerau_levenshtein(one, other)).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_counted_and_far_ones_are_not_compared() {
        assert_eq!(slips("replicas", "replcias", 2), Some(1));
        assert_eq!(slips("replicas", "replica", 0), None);
        let long = "k".repeat(1 << 20);
        assert_eq!(slips(&long, &long, 2), None);
    }
}
