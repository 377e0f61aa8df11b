//! Where work goes that may block.

/// A small pool of threads for whatever may hold a thread for more than about a millisecond: cold reads, work on
/// disk, recompression.
#[derive(Clone)]
pub struct BlockingPool {
    runtime: tokio::runtime::Handle,
}

impl BlockingPool {
    /// A pool on the blocking threads of `runtime`; their number was bounded when it was built.
    #[must_use]
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        BlockingPool { runtime }
    }

    /// Runs `work` on the pool. The future may be awaited on any thread.
    ///
    /// # Panics
    /// The future carries on a panic of `work`, and panics when the pool is gone.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let done = self.runtime.spawn_blocking(work);
        async move {
            match done.await {
                Ok(value) => value,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => panic!("the blocking pool is gone"),
                },
            }
        }
    }
}
