//! String instructions.

use base::{AccessSize, LinearAddr};
use cpu::{Exception, REP_CHUNK, eflags};
use isa::{Gpr, SegReg};

use crate::machine::{CODE, DATA, MMIO, Machine, PORT, bytes, case, put, sel};

fn filled(machine: &mut Machine, at: u32, text: &[u8]) {
    for (n, byte) in text.iter().enumerate() {
        machine.poke(at + n as u32, AccessSize::B1, u64::from(*byte));
    }
}

fn text(machine: &Machine, at: u32, len: u32) -> Vec<u8> {
    (0..len).map(|n| machine.peek(at + n, AccessSize::B1) as u8).collect()
}

#[test]
fn one_element_in_each_width_and_direction() {
    case("a4", "esi=8000 edi=8002 m=00000041", "esi=8001 edi=8003 m=410041");
    case("66 a5", "esi=8000 edi=8002 m=4241 DF", "esi=7ffe edi=8000 m=42414241 DF");
    case("a5", "esi=8000 edi=9000 m=12345678", "esi=8004 edi=9004");
    case("aa", "edi=8001 eax=1234 m=0", "edi=8002 m=3400");
    case("66 ab", "edi=8002 eax=12345678 m=0 DF", "edi=8000 m=56780000 DF");
    case("ab", "edi=8000 eax=12345678", "edi=8004 m=12345678");
    case("ac", "esi=8000 eax=ffffffff m=41", "esi=8001 eax=ffffff41");
    case("66 ad", "esi=8000 eax=ffffffff m=4241 DF", "esi=7ffe eax=ffff4241 DF");
    case("ad", "esi=8000 m=12345678", "esi=8004 eax=12345678");
    // The count means nothing without a prefix.
    case("a4", "esi=8000 edi=9000 ecx=0", "esi=8001 edi=9001");
}

#[test]
fn compares_subtract_the_destination() {
    case("a6", "esi=8000 edi=8001 m=0201", "esi=8001 edi=8002 CF PF AF SF");
    case("a7", "esi=8000 edi=8000 m=55 CF", "esi=8004 edi=8004 PF ZF");
    case("66 a7", "esi=8002 edi=8000 m=80000001 DF", "esi=8000 edi=7ffe DF PF AF OF");
    case("ae", "eax=1 edi=8000 m=2", "edi=8001 CF PF AF SF");
    case("66 af", "eax=ffff0005 edi=8000 m=5", "edi=8002 PF ZF");
    case("af", "eax=80000000 edi=8000 m=1", "edi=8004 PF AF OF");
}

#[test]
fn index_registers_wrap_at_the_address_size() {
    case("67 a4", "esi=1234ffff edi=56787fff", "esi=12340000 edi=56788000");
    case("67 ad", "esi=12348000 m=99 DF", "esi=12347ffc eax=99 DF");
    case("67 ac", "esi=12340000 DF", "esi=1234ffff DF");
    // The counter is CX.
    case("67 f3 ab", "ecx=12340001 edi=8000 eax=7", "ecx=12340000 edi=8004 m=7");
    case("67 f3 ab", "ecx=12340000 edi=8000 eax=7", "");
}

#[test]
fn segments_of_the_source_can_be_overridden_those_of_the_destination_cannot() {
    let mut machine = Machine::new();
    machine.cpu.load_segment(SegReg::Fs, sel::DATA_16).unwrap();
    machine.cpu.load_segment(SegReg::Es, sel::DATA_16).unwrap();
    machine.poke32(0x1_0010, 0x41);
    machine.set(Gpr::Esi, 0x10);
    machine.set(Gpr::Edi, 0x20);
    machine.run(&bytes("64 a4"));
    assert_eq!(machine.peek32(0x1_0020), 0x41);
    machine.set(Gpr::Eax, 0x42);
    machine.run(&bytes("64 aa"));
    assert_eq!(machine.peek32(0x1_0020), 0x4241);
}

#[test]
fn repetition_ends_with_the_count() {
    let mut machine = Machine::new();
    filled(&mut machine, DATA, b"hello, world");
    put(&mut machine, "esi=8000 edi=8100 ecx=c CF");
    machine.run(&bytes("f3 a4"));
    assert_eq!(text(&machine, 0x8100, 13), b"hello, world\0");
    assert_eq!((machine.get(Gpr::Esi), machine.get(Gpr::Edi), machine.get(Gpr::Ecx)), (0x800c, 0x810c, 0));
    assert_eq!(machine.cpu.state.eip, CODE + 2);
    case("f3 a4", "esi=8000 edi=8100 ecx=0 ZF", "ZF");
    case("f3 a6", "esi=8000 edi=8100 ecx=0 CF", "CF");
    // Overlapping forward: the first byte spreads.
    case("f3 a4", "esi=8000 edi=8001 ecx=3 m=41", "esi=8003 edi=8004 ecx=0 m=41414141");
    // F2 repeats where nothing is compared, too.
    case("f2 aa", "edi=8000 ecx=4 eax=55", "edi=8004 ecx=0 m=55555555");
    case("f3 ac", "esi=8000 ecx=3 m=332211", "esi=8003 ecx=0 eax=33");
}

#[test]
fn repetition_ends_with_the_zero_flag() {
    case("f2 ae", "edi=8000 ecx=9 eax=33 m=44332211", "edi=8003 ecx=6 PF ZF");
    case("f3 ae", "edi=8000 ecx=9 eax=11 m=44111111 ZF", "edi=8004 ecx=5 CF AF SF");
    case("f3 a6", "esi=8000 edi=8002 ecx=2 m=11111111", "esi=8002 edi=8004 ecx=0 PF ZF");
    case("f2 a6", "esi=8000 edi=8002 ecx=2 m=22113311", "esi=8001 edi=8003 ecx=1 PF ZF");
    // The last element may end it both ways.
    case("f2 ae", "edi=8000 ecx=1 eax=11 m=11", "edi=8001 ecx=0 PF ZF");
}

#[test]
fn a_long_repetition_takes_several_steps() {
    let mut machine = Machine::new();
    let count = 2 * REP_CHUNK + 1;
    machine.set(Gpr::Edi, 0x2_0000);
    machine.set(Gpr::Ecx, count);
    machine.set(Gpr::Eax, 0x5a);
    for left in [count - REP_CHUNK, 1] {
        machine.run(&bytes("f3 aa"));
        assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Ecx)), (CODE, left));
    }
    machine.run(&bytes("f3 aa"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Ecx)), (CODE + 2, 0));
    assert_eq!(machine.peek32(0x2_0000 + count - 3), 0x005a_5a5a, "and not a byte more");
    // A count of exactly one chunk completes in one step.
    machine.cpu.state.eip = CODE;
    machine.set(Gpr::Ecx, REP_CHUNK);
    machine.run(&bytes("f3 aa"));
    assert_eq!(machine.cpu.state.eip, CODE + 2);
}

#[test]
fn single_steps_see_each_element() {
    let mut machine = Machine::new();
    put(&mut machine, "edi=8000 ecx=2 eax=1");
    machine.cpu.state.eflags |= eflags::TF;
    machine.run(&bytes("f3 aa"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Ecx)), (CODE, 1));
    machine.run(&bytes("f3 aa"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Ecx)), (CODE + 2, 0));
}

#[test]
fn a_fault_in_the_middle_keeps_what_completed() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0xb000, 5);
    put(&mut machine, "esi=8000 edi=affc ecx=8 ZF");
    filled(&mut machine, DATA, b"abcdefgh");
    let fault = Exception::Pf { la: LinearAddr(0xb000), code: 3 };
    assert_eq!(machine.step(&bytes("f3 a4")), Err(fault.into()));
    assert_eq!((machine.get(Gpr::Esi), machine.get(Gpr::Edi), machine.get(Gpr::Ecx)), (0x8004, 0xb000, 4));
    assert_eq!(machine.cpu.state.eip, CODE);
    assert_eq!(text(&machine, 0xaffc, 5), b"abcd\0");
    machine.page(0xb000, 7);
    machine.run(&bytes("f3 a4"));
    assert_eq!(text(&machine, 0xaffc, 9), b"abcdefgh\0");
    assert_eq!((machine.get(Gpr::Ecx), machine.cpu.state.eip), (0, CODE + 2));
}

#[test]
fn a_compare_that_faults_keeps_the_flags_of_the_last_element() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0xb000, 0);
    put(&mut machine, "esi=8000 edi=affe ecx=8 CF OF");
    filled(&mut machine, DATA, b"abab");
    filled(&mut machine, 0xaffe, b"ab");
    let fault = Exception::Pf { la: LinearAddr(0xb000), code: 0 };
    assert_eq!(machine.step(&bytes("f3 a6")), Err(fault.into()));
    assert_eq!((machine.get(Gpr::Esi), machine.get(Gpr::Edi), machine.get(Gpr::Ecx)), (0x8002, 0xb000, 6));
    assert_eq!(machine.flags() & eflags::STATUS, eflags::PF | eflags::ZF);
    // The source comes first.
    machine.page(0x8000, 0);
    let fault = Exception::Pf { la: LinearAddr(0x8002), code: 0 };
    assert_eq!(machine.fault(&bytes("f3 a6")), fault);
}

#[test]
fn a_device_that_wants_the_run_loop_ends_a_step() {
    let mut machine = Machine::new();
    machine.set(Gpr::Edi, MMIO);
    machine.set(Gpr::Ecx, 3);
    machine.run(&bytes("f3 aa"));
    assert_eq!((machine.get(Gpr::Ecx), machine.cpu.state.eip), (2, CODE));
    assert_eq!(machine.device.lock().written, [0]);
    // Once the run loop has seen to it, the rest follows.
    machine.cpu.take_attention();
    machine.cpu.state.leave = 0;
    machine.run(&bytes("f3 aa"));
    assert_eq!((machine.get(Gpr::Ecx), machine.cpu.state.eip), (1, CODE));
    machine.run(&bytes("f3 aa"));
    assert_eq!((machine.get(Gpr::Ecx), machine.cpu.state.eip), (0, CODE + 2));
}

#[test]
fn ins_and_outs() {
    let mut machine = Machine::new();
    put(&mut machine, "edx=aaaa0060 edi=8000 esi=8000 m=0");
    machine.run(&bytes("6d"));
    assert_eq!((machine.peek32(DATA), machine.get(Gpr::Edi)), (1, 0x8004));
    machine.run(&bytes("66 6f"));
    machine.poke32(DATA, 0x4433_2211);
    machine.set(Gpr::Esi, DATA + 3);
    machine.cpu.state.eflags |= eflags::DF;
    machine.run(&bytes("6e"));
    assert_eq!(machine.device.lock().written, [1, 0x44]);
    assert_eq!(machine.get(Gpr::Esi), DATA + 2);
    machine.cpu.state.eflags &= !eflags::DF;
    machine.set(Gpr::Ecx, 2);
    machine.run(&bytes("f3 6c"));
    assert_eq!((machine.get(Gpr::Ecx), machine.peek32(DATA + 4)), (1, 2));
}

#[test]
fn ins_reads_no_port_whose_value_it_could_not_store() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(DATA, 5);
    put(&mut machine, "edx=60 edi=8000 ecx=3");
    let fault = Exception::Pf { la: LinearAddr(DATA), code: 3 };
    assert_eq!(machine.fault(&bytes("6c")), fault);
    assert_eq!(machine.fault(&bytes("f3 6d")), fault);
    assert_eq!(machine.device.lock().reads, 0);
}

#[test]
fn ports_are_checked_before_memory() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(DATA, 0);
    put(&mut machine, "edx=60 edi=8000 esi=8000");
    machine.ring3();
    // The map base of the TSS is 0, where its first byte of 0 would allow the port; put it past the limit.
    machine.poke32(0x3066, 0xffff);
    assert_eq!(machine.fault(&bytes("6c")), Exception::Gp(0));
    assert_eq!(machine.fault(&bytes("6e")), Exception::Gp(0));
    machine.cpu.state.eflags |= eflags::IOPL;
    assert_eq!(machine.fault(&bytes("6e")), Exception::Pf { la: LinearAddr(DATA), code: 4 });
    assert_eq!(machine.fault(&bytes("6c")), Exception::Pf { la: LinearAddr(DATA), code: 6 });
    let device = machine.device.lock();
    assert_eq!((device.reads, device.written.len()), (0, 0));
}

#[test]
fn in_and_out() {
    let mut machine = Machine::new();
    put(&mut machine, "eax=ffffffff edx=ffff0060");
    machine.run(&bytes("e4 60"));
    assert_eq!(machine.get(Gpr::Eax), 0xffff_ff01);
    machine.run(&bytes("66 ed"));
    assert_eq!(machine.get(Gpr::Eax), 0xffff_0002);
    machine.run(&bytes("ed"));
    assert_eq!(machine.get(Gpr::Eax), 3);
    machine.set(Gpr::Eax, 0x1122_3344);
    machine.run(&bytes("e6 60"));
    machine.run(&bytes("66 ef"));
    machine.run(&bytes("ef"));
    assert_eq!(machine.device.lock().written, [0x44, 0x3344, 0x1122_3344]);
    assert_ne!(machine.cpu.state.leave & cpu::leave::DEVICE, 0);
    assert_eq!(PORT, 0x60);
    machine.ring3();
    machine.poke32(0x3066, 0xffff);
    for code in ["e4 60", "e6 60", "ec", "ef"] {
        assert_eq!(machine.fault(&bytes(code)), Exception::Gp(0), "{code}");
    }
}
