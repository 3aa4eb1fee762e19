//! I/O privilege (SDM Vol. 1 18.5).

use base::AccessSize;
use marquetry_cpu::{Exception, eflags};

use crate::machine::Machine;

const GP: Result<(), Exception> = Err(Exception::Gp(0));

#[test]
fn iopl_opens_every_port() {
    let mut machine = Machine::new();
    machine.ring3();
    machine.poke(Machine::TSS + 0x64, 0xffff_0000);
    for iopl in 0..4_u32 {
        for cpl in 0..4_u32 {
            machine.cpu.state.cpl = cpl as u8;
            machine.cpu.state.eflags = eflags::FIXED | iopl << 12;
            let wanted = if cpl <= iopl { Ok(()) } else { GP };
            assert_eq!(machine.cpu.check_port(0x80, AccessSize::B1), wanted, "cpl {cpl} iopl {iopl}");
        }
    }
}

#[test]
fn the_bitmap_opens_single_ports() {
    let mut machine = Machine::new();
    machine.ring3();
    let map = Machine::TSS + 0x68;
    machine.poke(Machine::TSS + 0x64, 0x68 << 16);
    machine.poke(map, 0xffff_ffff);
    machine.poke(map + 4, 0xffff_ffff);
    // Ports 0x0e to 0x11 are open.
    machine.poke(map, !(0xf << 0xe));
    assert_eq!(machine.cpu.check_port(0x0e, AccessSize::B4), Ok(()));
    assert_eq!(machine.cpu.check_port(0x0f, AccessSize::B2), Ok(()));
    assert_eq!(machine.cpu.check_port(0x11, AccessSize::B1), Ok(()));
    assert_eq!(machine.cpu.check_port(0x0d, AccessSize::B2), GP);
    assert_eq!(machine.cpu.check_port(0x0f, AccessSize::B4), GP);
    assert_eq!(machine.cpu.check_port(0x12, AccessSize::B1), GP);
    assert_eq!(machine.cpu.port_in(0x12, AccessSize::B1), Err(Exception::Gp(0)));
    assert_eq!(machine.cpu.port_out(0x12, AccessSize::B1, 0), GP);
    assert!(machine.cpu.port_in(0x0e, AccessSize::B1).is_ok());
}

#[test]
fn two_bytes_of_the_bitmap_must_lie_inside_the_tss() {
    let mut machine = Machine::new();
    machine.ring3();
    machine.poke(Machine::TSS + 0x64, 0x68 << 16);
    machine.poke(Machine::TSS + 0x68, 0);
    machine.cpu.state.tr.limit = 0x69;
    assert_eq!(machine.cpu.check_port(7, AccessSize::B1), Ok(()));
    assert_eq!(machine.cpu.check_port(8, AccessSize::B1), GP);
    machine.cpu.state.tr.attrs &= !8;
    assert_eq!(machine.cpu.check_port(7, AccessSize::B1), GP, "a 16-bit TSS has no bitmap");
}
