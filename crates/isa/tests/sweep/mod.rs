//! All opcodes with samples of what follows them and of the prefixes before them.

use iced_x86::{Decoder, DecoderOptions, Instruction};
use marquetry_isa::DecodeMode;

/// Prefixes that every opcode is tried with: each alone, and some together.
pub const PREFIXES: [&[u8]; 14] = [
    &[],
    &[0x66],
    &[0x67],
    &[0xf2],
    &[0xf3],
    &[0xf0],
    &[0x64],
    &[0x36],
    &[0x66, 0x67],
    &[0xf2, 0x66],
    &[0x65, 0xf3, 0x67],
    &[0x3e, 0x2e, 0x66, 0x67],
    &[0xf3, 0xf2],
    &[0xf0, 0x26, 0x66],
];

/// What follows the ModRM byte: SIB, displacement and immediate, of either sign.
const TAILS: [[u8; 10]; 2] = [
    [0x98, 0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0x89],
    [0x65, 0x7f, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08],
];

/// Calls `visit` for every opcode of one and two bytes, every ModRM byte, the prefixes and both code sizes.
pub fn encodings(mut visit: impl FnMut(&[u8], DecodeMode)) {
    for code32 in [false, true] {
        for prefixes in PREFIXES {
            for opcode in 0..=255 {
                for modrm in 0..=255 {
                    let tail = TAILS[usize::from(modrm & 1)];
                    visit(&[prefixes, &[opcode, modrm], &tail].concat(), DecodeMode { code32 });
                    visit(&[prefixes, &[0x0f, opcode, modrm], &tail].concat(), DecodeMode { code32 });
                }
            }
        }
    }
}

/// iced's own reading of the bytes, under the options that `isa` documents.
pub fn iced(bytes: &[u8], eip: u32, mode: DecodeMode) -> Instruction {
    let options = DecoderOptions::NO_MPFX_0FBC
        | DecoderOptions::NO_MPFX_0FBD
        | DecoderOptions::NO_PAUSE
        | DecoderOptions::NO_WBNOINVD
        | DecoderOptions::FORCE_RESERVED_NOP;
    let bitness = if mode.code32 { 32 } else { 16 };
    Decoder::with_ip(bitness, &bytes[..bytes.len().min(15)], u64::from(eip), options).decode()
}
