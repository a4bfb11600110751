//! Bills of materials in CycloneDX 1.6, as JSON (cyclonedx.org/docs/1.6/json).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::bill::{Bill, Component, Kind, Relation};
use super::{TOOL, VERSION};

/// The document.
pub fn document(bill: &Bill) -> Value {
    let mut serial = [0; 16];
    serial.copy_from_slice(&bill.digest().as_bytes()[..16]);
    // A UUID of a digest (RFC 9562, version 8), so that the same build gives the same document.
    let serial = Uuid::from_u128(u128::from_be_bytes(serial) & !(0xf << 76 | 0x3 << 62) | 8 << 76 | 2 << 62);
    let mut depends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for component in std::iter::once(&bill.root).chain(&bill.components) {
        depends.entry(&component.id).or_default();
    }
    for (from, relation, to) in &bill.relations {
        if *relation != Relation::BuiltWith {
            depends.entry(from).or_default().push(to);
        }
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": TOOL, "version": VERSION}]},
            "component": component(&bill.root),
        },
        "components": bill.components.iter().map(component).collect::<Vec<_>>(),
        "dependencies": depends
            .into_iter()
            .map(|(from, to)| json!({"ref": from, "dependsOn": to}))
            .collect::<Vec<_>>(),
    })
}

fn component(component: &Component) -> Value {
    let kind = match component.kind {
        Kind::Installation | Kind::Tool => "application",
        Kind::Package | Kind::Source => "library",
        Kind::File => "file",
    };
    let mut value = json!({"type": kind, "bom-ref": component.id, "name": component.name});
    if let Some(digest) = &component.sha256 {
        value["hashes"] = json!([{"alg": "SHA-256", "content": digest}]);
    }
    if let Some(tree) = &component.tree {
        value["properties"] = json!([{"name": "pynbox-build:tree", "value": tree}]);
    }
    if let Some(version) = &component.version {
        value["version"] = version.as_str().into();
    }
    if let Some(license) = &component.license {
        value["licenses"] = json!([{"expression": license}]);
    }
    if let Some(purl) = &component.purl {
        value["purl"] = purl.as_str().into();
    }
    if let Some(url) = &component.url {
        value["externalReferences"] = json!([{"type": "distribution", "url": url}]);
    }
    if component.kind == Kind::Tool {
        // It is part of no product.
        value["scope"] = "excluded".into();
    }
    value
}
