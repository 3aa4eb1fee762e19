//! The functions that run instructions: one for all of them, and one for each kind of operands of those that run
//! often. What an instruction does stands in its family's file; here stand the kinds.

use cpu::{Cpu, Trap};
use isa::{Op, Operand, Width};

use crate::packed::{Kind, Packed};
use crate::view::{ANY, Fixed, IMM, MEM, NONE, REG, TARGET, View};
use crate::{arith, branch, data, logic, muldiv, shift, stack};

/// Runs one instruction.
pub type Handler = fn(&mut Cpu, &Packed) -> Result<(), Trap>;

/// A handler of its own for the instructions with these operands.
struct Row {
    op: Op,
    kinds: [u8; 2],
    /// Operation, operands and addresses must be 32 bits wide.
    wide: bool,
    /// Number of the condition, or [`ANY`].
    cond: u8,
    handler: Handler,
}

/// A row for an instruction that goes on behind itself.
macro_rules! plain {
    ($op:ident $function:path, $a:ident $b:ident $wide:literal) => {{
        fn handler(cpu: &mut Cpu, insn: &Packed) -> Result<(), Trap> {
            let next = insn.next(cpu);
            $function(cpu, &Fixed::<$a, $b, $wide, ANY>(insn))?;
            cpu.state.eip = next;
            Ok(())
        }
        Row { op: Op::$op, kinds: [$a, $b], wide: $wide, cond: ANY, handler }
    }};
}

/// A row for a branch, which sets EIP.
macro_rules! branch {
    ($op:ident $function:path, $a:ident $cond:expr $(, $next:ident)?) => {{
        fn handler(cpu: &mut Cpu, insn: &Packed) -> Result<(), Trap> {
            $(let $next = insn.next(cpu);)?
            Ok($function(cpu, &Fixed::<$a, NONE, true, { $cond }>(insn) $(, $next)?)?)
        }
        Row { op: Op::$op, kinds: [$a, NONE], wide: true, cond: $cond, handler }
    }};
}

/// The rows of an operation with two operands.
macro_rules! binary {
    ($op:ident $function:path) => {
        [
            plain!($op $function, REG REG true),
            plain!($op $function, REG IMM true),
            plain!($op $function, REG MEM true),
            plain!($op $function, MEM REG true),
            plain!($op $function, MEM IMM true),
            plain!($op $function, REG REG false),
            plain!($op $function, REG IMM false),
            plain!($op $function, REG MEM false),
            plain!($op $function, MEM REG false),
            plain!($op $function, MEM IMM false),
        ]
    };
}

/// The rows of an operation with one operand.
macro_rules! unary {
    ($op:ident $function:path) => {
        [plain!($op $function, REG NONE true), plain!($op $function, MEM NONE true)]
    };
}

macro_rules! jcc {
    ($($cond:literal)*) => { [$(branch!(Jcc branch::jcc, TARGET $cond, next)),*] };
}

const TABLES: &[&[Row]] = &[
    &binary!(Mov data::mov),
    &binary!(Add arith::add),
    &binary!(Sub arith::sub),
    &binary!(Cmp arith::cmp),
    &binary!(And logic::and),
    &binary!(Or logic::or),
    &binary!(Xor logic::xor),
    &unary!(Inc arith::inc),
    &unary!(Dec arith::dec),
    &unary!(Neg arith::neg),
    &unary!(Not logic::not),
    &jcc!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
    &[
        plain!(Test logic::test, REG REG true),
        plain!(Test logic::test, REG IMM true),
        plain!(Test logic::test, MEM REG true),
        plain!(Test logic::test, MEM IMM true),
        plain!(Test logic::test, REG REG false),
        plain!(Test logic::test, REG IMM false),
        plain!(Test logic::test, MEM REG false),
        plain!(Test logic::test, MEM IMM false),
        plain!(Adc arith::adc, REG REG true),
        plain!(Adc arith::adc, REG IMM true),
        plain!(Adc arith::adc, REG MEM true),
        plain!(Sbb arith::sbb, REG REG true),
        plain!(Sbb arith::sbb, REG MEM true),
        plain!(Lea data::lea, REG MEM true),
        plain!(Movzx data::movzx, REG REG false),
        plain!(Movzx data::movzx, REG MEM false),
        plain!(Movsx data::movsx, REG REG false),
        plain!(Movsx data::movsx, REG MEM false),
        plain!(Imul muldiv::imul, REG REG true),
        plain!(Imul muldiv::imul, REG MEM true),
        plain!(Shl shift::shl, REG IMM true),
        plain!(Shr shift::shr, REG IMM true),
        plain!(Sar shift::sar, REG IMM true),
        plain!(Rol shift::rol, REG IMM true),
        plain!(Ror shift::ror, REG IMM true),
        plain!(Push stack::push, REG NONE true),
        plain!(Push stack::push, MEM NONE true),
        plain!(Push stack::push, IMM NONE true),
        plain!(Pop stack::pop, REG NONE true),
        branch!(Jmp branch::jmp, TARGET ANY),
        branch!(Jmp branch::jmp, REG ANY),
        branch!(Jmp branch::jmp, MEM ANY),
        branch!(Call branch::call, TARGET ANY, next),
        branch!(Call branch::call, REG ANY, next),
        branch!(Call branch::call, MEM ANY, next),
        branch!(Ret branch::ret, NONE ANY),
    ],
];

/// How many handlers there are.
#[cfg(test)]
pub const COUNT: usize = {
    let (mut count, mut table) = (1, 0);
    while table < TABLES.len() {
        count += TABLES[table].len();
        table += 1;
    }
    count
};

/// The handlers by their number; those that no row has run everything.
pub static HANDLERS: [Handler; 256] = {
    let mut handlers: [Handler; 256] = [crate::general; 256];
    let (mut number, mut table) = (1, 0);
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            handlers[number] = TABLES[table][row].handler;
            (number, row) = (number + 1, row + 1);
        }
        table += 1;
    }
    handlers
};

/// Kinds of operands that rows tell apart.
const KINDS: usize = TARGET as usize + 1;

/// Handlers of an operation: by kinds of the operands and whether all is 32 bits wide.
type Numbers = [[[u8; 2]; KINDS]; KINDS];

/// Numbers of the handlers of each operation; of Jcc that of the first condition.
static NUMBERS: [Numbers; Op::ALL.len()] = {
    let mut numbers = [[[[0; 2]; KINDS]; KINDS]; Op::ALL.len()];
    let (mut number, mut table) = (1, 0);
    while table < TABLES.len() {
        let mut at = 0;
        while at < TABLES[table].len() {
            let row = &TABLES[table][at];
            if row.cond == ANY || row.cond == 0 {
                let [first, second] = row.kinds;
                let place = &mut numbers[row.op as usize][first as usize][second as usize];
                place[row.wide as usize] = number;
            }
            (number, at) = (number + 1, at + 1);
        }
        table += 1;
    }
    numbers
};

/// Number of the handler of an instruction.
pub fn number(insn: &Packed) -> u8 {
    let kinds = [insn.kind(0), insn.kind(1)].map(|kind| kind as usize);
    if insn.kind(2) != Kind::None || kinds.iter().any(|kind| *kind >= KINDS) {
        return 0;
    }
    let numbers = NUMBERS[insn.op() as usize][kinds[0]][kinds[1]];
    match (numbers, insn.op()) {
        ([any, 0], _) => any,
        ([any, _], _) if !is_wide(insn) => any,
        ([_, first], Op::Jcc) => first + insn.cond() as u8,
        ([_, wide], _) => wide,
    }
}

/// Whether operation, operands and addresses are 32 bits wide.
fn is_wide(insn: &Packed) -> bool {
    let wide = |n| match insn.operand(n) {
        Operand::Reg(reg) => reg.width == Width::B4,
        // LEA accesses nothing.
        Operand::Mem(mem) => mem.size == 4 || mem.size == 0,
        Operand::None | Operand::Imm(_) | Operand::Target(_) => true,
        Operand::Seg(_) | Operand::Cr(_) | Operand::Dr(_) | Operand::Far { .. } => false,
    };
    let widths = [insn.width(), insn.op_size(), insn.addr_size()];
    widths.iter().all(|width| *width == Width::B4) && wide(0) && wide(1)
}
