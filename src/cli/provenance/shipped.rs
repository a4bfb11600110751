//! Statements that came with the packages of an installation, from the repository that has them.

use std::path::Path;

use build_graph::untrusted::printable;
use ed25519_dalek::VerifyingKey;

use super::super::CommandError;
use super::super::repository::named_key;
use super::print;
use crate::install::package::Manifest;
use crate::install::{Installed, verify};
use crate::repository::statement::Statement;

/// Prints the statements of a folder's packages, an envelope a line as in-toto's bundles have them.
/// `false` if it is no installation, or a package came without one and no key is asked for.
pub(super) fn print(word: &str, trust: &[String]) -> Result<bool, CommandError> {
    let keys = trust.iter().map(|text| named_key(text)).collect::<Result<Vec<_>, _>>()?;
    let Some(installed) = Installed::find(Path::new(word))? else {
        return match trust {
            [] => Ok(false),
            _ => Err(CommandError::input(format!("`{}` is no installation", printable(word)))
                .hint("`--trust` is for statements that came with packages")),
        };
    };
    let receipts = installed.current.receipts()?;
    let mut statements = Vec::new();
    for receipt in &receipts {
        match installed.current.statement(&receipt.name)? {
            Some(bytes) => statements.push((receipt, sound(receipt, &bytes, &keys)?)),
            None if keys.is_empty() => return Ok(false),
            None => {
                let name = printable(&receipt.name);
                return Err(CommandError::input(format!("package `{name}` came without a statement"))
                    .hint("install it from a repository that has one: `install DEST --repo`"));
            }
        }
    }
    let verified = verify::verify(&installed.dest, &installed.current, &[])?;
    if let Some(first) = verified.differences.first() {
        let damaged = format!("`{}` {}", printable(first.path.as_str()), first.fault.words());
        return Err(CommandError::input(damaged).hint("install the packages again, which restores them"));
    }
    for (receipt, statement) in statements {
        let signers: Vec<_> = statement.envelope().signers().collect();
        let (name, version) = (printable(&receipt.name), printable(&receipt.version));
        errln!("provenance: {name} {version}, stated by {}", printable(&signers.join(", ")));
        print::out(&[&statement.envelope().to_bytes()[..], b"\n"].concat());
    }
    Ok(!receipts.is_empty())
}

/// The statement of a package, if it is about what is installed and a key that is asked for signed
/// it.
fn sound(receipt: &Manifest, bytes: &[u8], keys: &[VerifyingKey]) -> Result<Statement, CommandError> {
    let name = printable(&receipt.name);
    let about = |statement: &Statement| statement.is_about_content(receipt.content.digest());
    let Some(statement) = Statement::from_bytes(bytes).filter(about) else {
        return Err(CommandError::input(format!("the statement of package `{name}` is about something else"))
            .hint("somebody changed it; install the package anew into another folder"));
    };
    if keys.is_empty() || keys.iter().any(|key| statement.envelope().is_signed_by(key)) {
        return Ok(statement);
    }
    Err(CommandError::input(format!("no key that is trusted signed the statement of package `{name}`")))
}
