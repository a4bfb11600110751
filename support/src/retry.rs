//! The retry policy: how often something is tried that may succeed a moment later, and the pauses in
//! between.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};

/// The attempts at one thing, in all, and the pauses between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often it is tried, at least once.
    pub attempts: u32,
    /// The longest pause after the first attempt; each one after is twice as long.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl RetryPolicy {
    /// So many attempts, with the usual pauses: from a tenth of a second to five seconds.
    pub const fn of(attempts: u32) -> Self {
        Self { attempts, first_pause: Duration::from_millis(200), longest_pause: Duration::from_secs(5) }
    }

    /// Returns the pause after so many failed attempts: a random time between half of the longest
    /// pause and all of it, so that processes that failed together don't try again together.
    pub fn pause_after(&self, failures: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let whole = doubled.min(self.longest_pause);
        let mut random = [0; 4];
        // Without randomness, the pause is half.
        let _ = getrandom(&mut random, GetRandomFlags::empty());
        whole / 2 + (whole / 2).mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
    }

    /// Begins to count attempts.
    pub fn begin(self) -> Retries {
        Retries { policy: self, failures: 0 }
    }
}

/// The attempts that were made.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    failures: u32,
}

impl Retries {
    /// Counts a failed attempt. Returns the pause before the next one; `None` if it was the last.
    pub fn pause(&mut self) -> Option<Duration> {
        self.failures += 1;
        (self.failures < self.policy.attempts).then(|| self.policy.pause_after(self.failures))
    }

    /// Counts from the beginning again, after progress.
    pub fn begin_anew(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 4, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(5) };

    #[test]
    fn pauses_double_up_to_a_bound() {
        for (failures, whole) in [(1, 100), (2, 200), (3, 400), (6, 3200), (7, 5000), (40, 5000), (u32::MAX, 5000)] {
            let whole = Duration::from_millis(whole);
            let pause = POLICY.pause_after(failures);
            assert!(pause >= whole / 2 && pause <= whole, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn attempts_end() {
        let mut retries = POLICY.begin();
        assert_eq!([(); 4].map(|()| retries.pause().is_some()), [true, true, true, false]);
        retries.begin_anew();
        assert!(retries.pause().is_some());
        assert!(RetryPolicy { attempts: 1, ..POLICY }.begin().pause().is_none());
    }
}
