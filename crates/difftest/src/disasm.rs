#![forbid(unsafe_code)]
//! Instructions as text: iced-x86's NASM formatter with this project's spacing and number format.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter};

/// The instruction at the start of `bytes`, which stand at `eip` in a 32-bit (`code32`) or 16-bit code segment.
#[must_use]
pub fn text(bytes: &[u8], eip: u32, code32: bool) -> String {
    let bitness = if code32 { 32 } else { 16 };
    let instruction = Decoder::with_ip(bitness, bytes, u64::from(eip), DecoderOptions::NONE).decode();
    format(&instruction)
}

fn format(instruction: &Instruction) -> String {
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    let mut text = String::new();
    formatter.format(instruction, &mut text);
    text
}

/// Bytes as two hexadecimal digits each, separated by blanks.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_nasm_with_a_blank_after_the_comma() {
        assert_eq!(text(&[0x11, 0xd8], 0, true), "adc eax, ebx");
        assert_eq!(text(&[0x75, 0xfe], 0x40_0000, true), "jne short 0x400000");
        assert_eq!(text(&[0x83, 0xc0, 0x10], 0, false), "add ax, 0x10");
        assert_eq!(hex(&[0x11, 0xd8]), "11 d8");
    }
}
