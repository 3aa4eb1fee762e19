//! `isa`: the five places of an instruction (`docs/STYLE.md`, 4), found in the source text.

use std::collections::BTreeSet;

use isa::op::Feature;

use crate::{Outcome, shell};

const ROWS: &str = "crates/isa/src/op.rs";
const INTERPRETER: &str = "crates/interp/src";
const EMITTERS: &str = "crates/jit/src/emit";
const DELEGATE: &str = "crates/jit/src/delegate.rs";
const STRINGS: &str = "crates/jit/src/strings.rs";
const FILETESTS: &str = "tests/filetests";
const CPUID: &str = "crates/cpu/src/cpuid.rs";

/// How the translator treats an operation, read from `delegate.rs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Variants of `Handling` that its forms can have.
    pub variants: BTreeSet<String>,
    /// The function that decides by the form.
    pub decided_by: Option<String>,
}

impl Ways {
    /// The ways in words, the best one first.
    pub fn words(&self) -> String {
        let known = [
            ("Emit", "translated"),
            ("String", "string helper"),
            ("Delegate", "in the unit"),
            ("Interp", "ends the unit"),
        ];
        let words =
            known.iter().filter(|(variant, _)| self.variants.contains(*variant)).map(|(_, word)| *word);
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Prints the places of the operation called `name`; whether all that it needs exist.
pub fn run(name: &str) -> Outcome {
    let Some(row) = isa::op::rows().iter().find(|row| row.op.name().eq_ignore_ascii_case(name)) else {
        return Err(format!("no operation is called {name}: the names are the rows of {ROWS}"));
    };
    let op = row.op.name();
    let places = [
        ("operation", row_place(op)?),
        ("interpreter", executor_place(INTERPRETER, op)?),
        ("translator", translator_place(op)?),
        ("filetest", filetest_place(op)?),
        ("CPUID", cpuid_place(row.feature)?),
    ];
    let missing = places.iter().filter(|(_, place)| place.is_err()).count();
    for (what, place) in places {
        match place {
            Ok(place) => println!("{what:12} {place}"),
            Err(wanted) => println!("{what:12} MISSING: {wanted}"),
        }
    }
    Ok(missing == 0)
}

/// A place that exists, or the one where it should be.
type Place = Result<String, String>;

fn row_place(op: &str) -> Result<Place, String> {
    let text = shell::read(ROWS)?;
    let is_row = |line: &&str| {
        line.trim_start().strip_prefix(op).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    Ok(line_of(&text, is_row).map(|line| format!("{ROWS}:{line}")).ok_or_else(|| format!("a row in {ROWS}")))
}

/// The function that an executor below `directory` dispatches `op` to.
pub fn executor_place(directory: &str, op: &str) -> Result<Place, String> {
    let files = shell::files(directory)?;
    let mut texts = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        texts.push((path.as_str(), shell::read(path)?));
    }
    let wanted = Err(format!("an arm for Op::{op} in {directory}"));
    let Some((dispatch, body)) =
        texts.iter().find_map(|(path, text)| arm(text, op).map(|body| (*path, body)))
    else {
        return Ok(wanted);
    };
    let Some((module, function)) = callee(body) else { return Ok(Ok(dispatch.into())) };
    let defines = |text: &str| line_of(text, |line| is_definition(line, function));
    let in_module = |path: &str| {
        module.is_none_or(|module| {
            path.contains(&format!("/{module}.rs")) || path.contains(&format!("/{module}/"))
        })
    };
    let found = texts
        .iter()
        .filter(|(path, _)| in_module(path))
        .find_map(|(path, text)| Some((path, defines(text)?)));
    Ok(Ok(found.map_or_else(|| dispatch.into(), |(path, line)| format!("{path}:{line}"))))
}

fn translator_place(op: &str) -> Result<Place, String> {
    let Some(ways) = handling(&shell::read(DELEGATE)?, op) else {
        return Ok(Err(format!("an arm for Op::{op} in {DELEGATE}")));
    };
    let place = if ways.variants.contains("Emit") {
        // Branches never reach the dispatch of `emit`: the translator calls their functions itself.
        executor_place(EMITTERS, op)?.unwrap_or_else(|_| format!("{EMITTERS}/branch.rs"))
    } else if ways.variants.contains("String") {
        STRINGS.into()
    } else {
        DELEGATE.into()
    };
    Ok(Ok(format!("{place} ({})", ways.words())))
}

fn filetest_place(op: &str) -> Result<Place, String> {
    let file = format!("{}.x86", op.to_lowercase());
    if !shell::root().join(FILETESTS).is_dir() {
        return Ok(Err(format!("{FILETESTS}/<family>/{file}")));
    }
    let found = shell::files(FILETESTS)?.into_iter().find(|path| path.rsplit('/').next() == Some(&file));
    Ok(found.ok_or_else(|| format!("{FILETESTS}/<family>/{file}")))
}

/// The line of the CPUID bit that announces a feature; not every feature has one.
fn cpuid_place(feature: Feature) -> Result<Place, String> {
    let bit = match feature {
        Feature::I386 | Feature::I486 | Feature::Cpuid | Feature::Rdpmc | Feature::MultibyteNop => {
            return Ok(Ok(format!("{feature:?} has no bit")));
        }
        Feature::Fpu => "FPU",
        Feature::Tsc => "TSC",
        Feature::Msr => "MSR",
        Feature::Cx8 => "CX8",
        Feature::Cmov => "CMOV",
    };
    let text = shell::read(CPUID)?.to_uppercase();
    let found = line_of(&text, |line| line.contains(bit));
    Ok(found.map(|line| format!("{CPUID}:{line}")).ok_or_else(|| format!("the bit {bit} in {CPUID}")))
}

/// How `delegate.rs`, whose text is given, treats `op`.
pub fn handling(text: &str, op: &str) -> Option<Ways> {
    let body = arm(text, op)?;
    let decided_by = callee(body).map(|(_, function)| function.to_owned());
    let mut variants = variants_in(body);
    if let Some(function) = &decided_by {
        variants.extend(variants_of(text, function, 0));
    }
    (!variants.is_empty()).then_some(Ways { variants, decided_by })
}

/// The variants that `function` can give, those of the functions that it calls included.
fn variants_of(text: &str, function: &str, depth: usize) -> BTreeSet<String> {
    let Some(start) = text.lines().position(|line| is_definition(line, function)) else {
        return BTreeSet::new();
    };
    let body: Vec<&str> = text.lines().skip(start + 1).take_while(|line| *line != "}").collect();
    let body = body.join("\n");
    let mut variants = variants_in(&body);
    let calls = body.split('(').filter_map(|before| before.rsplit(|letter: char| !is_word(letter)).next());
    for call in calls.filter(|call| !call.is_empty() && depth < 3) {
        variants.extend(variants_of(text, call, depth + 1));
    }
    variants
}

fn variants_in(body: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|letter| is_word(*letter)).collect();
    body.split("Handling::").skip(1).map(name).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// What stands behind `=>` in the `match` arm of `op`: one expression, without braces.
fn arm<'a>(text: &'a str, op: &str) -> Option<&'a str> {
    let name = format!("Op::{op}");
    text.match_indices(&name).find_map(|(at, _)| {
        let rest = &text[at + name.len()..];
        let in_pattern = |letter: char| {
            letter.is_alphanumeric() || letter.is_whitespace() || matches!(letter, ':' | '|' | '_')
        };
        if rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            return None;
        }
        let body = rest.trim_start_matches(in_pattern).strip_prefix("=>")?.trim_start();
        Some(
            body.trim_start_matches(|letter: char| letter == '{' || letter.is_whitespace())
                .lines()
                .next()?
                .trim_end_matches([',', '}', ' ']),
        )
    })
}

/// Module and name of the function that an expression calls first.
fn callee(body: &str) -> Option<(Option<&str>, &str)> {
    let call = body.trim_start_matches("return ").trim_start_matches("Ok(");
    let path = call.split_once('(')?.0.trim_start_matches("self.");
    let (module, function) =
        path.rsplit_once("::").map_or((None, path), |(module, function)| (Some(module), function));
    let module = module.and_then(|module| module.rsplit("::").next());
    (!function.is_empty() && function.chars().all(is_word)).then_some((module, function))
}

fn is_definition(line: &str, function: &str) -> bool {
    line.split_once("fn ")
        .is_some_and(|(_, rest)| rest.strip_prefix(function).is_some_and(|rest| rest.starts_with(['(', '<'])))
}

/// Number of the first line that `wanted` holds for.
fn line_of(text: &str, wanted: impl Fn(&&str) -> bool) -> Option<usize> {
    text.lines().position(|line| wanted(&line)).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn f(op: Op) { matches!(op, Op::Loop | Op::Jcxz) && true }\n\
        fn bit_test(insn: &Insn) -> Handling {\n    if x { Handling::Delegate } else { branch(insn) }\n}\n\
        fn branch(insn: &Insn) -> Handling {\n    Handling::Emit\n}\n\
        match insn.op {\n    Op::Mov | Op::Movzx\n    | Op::Add => {\n        Handling::Emit\n    }\n\
        \x20   Op::Bt => bit_test(insn),\n    Op::Loop => return Ok(near::branch(insn)?),\n    Op::Ins => Handling::Interp,\n\
        \x20   Op::Movs => Handling::Delegate,\n}\n";

    fn words(op: &str) -> Option<String> {
        handling(TEXT, op).map(|ways| ways.words())
    }

    #[test]
    fn arms_are_read() {
        assert_eq!(words("Mov").as_deref(), Some("translated"));
        assert_eq!(words("Add").as_deref(), Some("translated"));
        assert_eq!(words("Movs").as_deref(), Some("in the unit"));
        assert_eq!(words("Ins").as_deref(), Some("ends the unit"));
        assert_eq!(words("Jcxz"), None);
        assert_eq!(words("Hlt"), None);
    }

    #[test]
    fn a_function_gives_what_it_and_its_callees_give() {
        let ways = handling(TEXT, "Bt").unwrap();
        assert_eq!(ways.words(), "translated, in the unit");
        assert_eq!(ways.decided_by.as_deref(), Some("bit_test"));
    }

    #[test]
    fn a_callee_has_a_module_and_a_name() {
        assert_eq!(callee(arm(TEXT, "Loop").unwrap()), Some((Some("near"), "branch")));
        assert_eq!(callee("self.add_sub(insn)"), Some((None, "add_sub")));
        assert_eq!(callee("Handling::Emit"), None);
    }

    #[test]
    fn definitions_are_told_from_calls() {
        assert!(is_definition("    pub(crate) fn adc(&mut self, insn: &Insn) {", "adc"));
        assert!(is_definition("fn adc<T>(x: T) {", "adc"));
        assert!(!is_definition("fn adc_sbb(x: u32) {", "adc"));
        assert!(!is_definition("adc(x)", "adc"));
    }

    /// Every operation is in the table of the translator: the parse keeps up with the file.
    #[test]
    fn every_operation_has_a_handling() {
        let text = shell::read(DELEGATE).unwrap();
        for row in isa::op::rows() {
            let op = row.op.name();
            let ways = handling(&text, op).unwrap_or_default();
            let words = ways.words().split(", ").count();
            assert!(
                words == ways.variants.len() && !ways.variants.is_empty(),
                "{op} in {DELEGATE}: {ways:?}"
            );
        }
    }
}
