//! Flags that are set by a variable of the environment.

/// Reads the value of `variable` for a flag, in any of the words in which a yes or a no is said there. The
/// error names the variable: a flag on the command line has no value.
pub fn truth(
    variable: &'static str,
) -> impl Fn(&str) -> Result<bool, String> + Clone + Send + Sync + 'static {
    move |text| match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(format!("{variable} takes 1, true or yes, or 0, false or no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_or_a_no_is_read_and_nothing_else() {
        let read = truth("OCTOLLM_X");
        for (text, wanted) in
            [("1", true), ("true", true), ("YES", true), ("0", false), ("False", false), ("no", false)]
        {
            assert_eq!(read(text), Ok(wanted), "{text}");
        }
        for text in ["", "2", "on", "maybe", " 1"] {
            assert!(read(text).unwrap_err().contains("OCTOLLM_X"), "{text}");
        }
    }
}
