//! The patterns of `grep` in the syntax of the `regex` crate.
//!
//! Promises: a pattern means here what it means to GNU `grep` in a UTF-8 locale; one that would mean something else is
//! refused with what it means to `grep` and what to say instead.

const NO_CLASS: &str =
    "its brackets are not closed, or hold what grep takes no character for: say \"run `grep …`\"";
const NOTHING_TO_REPEAT: &str =
    "it repeats what is not there: put a backslash before the sign, or say \"run `grep -F …`\"";
const BACK: &str = "it points back to what it has found (\\1), which is not known here: say \"run `grep …`\"";
const BUFFER: &str = "it asks for the beginning or the end of all of the text (\\` or \\'), and lines are looked at one by \
                      one: write ^ or $";
const NO_INTERVAL: &str = "what stands in its braces is no number of times: say \"run `grep …`\"";
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

/// What a pattern has come to where the next sign stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// The pattern or a branch of it begins here.
    Opening,
    /// The edge of a line or a word, of which there is no second.
    Anchored,
    /// Something that may be repeated.
    Atom,
    /// Something that is repeated.
    Repeated,
}

/// The pattern as it grows.
struct Regex {
    text: String,
    behind: Behind,
}

impl Regex {
    fn new() -> Regex {
        Regex { text: String::new(), behind: Behind::Opening }
    }

    fn push(&mut self, text: &str, behind: Behind) {
        self.text.push_str(text);
        self.behind = behind;
    }

    /// A character that stands for itself. One that means nothing to the `regex` crate needs no backslash.
    fn literal(&mut self, c: char) {
        let means =
            matches!(c, '\\' | '.' | '[' | ']' | '*' | '^' | '$' | '+' | '?' | '(' | ')' | '{' | '}' | '|');
        self.push(&if means { format!("\\{c}") } else { c.to_string() }, Behind::Atom);
    }

    /// `^` where it means the beginning of the line.
    fn anchor(&mut self) {
        let opens = self.behind == Behind::Opening;
        self.push("^", if opens { Behind::Anchored } else { Behind::Atom });
    }

    /// Whether there is nothing yet that could be repeated.
    fn begins(&self) -> bool {
        matches!(self.behind, Behind::Opening | Behind::Anchored)
    }

    /// `*`, `+`, `?` or an interval.
    fn repeat(&mut self, sign: &str) -> Result<(), &'static str> {
        if self.begins() {
            return Err(NOTHING_TO_REPEAT);
        }
        // A `?` behind another repetition would ask for the shortest match.
        let stacked = self.behind == Behind::Repeated && sign == "?";
        self.push(if stacked { "{0,1}" } else { sign }, Behind::Repeated);
        Ok(())
    }
}

/// An extended regular expression.
pub(super) fn extended(pattern: &str) -> Result<String, &'static str> {
    let (mut regex, mut rest) = (Regex::new(), pattern);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, &mut regex, &|c| r"|+?(){}".contains(c))?,
            '[' => rest = class(rest, &mut regex)?,
            '*' => regex.repeat("*")?,
            '+' => regex.repeat("+")?,
            '?' => regex.repeat("?")?,
            '{' => match interval(rest, "}") {
                Some((sign, behind)) => {
                    regex.repeat(&sign?)?;
                    rest = behind;
                }
                None => regex.literal('{'),
            },
            '(' if rest.starts_with('?') => return Err(OTHER_GROUP),
            '(' => regex.push("(", Behind::Opening),
            '|' => regex.push("|", Behind::Opening),
            '^' => regex.anchor(),
            '.' => regex.push(".", Behind::Atom),
            '$' => regex.push("$", Behind::Atom),
            ')' => regex.push(")", Behind::Atom),
            plain => regex.literal(plain),
        }
    }
    Ok(regex.text)
}

/// A basic regular expression, and whether it is more than a plain text.
pub(super) fn basic(pattern: &str) -> Result<(String, bool), &'static str> {
    if !pattern.contains(['.', '[', '*', '^', '$', '\\']) {
        return Ok((pattern.to_owned(), false));
    }
    let (mut regex, mut rest) = (Regex::new(), pattern);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => match rest.chars().next() {
                Some('{') => {
                    let (sign, behind) = interval(&rest[1..], r"\}").ok_or(NO_INTERVAL)?;
                    regex.repeat(&sign?)?;
                    rest = behind;
                }
                Some(sign @ ('|' | '+' | '?' | '(' | ')' | '}')) => {
                    rest = &rest[1..];
                    match sign {
                        '|' => regex.push("|", Behind::Opening),
                        '(' => regex.push("(", Behind::Opening),
                        ')' => regex.push(")", Behind::Atom),
                        '+' => regex.repeat("+")?,
                        '?' => regex.repeat("?")?,
                        other => regex.literal(other),
                    }
                }
                _ => rest = escape(rest, &mut regex, &|_| false)?,
            },
            '[' => rest = class(rest, &mut regex)?,
            '^' if regex.behind == Behind::Opening => regex.anchor(),
            '$' if rest.is_empty() || rest.starts_with("\\|") || rest.starts_with("\\)") => {
                regex.push("$", Behind::Atom);
            }
            '*' if !regex.begins() => regex.repeat("*")?,
            '.' => regex.push(".", Behind::Atom),
            plain => regex.literal(plain),
        }
    }
    Ok((regex.text, true))
}

/// What is written in braces that have been opened, with what is behind them; none where it is no number of times.
fn interval<'p>(rest: &'p str, closes: &str) -> Option<(Result<String, &'static str>, &'p str)> {
    let (times, behind) = rest.split_once(closes)?;
    let (least, most) = times.split_once(',').unwrap_or((times, times));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !times.bytes().all(|b| b.is_ascii_digit() || b == b',') {
        return None;
    }
    let sign = match (least.is_empty(), digits(most)) {
        (false, true) => Ok(format!("{{{times}}}")),
        (true, true) if !times.is_empty() => Err(OTHER_REPEAT),
        (_, _) => Err(NO_INTERVAL),
    };
    Some((sign, behind))
}

/// What stands behind a backslash that makes no operator; what is behind it. `stands` says which other signs are
/// taken as they stand.
fn escape<'p>(
    rest: &'p str,
    regex: &mut Regex,
    stands: &dyn Fn(char) -> bool,
) -> Result<&'p str, &'static str> {
    let escaped = rest.chars().next().ok_or("it ends with a backslash")?;
    match escaped {
        'b' | 'B' => regex.push(&format!("\\{escaped}"), Behind::Anchored),
        '<' => regex.push(r"\b{start}", Behind::Anchored),
        '>' => regex.push(r"\b{end}", Behind::Anchored),
        'w' | 'W' => regex.push(&format!("\\{escaped}"), Behind::Atom),
        's' => regex.push(&format!("[{SPACE}]"), Behind::Atom),
        'S' => regex.push(&format!("[^{SPACE}]"), Behind::Atom),
        '`' | '\'' => return Err(BUFFER),
        '1'..='9' => return Err(BACK),
        '.' | '[' | ']' | '*' | '^' | '$' | '\\' => regex.literal(escaped),
        other if stands(other) => regex.literal(other),
        '/' | '-' | '"' | ',' | ':' | '=' | '@' | '#' | '%' | ' ' | '&' | '~' | '!' | ';' | '_' => {
            regex.literal(escaped);
        }
        _ => return Err(OTHER_ESCAPE),
    }
    Ok(&rest[escaped.len_utf8()..])
}

/// A class whose `[` has been read; what is behind it.
fn class<'p>(rest: &'p str, regex: &mut Regex) -> Result<&'p str, &'static str> {
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
        items.push_str(&in_brackets(c));
        // `a-z`; a `-` at the end stands for itself.
        let last =
            ahead.strip_prefix('-').and_then(|behind| behind.chars().next()).filter(|last| *last != ']');
        if let Some(last) = last {
            if last == '[' || last < c {
                return Err(NO_CLASS);
            }
            items.push('-');
            items.push_str(&in_brackets(last));
            ahead = &ahead[1 + last.len_utf8()..];
        }
    }
    let opening = if rest.starts_with('^') { "[^" } else { "[" };
    regex.push(&format!("{opening}{items}]"), Behind::Atom);
    Ok(ahead)
}

/// A text as a pattern.
pub(super) fn literal(text: &str) -> String {
    let mut regex = Regex::new();
    text.chars().for_each(|c| regex.literal(c));
    regex.text
}

/// A character that stands for itself inside of brackets.
fn in_brackets(c: char) -> String {
    if c.is_ascii_punctuation() && c != '_' && !matches!(c, '<' | '>') {
        return format!("\\{c}");
    }
    c.to_string()
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
            (r"a\{x", Err(NO_INTERVAL)),
            (r"a\}", Ok((r"a\}", true))),
            (r"a*\?", Ok(("a*{0,1}", true))),
            (r"a\+\?", Ok(("a+{0,1}", true))),
            (r"a\{2\}\?", Ok(("a{2}{0,1}", true))),
            (r"\\\(*a\)", Ok((r"\\(\*a)", true))),
            (r"a\'", Err(BUFFER)),
            (r"\`a", Err(BUFFER)),
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
        assert_eq!(extended("xa+?y").as_deref(), Ok("xa+{0,1}y"));
        assert_eq!(extended("a{2}?b??").as_deref(), Ok("a{2}{0,1}b?{0,1}"));
        assert_eq!(extended("(a+)?").as_deref(), Ok("(a+)?"));
        for (pattern, meant) in
            [("a{x", r"a\{x"), ("a{1", r"a\{1"), ("a{1,x}", r"a\{1,x\}"), ("{y}|{", r"\{y\}|\{")]
        {
            assert_eq!(extended(pattern).as_deref(), Ok(meant), "{pattern}");
        }
        assert_eq!(extended(r"a\'"), Err(BUFFER));
        for pattern in
            ["(?i)a", "{1}", r"\b{2}", "a{}", "a{1,2,3}", r"\d", "a{,3}", "*a", "(*a)", r"(a)\1", "[a"]
        {
            assert!(extended(pattern).is_err(), "{pattern}");
        }
    }
}
