//! Reads the tables of `docs/ARCHITECTURE.md`, which are the rules that `tidy` checks.

/// Where the tables stand.
pub const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// The cells of the rows of the first table below the heading `heading`, without its head.
pub fn rows<'a>(document: &'a str, heading: &str) -> Result<Vec<Vec<&'a str>>, String> {
    let mut lines =
        document.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading).skip(1);
    let missing = || format!("{ARCHITECTURE}: no table below the heading \"{heading}\"");
    let head = lines.by_ref().take_while(|line| !line.starts_with('#')).find(|line| line.starts_with('|'));
    head.ok_or_else(missing)?;
    let rows: Vec<Vec<&str>> =
        lines.skip(1).take_while(|line| line.starts_with('|')).map(|line| cells(line)).collect();
    if rows.is_empty() { Err(missing()) } else { Ok(rows) }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// The words between backquotes.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# A\n\n| x | y |\n|---|---|\n| 0 | 0 |\n\n## Crates\n\nText.\n\n| a | b |\n|---|---|\n\
        | `one` | `two`, `three`; tests: `four` |\n| `five` | - |\n\nmore | text\n";

    #[test]
    fn the_table_below_the_heading_is_read() {
        let rows = rows(DOCUMENT, "Crates").unwrap();
        assert_eq!(rows, [vec!["`one`", "`two`, `three`; tests: `four`"], vec!["`five`", "-"]]);
        assert_eq!(quoted(rows[0][1]), ["two", "three", "four"]);
        assert!(quoted(rows[1][1]).is_empty());
    }

    #[test]
    fn a_missing_table_is_an_error() {
        assert!(rows(DOCUMENT, "Other").is_err());
        assert!(rows("## Crates\n\n## Next\n\n| a |\n|---|\n| b |\n", "Crates").is_err());
    }
}
