//! Decoded blocks of code that is interpreted: instructions that are run one after another without a fetch of
//! each.
//!
//! A block lies in one page of plain memory. Before it is entered its bytes are compared with those in memory,
//! unless the processor's watch over the page says that nothing can have happened since; between two of its
//! instructions the watch is asked again. So stores to code show at the next instruction, and need no notice
//! here.

use base::LinearAddr;
use cpu::{Cpu, Exception};
use isa::{DecodeMode, Insn, Op, Operand, Rep, decode_run};

/// Places for blocks to begin with and at most; powers of two.
const PLACES: usize = 1 << 12;
const MOST_PLACES: usize = 1 << 18;

/// Instructions kept before all are forgotten.
const INSNS: usize = 1 << 18;

/// Most bytes of a block.
const BYTES: usize = 64;

/// A block; the bytes that it was decoded from are kept elsewhere, so that those that are looked at lie close together.
#[derive(Clone, Copy)]
struct Block {
    eip: u32,
    code32: bool,
    /// Bytes; 0 for a place without block.
    len: u8,
    /// Its instructions: how many, and the first.
    count: u16,
    first: u32,
    /// The watch's number when the bytes were last compared.
    seen: u64,
}

const VACANT: Block = Block { eip: 0, code32: true, len: 0, count: 0, first: 0, seen: u64::MAX };

/// A direct-mapped cache of blocks that grows while they push each other out.
pub struct BlockCache {
    blocks: Vec<Block>,
    bytes: Vec<[u8; BYTES]>,
    insns: Vec<Insn>,
    /// Blocks that another has taken the place of.
    pushed_out: usize,
}

impl BlockCache {
    pub fn new() -> Self {
        Self {
            blocks: vec![VACANT; PLACES],
            bytes: vec![[0; BYTES]; PLACES],
            insns: Vec::new(),
            pushed_out: 0,
        }
    }

    /// Where the block at `eip` is kept: blocks that follow one another lie in a row.
    #[inline]
    fn place(&self, eip: u32) -> usize {
        (eip >> 2) as usize % self.blocks.len()
    }

    /// The instructions from CS:EIP on, of which only the last may need the run loop or be followed by another
    /// than the next; none where single instructions must be fetched.
    ///
    /// # Errors
    /// #GP(0) past the segment limit, #PF.
    #[inline]
    pub fn enter(&mut self, cpu: &mut Cpu) -> Result<&[Insn], Exception> {
        let block = &self.blocks[self.place(cpu.state.eip)];
        if block.eip != cpu.state.eip || block.seen != cpu.code_changes() {
            self.compare(cpu)?;
        }
        let block = &self.blocks[self.place(cpu.state.eip)];
        let first = block.first as usize;
        Ok(self.insns.get(first..first + usize::from(block.count)).unwrap_or_default())
    }

    /// Makes the place of EIP hold the block there as it is now.
    #[inline(never)]
    fn compare(&mut self, cpu: &mut Cpu) -> Result<(), Exception> {
        let eip = cpu.state.eip;
        let cs = &cpu.state.segs[isa::SegReg::Cs.index()];
        let behind = cs.limit.checked_sub(eip).ok_or(Exception::Gp(0))?;
        let code32 = cs.attrs & cpu::attr::DB != 0;
        let mut bytes = [0; BYTES];
        let len = cpu.watch_code(LinearAddr((cs.base as u32).wrapping_add(eip)), &mut bytes)?;
        let bytes = &bytes[..len.min((behind as usize).saturating_add(1))];
        let place = self.place(eip);
        let block = &self.blocks[place];
        let old = &self.bytes[place][..usize::from(block.len)];
        if block.len == 0 || block.eip != eip || block.code32 != code32 || !bytes.starts_with(old) {
            self.pushed_out += usize::from(block.len != 0 && block.eip != eip);
            self.decode(eip, DecodeMode { code32 }, bytes);
        }
        let place = self.place(eip);
        self.blocks[place].seen = cpu.code_changes();
        Ok(())
    }

    fn decode(&mut self, eip: u32, mode: DecodeMode, bytes: &[u8]) {
        if self.pushed_out > self.blocks.len() / 4 && self.blocks.len() < MOST_PLACES {
            let places = self.blocks.len() * 4;
            *self = Self { blocks: vec![VACANT; places], bytes: vec![[0; BYTES]; places], ..Self::new() };
        }
        if self.insns.len() >= INSNS {
            self.insns.clear();
            self.blocks.fill(VACANT);
        }
        let first = self.insns.len();
        let len = decode_run(bytes, eip, mode, &mut self.insns, is_plain);
        let place = self.place(eip);
        self.bytes[place][..len].copy_from_slice(&bytes[..len]);
        self.blocks[place] = Block {
            eip,
            code32: mode.code32,
            len: len as u8,
            count: (self.insns.len() - first) as u16,
            first: first as u32,
            seen: u64::MAX,
        };
    }
}

/// Whether the next instruction is the one behind, and the run loop need not look at the state before it.
fn is_plain(insn: &Insn) -> bool {
    let segment = insn.operands.iter().any(|operand| matches!(operand, Operand::Seg(_)));
    insn.rep == Rep::None && !segment && changes_data(insn.op)
}

/// Operations that change nothing but general-purpose registers, arithmetic flags, DF and memory, as long as they
/// have no segment register as operand. One that is missing here is run more slowly, not wrongly.
#[rustfmt::skip]
const fn changes_data(op: Op) -> bool {
    matches!(
        op,
        Op::Aaa | Op::Aad | Op::Aam | Op::Aas | Op::Adc | Op::Add | Op::And | Op::Bound | Op::Bsf | Op::Bsr
            | Op::Bswap | Op::Bt | Op::Btc | Op::Btr | Op::Bts | Op::Cbw | Op::Clc | Op::Cld | Op::Cmc
            | Op::Cmovcc | Op::Cmp | Op::Cmps | Op::Cmpxchg | Op::Cmpxchg8b | Op::Cwd | Op::Daa | Op::Das
            | Op::Dec | Op::Div | Op::Enter | Op::Idiv | Op::Imul | Op::Imul1 | Op::Inc | Op::Lahf | Op::Lea
            | Op::Leave | Op::Lods | Op::Mov | Op::Movs | Op::Movsx | Op::Movzx | Op::Mul | Op::Neg
            | Op::Nop | Op::Not | Op::Or | Op::Pop | Op::Popa | Op::Push | Op::Pusha | Op::Pushf | Op::Rcl
            | Op::Rcr | Op::Rol | Op::Ror | Op::Sahf | Op::Salc | Op::Sar | Op::Sbb | Op::Scas | Op::Setcc
            | Op::Shl | Op::Shld | Op::Shr | Op::Shrd | Op::Stc | Op::Std | Op::Stos | Op::Sub | Op::Test
            | Op::Xadd | Op::Xchg | Op::Xlat | Op::Xor
    )
}
