//! `marq explain "11 d8"`: the decoded instruction, the Cranelift function and the host code.

use isa::{DecodeMode, decode};
use jit::{CodeBytes, Compiler, OptLevel, RamRange, UnitMode, UnitRequest};

use crate::args::ExplainArgs;
use crate::out;
use crate::outcome::Outcome;

/// EIP that the bytes are taken to stand at.
const EIP: u32 = 0x10_0000;

/// Prints what becomes of the bytes.
///
/// # Errors
/// A sentence for people: text that is not hexadecimal, or bytes that are no instruction.
pub fn run(args: &ExplainArgs) -> Result<Outcome, String> {
    let bytes = parse(&args.bytes.join(" "))?;
    let mut eip = EIP;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(15)];
        let insn = decode(window, eip, DecodeMode { code32: true }).map_err(|error| {
            format!("byte {}: {error:?}: not a whole instruction", bytes.len() - rest.len())
        })?;
        let hex = hex(&rest[..usize::from(insn.len)]);
        out::line(&format!("{eip:08x}  {hex}\n{insn:#?}\nhandling: {:?}\n", jit::handling(&insn)));
        eip += u32::from(insn.len);
        rest = &rest[usize::from(insn.len)..];
    }
    let (unit, listing) = Compiler::fixed(OptLevel::None)
        .compile_with_listing(&request(bytes, args))
        .map_err(|error| error.to_string())?;
    let (code, exits, sites) = (unit.code.len(), unit.exits.len(), unit.sites.len());
    out::line(&format!("{}\n{}\n{code} host bytes, {exits} exits, {sites} sites", listing.clif, listing.asm));
    Ok(Outcome::OK)
}

fn request(bytes: Vec<u8>, args: &ExplainArgs) -> UnitRequest {
    let range = RamRange { start: 1 << 20, len: 63 << 20 };
    UnitRequest {
        entry: EIP,
        mode: UnitMode { paging: args.paging, flat: true },
        code: CodeBytes { start: EIP, bytes },
        site_base: 0,
        range: (!args.paging).then_some(range),
        windowed: std::collections::BTreeSet::new(),
        slow: std::collections::BTreeSet::new(),
        ungrouped: std::collections::BTreeSet::new(),
        likely: std::collections::BTreeMap::new(),
        limit: 300,
        counted: false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn parse(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.is_empty() || digits.len() % 2 == 1 || !digits.is_ascii() {
        return Err(format!("{text:?} is not a row of bytes; write them as in: marq explain \"11 d8\""));
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| {
            u8::from_str_radix(pair, 16).map_err(|_| format!("{pair:?} is not a byte in hexadecimal"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_and_without_spaces() {
        assert_eq!(parse("11 d8"), Ok(vec![0x11, 0xd8]));
        assert_eq!(parse("11d8"), Ok(vec![0x11, 0xd8]));
        assert!(parse("1").is_err() && parse("").is_err() && parse("zz").is_err() && parse("éa").is_err());
    }
}
