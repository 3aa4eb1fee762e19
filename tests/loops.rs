//! Loops of one block, whose flags at the head are those of their end: wherever they stop, in translated code as in
//! the interpreter.
#![forbid(unsafe_code)]

use cpu::eflags::STATUS;
use engine::{EngineConfig, JitMode};
use machine::{BoardConfig, Machine};

const CODE: u32 = 0x10_0000;
/// The loops load from here on, and after 8 bytes from beyond the end of RAM, where translated code leaves.
const NEAR_THE_END: u32 = 0x400_0000 - 8;

/// Ends of the loop's body: each leaves the zero flag clear while the loop is to go on.
const ENDS: [(&str, &[u8]); 6] = [
    ("dec", &[0x49]),                          // dec ecx
    ("sub", &[0x83, 0xe9, 1]),                 // sub ecx, 1
    ("add", &[0x83, 0xc1, 0xff]),              // add ecx, -1
    ("cmp", &[0x81, 0xfe, 20, 0, 0, 4]),       // cmp esi, NEAR_THE_END + 28
    ("test", &[0x49, 0x85, 0xc9]),             // dec ecx; test ecx, ecx
    ("byte", &[0x49, 0x88, 0xcb, 0x84, 0xdb]), // dec ecx; mov bl, cl; test bl, bl
];

/// Loads, takes in the flags of the time before, rotates and multiplies, and loops.
fn program(end: &[u8]) -> Vec<u8> {
    let mut code = vec![0xbe];
    code.extend(NEAR_THE_END.to_le_bytes()); // mov esi, NEAR_THE_END
    code.extend([0xb9, 28, 0, 0, 0, 0x31, 0xd2]); // mov ecx, 28; xor edx, edx
    let head = code.len();
    code.extend([0x8a, 0x1e]); // mov bl, [esi]
    code.extend([0x9f, 0x01, 0xc2]); // lahf; add edx, eax
    code.extend([0xc1, 0xc2, 3]); // rol edx, 3
    code.extend([0x02, 0x3e]); // add bh, [esi]
    code.extend([0x6b, 0xea, 0x77]); // imul ebp, edx, 0x77
    code.extend([0x46, 0x8a, 0x1e]); // inc esi; mov bl, [esi]
    code.extend(end);
    let back = head as isize - (code.len() as isize + 2);
    code.extend([0x75, back as i8 as u8, 0xf4]); // jnz head; hlt
    code
}

/// Registers, arithmetic flags, EIP and instructions after at most `limit` instructions.
fn after(code: &[u8], limit: u64, jit: JitMode) -> ([u64; 8], u32, u32, u64) {
    let config = EngineConfig { jit, threshold: 0, ..EngineConfig::default() };
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    assert!(machine.memory().write_rom(u64::from(CODE), code).is_empty());
    machine.engine_mut().cpu_mut().set_flat_protected(CODE);
    machine.run(Some(limit));
    let count = machine.engine().cpu().instructions();
    let cpu = machine.engine_mut().cpu_mut();
    cpu::flags::materialize(&mut cpu.state);
    let gpr = std::array::from_fn(|n| cpu.state.gpr[n]);
    (gpr, cpu.state.eflags & STATUS, cpu.state.eip, count)
}

#[test]
fn a_loop_stops_anywhere_with_the_flags_of_the_interpreter() {
    for (name, end) in ENDS {
        let code = program(end);
        for limit in (1..320).step_by(5) {
            let expected = after(&code, limit, JitMode::Off);
            assert_eq!(after(&code, limit, JitMode::Sync), expected, "{name}, {limit} instructions");
        }
    }
}
