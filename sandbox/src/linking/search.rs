//! Where a needed module is looked for.

/// The directory that is searched last.
const LIBRARIES: &[u8] = b"/slib";

/// The directory part of an absolute path of the guest; "/" for a name in the root.
pub fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&b| b == b'/') {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}

/// The absolute paths at which `name`, needed by the module at `path`, may lie, in the order in
/// which they are tried: the module's runtime paths (parts separated by `:`, `$ORIGIN` is the
/// module's directory), the module's directory, `/slib`. A name with a slash is a path already; a
/// relative one has no meaning and gives none.
pub fn candidates(name: &[u8], path: &[u8], runtime_paths: &[String]) -> Vec<Vec<u8>> {
    if name.contains(&b'/') {
        return if name[0] == b'/' { vec![name.to_vec()] } else { Vec::new() };
    }
    let origin = directory(path);
    let in_directory = |directory: &[u8]| [directory, b"/", name].concat();
    let mut all: Vec<Vec<u8>> = runtime_paths
        .iter()
        .flat_map(|paths| paths.split(':'))
        .map(|part| match part.strip_prefix("$ORIGIN").or_else(|| part.strip_prefix("${ORIGIN}")) {
            Some(rest) => [origin, rest.as_bytes()].concat(),
            None => part.as_bytes().to_vec(),
        })
        .filter(|part| part.first() == Some(&b'/'))
        .map(|part| in_directory(&part))
        .collect();
    all.push(in_directory(origin));
    all.push(in_directory(LIBRARIES));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_paths_come_first() {
        let paths = |name: &str, rpath: &[&str]| {
            let rpath: Vec<String> = rpath.iter().map(|&p| p.to_owned()).collect();
            let all = candidates(name.as_bytes(), b"/a/b/m.so", &rpath);
            all.into_iter().map(|p| String::from_utf8(p).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(paths("x.so", &[]), ["/a/b/x.so", "/slib/x.so"]);
        assert_eq!(
            paths("x.so", &["/r:relative:$ORIGIN/..", "${ORIGIN}"]),
            ["/r/x.so", "/a/b/../x.so", "/a/b/x.so", "/a/b/x.so", "/slib/x.so"]
        );
        assert_eq!(paths("/c/x.so", &["/r"]), ["/c/x.so"]);
        assert!(paths("c/x.so", &["/r"]).is_empty());
        assert_eq!(directory(b"/x.so"), b"/");
    }
}
