//! Bills of materials in SPDX 2.3, as JSON (spdx.github.io/spdx-spec/v2.3).

use build_graph::SOURCE_DATE_EPOCH;
use serde_json::{Value, json};

use super::bill::{Bill, Component, Kind, Relation};
use super::{TOOL, VERSION};

/// What is said where nothing is known.
const NO_ASSERTION: &str = "NOASSERTION";

/// The document.
pub fn document(bill: &Bill) -> Value {
    let all = || std::iter::once(&bill.root).chain(&bill.components);
    let mut relationships = vec![relationship("DOCUMENT", "DESCRIBES", &bill.root.id)];
    relationships.extend(bill.relations.iter().map(|(from, relation, to)| match relation {
        Relation::Needs => relationship(from, "DEPENDS_ON", to),
        Relation::Contains => relationship(from, "CONTAINS", to),
        Relation::MadeOf => relationship(from, "GENERATED_FROM", to),
        Relation::BuiltWith => relationship(to, "BUILD_TOOL_OF", from),
    }));
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": bill.root.name,
        // It has to be unique; nothing is to be found there.
        "documentNamespace": format!("urn:pynbox-build:spdx:{}", bill.digest().to_hex()),
        "creationInfo": {
            // A constant, so that the same build gives the same document.
            "created": humantime::format_rfc3339_seconds(
                std::time::UNIX_EPOCH + std::time::Duration::from_secs(SOURCE_DATE_EPOCH)
            ).to_string(),
            "creators": [format!("Tool: {TOOL}-{VERSION}")],
        },
        "packages": all().map(package).collect::<Vec<_>>(),
        "relationships": relationships,
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": format!("SPDXRef-{from}"),
        "relationshipType": kind,
        "relatedSpdxElement": format!("SPDXRef-{to}"),
    })
}

fn package(component: &Component) -> Value {
    let purpose = match component.kind {
        Kind::Installation => "INSTALL",
        Kind::Package => "LIBRARY",
        Kind::Source => "SOURCE",
        Kind::File => "FILE",
        Kind::Tool => "APPLICATION",
    };
    let mut package = json!({
        "SPDXID": format!("SPDXRef-{}", component.id),
        "name": component.name,
        "downloadLocation": component.url.as_deref().unwrap_or(NO_ASSERTION),
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": component.license.as_deref().unwrap_or(NO_ASSERTION),
        "copyrightText": NO_ASSERTION,
        "primaryPackagePurpose": purpose,
    });
    if let Some(digest) = &component.sha256 {
        package["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": digest}]);
    }
    if let Some(tree) = &component.tree {
        package["comment"] = format!("pynbox-build tree {tree}").into();
    }
    if let Some(version) = &component.version {
        package["versionInfo"] = version.as_str().into();
    }
    if let Some(purl) = &component.purl {
        package["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }]);
    }
    package
}
