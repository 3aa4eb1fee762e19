//! The closed list of operations, one row each, and the selection of a row by iced-x86's instruction code.
//!
//! What no row selects is [`Op::Invalid`]: the guest gets #UD. A row names iced's mnemonics, the
//! processor feature that its encodings may need, and, where one mnemonic stands for several operations,
//! the form of operands that tells them apart.

use iced_x86::{Code, CpuidFeature, Mnemonic};

/// What a processor must have for the encodings of a row to exist.
///
/// A feature includes the 80386's instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// The 80386 and what it kept of the 8086, 80186 and 80286.
    I386,
    /// Added by the 80486.
    I486,
    /// x87, with the P6's FCMOVcc and FCOMI.
    Fpu,
    /// CPUID can be executed.
    Cpuid,
    /// CPUID.01H:EDX.TSC.
    Tsc,
    /// CPUID.01H:EDX.MSR.
    Msr,
    /// CPUID.01H:EDX.CX8.
    Cx8,
    /// CPUID.01H:EDX.CMOV.
    Cmov,
    /// The P6's RDPMC.
    Rdpmc,
    /// The P6's multi-byte NOP and reserved hint NOPs.
    MultibyteNop,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::I386,
        Self::I486,
        Self::Fpu,
        Self::Cpuid,
        Self::Tsc,
        Self::Msr,
        Self::Cx8,
        Self::Cmov,
        Self::Rdpmc,
        Self::MultibyteNop,
    ];

    /// Whether an instruction code exists with this feature.
    fn suffices(self, code: Code) -> bool {
        code.cpuid_features().iter().all(|&needed| self.covers(needed))
    }

    /// Whether an encoding that iced files under `needed` exists with this feature.
    fn covers(self, needed: CpuidFeature) -> bool {
        use CpuidFeature as F;
        let baseline = matches!(needed, F::INTEL8086 | F::INTEL186 | F::INTEL286 | F::INTEL386);
        baseline
            || match self {
                Self::I386 => false,
                Self::I486 => needed == F::INTEL486,
                Self::Fpu => matches!(needed, F::FPU | F::FPU287 | F::FPU387 | F::CMOV),
                Self::Cpuid => needed == F::CPUID,
                Self::Tsc => needed == F::TSC,
                Self::Msr => needed == F::MSR,
                Self::Cx8 => needed == F::CX8,
                Self::Cmov => needed == F::CMOV,
                Self::Rdpmc => needed == F::RDPMC,
                Self::MultibyteNop => needed == F::MULTIBYTENOP,
            }
    }
}

/// The form of operands that tells apart operations with one mnemonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// None of the below.
    Plain,
    /// A far pointer, immediate or in memory (JMP, CALL).
    Far,
    /// One operand (IMUL).
    OneOperand,
    /// A segment register (MOV).
    Segment,
    /// A control register (MOV).
    Control,
    /// A debug register (MOV).
    Debug,
}

/// The form of an instruction code.
fn form_of(code: Code) -> Form {
    match code {
        Code::Mov_rm16_Sreg | Code::Mov_r32m16_Sreg | Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 => {
            Form::Segment
        }
        Code::Mov_r32_cr | Code::Mov_cr_r32 => Form::Control,
        Code::Mov_r32_dr | Code::Mov_dr_r32 => Form::Debug,
        Code::Imul_rm8 | Code::Imul_rm16 | Code::Imul_rm32 => Form::OneOperand,
        _ if code.is_jmp_far() || code.is_jmp_far_indirect() => Form::Far,
        _ if code.is_call_far() || code.is_call_far_indirect() => Form::Far,
        _ => Form::Plain,
    }
}

/// One row of the list.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The operation.
    pub op: Op,
    /// iced's mnemonics of its instructions.
    pub mnemonics: &'static [Mnemonic],
    /// What its encodings may need.
    pub feature: Feature,
    /// The form of its operands.
    pub form: Form,
    /// Its line in the list: what it is, and where the manual tells it.
    pub summary: &'static str,
}

impl Row {
    /// Whether the row selects an instruction code.
    #[must_use]
    pub fn selects(&self, code: Code) -> bool {
        self.mnemonics.contains(&code.mnemonic()) && self.form == form_of(code) && self.feature.suffices(code)
    }
}

/// The rows, in the order of [`Op::ALL`].
#[must_use]
pub fn rows() -> &'static [Row] {
    ROWS
}

/// The operation of an instruction code; [`Op::Invalid`] if no row selects it.
#[must_use]
pub fn select(code: Code) -> Op {
    if !Feature::ALL.iter().any(|feature| feature.suffices(code)) {
        return Op::Invalid;
    }
    ROWS.iter().find(|row| row.selects(code)).map_or(Op::Invalid, |row| row.op)
}

macro_rules! form {
    () => {
        Form::Plain
    };
    ($form:ident) => {
        Form::$form
    };
}

/// Derives `Op`, its names and `ROWS` from the list.
macro_rules! operations {
    ($(#[doc = $doc:literal] $op:ident = [$($mnemonic:ident)*] @ $feature:ident $(, $form:ident)?;)*) => {
        /// An operation: what an instruction does, apart from its operands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = $doc] $op,)*
        }

        impl Op {
            /// All operations, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$op),*];

            /// Its name in the list.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$op => stringify!($op),)*
                }
            }
        }

        const ROWS: &[Row] = &[$(
            Row {
                op: Op::$op,
                mnemonics: &[$(Mnemonic::$mnemonic),*],
                feature: Feature::$feature,
                form: form!($($form)?),
                summary: $doc.trim_ascii(),
            },
        )*];
    };
}

operations! {
    // Data transfer.

    /// Move. SDM Vol. 2B, "MOV".
    Mov = [Mov] @ I386;
    /// Move with zero extension. SDM Vol. 2B, "MOVZX".
    Movzx = [Movzx] @ I386;
    /// Move with sign extension. SDM Vol. 2B, "MOVSX".
    Movsx = [Movsx] @ I386;
    /// Load effective address. SDM Vol. 2A, "LEA".
    Lea = [Lea] @ I386;
    /// Exchange. SDM Vol. 2D, "XCHG".
    Xchg = [Xchg] @ I386;
    /// Reverse the bytes. SDM Vol. 2A, "BSWAP".
    Bswap = [Bswap] @ I486;
    /// Table look-up. SDM Vol. 2D, "XLAT".
    Xlat = [Xlatb] @ I386;
    /// Load flags into AH. SDM Vol. 2A, "LAHF".
    Lahf = [Lahf] @ I386;
    /// Store AH into flags. SDM Vol. 2B, "SAHF".
    Sahf = [Sahf] @ I386;
    /// Set AL from carry, D6. SDM Vol. 2D, opcode map (undocumented).
    Salc = [Salc] @ I386;
    /// Set byte on condition. SDM Vol. 2B, "SETcc".
    Setcc = [Seto Setno Setb Setae Sete Setne Setbe Seta Sets Setns Setp Setnp Setl Setge Setle Setg] @ I386;
    /// Conditional move. SDM Vol. 2A, "CMOVcc".
    Cmovcc = [Cmovo Cmovno Cmovb Cmovae Cmove Cmovne Cmovbe Cmova
              Cmovs Cmovns Cmovp Cmovnp Cmovl Cmovge Cmovle Cmovg] @ Cmov;
    /// Sign-extend the accumulator in place. SDM Vol. 2A, "CBW/CWDE".
    Cbw = [Cbw Cwde] @ I386;
    /// Sign-extend the accumulator into (E)DX. SDM Vol. 2A, "CWD/CDQ".
    Cwd = [Cwd Cdq] @ I386;
    /// Push. SDM Vol. 2B, "PUSH".
    Push = [Push] @ I386;
    /// Pop. SDM Vol. 2B, "POP".
    Pop = [Pop] @ I386;
    /// Push all general-purpose registers. SDM Vol. 2B, "PUSHA/PUSHAD".
    Pusha = [Pusha Pushad] @ I386;
    /// Pop all general-purpose registers. SDM Vol. 2B, "POPA/POPAD".
    Popa = [Popa Popad] @ I386;
    /// Push EFLAGS. SDM Vol. 2B, "PUSHF/PUSHFD".
    Pushf = [Pushf Pushfd] @ I386;
    /// Pop EFLAGS. SDM Vol. 2B, "POPF/POPFD".
    Popf = [Popf Popfd] @ I386;
    /// Make a stack frame. SDM Vol. 2A, "ENTER".
    Enter = [Enter] @ I386;
    /// Leave a stack frame. SDM Vol. 2A, "LEAVE".
    Leave = [Leave] @ I386;

    // Arithmetic and logic.

    /// Add. SDM Vol. 2A, "ADD".
    Add = [Add] @ I386;
    /// Inclusive or. SDM Vol. 2B, "OR".
    Or = [Or] @ I386;
    /// Add with carry. SDM Vol. 2A, "ADC".
    Adc = [Adc] @ I386;
    /// Subtract with borrow. SDM Vol. 2B, "SBB".
    Sbb = [Sbb] @ I386;
    /// And. SDM Vol. 2A, "AND".
    And = [And] @ I386;
    /// Subtract. SDM Vol. 2B, "SUB".
    Sub = [Sub] @ I386;
    /// Exclusive or. SDM Vol. 2D, "XOR".
    Xor = [Xor] @ I386;
    /// Compare. SDM Vol. 2A, "CMP".
    Cmp = [Cmp] @ I386;
    /// And, flags only. SDM Vol. 2B, "TEST".
    Test = [Test] @ I386;
    /// Add 1, carry kept. SDM Vol. 2A, "INC".
    Inc = [Inc] @ I386;
    /// Subtract 1, carry kept. SDM Vol. 2A, "DEC".
    Dec = [Dec] @ I386;
    /// Negate. SDM Vol. 2B, "NEG".
    Neg = [Neg] @ I386;
    /// Complement. SDM Vol. 2B, "NOT".
    Not = [Not] @ I386;
    /// Exchange and add. SDM Vol. 2D, "XADD".
    Xadd = [Xadd] @ I486;
    /// Compare and exchange. SDM Vol. 2A, "CMPXCHG".
    Cmpxchg = [Cmpxchg] @ I486;
    /// Compare and exchange 8 bytes. SDM Vol. 2A, "CMPXCHG8B/CMPXCHG16B".
    Cmpxchg8b = [Cmpxchg8b] @ Cx8;
    /// Unsigned multiply. SDM Vol. 2B, "MUL".
    Mul = [Mul] @ I386;
    /// Signed multiply into the double accumulator. SDM Vol. 2A, "IMUL", one-operand form.
    Imul1 = [Imul] @ I386, OneOperand;
    /// Signed multiply, truncated. SDM Vol. 2A, "IMUL", two- and three-operand forms.
    Imul = [Imul] @ I386;
    /// Unsigned divide. SDM Vol. 2A, "DIV".
    Div = [Div] @ I386;
    /// Signed divide. SDM Vol. 2A, "IDIV".
    Idiv = [Idiv] @ I386;

    // Shifts, rotations, bits.

    /// Rotate left. SDM Vol. 2B, "RCL/RCR/ROL/ROR".
    Rol = [Rol] @ I386;
    /// Rotate right. SDM Vol. 2B, "RCL/RCR/ROL/ROR".
    Ror = [Ror] @ I386;
    /// Rotate left through carry. SDM Vol. 2B, "RCL/RCR/ROL/ROR".
    Rcl = [Rcl] @ I386;
    /// Rotate right through carry. SDM Vol. 2B, "RCL/RCR/ROL/ROR".
    Rcr = [Rcr] @ I386;
    /// Shift left, with its alias /6. SDM Vol. 2B, "SAL/SAR/SHL/SHR".
    Shl = [Shl Sal] @ I386;
    /// Shift right. SDM Vol. 2B, "SAL/SAR/SHL/SHR".
    Shr = [Shr] @ I386;
    /// Shift right, sign kept. SDM Vol. 2B, "SAL/SAR/SHL/SHR".
    Sar = [Sar] @ I386;
    /// Double shift left. SDM Vol. 2B, "SHLD".
    Shld = [Shld] @ I386;
    /// Double shift right. SDM Vol. 2B, "SHRD".
    Shrd = [Shrd] @ I386;
    /// Bit test. SDM Vol. 2A, "BT".
    Bt = [Bt] @ I386;
    /// Bit test and set. SDM Vol. 2A, "BTS".
    Bts = [Bts] @ I386;
    /// Bit test and reset. SDM Vol. 2A, "BTR".
    Btr = [Btr] @ I386;
    /// Bit test and complement. SDM Vol. 2A, "BTC".
    Btc = [Btc] @ I386;
    /// Bit scan forward. SDM Vol. 2A, "BSF".
    Bsf = [Bsf] @ I386;
    /// Bit scan reverse. SDM Vol. 2A, "BSR".
    Bsr = [Bsr] @ I386;

    // Decimal arithmetic and single flags.

    /// ASCII adjust after addition. SDM Vol. 2A, "AAA".
    Aaa = [Aaa] @ I386;
    /// ASCII adjust after subtraction. SDM Vol. 2A, "AAS".
    Aas = [Aas] @ I386;
    /// ASCII adjust after multiplication. SDM Vol. 2A, "AAM".
    Aam = [Aam] @ I386;
    /// ASCII adjust before division. SDM Vol. 2A, "AAD".
    Aad = [Aad] @ I386;
    /// Decimal adjust after addition. SDM Vol. 2A, "DAA".
    Daa = [Daa] @ I386;
    /// Decimal adjust after subtraction. SDM Vol. 2A, "DAS".
    Das = [Das] @ I386;
    /// Clear carry. SDM Vol. 2A, "CLC".
    Clc = [Clc] @ I386;
    /// Set carry. SDM Vol. 2B, "STC".
    Stc = [Stc] @ I386;
    /// Complement carry. SDM Vol. 2A, "CMC".
    Cmc = [Cmc] @ I386;
    /// Clear the direction flag. SDM Vol. 2A, "CLD".
    Cld = [Cld] @ I386;
    /// Set the direction flag. SDM Vol. 2B, "STD".
    Std = [Std] @ I386;
    /// No operation, PAUSE, prefetches, reserved hint NOPs 0F 0D and 0F 18 to 0F 1F. SDM Vol. 2B, "NOP".
    Nop = [Nop Reservednop] @ MultibyteNop;

    // Strings and ports.

    /// Move string. SDM Vol. 2B, "MOVS".
    Movs = [Movsb Movsw Movsd] @ I386;
    /// Compare strings. SDM Vol. 2A, "CMPS".
    Cmps = [Cmpsb Cmpsw Cmpsd] @ I386;
    /// Scan string. SDM Vol. 2B, "SCAS".
    Scas = [Scasb Scasw Scasd] @ I386;
    /// Load string. SDM Vol. 2A, "LODS".
    Lods = [Lodsb Lodsw Lodsd] @ I386;
    /// Store string. SDM Vol. 2B, "STOS".
    Stos = [Stosb Stosw Stosd] @ I386;
    /// Input string from port. SDM Vol. 2A, "INS".
    Ins = [Insb Insw Insd] @ I386;
    /// Output string to port. SDM Vol. 2B, "OUTS".
    Outs = [Outsb Outsw Outsd] @ I386;
    /// Input from port. SDM Vol. 2A, "IN".
    In = [In] @ I386;
    /// Output to port. SDM Vol. 2B, "OUT".
    Out = [Out] @ I386;

    // Control transfer.

    /// Near jump. SDM Vol. 2A, "JMP".
    Jmp = [Jmp] @ I386;
    /// Conditional jump. SDM Vol. 2A, "Jcc".
    Jcc = [Jo Jno Jb Jae Je Jne Jbe Ja Js Jns Jp Jnp Jl Jge Jle Jg] @ I386;
    /// Near call. SDM Vol. 2A, "CALL".
    Call = [Call] @ I386;
    /// Near return. SDM Vol. 2B, "RET".
    Ret = [Ret] @ I386;
    /// Count down and loop. SDM Vol. 2A, "LOOP/LOOPcc".
    Loop = [Loop] @ I386;
    /// Count down and loop while equal. SDM Vol. 2A, "LOOP/LOOPcc".
    Loope = [Loope] @ I386;
    /// Count down and loop while not equal. SDM Vol. 2A, "LOOP/LOOPcc".
    Loopne = [Loopne] @ I386;
    /// Jump if the count is zero. SDM Vol. 2A, "Jcc".
    Jcxz = [Jcxz Jecxz] @ I386;
    /// Far jump. SDM Vol. 2A, "JMP".
    JmpFar = [Jmp] @ I386, Far;
    /// Far call. SDM Vol. 2A, "CALL".
    CallFar = [Call] @ I386, Far;
    /// Far return. SDM Vol. 2B, "RET".
    RetFar = [Retf] @ I386;
    /// Software interrupt. SDM Vol. 2A, "INT n/INTO/INT3/INT1".
    Int = [Int] @ I386;
    /// Debug trap, F1. SDM Vol. 2A, "INT n/INTO/INT3/INT1".
    Int1 = [Int1] @ I386;
    /// Breakpoint trap, CC. SDM Vol. 2A, "INT n/INTO/INT3/INT1".
    Int3 = [Int3] @ I386;
    /// Overflow trap. SDM Vol. 2A, "INT n/INTO/INT3/INT1".
    Into = [Into] @ I386;
    /// Interrupt return. SDM Vol. 2A, "IRET/IRETD".
    Iret = [Iret Iretd] @ I386;
    /// Check array index. SDM Vol. 2A, "BOUND".
    Bound = [Bound] @ I386;

    // Segment registers.

    /// Move to or from a segment register. SDM Vol. 2B, "MOV".
    MovSeg = [Mov] @ I386, Segment;
    /// Load far pointer into DS. SDM Vol. 2A, "LDS/LES/LFS/LGS/LSS".
    Lds = [Lds] @ I386;
    /// Load far pointer into ES. SDM Vol. 2A, "LDS/LES/LFS/LGS/LSS".
    Les = [Les] @ I386;
    /// Load far pointer into FS. SDM Vol. 2A, "LDS/LES/LFS/LGS/LSS".
    Lfs = [Lfs] @ I386;
    /// Load far pointer into GS. SDM Vol. 2A, "LDS/LES/LFS/LGS/LSS".
    Lgs = [Lgs] @ I386;
    /// Load far pointer into SS. SDM Vol. 2A, "LDS/LES/LFS/LGS/LSS".
    Lss = [Lss] @ I386;

    // System.

    /// Halt. SDM Vol. 2A, "HLT".
    Hlt = [Hlt] @ I386;
    /// Clear the interrupt flag. SDM Vol. 2A, "CLI".
    Cli = [Cli] @ I386;
    /// Set the interrupt flag. SDM Vol. 2B, "STI".
    Sti = [Sti] @ I386;
    /// Move to or from a control register. SDM Vol. 2B, "MOV - Move to/from Control Registers".
    MovCr = [Mov] @ I386, Control;
    /// Move to or from a debug register. SDM Vol. 2B, "MOV - Move to/from Debug Registers".
    MovDr = [Mov] @ I386, Debug;
    /// Load the GDT register. SDM Vol. 2A, "LGDT/LIDT".
    Lgdt = [Lgdt] @ I386;
    /// Load the IDT register. SDM Vol. 2A, "LGDT/LIDT".
    Lidt = [Lidt] @ I386;
    /// Store the GDT register. SDM Vol. 2B, "SGDT".
    Sgdt = [Sgdt] @ I386;
    /// Store the IDT register. SDM Vol. 2B, "SIDT".
    Sidt = [Sidt] @ I386;
    /// Load the LDT register. SDM Vol. 2A, "LLDT".
    Lldt = [Lldt] @ I386;
    /// Store the LDT register. SDM Vol. 2B, "SLDT".
    Sldt = [Sldt] @ I386;
    /// Load the task register. SDM Vol. 2A, "LTR".
    Ltr = [Ltr] @ I386;
    /// Store the task register. SDM Vol. 2B, "STR".
    Str = [Str] @ I386;
    /// Load the machine status word. SDM Vol. 2A, "LMSW".
    Lmsw = [Lmsw] @ I386;
    /// Store the machine status word. SDM Vol. 2B, "SMSW".
    Smsw = [Smsw] @ I386;
    /// Clear the task-switched flag. SDM Vol. 2A, "CLTS".
    Clts = [Clts] @ I386;
    /// Invalidate a TLB entry. SDM Vol. 2A, "INVLPG".
    Invlpg = [Invlpg] @ I486;
    /// Write back and invalidate caches. SDM Vol. 2D, "WBINVD".
    Wbinvd = [Wbinvd] @ I486;
    /// Invalidate caches. SDM Vol. 2A, "INVD".
    Invd = [Invd] @ I486;
    /// Processor identification. SDM Vol. 2A, "CPUID".
    Cpuid = [Cpuid] @ Cpuid;
    /// Read the time-stamp counter. SDM Vol. 2B, "RDTSC".
    Rdtsc = [Rdtsc] @ Tsc;
    /// Read a model-specific register. SDM Vol. 2B, "RDMSR".
    Rdmsr = [Rdmsr] @ Msr;
    /// Write a model-specific register. SDM Vol. 2D, "WRMSR".
    Wrmsr = [Wrmsr] @ Msr;
    /// Read a performance counter. SDM Vol. 2B, "RDPMC".
    Rdpmc = [Rdpmc] @ Rdpmc;
    /// Verify a segment for reading. SDM Vol. 2D, "VERR/VERW".
    Verr = [Verr] @ I386;
    /// Verify a segment for writing. SDM Vol. 2D, "VERR/VERW".
    Verw = [Verw] @ I386;
    /// Load access rights. SDM Vol. 2A, "LAR".
    Lar = [Lar] @ I386;
    /// Load segment limit. SDM Vol. 2A, "LSL".
    Lsl = [Lsl] @ I386;
    /// Adjust the RPL of a selector. SDM Vol. 2A, "ARPL".
    Arpl = [Arpl] @ I386;

    // The rest.

    /// x87 and WAIT. SDM Vol. 1, chapter 8.
    Fpu = [Wait F2xm1 Fabs Fadd Faddp Fbld Fbstp Fchs Fcmovb Fcmovbe Fcmove Fcmovnb Fcmovnbe Fcmovne Fcmovnu
           Fcmovu Fcom Fcomi Fcomip Fcomp Fcompp Fcos Fdecstp Fdiv Fdivp Fdivr Fdivrp Ffree Ffreep Fiadd Ficom
           Ficomp Fidiv Fidivr Fild Fimul Fincstp Fist Fistp Fisub Fisubr Fld Fld1 Fldcw Fldenv Fldl2e Fldl2t
           Fldlg2 Fldln2 Fldpi Fldz Fmul Fmulp Fnclex Fndisi Fneni Fninit Fnop Fnsave Fnsetpm Fnstcw Fnstenv
           Fnstsw Fpatan Fprem Fprem1 Fptan Frndint Frstor Fscale Fsin Fsincos Fsqrt Fst Fstp Fstpnce Fsub Fsubp
           Fsubr Fsubrp Ftst Fucom Fucomi Fucomip Fucomp Fucompp Fxam Fxch Fxtract Fyl2x Fyl2xp1] @ Fpu;
    /// The instructions that are undefined on purpose. SDM Vol. 2B, "UD".
    Ud = [Ud0 Ud1 Ud2] @ I386;
    /// Everything that no row selects: #UD.
    Invalid = [] @ I386;
}
