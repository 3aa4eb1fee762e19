//! Decoding: nanoseconds for one instruction.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use isa::{DecodeMode, decode};

/// A plain one, one with SIB and displacement, one with prefixes.
const INSNS: [(&str, &[u8]); 3] = [
    ("mov eax, ebx", &[0x89, 0xd8]),
    ("mov eax, [esi+edi*4+0x1000]", &[0x8b, 0x84, 0xbe, 0x00, 0x10, 0x00, 0x00]),
    ("rep movsd", &[0xf3, 0xa5]),
];

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (text, bytes) in INSNS {
        group.bench_function(text, |b| {
            b.iter(|| decode(black_box(bytes), 0x10_0000, DecodeMode { code32: true }))
        });
    }
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
