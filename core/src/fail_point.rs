//! Places at which a build with the feature `fail-points` can be told to stop, so that a test kills the broker, or cuts the
//! power, just there. Other builds have nothing of it.
//!
//! `FAILPOINTS="transaction-between-markers=20*off->return"` in the environment stops whoever comes by that point for the
//! 21st time, and from then on. The thread stands still and the others go on: what they answer before the end comes is
//! what a client may rely on.

/// A transaction's end is decided, and not in the log.
pub const BEFORE_PREPARE: &str = "transaction-before-prepare";
/// The decision is durable; no marker is written.
pub const AFTER_PREPARE: &str = "transaction-after-prepare";
/// A marker is in its log, which may not be durable, and another is to come.
pub const BETWEEN_MARKERS: &str = "transaction-between-markers";
/// All markers are durable; the completion is not in the log.
pub const BEFORE_COMPLETE: &str = "transaction-before-complete";

/// A place that is come by.
#[cfg(feature = "fail-points")]
pub fn reached(name: &'static str) {
    fail::fail_point!(name, |_| {
        eprintln!("stopped at {name}");
        loop {
            std::thread::park();
        }
    });
}

/// A place that is come by.
#[cfg(not(feature = "fail-points"))]
#[inline]
pub fn reached(_: &'static str) {}

/// What the environment says of the points, until it is dropped.
#[must_use]
pub struct Armed {
    #[cfg(feature = "fail-points")]
    _scenario: fail::FailScenario<'static>,
}

/// Takes what the environment says of the points: nothing, without the feature.
pub fn arm() -> Armed {
    Armed {
        #[cfg(feature = "fail-points")]
        _scenario: fail::FailScenario::setup(),
    }
}
