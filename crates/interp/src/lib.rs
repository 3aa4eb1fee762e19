#![forbid(unsafe_code)]
//! The reference interpreter: one instruction, exactly as the SDM says.
//!
//! Each function follows the manual's pseudocode; the order of checks is part of the meaning, and nothing that
//! the guest can see changes before the last check that can fail. Every flag is computed at once into EFLAGS.
//! Nothing in here is shared with the translator: comparing the two is what finds a misread manual.

mod arith;
mod bcd;
mod bit;
mod branch;
mod control;
mod data;
mod handlers;
mod logic;
mod muldiv;
mod operand;
mod packed;
mod port;
mod segment;
mod shift;
mod stack;
mod status;
mod string;
mod view;

use cpu::{Cpu, Exception, Trap};
use isa::{Insn, Op, SegReg};

pub use packed::Packed;

/// Executes `insn`, see [`run`].
///
/// # Errors
/// As [`run`].
pub fn step(cpu: &mut Cpu, insn: &Insn) -> Result<(), Trap> {
    run(cpu, &Packed::new(insn))
}

/// Executes `insn`, which was decoded at EIP, and sets EIP to the next instruction: the one behind it, the
/// target of a branch, or the same one while elements of a repeated string instruction are left.
///
/// The arithmetic flags in EFLAGS must be valid (`cpu::flags::materialize`), and are so afterwards. LOCK needs
/// no care: there is one processor.
///
/// # Errors
/// What ended the instruction. The state is then as before it, EIP at the instruction; repeated string
/// instructions keep the elements that completed.
#[inline(always)]
pub fn run(cpu: &mut Cpu, insn: &Packed) -> Result<(), Trap> {
    handlers::HANDLERS[usize::from(insn.handler())](cpu, insn)
}

/// Executes any instruction.
#[expect(clippy::too_many_lines, reason = "one arm for each operation, and each is one call")]
fn general(cpu: &mut Cpu, insn: &Packed) -> Result<(), Trap> {
    let next = insn.next(cpu);
    match insn.op() {
        Op::Mov => data::mov(cpu, insn)?,
        Op::Movzx => data::movzx(cpu, insn)?,
        Op::Movsx => data::movsx(cpu, insn)?,
        Op::Lea => data::lea(cpu, insn)?,
        Op::Xchg => data::xchg(cpu, insn)?,
        Op::Bswap => data::bswap(cpu, insn)?,
        Op::Xlat => data::xlat(cpu, insn)?,
        Op::Lahf => data::lahf(cpu),
        Op::Sahf => data::sahf(cpu),
        Op::Salc => data::salc(cpu),
        Op::Setcc => data::setcc(cpu, insn)?,
        Op::Cmovcc => data::cmovcc(cpu, insn)?,
        Op::Cbw => data::cbw(cpu, insn),
        Op::Cwd => data::cwd(cpu, insn),
        Op::Nop => {}

        Op::Push => stack::push(cpu, insn)?,
        Op::Pop => stack::pop(cpu, insn)?,
        Op::Pusha => stack::pusha(cpu, insn)?,
        Op::Popa => stack::popa(cpu, insn)?,
        Op::Pushf => stack::pushf(cpu, insn)?,
        Op::Popf => stack::popf(cpu, insn)?,
        Op::Enter => stack::enter(cpu, insn)?,
        Op::Leave => stack::leave(cpu, insn)?,

        Op::Add => arith::add(cpu, insn)?,
        Op::Adc => arith::adc(cpu, insn)?,
        Op::Sub => arith::sub(cpu, insn)?,
        Op::Sbb => arith::sbb(cpu, insn)?,
        Op::Cmp => arith::cmp(cpu, insn)?,
        Op::Inc => arith::inc(cpu, insn)?,
        Op::Dec => arith::dec(cpu, insn)?,
        Op::Neg => arith::neg(cpu, insn)?,
        Op::Xadd => arith::xadd(cpu, insn)?,
        Op::Cmpxchg => arith::cmpxchg(cpu, insn)?,
        Op::Cmpxchg8b => arith::cmpxchg8b(cpu, insn)?,

        Op::And => logic::and(cpu, insn)?,
        Op::Or => logic::or(cpu, insn)?,
        Op::Xor => logic::xor(cpu, insn)?,
        Op::Test => logic::test(cpu, insn)?,
        Op::Not => logic::not(cpu, insn)?,

        Op::Mul => muldiv::mul(cpu, insn)?,
        Op::Imul1 => muldiv::imul1(cpu, insn)?,
        Op::Imul => muldiv::imul(cpu, insn)?,
        Op::Div => muldiv::div(cpu, insn)?,
        Op::Idiv => muldiv::idiv(cpu, insn)?,

        Op::Rol => shift::rol(cpu, insn)?,
        Op::Ror => shift::ror(cpu, insn)?,
        Op::Rcl => shift::rcl(cpu, insn)?,
        Op::Rcr => shift::rcr(cpu, insn)?,
        Op::Shl => shift::shl(cpu, insn)?,
        Op::Shr => shift::shr(cpu, insn)?,
        Op::Sar => shift::sar(cpu, insn)?,
        Op::Shld => shift::shld(cpu, insn)?,
        Op::Shrd => shift::shrd(cpu, insn)?,

        Op::Bt => bit::bt(cpu, insn)?,
        Op::Bts => bit::bts(cpu, insn)?,
        Op::Btr => bit::btr(cpu, insn)?,
        Op::Btc => bit::btc(cpu, insn)?,
        Op::Bsf => bit::bsf(cpu, insn)?,
        Op::Bsr => bit::bsr(cpu, insn)?,
        Op::Clc => bit::clc(cpu),
        Op::Stc => bit::stc(cpu),
        Op::Cmc => bit::cmc(cpu),
        Op::Cld => bit::cld(cpu),
        Op::Std => bit::std(cpu),

        Op::Aaa => bcd::aaa(cpu),
        Op::Aas => bcd::aas(cpu),
        Op::Aam => bcd::aam(cpu, insn)?,
        Op::Aad => bcd::aad(cpu, insn),
        Op::Daa => bcd::daa(cpu),
        Op::Das => bcd::das(cpu),

        Op::Movs => return Ok(string::movs(cpu, insn, next)?),
        Op::Cmps => return Ok(string::cmps(cpu, insn, next)?),
        Op::Scas => return Ok(string::scas(cpu, insn, next)?),
        Op::Lods => return Ok(string::lods(cpu, insn, next)?),
        Op::Stos => return Ok(string::stos(cpu, insn, next)?),
        Op::Ins => return Ok(string::ins(cpu, insn, next)?),
        Op::Outs => return Ok(string::outs(cpu, insn, next)?),
        Op::In => port::input(cpu, insn)?,
        Op::Out => port::output(cpu, insn)?,

        Op::Jmp => return Ok(branch::jmp(cpu, insn)?),
        Op::Jcc => return Ok(branch::jcc(cpu, insn, next)?),
        Op::Call => return Ok(branch::call(cpu, insn, next)?),
        Op::Ret => return Ok(branch::ret(cpu, insn)?),
        Op::Loop => return Ok(branch::loop_(cpu, insn, next)?),
        Op::Loope => return Ok(branch::loope(cpu, insn, next)?),
        Op::Loopne => return Ok(branch::loopne(cpu, insn, next)?),
        Op::Jcxz => return Ok(branch::jcxz(cpu, insn, next)?),
        Op::JmpFar => return branch::jmp_far(cpu, insn),
        Op::CallFar => return branch::call_far(cpu, insn, next),
        Op::RetFar => return branch::ret_far(cpu, insn),
        Op::Int => return branch::int(cpu, insn, next),
        Op::Int1 => return branch::int1(cpu, next),
        Op::Int3 => return branch::int3(cpu, next),
        Op::Into => return branch::into(cpu, next),
        Op::Iret => return branch::iret(cpu, insn),
        Op::Bound => branch::bound(cpu, insn)?,

        Op::MovSeg => segment::mov(cpu, insn)?,
        Op::Lds => segment::load_pointer(cpu, insn, SegReg::Ds)?,
        Op::Les => segment::load_pointer(cpu, insn, SegReg::Es)?,
        Op::Lfs => segment::load_pointer(cpu, insn, SegReg::Fs)?,
        Op::Lgs => segment::load_pointer(cpu, insn, SegReg::Gs)?,
        Op::Lss => segment::load_pointer(cpu, insn, SegReg::Ss)?,
        Op::Lldt => segment::lldt(cpu, insn)?,
        Op::Sldt => segment::sldt(cpu, insn)?,
        Op::Ltr => segment::ltr(cpu, insn)?,
        Op::Str => segment::str(cpu, insn)?,
        Op::Verr => segment::verr(cpu, insn)?,
        Op::Verw => segment::verw(cpu, insn)?,
        Op::Lar => segment::lar(cpu, insn)?,
        Op::Lsl => segment::lsl(cpu, insn)?,
        Op::Arpl => segment::arpl(cpu, insn)?,

        Op::Hlt => control::hlt(cpu)?,
        Op::Cli => control::cli(cpu)?,
        Op::Sti => control::sti(cpu)?,
        Op::MovCr => control::mov_cr(cpu, insn)?,
        Op::MovDr => control::mov_dr(cpu, insn)?,
        Op::Lgdt => control::lgdt(cpu, insn)?,
        Op::Lidt => control::lidt(cpu, insn)?,
        Op::Sgdt => control::sgdt(cpu, insn)?,
        Op::Sidt => control::sidt(cpu, insn)?,
        Op::Lmsw => control::lmsw(cpu, insn)?,
        Op::Smsw => control::smsw(cpu, insn)?,
        Op::Clts => control::clts(cpu)?,
        Op::Invlpg => control::invlpg(cpu, insn)?,
        Op::Wbinvd | Op::Invd => control::flush_caches(cpu)?,
        Op::Cpuid => control::cpuid(cpu),
        Op::Rdtsc => control::rdtsc(cpu)?,
        Op::Rdmsr => control::rdmsr(cpu)?,
        Op::Wrmsr => control::wrmsr(cpu)?,
        Op::Rdpmc => control::rdpmc()?,
        Op::Fpu => control::fpu(cpu, insn)?,
        Op::Ud | Op::Invalid => return Err(Exception::Ud.into()),
    }
    cpu.state.eip = next;
    Ok(())
}
