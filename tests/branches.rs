//! Indirect branches and returns whose targets are part of the unit: wherever they stop and wherever they go, in
//! translated code as in the interpreter.
#![forbid(unsafe_code)]

use cpu::eflags::STATUS;
use engine::{EngineConfig, JitMode};
use machine::{BoardConfig, Machine};
use tests::code::Code;

const CODE: u32 = 0x10_0000;
const STACK: u32 = 0x20_0000;
/// Tables of addresses: for calls, for jumps.
const CALLS: u32 = 0x11_0000;
const JUMPS: u32 = 0x11_1000;
/// The end of RAM.
const END: u32 = 0x400_0000;

/// A loop that calls through one table and jumps through another.
///
/// The functions return in three ways, one calls another, one loads from where RAM ends; the jumps go to more places
/// than the loop has seen when it is compiled.
fn tables() -> (Vec<u8>, [Vec<u32>; 2]) {
    let mut code = Code::at(CODE);
    code.op(&[0xbc], STACK); // mov esp, STACK
    code.op(&[0xbe], END - 12); // mov esi, END - 12
    code.op(&[0xb9], 60); // mov ecx, 60
    code.put(&[0x31, 0xd2]); // xor edx, edx
    code.label("loop").put(&[0x89, 0xc8, 0x83, 0xe0, 3]); // mov eax, ecx; and eax, 3
    code.op(&[0xff, 0x14, 0x85], CALLS); // call [eax*4 + CALLS]
    code.put(&[0x11, 0xca, 0x89, 0xd0, 0x83, 0xe0, 7]); // adc edx, ecx; mov eax, edx; and eax, 7
    code.op(&[0xff, 0x24, 0x85], JUMPS); // jmp [eax*4 + JUMPS]
    const CASES: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
    for (n, case) in CASES.into_iter().enumerate() {
        code.label(case).put(&[0x83, 0xc2, 3 * n as u8, 0xc1, 0xc2, n as u8]); // add edx, 3n; rol edx, n
        code.near(&[0xe9], "next"); // jmp next
    }
    code.label("next").put(&[0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // dec ecx; jnz loop; hlt
    code.label("f0").put(&[0x83, 0xd2, 5, 0xc3]); // adc edx, 5; ret
    code.label("f1").put(&[0x5b, 0x83, 0xc2, 1, 0x53, 0xc3]); // pop ebx; add edx, 1; push ebx; ret
    // sub esp, 8; xchg [esp + 8], ebx; mov [esp], ebx; ret 8
    code.label("f2").put(&[0x83, 0xec, 8, 0x87, 0x5c, 0x24, 8, 0x89, 0x1c, 0x24, 0xc2, 8, 0]);
    code.label("f3").near(&[0xe8], "f0").put(&[0x46, 0x02, 0x16, 0xc3]); // call f0; inc esi; add dl, [esi]; ret
    let calls = ["f0", "f1", "f2", "f3"].map(|name| code.address(name)).to_vec();
    let jumps = CASES.map(|name| code.address(name)).to_vec();
    (code.bytes(), [calls, jumps])
}

/// Registers, arithmetic flags, EIP and instructions after at most `limit` instructions, and how many units were made.
fn after(
    code: &[u8],
    words: &[(u32, Vec<u32>)],
    limit: u64,
    config: EngineConfig,
) -> (([u64; 8], u32, u32, u64), u64) {
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    assert!(machine.memory().write_rom(u64::from(CODE), code).is_empty());
    for (at, words) in words {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert!(machine.memory().write_rom(u64::from(*at), &bytes).is_empty());
    }
    machine.engine_mut().cpu_mut().set_flat_protected(CODE);
    machine.run(Some(limit));
    let units = machine.engine().stats().units;
    let count = machine.engine().cpu().instructions();
    let cpu = machine.engine_mut().cpu_mut();
    cpu::flags::materialize(&mut cpu.state);
    let gpr = std::array::from_fn(|n| cpu.state.gpr[n]);
    ((gpr, cpu.state.eflags & STATUS, cpu.state.eip, count), units)
}

fn config(jit: JitMode, threshold: u32) -> EngineConfig {
    EngineConfig { jit, threshold, ..EngineConfig::default() }
}

#[test]
fn calls_and_jumps_through_tables_stop_anywhere_as_in_the_interpreter() {
    let (code, [calls, jumps]) = tables();
    let words = [(CALLS, calls), (JUMPS, jumps)];
    let mut fewest = u64::MAX;
    for threshold in [3, 8, 40] {
        for limit in (1..1300).step_by(7).chain([5000]) {
            let (expected, _) = after(&code, &words, limit, config(JitMode::Off, 0));
            let (got, units) = after(&code, &words, limit, config(JitMode::Sync, threshold));
            assert_eq!(got, expected, "threshold {threshold}, {limit} instructions");
            if limit == 5000 {
                assert_eq!(got.0[1], 0, "the loop ran to its end");
                fewest = fewest.min(units);
            }
        }
    }
    // The loop with its functions and cases, and perhaps another that was entered in the middle.
    assert!(fewest <= 2, "{fewest} units");
}

#[test]
fn a_return_to_itself_counts_the_stack_up() {
    let mut code = Code::at(CODE);
    code.op(&[0xbc], END - 8); // mov esp, END - 8
    code.near(&[0xe8], "f"); // call f
    code.label("self").put(&[0xc3]); // ret
    code.label("f").put(&[0xc3]); // ret
    let this = code.address("self");
    // The last return loads from behind the end of RAM, where translated code leaves.
    let words = [(END - 8, vec![this, this])];
    let code = code.bytes();
    for limit in (1..8).chain([100]) {
        let (expected, _) = after(&code, &words, limit, config(JitMode::Off, 0));
        let (got, _) = after(&code, &words, limit, config(JitMode::Sync, 0));
        assert_eq!(got, expected, "{limit} instructions");
    }
}
