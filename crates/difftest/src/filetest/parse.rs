//! Text to tests and back.

use std::fmt;

use super::values::Values;
use crate::disasm;

/// What kind of code the instruction is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Ring 0, flat 32-bit segments, paging off.
    #[default]
    Prot32,
    /// Ring 3, flat 32-bit segments, paging off.
    User32,
}

impl Mode {
    const ALL: [(Self, &'static str); 2] = [(Self::Prot32, "prot32"), (Self::User32, "user32")];

    /// Its name in the text.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// One state before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCase {
    /// Line of the `in`.
    pub line: usize,
    /// Before.
    pub input: Values,
    /// After.
    pub output: Values,
}

/// One instruction with its cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsnTest {
    /// Line of the bytes.
    pub line: usize,
    /// Comments in front of it.
    pub comments: Vec<String>,
    /// Mode.
    pub mode: Mode,
    /// Host instructions of its translation.
    pub host_insns: Option<u32>,
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Disassembly.
    pub text: String,
    /// Cases.
    pub cases: Vec<TestCase>,
}

/// A file of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTest {
    /// Instructions in order.
    pub insns: Vec<InsnTest>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Reads a file of tests.
///
/// # Errors
/// The first line that has no meaning.
pub fn parse(text: &str) -> Result<FileTest, ParseError> {
    let mut parser = Parser::default();
    for (number, line) in text.lines().enumerate() {
        parser.number = number + 1;
        parser.line(line).map_err(|message| ParseError { line: number + 1, message })?;
    }
    if let Some(case) = parser.tests.insns.iter().find(|insn| insn.cases.is_empty()) {
        return Err(ParseError { line: case.line, message: "the instruction has no case".to_owned() });
    }
    Ok(parser.tests)
}

#[derive(Default)]
struct Parser {
    tests: FileTest,
    number: usize,
    mode: Mode,
    host_insns: Option<u32>,
    comments: Vec<String>,
    /// The last case's `out` has been seen.
    after: bool,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return Ok(());
        }
        if let Some(directive) = trimmed.strip_prefix(";!") {
            return self.directive(directive);
        }
        if let Some(comment) = trimmed.strip_prefix(';') {
            self.comments.push(comment.trim().to_owned());
            return Ok(());
        }
        match trimmed.split_whitespace().next() {
            Some("in") if line.starts_with(' ') => self.input(&trimmed[2..]),
            Some("out") if line.starts_with(' ') => self.output(&trimmed[3..]),
            Some("mem") if line.starts_with(' ') => self.memory(&trimmed[3..]),
            _ => self.instruction(trimmed),
        }
    }

    fn directive(&mut self, directive: &str) -> Result<(), String> {
        let (name, value) = directive.split_once('=').ok_or("a directive is name = value")?;
        let value = value.trim();
        match name.trim() {
            "mode" => {
                let known = Mode::ALL.iter().find(|(_, name)| value.trim_matches('"') == *name);
                self.mode = known.ok_or_else(|| format!("unknown mode {value}"))?.0;
            }
            "host_insns" => {
                self.host_insns = Some(value.parse().map_err(|_| format!("\"{value}\" is no count"))?);
            }
            other => return Err(format!("unknown directive \"{other}\"")),
        }
        Ok(())
    }

    fn instruction(&mut self, line: &str) -> Result<(), String> {
        let (bytes, rest) = line.split_once('"').ok_or("an instruction is bytes and a text in quotes")?;
        let text = rest.strip_suffix('"').ok_or("the text ends with a quote")?;
        self.tests.insns.push(InsnTest {
            line: self.number,
            comments: std::mem::take(&mut self.comments),
            mode: self.mode,
            host_insns: self.host_insns.take(),
            bytes: bytes_of(bytes)?,
            text: text.to_owned(),
            cases: Vec::new(),
        });
        Ok(())
    }

    fn input(&mut self, rest: &str) -> Result<(), String> {
        let line = self.number;
        let insn = self.tests.insns.last_mut().ok_or("no instruction before this")?;
        let case = TestCase { line, input: values_of(rest)?, output: Values::default() };
        insn.cases.push(case);
        self.after = false;
        Ok(())
    }

    fn output(&mut self, rest: &str) -> Result<(), String> {
        if self.after {
            return Err("a second out for one in".to_owned());
        }
        self.last_case()?.output = values_of(rest)?;
        self.after = true;
        Ok(())
    }

    fn memory(&mut self, rest: &str) -> Result<(), String> {
        let (address, bytes) = rest.split_once('=').ok_or("memory is mem ADDRESS = BYTES")?;
        let address = address.trim();
        let la = u32::from_str_radix(address, 16).map_err(|_| format!("\"{address}\" is no address"))?;
        let bytes = bytes_of(bytes)?;
        let after = self.after;
        let case = self.last_case()?;
        let values = if after { &mut case.output } else { &mut case.input };
        values.memory.push((la, bytes));
        Ok(())
    }

    fn last_case(&mut self) -> Result<&mut TestCase, String> {
        let insn = self.tests.insns.last_mut().ok_or("no instruction before this")?;
        insn.cases.last_mut().ok_or_else(|| "no in before this".to_owned())
    }
}

fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    let byte = |part: &str| {
        let byte = u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2);
        byte.ok_or_else(|| format!("\"{part}\" is not two hexadecimal digits"))
    };
    let bytes: Vec<u8> = text.split_whitespace().map(byte).collect::<Result<_, _>>()?;
    if bytes.is_empty() { Err("no bytes".to_owned()) } else { Ok(bytes) }
}

fn values_of(text: &str) -> Result<Values, String> {
    let mut values = Values::default();
    for part in text.split_whitespace() {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is not name=value"))?;
        values.assign(name, value)?;
    }
    Ok(values)
}

impl fmt::Display for FileTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mode = None;
        for (number, insn) in self.insns.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            for comment in &insn.comments {
                writeln!(f, "; {comment}")?;
            }
            if mode != Some(insn.mode) {
                writeln!(f, ";! mode = \"{}\"", insn.mode.name())?;
                mode = Some(insn.mode);
            }
            if let Some(count) = insn.host_insns {
                writeln!(f, ";! host_insns = {count}")?;
            }
            writeln!(f, "{:<21} \"{}\"", disasm::hex(&insn.bytes), insn.text)?;
            for case in &insn.cases {
                write_values(f, "in", &case.input)?;
                write_values(f, "out", &case.output)?;
            }
        }
        Ok(())
    }
}

fn write_values(f: &mut fmt::Formatter<'_>, name: &str, values: &Values) -> fmt::Result {
    writeln!(f, "{}", format!("  {name:<4} {values}").trim_end())?;
    for (address, bytes) in &values.memory {
        writeln!(f, "  mem  {address:08x} = {}", disasm::hex(bytes))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetest::Flag;

    const TEXT: &str = "; The carry goes in.\n;! mode = \"prot32\"\n;! host_insns = 14\n\
        11 d8                 \"adc eax, ebx\"\n  in   eax=ffffffff cf=1\n  mem  00402400 = 01 02\n\
        \x20 out  eax=00000000 cf=1 af=u\n\n;! mode = \"user32\"\nf4                    \"hlt\"\n  in\n  out  exception=gp(0)\n";

    #[test]
    fn text_goes_round() {
        let tests = parse(TEXT).unwrap();
        assert_eq!(tests.to_string(), TEXT);
        let [adc, hlt] = &tests.insns[..] else { panic!("{tests:?}") };
        assert_eq!((adc.host_insns, hlt.host_insns), (Some(14), None));
        assert_eq!((adc.mode, hlt.mode), (Mode::Prot32, Mode::User32));
        assert_eq!(adc.cases[0].input.memory, [(0x40_2400, vec![1, 2])]);
        assert_eq!(adc.cases[0].output.flags[&cpu::eflags::AF], Flag::Undefined);
        assert_eq!(hlt.cases[0].output.exception.as_deref(), Some("gp(0)"));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(message("90 \"nop\"\n  in eax=1"), "line 2: eax takes 8 hexadecimal digits, not \"1\"");
        assert_eq!(message("90 \"nop\"\n  in eay=1"), "line 2: \"eay\" is no register and no flag");
        assert_eq!(message("90 \"nop\""), "line 1: the instruction has no case");
        assert_eq!(message("9 \"nop\""), "line 1: \"9\" is not two hexadecimal digits");
        assert_eq!(message(";! mood = \"x\""), "line 1: unknown directive \"mood\"");
        assert_eq!(message("  out eax=00000000"), "line 1: no instruction before this");
    }
}
