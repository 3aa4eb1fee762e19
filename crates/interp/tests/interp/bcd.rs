//! Decimal adjustment.

use cpu::Exception;

use crate::machine::{case, faults};

#[test]
fn aaa() {
    case("37", "eax=1105 CF ZF", "eax=1105 PF");
    case("37", "eax=0a", "eax=100 CF PF AF ZF");
    // The addition is to AX: the carry out of AL adds to AH, too.
    case("37", "eax=1100fb", "eax=110201 CF AF");
    case("37", "eax=02 AF", "eax=108 CF AF");
    case("37", "eax=fffa", "eax=100 CF PF AF ZF");
}

#[test]
fn aas() {
    case("3f", "eax=1135 CF SF", "eax=1105 PF");
    case("3f", "eax=110f", "eax=1009 CF PF AF");
    case("3f", "eax=1105 AF", "eax=f0f CF PF AF");
    case("3f", "eax=aa000a", "eax=aaff04 CF AF");
}

#[test]
fn aam_and_aad_take_any_base() {
    case("d4 0a", "eax=113f CF AF OF", "eax=603 PF");
    case("d4 10", "eax=11ff", "eax=f0f PF");
    case("d4 0a", "eax=aa0014", "eax=aa0200 PF ZF");
    case("d4 ff", "eax=80", "eax=80 SF");
    faults("d4 00", "eax=1234 CF", Exception::De);
    case("d5 0a", "eax=aa0603 CF AF OF", "eax=aa003f PF");
    case("d5 10", "eax=0f0f", "eax=ff PF SF");
    case("d5 0a", "eax=ff0a", "eax=0 PF ZF");
    case("d5 00", "eax=1180", "eax=80 SF");
}

#[test]
fn daa() {
    case("27", "eax=1114 ", "eax=1114 PF");
    case("27", "eax=7d", "eax=83 AF SF");
    case("27", "eax=9a", "eax=0 CF PF AF ZF");
    case("27", "eax=a0", "eax=0 CF PF ZF");
    case("27", "eax=12 CF", "eax=72 CF PF");
    case("27", "eax=fa", "eax=60 CF PF AF");
    case("27", "eax=0 AF", "eax=6 PF AF");
    case("27", "eax=ff AF CF OF", "eax=65 CF PF AF");
}

#[test]
fn das() {
    case("2f", "eax=1114 OF", "eax=1114 PF");
    case("2f", "eax=1f", "eax=19 AF");
    case("2f", "eax=ee", "eax=88 CF PF AF SF");
    case("2f", "eax=a0", "eax=40 CF");
    // The borrow out of the low digit's adjustment stays.
    case("2f", "eax=5 AF", "eax=ff CF PF AF SF");
    case("2f", "eax=0 CF", "eax=a0 CF PF SF");
    case("2f", "eax=0 CF AF", "eax=9a CF PF AF SF");
}
