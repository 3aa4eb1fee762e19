//! Multiplication and division.

use cpu::Exception;

use crate::machine::{Machine, bytes, case, faults, put};

#[test]
fn mul_says_whether_the_upper_half_matters() {
    case("f6 e3", "eax=11223310 ebx=0f SF", "eax=112200f0 PF SF");
    case("f6 e3", "eax=10 ebx=10", "eax=100 CF PF ZF OF");
    case("f6 e3", "eax=ff ebx=ff AF", "eax=fe01 CF OF");
    case("66 f7 e3", "eax=aaaaffff ebx=2 edx=bbbb0000", "eax=aaaafffe edx=bbbb0001 CF SF OF");
    case("f7 e3", "eax=ffffffff ebx=ffffffff", "eax=1 edx=fffffffe CF OF");
    case("f7 e3", "eax=2 ebx=3 edx=99", "eax=6 edx=0 PF");
    case("f6 e4", "eax=0302", "eax=6 PF");
}

#[test]
fn imul_says_whether_the_sign_extended_lower_half_is_the_product() {
    case("f6 eb", "eax=ff ebx=ff", "eax=1");
    case("f6 eb", "eax=80 ebx=ff", "eax=80 CF SF OF");
    case("f6 eb", "eax=80 ebx=1", "eax=ff80 SF");
    case("66 f7 eb", "eax=8000 ebx=ffff", "eax=8000 edx=0 CF PF SF OF");
    case("f7 eb", "eax=80000000 ebx=2", "eax=0 edx=ffffffff CF PF ZF OF");
    case("f7 eb", "eax=fffffffe ebx=3", "eax=fffffffa edx=ffffffff PF SF");
    case("0f af c3", "eax=10000 ebx=8000 edx=7", "eax=80000000 edx=7 CF PF SF OF");
    case("0f af c3", "eax=ffffffff ebx=ffffffff", "eax=1");
    case("6b c3 fe", "ebx=3", "eax=fffffffa PF SF");
    case("66 6b c3 fe", "eax=ffff0000 ebx=4000", "eax=ffff8000 PF SF");
    case("69 05 00 80 00 00 00 00 00 10", "m=10", "eax=0 CF PF ZF OF");
}

#[test]
fn div_splits_into_quotient_and_remainder() {
    case("f6 f3", "eax=110eff ebx=10 CF ZF", "eax=110fef CF ZF");
    case("f6 f3", "eax=ff ebx=10 OF", "eax=f0f OF");
    case("66 f7 f3", "eax=aaaa0001 edx=bbbb0001 ebx=2", "eax=aaaa8000 edx=bbbb0001");
    case("f7 f3", "eax=0 edx=1 ebx=2", "eax=80000000 edx=0");
    case("f7 f3", "eax=ffffffff edx=fffffffe ebx=ffffffff", "eax=ffffffff edx=fffffffe");
}

#[test]
fn div_that_does_not_fit_is_an_error() {
    faults("f6 f3", "eax=100 ebx=1 CF", Exception::De);
    faults("f6 f3", "eax=1 ebx=ffffff00", Exception::De);
    faults("66 f7 f3", "eax=0 edx=1 ebx=1", Exception::De);
    faults("f7 f3", "eax=0 edx=1 ebx=1", Exception::De);
    faults("f7 35 00 80 00 00", "eax=1 m=0", Exception::De);
}

#[test]
fn idiv_cuts_toward_zero() {
    case("f6 fb", "eax=fff9 ebx=2", "eax=fffd");
    case("f6 fb", "eax=7 ebx=fe", "eax=1fd");
    case("66 f7 fb", "eax=8001 edx=ffff ebx=ffff", "eax=7fff edx=0");
    case("f7 fb", "eax=fffffff9 edx=ffffffff ebx=fffffffe", "eax=3 edx=ffffffff");
    case("f7 fb", "eax=80000000 edx=ffffffff ebx=1", "eax=80000000 edx=0");
    case("f6 fb", "eax=ff80 ebx=1", "eax=80");
}

#[test]
fn idiv_that_does_not_fit_is_an_error() {
    faults("f6 fb", "eax=80 ebx=1", Exception::De);
    faults("f6 fb", "eax=ff80 ebx=ff", Exception::De);
    faults("66 f7 fb", "eax=8000 edx=ffff ebx=ffff", Exception::De);
    faults("f7 fb", "eax=80000000 edx=ffffffff ebx=ffffffff", Exception::De);
    // The most negative dividend of all.
    faults("f7 fb", "eax=0 edx=80000000 ebx=ffffffff", Exception::De);
    faults("f7 fb", "eax=0 edx=0 ebx=0", Exception::De);
}

#[test]
fn a_source_that_faults_comes_before_the_division() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(crate::machine::DATA, 0);
    put(&mut machine, "eax=1 edx=2");
    let fault = Exception::Pf { la: base::LinearAddr(crate::machine::DATA), code: 0 };
    for code in ["f7 35 00 80 00 00", "f7 3d 00 80 00 00", "f7 25 00 80 00 00", "0f af 05 00 80 00 00"] {
        assert_eq!(machine.fault(&bytes(code)), fault);
    }
}
