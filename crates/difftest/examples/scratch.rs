//! Temporary.
use marquetry_difftest as d;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {
        "ls" => {
            let (a, b) = (args[2].parse().unwrap(), args[3].parse().unwrap());
            let mut config = d::lockstep::LockstepConfig::default();
            for arg in &args[4..] { match arg.as_str() { "bg" => config.jit = engine::JitMode::Background, "off" => config.jit = engine::JitMode::Off, "1m" => config.code_bytes = 1 << 20, "t1" => config.threads = 1, m => config.most_divergences = m.parse().unwrap() } }
            let t = std::time::Instant::now();
            let r = d::lockstep::run_seeds(a..b, &config, &|_| {}).unwrap();
            println!("{r}"); println!("thin {:?} refused {}", r.thin(1000), r.refused); println!("{:?}", t.elapsed());
        }
        "or" => {
            let place = d::native::Native::new().unwrap().place();
            let config = d::oracle::OracleConfig { seed: args[2].parse().unwrap(), every: args[3].parse().unwrap(), ..Default::default() };
            let t = std::time::Instant::now();
            let r = if args.get(4).is_some() { let mut s = d::subject::JitSubject::new(place).unwrap(); let r = d::oracle::compare(config, &mut |f, b| s.run(f, b)).unwrap(); println!("{:?}", s.stats()); r } else { let mut s = d::subject::InterpSubject::new(place).unwrap(); d::oracle::compare(config, &mut |f, b| s.run(&f.insn, b)).unwrap() };
            println!("{r}"); println!("{:?}", t.elapsed());
        }
        "ft" => {
            let mut r = d::filetest::Runner::new().unwrap();
            let rep = d::filetest::run_dir(std::path::Path::new(&args[2]), &mut r).unwrap();
            println!("files {} insns {} cases {} counted {}", rep.files, rep.insns, rep.cases, rep.counted);
            for (p, f) in rep.failures { println!("{}: {f}", p.display()); }
        }
        "bless" => {
            let mut r = d::filetest::Runner::new().unwrap(); let mut n = d::native::Native::new().unwrap();
            for p in &args[2..] { let t = std::fs::read_to_string(p).unwrap(); match d::filetest::bless(&t, &mut r, Some(&mut n)) { Ok(b) => { std::fs::write(p, &b.text).unwrap(); println!("{p}: native {} interp {} problems {:?}", b.native, b.interpreted, b.problems); } Err(e) => println!("{p}: {e}") } }
        }
        _ => {}
    }
}
