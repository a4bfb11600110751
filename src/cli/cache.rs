//! `pynbox-build cache …`: looks after the store.

use clap::Subcommand;

use super::{CommandError, Session};

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say how much is in it
    Stats,
    /// Read everything and drop what is damaged
    Verify,
    /// Remove the results that were not used for longest
    Gc {
        /// Remove until no more than this many bytes are left
        #[arg(long, value_name = "BYTES")]
        max_size: Option<u64>,
        /// Remove what was not used for so many days
        #[arg(long, value_name = "DAYS")]
        max_age: Option<u64>,
    },
}

pub(super) fn run(session: &Session, verb: &Verb) -> Result<(), CommandError> {
    let store = session.store()?;
    match verb {
        Verb::Stats => println!("{}", store.stats()?),
        Verb::Verify => println!("{}", store.verify()?),
        Verb::Gc { max_size, max_age } => {
            let day = 24 * 60 * 60;
            let policy = crate::store::GcPolicy {
                max_size: *max_size,
                max_age: max_age.map(|days| std::time::Duration::from_secs(days * day)),
                ..Default::default()
            };
            println!("{}", store.gc(&policy)?);
        }
    }
    Ok(())
}
