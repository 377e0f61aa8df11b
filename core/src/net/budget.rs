//! The bound on memory that requests hold, and the buffers of frames that are larger than the scratch buffer.
//!
//! `queued.max.request.bytes` bounds the frames in memory over all connections. The first [`FIRST_CHUNK_BYTES`] of a
//! frame are charged before its body is read, so a frame that was begun below that size always gets its memory; a
//! longer frame grows as its bytes arrive. As in Kafka the bound is crossed by at most one charge per thread. When it is
//! met, frames that want to grow do so one at a time (`overdraft`), so that two half-read frames never wait for each
//! other, and a frame whose sender is slow is given up: see [`RequestBudget::is_exhausted`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

/// A frame's buffer starts with at most this much, so that an announced length costs nothing until its bytes arrive.
/// Above the 1 MB batches of a stock producer: these are never moved.
pub const FIRST_CHUNK_BYTES: usize = 2 << 20;

/// Buffers larger than this are given back to the system at once.
const KEPT_BUFFER_BYTES: usize = 4 << 20;
/// A pool keeps at most this much for the next frames.
const KEPT_POOL_BYTES: usize = 8 << 20;
/// Buffers are made in multiples of this, so that frames of nearly one size can share them.
const ROUND_UP_BYTES: usize = 64 << 10;

/// `queued.max.request.bytes`, process-wide.
pub struct RequestBudget {
    limit_bytes: i64,
    used_bytes: AtomicI64,
    /// One frame may grow beyond the bound.
    overdraft: AtomicBool,
    waiting: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl RequestBudget {
    /// A bound of `limit_bytes`; −1 or 0 means none, as in Kafka.
    #[must_use]
    pub fn new(limit_bytes: i64) -> Arc<Self> {
        Arc::new(RequestBudget {
            limit_bytes: if limit_bytes > 0 { limit_bytes } else { i64::MAX },
            used_bytes: AtomicI64::new(0),
            overdraft: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            wakers: Mutex::new(Vec::new()),
        })
    }

    /// Bytes of frames in memory.
    #[must_use]
    pub fn used_bytes(&self) -> i64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Whether the bound is met. While it is, a frame that takes its sender too long is given up.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.used_bytes() >= self.limit_bytes
    }

    /// Charges `bytes` if the bound is not met yet.
    pub fn try_charge(&self, bytes: usize) -> bool {
        if self.is_exhausted() {
            return false;
        }
        self.used_bytes.fetch_add(bytes as i64, Ordering::Relaxed);
        true
    }

    /// Gives back what was charged, and wakes the connections that wait for it.
    pub fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes as i64, Ordering::SeqCst);
        self.wake_waiting();
    }

    /// Has `waker` woken once something is given back. The caller tries again after this call before it waits.
    pub fn wake_on_change(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        self.waiting.store(wakers.len(), Ordering::SeqCst);
    }

    fn wake_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut wakers = self.wakers.lock();
            self.waiting.store(0, Ordering::SeqCst);
            std::mem::take(&mut *wakers)
        };
        for waker in woken {
            waker.wake();
        }
    }

    fn take_overdraft(&self) -> bool {
        !self.overdraft.swap(true, Ordering::AcqRel)
    }

    fn end_overdraft(&self) {
        self.overdraft.store(false, Ordering::Release);
        self.wake_waiting();
    }
}

/// Memory of the budget that is held for as long as this lives.
pub struct Charge {
    budget: Arc<RequestBudget>,
    bytes: usize,
}

impl Charge {
    /// Charges `bytes` whether the bound is met or not: for what is in memory already.
    #[must_use]
    pub fn forced(budget: &Arc<RequestBudget>, bytes: usize) -> Self {
        budget.used_bytes.fetch_add(bytes as i64, Ordering::Relaxed);
        Charge { budget: Arc::clone(budget), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// The frame buffers of one network thread. A buffer comes back when the last view of its frame is dropped, on
/// whichever thread that is; keeping some saves the page faults of fresh memory.
pub struct BufferPool {
    budget: Arc<RequestBudget>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    used_since_trim: bool,
}

impl BufferPool {
    /// An empty pool.
    #[must_use]
    pub fn new(budget: Arc<RequestBudget>) -> Arc<Self> {
        Arc::new(BufferPool { budget, kept: Mutex::default() })
    }

    /// The bound that the buffers are charged to.
    #[must_use]
    pub fn budget(&self) -> &Arc<RequestBudget> {
        &self.budget
    }

    /// A buffer for a frame of `frame_bytes`, or `None` when the process-wide bound is met.
    pub fn start(self: &Arc<Self>, frame_bytes: usize) -> Option<FrameBuffer> {
        let first_bytes = frame_bytes.min(FIRST_CHUNK_BYTES);
        if !self.budget.try_charge(first_bytes) {
            return None;
        }
        Some(FrameBuffer {
            bytes: self.take(first_bytes),
            frame_bytes,
            charged_bytes: first_bytes,
            overdrawn: false,
            pool: Arc::clone(self),
        })
    }

    fn take(&self, bytes: usize) -> Vec<u8> {
        let mut kept = self.kept.lock();
        kept.used_since_trim = true;
        let fits = |buffer: &Vec<u8>| {
            buffer.capacity() >= bytes && buffer.capacity() / 4 <= bytes.max(ROUND_UP_BYTES)
        };
        if let Some(position) = kept.buffers.iter().rposition(fits) {
            let buffer = kept.buffers.swap_remove(position);
            kept.bytes -= buffer.capacity();
            return buffer;
        }
        drop(kept);
        Vec::with_capacity(if bytes > ROUND_UP_BYTES {
            bytes.next_multiple_of(ROUND_UP_BYTES)
        } else {
            bytes
        })
    }

    fn put(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < ROUND_UP_BYTES || buffer.capacity() > KEPT_BUFFER_BYTES {
            return;
        }
        buffer.clear();
        let mut kept = self.kept.lock();
        if kept.bytes + buffer.capacity() <= KEPT_POOL_BYTES {
            kept.bytes += buffer.capacity();
            kept.buffers.push(buffer);
        }
    }

    /// Gives the kept buffers back to the system if none was asked for since the last call.
    pub fn trim(&self) {
        let mut kept = self.kept.lock();
        if !std::mem::take(&mut kept.used_since_trim) {
            *kept = Kept::default();
        }
    }
}

/// The body of a frame while it arrives.
pub struct FrameBuffer {
    bytes: Vec<u8>,
    frame_bytes: usize,
    charged_bytes: usize,
    overdrawn: bool,
    pool: Arc<BufferPool>,
}

impl FrameBuffer {
    /// Where the next bytes go, and how many may be read before [`FrameBuffer::grow`] must be asked.
    pub fn spare(&mut self) -> (&mut Vec<u8>, usize) {
        let room = self.charged_bytes - self.bytes.len();
        (&mut self.bytes, room)
    }

    /// Appends bytes that were read along with an earlier frame. They fit, since they are fewer than the first chunk.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the whole frame is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bytes.len() == self.frame_bytes
    }

    /// Whether the buffer must grow before more can be read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() == self.charged_bytes && !self.is_complete()
    }

    /// Doubles the buffer, up to the frame's length. False when the process-wide bound is met and another frame is
    /// already growing beyond it: wait for [`RequestBudget::wake_on_change`].
    pub fn grow(&mut self) -> bool {
        let more = self.charged_bytes.min(self.frame_bytes - self.charged_bytes);
        let budget = &self.pool.budget;
        if !budget.try_charge(more) {
            if !self.overdrawn && !budget.take_overdraft() {
                return false;
            }
            self.overdrawn = true;
            budget.used_bytes.fetch_add(more as i64, Ordering::Relaxed);
        }
        self.charged_bytes += more;
        self.bytes.reserve_exact(self.charged_bytes - self.bytes.len());
        true
    }

    /// The frame as one `Bytes`; the buffer returns to its pool with the last view of it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for FrameBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.bytes));
        self.pool.budget.give_back(self.charged_bytes);
        if self.overdrawn {
            self.pool.budget.end_overdraft();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_crossed_by_one_charge_at_most_and_given_back_with_the_frame() {
        let budget = RequestBudget::new(1000);
        let pool = BufferPool::new(Arc::clone(&budget));
        let mut first = pool.start(900).unwrap();
        let second = pool.start(900).unwrap();
        assert!(pool.start(1).is_none());
        assert_eq!(budget.used_bytes(), 1800);
        first.extend(&[7; 900]);
        let frame = first.into_bytes();
        let view = frame.slice(10..20);
        drop(frame);
        assert_eq!(budget.used_bytes(), 1800);
        drop(view);
        assert_eq!(budget.used_bytes(), 900);
        assert!(pool.start(1).is_some());
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn no_bound_when_it_is_minus_one() {
        let budget = RequestBudget::new(-1);
        assert!(budget.try_charge(usize::MAX >> 2));
        assert!(!budget.is_exhausted());
    }

    #[test]
    fn an_announced_length_reserves_the_first_chunk_only() {
        let pool = BufferPool::new(RequestBudget::new(-1));
        let mut buffer = pool.start(100 << 20).unwrap();
        assert_eq!(buffer.bytes.capacity(), FIRST_CHUNK_BYTES);
        assert_eq!(buffer.spare().1, FIRST_CHUNK_BYTES);
        buffer.bytes.resize(FIRST_CHUNK_BYTES, 0);
        assert!(buffer.is_full());
        assert!(buffer.grow());
        assert_eq!(buffer.spare().1, FIRST_CHUNK_BYTES);
        assert_eq!(pool.budget().used_bytes(), 2 * FIRST_CHUNK_BYTES as i64);
    }

    #[test]
    fn one_frame_at_a_time_grows_beyond_the_bound() {
        let pool = BufferPool::new(RequestBudget::new(FIRST_CHUNK_BYTES as i64 + 1));
        let mut first = pool.start(3 * FIRST_CHUNK_BYTES).unwrap();
        let mut second = pool.start(3 * FIRST_CHUNK_BYTES).unwrap();
        assert!(first.grow());
        assert!(!second.grow());
        drop(first);
        assert!(second.grow());
    }

    #[test]
    fn a_buffer_is_used_again_and_an_idle_pool_empties() {
        let pool = BufferPool::new(RequestBudget::new(-1));
        let mut buffer = pool.start(1 << 20).unwrap();
        buffer.extend(&[1; 100]);
        let address = buffer.bytes.as_ptr();
        drop(buffer);
        let again = pool.start((1 << 20) - 500).unwrap();
        assert_eq!(again.bytes.as_ptr(), address);
        assert!(again.bytes.is_empty());
        drop(again);
        pool.trim();
        assert_eq!(pool.kept.lock().buffers.len(), 1);
        pool.trim();
        assert_eq!(pool.kept.lock().buffers.len(), 0);
    }

    #[test]
    fn a_waiting_connection_is_woken_by_what_is_given_back() {
        use std::sync::atomic::AtomicUsize;
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let budget = RequestBudget::new(10);
        assert!(budget.try_charge(10));
        budget.wake_on_change(&waker);
        budget.wake_on_change(&waker);
        budget.give_back(10);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
