//! AND, OR, XOR, TEST, NOT.

use crate::machine::case;

#[test]
fn carry_overflow_and_adjust_are_cleared() {
    case("21 d8", "eax=ff00ff00 ebx=80ff0000 CF AF OF", "eax=80000000 PF SF");
    case("20 d8", "eax=112233f0 ebx=0f CF OF", "eax=11223300 PF ZF");
    case("09 d8", "eax=1 ebx=2 CF AF OF", "eax=3 PF");
    case("0c 80", "eax=7f00", "eax=7f80 SF");
    case("31 c0", "eax=ffffffff CF SF AF OF", "eax=0 PF ZF");
    case("66 35 00 80", "eax=ffff0000", "eax=ffff8000 PF SF");
    case("80 f4 ff", "eax=12345678", "eax=1234a978 PF SF");
}

#[test]
fn test_writes_nothing() {
    case("85 c0", "eax=80000000 CF OF", "PF SF");
    case("a8 01", "eax=2", "PF ZF");
    case("84 25 00 80 00 00", "eax=8000 m=80 CF", "SF");
    case("f6 c8 01", "eax=3", "");
}

#[test]
fn not_changes_no_flag() {
    case("f7 d0", "eax=0 CF ZF OF", "eax=ffffffff CF ZF OF");
    case("f6 d4", "eax=12345678 SF", "eax=1234a978 SF");
    case("66 f7 15 00 80 00 00", "m=12345678", "m=1234a987");
}
