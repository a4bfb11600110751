//! Tries requests again that failed in a way that may pass.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;

use build_graph::NodeKey;
use support::retry::RetryPolicy;

use super::envelope::SignedEnvelope;
use super::{Damage, DamagedBlob, DigestFunction, Open, Receive, RemoteError, Transport, WireDigest};

/// So many blobs are put by one request, so that a failure repeats no more than these.
const PUT_AT_ONCE: usize = 128;
/// An attempt that fetched this share of what was left was worth it: attempts are counted anew.
/// With a smaller share, a remote would be asked too often for what it has.
const WORTHWHILE: usize = 8;

/// A transport whose requests are tried again by a policy.
pub(super) struct RetryTransport<T> {
    inner: T,
    policy: RetryPolicy,
}

impl<T: Transport> RetryTransport<T> {
    pub(super) fn new(inner: T, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }

    fn call<R>(&self, call: impl Fn(&T) -> Result<R, RemoteError>) -> Result<R, RemoteError> {
        let mut retries = self.policy.begin();
        loop {
            match call(&self.inner) {
                Err(error) if error.may_pass() => sleep(retries.pause().ok_or(error)?),
                done => return done,
            }
        }
    }
}

impl<T: Transport> Transport for RetryTransport<T> {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        self.call(T::digest_function)
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        self.call(|inner| inner.look_up(keys))
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        self.call(|inner| inner.missing(blobs))
    }

    /// Asks again only for what has not been received. Blobs that came incomplete are asked for
    /// once more.
    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        let received = Mutex::new(HashSet::new());
        let received = || received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut retries = self.policy.begin();
        let mut wanted = blobs.to_vec();
        let mut damaged: Vec<DamagedBlob> = Vec::new();
        let mut incomplete_again = true;
        loop {
            let fetched = self.inner.fetch(&wanted, &|blob, bytes| {
                receive(blob, bytes)?;
                received().insert(*blob);
                Ok(())
            });
            match fetched {
                Ok(()) if damaged.is_empty() => return Ok(()),
                Ok(()) => return Err(RemoteError::Damaged(damaged)),
                Err(RemoteError::Damaged(more)) => {
                    let is_incomplete = |damage: &DamagedBlob| matches!(damage.damage, Damage::Incomplete(_));
                    let (again, rest): (Vec<_>, Vec<_>) =
                        more.into_iter().partition(|damage| incomplete_again && is_incomplete(damage));
                    damaged.extend(rest);
                    wanted = again.into_iter().map(|damage| damage.blob).collect();
                    incomplete_again = false;
                    if wanted.is_empty() {
                        return Err(RemoteError::Damaged(damaged));
                    }
                }
                Err(error) if error.may_pass() => {
                    let before = wanted.len();
                    wanted.retain(|blob| !received().contains(blob));
                    let got = before - wanted.len();
                    if got > 0 && got * WORTHWHILE >= before {
                        retries.begin_anew();
                        sleep(self.policy.pause_after(1));
                    } else {
                        sleep(retries.pause().ok_or(error)?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        blobs.chunks(PUT_AT_ONCE).try_for_each(|part| self.call(|inner| inner.put(part, open)))
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        self.call(|inner| inner.put_result(result))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::test_transport::{TestTransport, incomplete, unavailable};
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 3, first_pause: Duration::from_millis(2), longest_pause: Duration::from_millis(2) };

    #[test]
    fn what_passes_is_tried_as_often_as_the_policy_says() {
        let (_folder, transport) = TestTransport::new();
        let retried = RetryTransport::new(&transport, POLICY);
        transport.fail_with([unavailable(), RemoteError::Busy("busy".into())]);
        retried.missing(&[]).unwrap();
        assert_eq!(transport.requests(), 3);
        transport.fail_with([unavailable(), unavailable(), unavailable()]);
        assert!(matches!(retried.missing(&[]), Err(RemoteError::Unavailable(_))));
        assert_eq!(transport.requests(), 6);
        transport.fail_with([RemoteError::Refused("read-only".into())]);
        assert!(matches!(retried.missing(&[]), Err(RemoteError::Refused(_))));
        assert_eq!(transport.requests(), 7);
    }

    #[test]
    fn what_was_received_is_not_asked_for_again() {
        let (_folder, transport) = TestTransport::new();
        let blobs = transport.fill(16);
        // Each attempt brings a quarter, so many failures are no reason to stop.
        transport.break_off_after(4);
        transport.fail_with((0..3).map(|_| unavailable()));
        let received = Mutex::new(Vec::new());
        let receive = |blob: &WireDigest, bytes: &mut dyn std::io::Read| {
            std::io::copy(bytes, &mut std::io::sink())?;
            received.lock().unwrap().push(*blob);
            Ok(())
        };
        RetryTransport::new(&transport, RetryPolicy { attempts: 2, ..POLICY }).fetch(&blobs, &receive).unwrap();
        let mut received = received.into_inner().unwrap();
        received.sort_unstable();
        assert_eq!(received, blobs);
        assert_eq!(transport.asked_for(), [16, 12, 8, 4]);
    }

    #[test]
    fn what_came_incomplete_is_asked_for_once_more() {
        let (_folder, transport) = TestTransport::new();
        let blobs = transport.fill(3);
        let damaged = |damage| DamagedBlob { blob: blobs[2], damage };
        let other = damaged(Damage::OtherBytes);
        let retried = RetryTransport::new(&transport, POLICY);
        let receive = |_: &WireDigest, _: &mut dyn std::io::Read| Ok(());
        transport.fail_with([RemoteError::Damaged(vec![incomplete(blobs[1]), other.clone()])]);
        let failed = retried.fetch(&blobs, &receive).unwrap_err();
        assert!(matches!(failed, RemoteError::Damaged(left) if left == [other]));
        assert_eq!(transport.asked_for(), [3, 1]);
        transport.fail_with([1, 1].map(|at| RemoteError::Damaged(vec![incomplete(blobs[at])])));
        let failed = retried.fetch(&blobs, &receive).unwrap_err();
        assert!(matches!(failed, RemoteError::Damaged(left) if left == [incomplete(blobs[1])]));
    }

    #[test]
    fn a_failure_repeats_one_part_of_what_is_put() {
        let (folder, transport) = TestTransport::new();
        let blobs: Vec<_> = (0..200_u8).map(|at| WireDigest { hash: [at; 32], size: 1 }).collect();
        std::fs::write(folder.path().join("x"), "x").unwrap();
        let opened = Mutex::new(0);
        let open = |_: &WireDigest| {
            *opened.lock().unwrap() += 1;
            std::fs::File::open(folder.path().join("x"))
        };
        transport.fail_with([unavailable()]);
        RetryTransport::new(&transport, POLICY).put(&blobs, &open).unwrap();
        assert_eq!((transport.requests(), opened.into_inner().unwrap()), (3, 200));
    }
}
