//! Shifts and rotates.

use crate::machine::case;

#[test]
fn count_zero_after_masking_changes_nothing() {
    for code in ["c1 e0 00", "c1 e8 20", "c1 f8 e0", "c1 c0 00", "c1 c8 20", "c1 d0 00", "c1 d8 20"] {
        case(code, "eax=80000001 CF PF AF ZF SF OF", "CF PF AF ZF SF OF");
        case(code, "eax=80000001", "");
    }
    case("d3 e0", "eax=80000001 ecx=ffffff20 CF OF AF", "CF OF AF");
    case("0f a4 d8 20", "eax=1 ebx=2 CF AF OF", "CF AF OF");
    case("0f ad d8", "eax=1 ebx=2 ecx=40 CF AF OF", "CF AF OF");
    case("c1 25 00 80 00 00 20", "m=1 CF ZF", "CF ZF");
}

#[test]
fn shl() {
    case("d1 e0", "eax=c0000000 AF", "eax=80000000 CF PF SF");
    case("d1 e0", "eax=40000000", "eax=80000000 PF SF OF");
    case("d1 e0", "eax=80000000", "eax=0 CF PF ZF OF");
    case("c0 e0 08", "eax=1101 AF", "eax=1100 CF PF ZF OF");
    case("c0 e0 09", "eax=11ff", "eax=1100 PF ZF");
    case("d2 e4", "eax=12345678 ecx=1", "eax=1234ac78 PF SF OF");
    case("66 c1 e0 10", "eax=aaaa0001", "eax=aaaa0000 CF PF ZF OF");
    case("66 c1 e0 1f", "eax=aaaaffff", "eax=aaaa0000 PF ZF");
    case("c1 e0 1f", "eax=3", "eax=80000000 CF PF SF");
    case("d3 25 00 80 00 00", "m=1 ecx=21", "m=2");
}

#[test]
fn shr() {
    case("d1 e8", "eax=80000001 AF", "eax=40000000 CF PF OF");
    case("d1 e8", "eax=1", "eax=0 CF PF ZF");
    case("c0 e8 08", "eax=1180", "eax=1100 CF PF ZF OF");
    case("c0 e8 09", "eax=11ff", "eax=1100 PF ZF OF");
    case("66 c1 e8 0f", "eax=12348000", "eax=12340001 OF");
    case("c1 e8 1f", "eax=c0000000", "eax=1 CF OF");
}

#[test]
fn sar() {
    case("d1 f8", "eax=80000001 OF AF", "eax=c0000000 CF PF SF");
    case("d1 f8", "eax=7fffffff", "eax=3fffffff CF PF");
    case("c0 f8 1f", "eax=1180", "eax=11ff CF PF SF");
    case("c0 f8 07", "eax=1140 OF", "eax=1100 CF PF ZF");
    case("66 c1 f8 1f", "eax=12348000", "eax=1234ffff CF PF SF");
    case("c1 f8 1f", "eax=40000000", "eax=0 CF PF ZF");
}

#[test]
fn rotates_change_carry_and_overflow_alone() {
    case("d1 c0", "eax=80000000 ZF AF", "eax=1 CF AF ZF OF");
    case("d1 c0", "eax=40000000 CF SF", "eax=80000000 SF OF");
    case("c0 c0 08", "eax=1181", "eax=1181 CF");
    case("c0 c0 18", "eax=1180 CF", "eax=1180 OF");
    case("66 c1 c0 04", "eax=aaaa1234", "eax=aaaa2341 CF OF");
    case("d1 c8", "eax=1", "eax=80000000 CF OF");
    case("d1 c8", "eax=3", "eax=80000001 CF OF");
    case("d1 c8", "eax=80000000", "eax=40000000 OF");
    case("c0 c8 0c", "eax=1112", "eax=1121");
    case("c0 c8 08", "eax=11c0", "eax=11c0 CF");
    case("d3 c8", "eax=12345678 ecx=10", "eax=56781234 OF");
}

#[test]
fn rotates_through_carry() {
    case("d1 d0", "eax=80000000 ZF", "eax=0 CF ZF OF");
    case("d1 d0", "eax=40000000 CF", "eax=80000001 OF");
    case("c0 d0 09", "eax=1181 CF", "eax=1181 CF");
    case("c0 d0 09", "eax=1181 OF", "eax=1181 OF");
    case("c0 d0 0a", "eax=1181", "eax=1102 CF OF");
    case("66 c1 d0 11", "eax=aaaa8001 CF ZF", "eax=aaaa8001 CF ZF");
    case("c1 d0 1f", "eax=1 CF", "eax=c0000000 OF");
    case("d1 d8", "eax=1", "eax=0 CF");
    case("d1 d8", "eax=0 CF", "eax=80000000 OF");
    case("d1 d8", "eax=80000001 CF", "eax=c0000000 CF");
    case("c0 d8 09", "eax=1101 CF", "eax=1101 CF");
    case("66 d1 d8", "eax=ffff0001", "eax=ffff0000 CF");
    case("d2 d8", "eax=1103 ecx=2 CF", "eax=11c0 CF");
}

#[test]
fn double_shifts() {
    case("0f a4 d8 04", "eax=12345678 ebx=9abcdef0", "eax=23456789 CF");
    case("0f a4 d8 01", "eax=40000000 ebx=80000000 AF", "eax=80000001 SF OF");
    case("0f a4 d8 1f", "eax=3 ebx=80000000", "eax=c0000000 CF PF SF OF");
    case("0f ac d8 04", "eax=12345678 ebx=9abcdef0", "eax=1234567 CF");
    case("0f ac d8 01", "eax=0 ebx=1 AF", "eax=80000000 PF SF OF");
    case("0f ac d8 1f", "eax=c0000000 ebx=2", "eax=5 CF PF OF");
    case("66 0f a4 d8 04", "eax=aaaa1234 ebx=bbbb5678", "eax=aaaa2345 CF");
    case("66 0f ac d8 04", "eax=aaaa1234 ebx=bbbb5678", "eax=aaaa8123 SF OF");
    case("66 0f ac d8 10", "eax=aaaa8000 ebx=bbbb5678", "eax=aaaa5678 CF PF OF");
    case("0f a5 1d 00 80 00 00", "m=1 ebx=0 ecx=3f", "m=80000000 PF SF OF");
}

#[test]
fn narrow_double_shifts_past_their_width_come_round_to_the_destination() {
    // 1234:5678:1234 shifted left by 20; the last bit out is the lowest of the fifth digit.
    case("66 0f a4 d8 14", "eax=aaaa1234 ebx=5678", "eax=aaaa6781 PF CF");
    case("66 0f ac d8 14", "eax=aaaa1234 ebx=5678", "eax=aaaa4567 CF");
}
