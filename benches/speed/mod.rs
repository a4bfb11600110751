//! How much of the native speed sandboxed programs have.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Runs of each.
const ROUNDS: usize = 5;

/// Runs the same programs by several sides, of which the first is native: each prints lines with a
/// name and the processor's seconds. Prints the best of each, and its share of the native speed.
pub(crate) fn compare(sides: &mut [(&str, Command)]) {
    let mut best: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let count = sides.len();
    // In turn, so that what else the machine does hits all alike.
    for _ in 0..ROUNDS {
        for (number, (_, side)) in sides.iter_mut().enumerate() {
            let output = side.stdin(Stdio::null()).output().expect("a program that starts");
            assert!(output.status.success(), "{side:?}: {}", String::from_utf8_lossy(&output.stderr));
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let (name, seconds) = line.rsplit_once(' ').expect("a name and seconds");
                let seconds: f64 = seconds.parse().expect("seconds");
                let least = &mut best.entry(name.to_owned()).or_insert_with(|| vec![f64::INFINITY; count])[number];
                *least = least.min(seconds);
            }
        }
    }
    print!("{:<24}", "processor");
    for (name, _) in sides.iter() {
        print!("{name:>18}");
    }
    println!();
    let mut logarithms = vec![0.0; count];
    for (name, seconds) in &best {
        print!("{name:<24}");
        for (number, of_side) in seconds.iter().enumerate() {
            let share = seconds[0] / of_side;
            logarithms[number] += share.ln();
            let text = if number == 0 { String::new() } else { format!(" ({share:.2})") };
            print!("{:>18}", format!("{:.0} ms{text}", of_side * 1e3));
        }
        println!();
    }
    print!("{:<24}", "geometric mean of shares");
    let works = f64::from(u32::try_from(best.len()).unwrap_or(1));
    for (number, sum) in logarithms.iter().enumerate() {
        let text = if number == 0 { String::new() } else { format!("{:.2}", (sum / works).exp()) };
        print!("{text:>18}");
    }
    println!();
}
