//! The patterns of `grep` in the syntax of the `regex` crate.
//!
//! Promises: a pattern means here what it means to GNU `grep` in a UTF-8 locale; one that would mean something else is
//! refused with what it means to `grep` and what to say instead.

const NO_CLASS: &str =
    "its brackets are not closed, or hold what grep takes no character for: say \"run `grep …`\"";
const NOTHING_TO_REPEAT: &str =
    "it repeats what is not there: put a backslash before the sign, or say \"run `grep -F …`\"";
const BACK: &str = "it points back to what it has found (\\1), which is not known here: say \"run `grep …`\"";
const OTHER_ESCAPE: &str = "it has a backslash before a letter that means nothing to grep: say \"run `grep -P …`\", or \
                            write [0-9] for \\d, or say \"find the lines matching the regex '…' in …\"";
const OTHER_REPEAT: &str =
    "it repeats in a way that is not known here: write {0,n} for {,n}, or say \"run `grep …`\"";
const OTHER_GROUP: &str = "its group begins with what grep takes as it stands: say \"run `grep …`\", \
                           or \"find the lines matching the regex '…' in …\"";

/// What `[[:space:]]` holds, and `\s`: no space that does not break a line.
const SPACE: &str = r"\t-\r \x{1680}\x{2000}-\x{2006}\x{2008}-\x{200a}\x{2028}\x{2029}\x{205f}\x{3000}";

/// What the names in brackets hold, inside of brackets.
const NAMED: &[(&str, &str)] = &[
    ("alpha", r"\p{Alphabetic}"),
    ("digit", "0-9"),
    ("alnum", r"\p{Alphabetic}\p{Nd}"),
    ("upper", r"\p{Uppercase}"),
    ("lower", r"\p{Lowercase}"),
    ("space", SPACE),
    ("blank", r" \t"),
    ("punct", r"\p{P}\p{S}"),
    ("xdigit", "0-9A-Fa-f"),
    ("cntrl", r"\p{Cc}"),
];

/// An extended regular expression.
pub(super) fn extended(pattern: &str) -> Result<String, &'static str> {
    let (mut regex, mut rest) = (String::new(), pattern);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, &mut regex, &|c| r"|+?(){}".contains(c))?,
            '[' => rest = class(rest, &mut regex)?,
            '*' | '+' | '?' | '{' if begins(&regex) => return Err(NOTHING_TO_REPEAT),
            '(' if rest.starts_with('?') => return Err(OTHER_GROUP),
            '{' if rest.starts_with(',') => return Err(OTHER_REPEAT),
            ']' => regex.push_str(r"\]"),
            other => regex.push(other),
        }
    }
    Ok(regex)
}

/// A basic regular expression, and whether it is more than a plain text.
pub(super) fn basic(pattern: &str) -> Result<(String, bool), &'static str> {
    if !pattern.contains(['.', '[', '*', '^', '$', '\\']) {
        return Ok((pattern.to_owned(), false));
    }
    let (mut regex, mut rest) = (String::new(), pattern);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' if rest.starts_with(['|', '+', '?', '(', ')', '{', '}']) => {
                // What repeats needs something before it.
                if rest.starts_with(['+', '?', '{']) && begins(&regex) {
                    return Err(NOTHING_TO_REPEAT);
                }
                if rest.starts_with("{,") {
                    return Err(OTHER_REPEAT);
                }
                regex.push_str(&rest[..1]);
                rest = &rest[1..];
            }
            '\\' => rest = escape(rest, &mut regex, &|_| false)?,
            '[' => rest = class(rest, &mut regex)?,
            '^' if opens(&regex) => regex.push('^'),
            '$' if rest.is_empty() || rest.starts_with("\\|") || rest.starts_with("\\)") => regex.push('$'),
            '*' if !begins(&regex) => regex.push('*'),
            '.' => regex.push('.'),
            '^' | '$' | '*' | '+' | '?' | '(' | ')' | '{' | '}' | '|' | ']' => {
                regex.push('\\');
                regex.push(c);
            }
            plain => regex.push(plain),
        }
    }
    Ok((regex, true))
}

/// What stands behind a backslash that makes no operator; what is behind it. `stands` says which other signs are
/// taken as they stand.
fn escape<'p>(
    rest: &'p str,
    regex: &mut String,
    stands: &dyn Fn(char) -> bool,
) -> Result<&'p str, &'static str> {
    let escaped = rest.chars().next().ok_or("it ends with a backslash")?;
    match escaped {
        'b' | 'B' | 'w' | 'W' => regex.extend(['\\', escaped]),
        '<' => regex.push_str(r"\b{start}"),
        '>' => regex.push_str(r"\b{end}"),
        's' => regex.push_str(&format!("[{SPACE}]")),
        'S' => regex.push_str(&format!("[^{SPACE}]")),
        '1'..='9' => return Err(BACK),
        '.' | '[' | ']' | '*' | '^' | '$' | '\\' => regex.extend(['\\', escaped]),
        other if stands(other) => regex.extend(['\\', escaped]),
        '/' | '-' | '"' | '\'' | ',' | ':' | '=' | '@' | '#' | '%' | ' ' | '&' | '~' | '!' | ';' | '_' => {
            regex.push_str(&regex_literal(escaped));
        }
        _ => return Err(OTHER_ESCAPE),
    }
    Ok(&rest[escaped.len_utf8()..])
}

/// A class whose `[` has been read; what is behind it.
fn class<'p>(rest: &'p str, regex: &mut String) -> Result<&'p str, &'static str> {
    let mut ahead = rest.strip_prefix('^').unwrap_or(rest);
    let mut items = String::new();
    let mut first = true;
    loop {
        let c = ahead.chars().next().ok_or(NO_CLASS)?;
        // A `]` that comes first stands for itself.
        if c == ']' && !first {
            ahead = &ahead[1..];
            break;
        }
        first = false;
        if let Some(name) = ahead.strip_prefix("[:") {
            let (name, behind) = name.split_once(":]").ok_or(NO_CLASS)?;
            let (_, held) = NAMED.iter().find(|(known, _)| *known == name).ok_or(NO_CLASS)?;
            items.push_str(held);
            ahead = behind;
            continue;
        }
        if ahead.starts_with("[.") || ahead.starts_with("[=") {
            return Err(NO_CLASS);
        }
        ahead = &ahead[c.len_utf8()..];
        items.push_str(&regex_literal(c));
        // `a-z`; a `-` at the end stands for itself.
        let last =
            ahead.strip_prefix('-').and_then(|behind| behind.chars().next()).filter(|last| *last != ']');
        if let Some(last) = last {
            if last == '[' || last < c {
                return Err(NO_CLASS);
            }
            items.push('-');
            items.push_str(&regex_literal(last));
            ahead = &ahead[1 + last.len_utf8()..];
        }
    }
    regex.push_str(if rest.starts_with('^') { "[^" } else { "[" });
    regex.push_str(&items);
    regex.push(']');
    Ok(ahead)
}

/// A text as a pattern.
pub(super) fn literal(text: &str) -> String {
    text.chars().map(regex_literal).collect()
}

/// A character that stands for itself, inside of brackets and outside.
fn regex_literal(c: char) -> String {
    if c.is_ascii_punctuation() && c != '_' && !matches!(c, '<' | '>') {
        return format!("\\{c}");
    }
    c.to_string()
}

/// Whether a pattern or a branch of it begins here.
fn opens(regex: &str) -> bool {
    let escaped = regex.ends_with(r"\(") || regex.ends_with(r"\|");
    regex.is_empty() || (regex.ends_with(['(', '|']) && !escaped)
}

/// Whether nothing stands yet in a pattern or a branch of it that could be repeated.
fn begins(regex: &str) -> bool {
    opens(regex) || regex.strip_suffix('^').is_some_and(opens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_regular_expression_keeps_its_meaning() {
        let cases = [
            ("TODO(me)", Ok(("TODO(me)", false))),
            ("^root", Ok(("^root", true))),
            ("f(x).*", Ok((r"f\(x\).*", true))),
            ("a^b$c$", Ok((r"a\^b\$c$", true))),
            ("*a*", Ok((r"\*a*", true))),
            ("^*", Ok((r"^\*", true))),
            ("[^a-z]+", Ok((r"[^a-z]\+", true))),
            ("[a", Err(NO_CLASS)),
            ("[]a]", Ok((r"[\]a]", true))),
            ("[[:digit:]]x", Ok(("[0-9]x", true))),
            ("[[:digits:]]x", Err(NO_CLASS)),
            (r"a\|b", Ok(("a|b", true))),
            (r"^\(a\|^b*\)\{2,3\}$", Ok(("^(a|^b*){2,3}$", true))),
            (r"a\+\.\*", Ok((r"a+\.\*", true))),
            (r"\(*a\)", Ok((r"(\*a)", true))),
            (r"\+a", Err(NOTHING_TO_REPEAT)),
            (r"\(a\)\1", Err(BACK)),
            (r"\ba\>", Ok((r"\ba\b{end}", true))),
            (r"\d", Err(OTHER_ESCAPE)),
            (r"[\d]", Ok((r"[\\d]", true))),
            ("[+--]", Ok((r"[\+-\-]", true))),
            ("[a&&b]", Ok((r"[a\&\&b]", true))),
            (r"a\{,3\}", Err(OTHER_REPEAT)),
        ];
        for (pattern, meant) in cases {
            let meant = meant.map(|(text, regex)| (text.to_owned(), regex));
            assert_eq!(basic(pattern), meant, "{pattern}");
        }
    }

    #[test]
    fn an_extended_regular_expression_keeps_its_meaning() {
        assert_eq!(extended("^(a|b)+[0-9]{2}$").as_deref(), Ok("^(a|b)+[0-9]{2}$"));
        assert_eq!(extended(r"\w+\.[[:alpha:]_]").as_deref(), Ok(r"\w+\.[\p{Alphabetic}_]"));
        assert_eq!(extended(r"a\|b").as_deref(), Ok(r"a\|b"));
        for pattern in ["(?i)a", r"\d", "a{,3}", "*a", "(*a)", r"(a)\1", "[a"] {
            assert!(extended(pattern).is_err(), "{pattern}");
        }
    }
}
