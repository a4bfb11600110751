//! In which order modules are looked at, and which names are no symbols.

/// `start` and everything reachable from it, nearest first, each once.
pub(in crate::engine) fn breadth_first<'a, T: Copy + PartialEq + 'a>(
    start: T,
    needed: impl Fn(T) -> &'a [T],
) -> Vec<T> {
    let mut all = vec![start];
    let mut next = 0;
    while let Some(&here) = all.get(next) {
        next += 1;
        for &other in needed(here) {
            if !all.contains(&other) {
                all.push(other);
            }
        }
    }
    all
}

/// Numbers below `count`, each after those that it needs as far as circles allow. `number` is that
/// of a thing that is needed; `None` if it is none of these.
pub(in crate::engine) fn needed_first<'a, T: Copy + 'a>(
    count: usize,
    needed: impl Fn(usize) -> &'a [T],
    number: impl Fn(T) -> Option<usize>,
) -> Vec<usize> {
    let mut order = Vec::with_capacity(count);
    let mut seen = vec![false; count];
    // Pairs of a number and how many of its needs have been looked at: no recursion, because a
    // chain may be long.
    let mut stack = Vec::new();
    for start in 0..count {
        if !std::mem::replace(&mut seen[start], true) {
            stack.push((start, 0));
        }
        while let Some((index, next)) = stack.pop() {
            let Some(&needed) = needed(index).get(next) else {
                order.push(index);
                continue;
            };
            stack.push((index, next + 1));
            if let Some(other) = number(needed)
                && !std::mem::replace(&mut seen[other], true)
            {
                stack.push((other, 0));
            }
        }
    }
    order
}

/// Names that begin so are of the convention between modules and loader, and no symbols. Others
/// that compilers make are: `__wasm_lpad_context` of C++, `__wasm_setjmp`.
const RESERVED: [&str; 3] = ["__wasm_apply_", "__wasm_call_", "__wasm_init_"];

/// Whether a name is one of the convention between modules and loader, and no symbol.
pub(in crate::engine) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| name.starts_with(reserved))
}

#[cfg(test)]
mod tests {
    use super::breadth_first;

    #[test]
    fn circles_end_and_the_nearest_comes_first() {
        let needed = |n: i32| -> &'static [i32] {
            match n {
                2 => &[3, 4],
                3 => &[5],
                4 => &[2],
                _ => &[4, 5],
            }
        };
        assert_eq!(breadth_first(2, needed), [2, 3, 4, 5]);
    }
}
