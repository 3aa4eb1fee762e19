//! Takes comments and literals out of Rust source, so that rules about code see code alone.

/// `text` with comments and the contents of literals blanked; every line keeps its number and length.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    while out.len() < bytes.len() {
        let at = out.len();
        let end = blank_end(bytes, at);
        if end == at {
            out.push(bytes[at]);
        } else {
            out.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends; `at` when none begins there.
fn blank_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    match rest[0] {
        b'"' => at + string(rest, 1),
        b'\'' => at + character(rest),
        b'r' if !inside_word(bytes, at) => at + raw_string(rest),
        _ => at,
    }
}

/// Whether the byte before `at` belongs to the same word; `b` and `c` may stand before a raw string.
fn inside_word(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|place| bytes[place]);
    let word = |byte: Option<u8>| byte.is_some_and(is_word);
    match before(1) {
        Some(b'b' | b'c') => word(before(2)),
        byte => word(byte),
    }
}

/// Whether a byte can be part of an identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Length of a block comment, nested ones included.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a string whose contents begin at `at`.
fn string(rest: &[u8], mut at: usize) -> usize {
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a character literal, 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return close.map_or(rest.len(), |place| place + 4);
    }
    // One character takes at most four bytes; a lifetime is not closed that soon.
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some('\'')) => first.len_utf8() + 2,
        _ => 0,
    }
}

/// Length of a raw string, 0 for a word that begins with `r`.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let contents = &rest[hashes + 2..];
    let end = contents.windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |place| hashes + 2 + place + close.len())
}

/// Numbers of the lines, from 1, in which `word` stands as a whole word.
pub fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let holds = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let bytes = line.as_bytes();
            let before = at.checked_sub(1).is_some_and(|place| is_word(bytes[place]));
            let after = bytes.get(at + word.len()).is_some_and(|byte| is_word(*byte));
            !before && !after
        })
    };
    code.lines().enumerate().filter(|(_, line)| holds(line)).map(|(number, _)| number + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<usize> {
        lines_with_word(&code_only(text), "unsafe")
    }

    #[test]
    fn code_is_seen_with_its_line() {
        assert_eq!(words("fn a() {}\nlet x = unsafe { 1 };\n"), [2]);
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(words("// unsafe\n/* unsafe /* unsafe */ unsafe */ unsafe\n"), [2]);
        assert!(words("/* unsafe /* x */ unsafe */").is_empty());
    }

    #[test]
    fn literals_are_not_code() {
        assert!(words(r#"let a = "unsafe \" unsafe";"#).is_empty());
        assert!(words("let a = r#\"unsafe \" unsafe\"#; let b = br\"unsafe\";").is_empty());
        assert_eq!(words("let a = \"//\"; unsafe {}"), [1]);
    }

    #[test]
    fn quotes_of_characters_and_lifetimes_open_nothing() {
        assert_eq!(words(r"let a = '\''; unsafe {}"), [1]);
        assert_eq!(words("let a = '\"'; unsafe {} // \""), [1]);
        assert_eq!(words("fn f<'a>(x: &'a str) { unsafe {} }"), [1]);
        assert_eq!(words("let a = 'é'; unsafe {}"), [1]);
    }

    #[test]
    fn a_longer_word_is_another_word() {
        assert!(words("#![forbid(unsafe_code)] fn not_unsafe() {}").is_empty());
        assert_eq!(words("for r in unsafe { x } {}"), [1]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "a\n/* x\n y */ b\n\"s\n t\" c\n";
        let code = code_only(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.lines().nth(4).map(str::trim), Some("c"));
    }
}
