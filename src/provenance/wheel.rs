//! Packages that were made of wheels without a recipe: what their receipts and their metadata tell.

use build_graph::Sha256;
use build_graph::node::{Origin, Source};

use super::ingredients::{Ingredient, What};
use crate::python::metadata::Metadata;
use crate::python::names::WheelName;

/// Licenses that classifiers name (`trove-classifiers`), where one SPDX identifier is meant: `BSD
/// License` is none.
const CLASSIFIED: [(&str, &str); 12] = [
    ("Apache Software License", "Apache-2.0"),
    ("GNU General Public License v2 (GPLv2)", "GPL-2.0-only"),
    ("GNU General Public License v2 or later (GPLv2+)", "GPL-2.0-or-later"),
    ("GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
    ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
    ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
    ("GNU Lesser General Public License v3 or later (LGPLv3+)", "LGPL-3.0-or-later"),
    ("ISC License (ISCL)", "ISC"),
    ("MIT License", "MIT"),
    ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ("Python Software Foundation License", "PSF-2.0"),
    ("The Unlicense (Unlicense)", "Unlicense"),
];

/// The license that a package's `METADATA` states, as an SPDX expression: by its own field, or by a
/// classifier that means one.
pub fn license(metadata: &[u8]) -> Option<String> {
    let metadata = Metadata::parse(metadata).ok()?;
    metadata.licenses.iter().find_map(|stated| {
        let classified = CLASSIFIED.iter().find(|(name, _)| name == stated).map(|(_, license)| *license);
        let expression = classified.unwrap_or(stated);
        spdx::Expression::parse(expression).is_ok().then(|| expression.to_owned())
    })
}

/// The wheel that a package was made of. `package` is its name, by which it is told apart.
pub fn ingredient(package: &str, file: &str, sha256: Sha256, license: Option<String>) -> Option<Ingredient> {
    let name: WheelName = file.parse().ok()?;
    // As it stands in the file's name, by which documents find the version.
    let project = file.split('-').next()?.to_owned();
    let source = Source {
        file: file.parse().ok()?,
        sha256,
        size: None,
        origins: vec![Origin::Pypi { project, file: file.to_owned() }],
    };
    Some(Ingredient {
        node: format!("wheel/{package}"),
        name: file.to_owned(),
        version: Some(name.version.to_string()),
        license,
        is_tool: false,
        what: What::Source(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licenses_of_metadata() {
        let of = |fields: &str| license(format!("Metadata-Version: 2.1\nName: a\nVersion: 1\n{fields}").as_bytes());
        assert_eq!(of("License-Expression: MIT OR Apache-2.0\n").unwrap(), "MIT OR Apache-2.0");
        assert_eq!(of("License: BSD\nClassifier: License :: OSI Approved :: MIT License\n").unwrap(), "MIT");
        assert_eq!(of("License: ISC\n").unwrap(), "ISC");
        assert_eq!(of("Classifier: License :: OSI Approved :: BSD License\n"), None);
        assert_eq!(of(""), None);
        for (_, expression) in CLASSIFIED {
            spdx::Expression::parse(expression).unwrap();
        }
    }

    #[test]
    fn a_wheel_is_found_in_documents() {
        let file = "charset_normalizer-3.4.4-py3-none-any.whl";
        let found = ingredient("python3-charset-normalizer", file, Sha256::from_bytes([1; 32]), None).unwrap();
        let mut bill = super::super::bill::Bill::of(super::super::bill::Component {
            id: "x".to_owned(),
            name: "x".to_owned(),
            version: None,
            license: None,
            purl: None,
            url: None,
            sha256: None,
            tree: None,
            kind: super::super::bill::Kind::Package,
        });
        bill.add_ingredients("x", &[found]);
        assert_eq!(bill.components[0].purl.as_deref(), Some("pkg:pypi/charset-normalizer@3.4.4"));
        assert!(ingredient("a", "../a.whl", Sha256::from_bytes([1; 32]), None).is_none());
    }
}
